"""What an adapter trained, in a safetensors file that says what it is: written whole, and refused when damaged."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from recyclelora.adapters.cache import combined_digest, tensor_digest
from recyclelora.adapters.lowrank import AdapterError
from recyclelora.adapters.writing import write_tensors

KEY = "recyclelora"  # the metadata entry that holds what is said of the tensors


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
