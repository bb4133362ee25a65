"""A training state on disk, from which a resumed run repeats the uninterrupted one bit for bit."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.amp import GradScaler

from recyclelora.adapters.tensor_files import storable, tensor_digest
from recyclelora.errors import InputError
from recyclelora.training.average import MovingAverage
from recyclelora.writing import remove_unfinished, sync, whole_file

CURRENT = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"
_SCALER = ("scale", "_growth_tracker")  # of GradScaler's state, what changes


class _Checkpoint(NamedTuple):
    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def save_checkpoint(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, iteration: int, *,
                    fingerprint: str, average: MovingAverage | None = None, scaler: GradScaler | None = None) -> None:
    """Write the state after `iteration` to `checkpoint.safetensors`; the one that was there becomes the previous one.

    Tensors `weight/<parameter>` (what is trained), `exp_avg/<parameter>`, `exp_avg_sq/<parameter>` and
    `step/<parameter>` (AdamW's), `average/<parameter>` once an average is kept, and `scaler/...` with float16, on the
    CPU. Frozen tensors are not in it, only their digest. Random numbers need no state: see `loop.train`. Host memory:
    twice the file. Raises InputError when the folder cannot be written, and then leaves the older checkpoints as they
    were."""
    tensors = _collect(model, optimiser)
    if average is not None:
        tensors |= {f"average/{name}": tensor.cpu().contiguous() for name, tensor in average.tensors.items()}
    if scaler is not None and scaler.is_enabled():
        tensors |= {f"scaler/{key}": torch.tensor(scaler.state_dict()[key], dtype=torch.float64) for key in _SCALER}
    metadata = {"fingerprint": fingerprint, "iteration": str(iteration), "torch": torch.__version__,
                "frozen": digest(_frozen(model))}
    metadata["content"] = _content(tensors, metadata)
    content = save(storable(tensors), metadata)
    try:
        remove_unfinished(folder)  # a killed run's would pile up
        with whole_file(folder / CURRENT, durable=True) as unfinished:
            unfinished.write_bytes(content)
            sync(unfinished)  # before the older one gives up its name
            if (folder / CURRENT).exists():
                os.replace(folder / CURRENT, folder / PREVIOUS)
    except OSError as error:
        raise InputError(f"{folder}: a checkpoint of {len(content)} bytes cannot be written ({error.strerror}), "
                         f"{_free(folder)}; make room or choose another folder") from None


def load_checkpoint(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, *, fingerprint: str,
                    average: MovingAverage | None = None, scaler: GradScaler | None = None) -> int:
    """Restore the newest whole checkpoint in `folder` and return its iteration; 0 where there is none.

    A truncated or altered file is passed over for the previous one. Raises InputError, changing nothing, for a
    checkpoint of another trial, of other frozen weights or of other tensors."""
    found = _read(folder / CURRENT) or _read(folder / PREVIOUS)
    if found is None:
        return 0
    _check(found, "trial", "fingerprint", fingerprint)
    _check(found, "frozen weights", "frozen", digest(_frozen(model)))
    _restore(found, model, optimiser)
    if average is not None:
        average.restore(_under(found.tensors, "average/"))
    if scaler is not None and scaler.is_enabled():
        state = {key: tensor.item() for key, tensor in _under(found.tensors, "scaler/").items()}
        scaler.load_state_dict({**scaler.state_dict(), **state})
    return int(found.metadata["iteration"])


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names and what they hold. Where the processor has SHA instructions this is faster than BLAKE2
    (1.5 against 0.6 GB/s, measured)."""
    lines = "".join(f"{name} {tensor_digest(tensors[name])}\n" for name in sorted(tensors))
    return hashlib.sha256(lines.encode()).hexdigest()


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _frozen(model: nn.Module) -> dict[str, Tensor]:
    frozen = {name: parameter for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return {**frozen, **dict(model.named_buffers())}


def _content(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    described = json.dumps({**metadata, "tensors": digest(tensors)}, sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()


def _collect(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {}
    for name, parameter in _trained(model).items():
        tensors[f"weight/{name}"] = parameter
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"{key}/{name}"] = value
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _free(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free} bytes free"
    except OSError:
        return "the folder cannot be reached"


def _read(path: Path) -> _Checkpoint | None:
    """A whole checkpoint, or None for a file that is absent, cut short, altered or something else."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a mapping
    except (OSError, SafetensorError):
        return None
    whole = metadata.pop("content", None) == _content(tensors, metadata)
    return _Checkpoint(path, tensors, metadata) if whole else None


def _check(found: _Checkpoint, what: str, key: str, expected: str) -> None:
    if found.metadata[key] != expected:
        raise InputError(f"{found.path}: belongs to other {what} ({found.metadata[key][:16]}) than this run "
                         f"({expected[:16]}); use another folder, or remove it to start again")


def _restore(found: _Checkpoint, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    trained = _trained(model)
    saved = {(key, tensor.shape) for key, tensor in found.tensors.items() if key.startswith("weight/")}
    differing = sorted(saved ^ {(f"weight/{name}", parameter.shape) for name, parameter in trained.items()})
    if differing:
        raise InputError(f"{found.path}: {differing[0][0]} does not fit this model; remove the file to start again")
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(found.tensors[f"weight/{name}"])
    names = {parameter: name for name, parameter in trained.items()}
    order = [names[parameter] for group in optimiser.param_groups for parameter in group["params"]]
    state = {index: _moments(found.tensors, name) for index, name in enumerate(order)}
    optimiser.load_state_dict({"state": {index: entry for index, entry in state.items() if entry},
                               "param_groups": optimiser.state_dict()["param_groups"]})


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _moments(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    keys = ("step", "exp_avg", "exp_avg_sq")
    return {key: tensors[f"{key}/{name}"] for key in keys if f"{key}/{name}" in tensors}
