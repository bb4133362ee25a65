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
from recyclelora.adapters.file_faults import fault_of
from recyclelora.writing import whole_file

KEY = "recyclelora"  # the metadata entry that holds what is said of the tensors
CONTENT = "content"  # the one that holds a digest of everything else in the file
_MOST = 100_000_000  # bytes of a header, which no reader of safetensors takes more of


def tensor_digest(tensor: Tensor) -> str:
    """sha256 over dtype, shape and bytes, as 64 hex digits; the same on every device. Raises AdapterError for a tensor
    that is not plain (sparse, quantised)."""
    (raw,) = storable({"": tensor}).values()
    content = hashlib.sha256(f"{raw.dtype} {tuple(raw.shape)}\n".encode())
    content.update(raw.reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def combined_digest(digests: Mapping[str, str]) -> str:
    """One sha256 for named digests, whatever their order."""
    lines = (f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def storable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same values as a file can hold them: on the CPU, contiguous, no two in the same memory. Raises AdapterError
    for a sparse, quantised or meta tensor, and for what is no tensor."""
    found: dict[str, Tensor] = {}
    used: set[int] = set()
    for name, tensor in tensors.items():
        if (kind := _oddity(tensor)) is not None:
            raise AdapterError(f"{name or 'a tensor'}: {kind}; only a plain tensor can be stored")
        plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        memory = plain.untyped_storage().data_ptr()
        if plain.numel() and memory in used:
            plain = plain.clone()
        used.add(memory)
        found[name] = plain
    return found


def _oddity(tensor: object) -> str | None:
    if not isinstance(tensor, Tensor):
        return f"a {type(tensor).__name__}"
    if tensor.is_meta:
        return "on the meta device, without values"
    if tensor.is_quantized:
        return "quantised"
    return None if tensor.layout == torch.strided else "sparse"


def write_tensors(tensors: Mapping[str, Tensor], path: Path, header: Mapping[str, str] | None = None) -> None:
    """Any safetensors file, from tensors on any device. The folder is made if there is none. Raises AdapterError for
    what such a file cannot hold, OSError where it cannot be written, and then leaves an earlier file as it was."""
    _check_header(tensors, header or {}, path)
    plain = storable(tensors)
    with whole_file(path) as unfinished:
        try:
            save_file(plain, unfinished, dict(header) if header is not None else None)
        except SafetensorError as error:
            if "I/O" in str(error):
                raise OSError(str(error)) from None
            raise AdapterError(f"{path}: cannot be stored as safetensors ({error})") from None


def _check_header(tensors: Mapping[str, Tensor], header: Mapping[str, str], path: Path) -> None:
    for key, value in header.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise AdapterError(f"{path}: metadata {key!r}: {value!r} is a {type(value).__name__}; a header holds text "
                               "under text: give str(...) or json.dumps(...)")
    if "__metadata__" in tensors:
        raise AdapterError(f"{path}: a tensor cannot be called __metadata__, as the header is; rename it")
    size = sum(len(json.dumps([key, value])) for key, value in header.items()) + 100 * len(tensors)
    if size > _MOST:
        raise AdapterError(f"{path}: metadata of {size:,} bytes, more than the {_MOST:,} that readers take; keep it in "
                           "a file of its own")


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file, and its metadata. Raises AdapterError with what is wrong in one line: absent,
    a folder, empty, a text, a pickle, cut short, a header too large."""
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"{path}: cannot be read as safetensors: {fault_of(path, error)}") from None


def write_checked(tensors: Mapping[str, Tensor], path: Path, header: Mapping[str, str]) -> None:
    """A file in which any change of tensors or header is noticed: a digest of both stands in the header."""
    if CONTENT in header:
        raise AdapterError(f"{path}: metadata {CONTENT!r} is a name of this file's own; choose another")
    _check_header(tensors, header, path)
    plain = storable(tensors)
    write_tensors(plain, path, {**header, CONTENT: _content(plain, header)})


def read_checked(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header of a file of `write_checked`. Raises AdapterError for another file and for a damaged one."""
    tensors, header = read_tensors(path)
    _verify(path, tensors, header)
    return tensors, header


def write_described(tensors: Mapping[str, Tensor], path: Path, about: Mapping[str, Any],
                    metadata: Mapping[str, str] | None = None) -> None:
    """The tensors with `about` (which names its `format`) in the header, beside `metadata`, and a digest of all."""
    if KEY in (metadata or {}):
        raise AdapterError(f"{path}: metadata {KEY!r} is a name of this file's own; choose another")
    write_checked(tensors, path, {**(metadata or {}), KEY: json.dumps(about, sort_keys=True)})


def read_described(path: Path, known: object, expected: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What is said of the tensors, and the tensors, of a file of format `known`. Raises AdapterError for another file
    (`expected` says what would be right) and for a damaged one."""
    tensors, header = read_tensors(path)
    try:
        about = json.loads(header.get(KEY, "{}"))
    except (ValueError, RecursionError):
        about = None  # damaged, or somebody else's
    if not isinstance(about, dict) or about.pop("format", None) != known:
        raise AdapterError(f"{path}: {expected}")
    _verify(path, tensors, header)
    return about, tensors


def _verify(path: Path, tensors: Mapping[str, Tensor], header: dict[str, str]) -> None:
    """Take the digest out of the header. Raises AdapterError where it is not that of the rest."""
    written = header.pop(CONTENT, None)
    if written is None:
        raise AdapterError(f"{path}: holds no digest of its content, so it is none of this program's files")
    if written != _content(tensors, header):
        raise AdapterError(f"{path}: damaged since it was written; copy it anew")


def _content(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    digests = {name: tensor_digest(tensor) for name, tensor in tensors.items()}
    return combined_digest({"tensors": combined_digest(digests),
                            "header": hashlib.sha256(json.dumps(dict(header), sort_keys=True).encode()).hexdigest()})
