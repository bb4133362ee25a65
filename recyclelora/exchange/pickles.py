"""Reads the tensors of a `.pth` file of another code. This is the only place that reads a pickle, and no code in one is
ever run: torch's restricted reader builds tensors, numbers, text and containers, and stops at anything else."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recyclelora.adapters import AdapterError
from recyclelora.adapters.tensor_files import read_tensors
from recyclelora.errors import InputError
from recyclelora.exchange.archives import Format, examine
from recyclelora.models.sources import sha256_of


class Discarded:
    """Stands for every object of a log: takes whatever it is built from, keeps none of it, does nothing."""

    def __new__(cls, *parts: object) -> "Discarded":
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


# What MMEngine writes beside the weights: loss curves (`message_hub`) and NumPy numbers (`meta`). None of it is wanted,
# so that none of these names is looked up: each gives a Discarded.
LOGS = ("mmengine.logging.history_buffer.HistoryBuffer", "builtins.getattr", "numpy.ndarray", "numpy.dtype",
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
        *(f"numpy.dtypes.{kind}DType" for kind in ("Float16", "Float32", "Float64", "Int32", "Int64", "UInt8", "Bool")))

_REFUSED = re.compile(r"(?:GLOBAL|unrecognized function|class) <?(?:built-in function )?([\w.]+)")


class Checkpoint(NamedTuple):
    """`tensors`: the state dict. `settings`: text of the config it was trained with, "" where the file holds none.
    `doubt`: why damage to a value could not be noticed, "" where it would have been."""

    path: Path
    sha256: str
    tensors: dict[str, Tensor]
    settings: str
    doubt: str


def read_checkpoint(path: Path) -> Checkpoint:
    """A `.pth` file of MMEngine or plain torch, or a safetensors file: a state dict at the top, or under `state_dict`.

    Where weights were averaged MMEngine stores the average as `state_dict` (its EMAHook swaps the two on saving), so
    that is the one taken. Tensors may be mapped from the file. The checksums of torch's archives are verified. Raises
    InputError."""
    if not path.is_file():
        raise InputError(f"{path}: no such file" if not path.exists() else f"{path}: a folder; expected a .pth file")
    content, doubt = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: not a checkpoint: holds a {type(content).__name__}, no tensors by name")
    state, meta = content.get("state_dict", content), content.get("meta")
    tensors = {str(name).removeprefix("module."): value.detach() for name, value in state.items()
               if isinstance(value, Tensor)} if isinstance(state, Mapping) else {}
    if not tensors:
        raise InputError(f"{path}: not a checkpoint: holds no tensors by name, neither at its top nor in `state_dict`")
    _check_values(path, tensors)
    settings = meta.get("cfg") if isinstance(meta, Mapping) else None
    return Checkpoint(path, sha256_of(path), tensors, settings if isinstance(settings, str) else "", doubt)


def _read_safetensors(path: Path) -> tuple[object, str]:
    try:
        return read_tensors(path)[0], "safetensors has no checksums, so that damage to a value cannot be noticed"
    except AdapterError as error:
        raise InputError(str(error)) from None


def _read_pickle(path: Path) -> tuple[object, str]:
    try:
        found = examine(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    doubt = "" if found is Format.VERIFIED else found.value
    inert: list[Any] = [(Discarded, name) for name in LOGS]
    try:
        with torch.serialization.safe_globals(inert):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=found is not Format.OLD), doubt
    except Exception as error:  # torch's, zip's and pickle's errors share no base class
        raise _refusal(path, str(error)) from None


def _refusal(path: Path, message: str) -> InputError:
    refused = _REFUSED.search(message)
    if refused:
        return InputError(f"{path}: holds code or objects beside its tensors ({refused[1]}); a pickle can run "
                          "code when it is read, so the file is refused; nothing in it was run")
    return InputError(f"{path}: not a checkpoint of torch, or cut short (a state dict saved with torch.save is one)")


def _check_values(path: Path, tensors: Mapping[str, Tensor]) -> None:
    odd = [name for name, tensor in tensors.items()
           if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta]
    if odd:
        raise InputError(f"{path}: {len(odd)} tensors that are sparse, quantised or empty, the first {odd[0]}; "
                         "expected plain ones")
    bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        raise InputError(f"{path}: {len(bad)} tensors with values that are not finite, the first {bad[0]}")
