"""A trial that begins where another ended: the second stage of a training in two."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from recyclelora.adapters import adapted_layers
from recyclelora.adapters.adapter_files import start_of
from recyclelora.adapters.rein import reins_of
from recyclelora.config import flatten
from recyclelora.data.labels import LabelSpace
from recyclelora.documents import Plain
from recyclelora.errors import Absent, InputError
from recyclelora.models.segmentor import Segmentor
from recyclelora.settings import read_settings
from recyclelora.trials.artifacts import ADAPTER, CONFIG, HEAD, space_of

KEY = "training.start"
# What decides names, shapes and frozen weights.
_SAME = ("backbone.name", "backbone.patch_size", "backbone.resize", "adapter.", "head.")
_ALIKE = 1e-5  # of what a start took out of a weight, whose columns are 0.03 long: many float32 roundings
_FREE = ("_multiplier",)  # how adapters are trained is each stage's own


def check_start(now: Mapping[str, Plain], trials: Path) -> None:
    """For the flat config of a trial that begins where another of the folder `trials` ended. Raises Absent where that
    one has not finished, InputError where it trained another model."""
    start = now.get(KEY)
    if start is None:
        return
    folder = trials / str(start)
    if not (folder / HEAD).is_file():
        raise Absent(f"{KEY}: trial {start} has not finished here ({folder}); run it first", key=KEY)
    before = flatten(read_settings(folder / CONFIG).resolve())
    for key in sorted(before.keys() | now.keys()):
        if key.startswith(_SAME) and not key.endswith(_FREE) and before.get(key) != now.get(key):
            raise InputError(f"{KEY}: trial {start} has {key} {before.get(key)}, this one {now.get(key)}; both stages "
                             "train one model", key=KEY)


def begin_from(segmentor: Segmentor, folder: Path, *, weights_sha256: str, space: LabelSpace) -> None:
    """Copy adapters and head of the finished trial in `folder` into a freshly built model of the same config: every
    trained tensor, each exactly once. `space` is what the model is to predict. Raises InputError where the two do not
    fit."""
    tensors, about = _read(folder / HEAD)
    if about.get("weights_sha256") != weights_sha256:
        raise InputError(f"{KEY}: {folder} was trained on other weights ({about.get('weights_sha256', '')[:12]})",
                         key=KEY)
    before = space_of(about, folder / HEAD)
    if before.classes != space.classes:
        raise InputError(f"{KEY}: {folder} predicts other classes ({before.name}) than this one ({space.name})",
                         key=KEY)
    if (folder / ADAPTER).is_file():
        adapter, _ = _read(folder / ADAPTER)
        _check_residuals(segmentor, adapter, folder)
        within = "vit.reins" if reins_of(segmentor.vit) is not None else "vit"
        tensors |= {f"{within}.{name}": tensor for name, tensor in adapter.items() if ".start_" not in name}
    trained = {name: parameter for name, parameter in segmentor.named_parameters() if parameter.requires_grad}
    wrong = sorted(name for name, parameter in trained.items()
                   if name not in tensors or tensors[name].shape != parameter.shape)
    if wrong:
        raise InputError(f"{KEY}: {folder} holds no {wrong[0]} of this model's size; does it know the same classes?",
                         key=KEY)
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tensors[name])


def _check_residuals(segmentor: Segmentor, adapter: Mapping[str, Tensor], folder: Path) -> None:
    """The frozen weights too must be the first stage's: they lack what its adapters started as."""
    for name, layer in adapted_layers(segmentor.vit).items():
        for which, now in layer.start.items():
            before = start_of(adapter, name, layer.residual.shape, which)
            if layer.scales[which] * float((before.b @ before.a - now.b @ now.a).abs().max()) > _ALIKE:
                raise InputError(f"{KEY}: {folder}: the adapters of {name} began as others than they would here (is "
                                 "this another machine?); train both stages on one, or share its cache", key=KEY)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{KEY}: {path}: cannot be read ({error})", key=KEY) from None
