"""Safetensors files: written whole, and refused when damaged where they say what they hold."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.writing import whole_file

KEY = "recyclelora"  # the metadata entry that holds what is said of the tensors


def tensor_digest(tensor: Tensor) -> str:
    """sha256 over dtype, shape and bytes, as 64 hex digits; the same on every device."""
    raw = tensor.detach().cpu().contiguous()
    content = hashlib.sha256(f"{raw.dtype} {tuple(raw.shape)}\n".encode())
    content.update(raw.reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def combined_digest(digests: Mapping[str, str]) -> str:
    """One sha256 for named digests, whatever their order."""
    lines = (f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write_tensors(tensors: Mapping[str, Tensor], path: Path, header: Mapping[str, str] | None = None) -> None:
    """Any safetensors file, from tensors on any device that share no memory. The folder is made if there is none.
    Raises OSError."""
    with whole_file(path) as unfinished:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, unfinished,
                  dict(header) if header is not None else None)


def write_described(tensors: Mapping[str, Tensor], path: Path, about: Mapping[str, Any],
                    metadata: Mapping[str, str] | None = None) -> None:
    """The tensors with `about` (which names its `format`) and a digest of them in the header, beside `metadata`."""
    told = {**about, "content": _content(tensors)}
    write_tensors(tensors, path, {**(metadata or {}), KEY: json.dumps(told, sort_keys=True)})


def read_described(path: Path, known: object, expected: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What is said of the tensors, and the tensors, of a file of format `known`. Raises AdapterError for another file
    (`expected` says what would be right) and for a damaged one."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get(KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise AdapterError(f"{path}: cannot be read as safetensors ({error})") from None
    if about.pop("format", None) != known:
        raise AdapterError(f"{path}: {expected}")
    if about.pop("content") != _content(tensors):
        raise AdapterError(f"{path}: damaged since it was written; copy it anew")
    return about, tensors


def _content(tensors: Mapping[str, Tensor]) -> str:
    return combined_digest({name: tensor_digest(tensor) for name, tensor in tensors.items()})
