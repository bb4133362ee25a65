"""Saves the model of a trial as safetensors files beside its config, and loads it again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from recyclelora.adapters import AdapterError
from recyclelora.adapters.tensor_files import read_checked, write_checked
from recyclelora.config import Config
from recyclelora.data.labels import SPACES, Grouping, LabelSpace
from recyclelora.errors import InputError
from recyclelora.models.pretrained_weights import Weights, resolve_weights
from recyclelora.models.segmentor import Segmentor
from recyclelora.models.timm_backbones import build_backbone
from recyclelora.settings import read_settings
from recyclelora.trials.build import Identity, find_weights, put_head
from recyclelora.trials.stated import Stated, stated_by

CONFIG, ADAPTER, HEAD = "config.yaml", "adapter.safetensors", "head.safetensors"
BACKBONE = "backbone.safetensors"  # of an imported model whose backbone is its own; others name the pretrained weights


class Model(NamedTuple):
    """A trained model: the segmentor, the config it was trained with, and the classes it predicts.

    `stated`: the settings that are known of an imported model, whose other ones are defaults; None: all are."""

    segmentor: Segmentor
    config: Config
    space: LabelSpace
    fingerprint: str
    stated: Stated = None


def save_model(segmentor: Segmentor, folder: Path, config: Config, identity: Identity, space: LabelSpace,
               provenance: Mapping[str, str] | None = None) -> None:
    """Write `adapter.safetensors` (adapters alone, tied to their base) and `head.safetensors` into a trial's folder,
    which holds its `config.yaml` already. `provenance` goes into the metadata of both."""
    about = {"fingerprint": identity.fingerprint, "weights_sha256": identity.weights.sha256, "label_space": space.name,
             "label_space_classes": json.dumps(space._asdict()), **(provenance or {})}
    config.adapter.save(segmentor.vit, folder / ADAPTER, about)
    head = {name: tensor for name, tensor in segmentor.state_dict().items() if not name.startswith("vit.")}
    write_checked(head, folder / HEAD, about)


def weights_of(folder: Path, config: Config, cache: Path) -> Weights:
    """The backbone's weights of the model in a folder: its own where it holds some, as an imported model may."""
    own = folder / BACKBONE
    return resolve_weights(config.backbone.name, file=own, cache=cache) if own.exists() else find_weights(config, cache)


def load_model(folder: Path, cache: Path) -> Model:
    """The model in a trial's folder, its adapters in place and not merged. Raises InputError for a folder that holds no
    finished trial, and for weights, adapter or head that do not belong together."""
    settings = read_settings(folder / CONFIG)
    config = settings.resolve()
    weights = weights_of(folder, config, cache)
    try:
        head, about = read_checked(folder / HEAD)
    except AdapterError as error:
        raise InputError(f"no whole head of a finished trial: {error}") from None
    if not {"weights_sha256", "fingerprint"} <= about.keys():
        raise InputError(f"{folder / HEAD}: does not tell which model it belongs to; expected what a trial left")
    if about["weights_sha256"] != weights.sha256:
        raise InputError(f"{folder}: trained on weights {about['weights_sha256'][:12]}, but {weights.path} is "
                         f"{weights.sha256[:12]}; name the right file with backbone.weights")
    vit = build_backbone(config.backbone.name, patch_size=config.backbone.patch_size, image_size=config.data.crop,
                         weights=weights.path, resize=config.backbone.resize)
    try:
        config.adapter.load(vit, folder / ADAPTER, head_width=config.head.width)
    except AdapterError as error:
        raise InputError(str(error)) from None
    space = space_of(about, folder / HEAD)
    segmentor = put_head(vit, config, len(space.classes))
    _fill_head(segmentor, head, folder / HEAD)
    return Model(segmentor.eval(), config, space, about["fingerprint"], stated_by(settings, about))


def space_of(about: dict[str, str], path: Path) -> LabelSpace:
    """The classes that the file itself tells, so that a declared space needs no declaration; files of before name one
    that the program knows."""
    try:
        if "label_space_classes" not in about:
            return SPACES[about["label_space"]]
        told = json.loads(about["label_space_classes"])
        groups = tuple(Grouping(fine, tuple((inner, outer) for inner, outer in pairs))
                       for fine, pairs in told["groups"])
        palette = tuple((int(red), int(green), int(blue)) for red, green, blue in told["palette"])
        return LabelSpace(told["name"], tuple(told["classes"]), palette, groups)
    except (KeyError, ValueError, TypeError):
        raise InputError(f"{path}: does not tell which classes its model predicts") from None


def _fill_head(segmentor: Segmentor, head: dict, path: Path) -> None:  # type: ignore[type-arg]
    expected = {name: tensor for name, tensor in segmentor.state_dict().items() if not name.startswith("vit.")}
    if wrong := misfits(head, expected):
        raise InputError(f"{path}: does not fit the head of {CONFIG} at {wrong[0]}")
    segmentor.load_state_dict(head, strict=False)


def misfits(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """The names that only one side has; if there are none, those of another shape."""
    return sorted(expected.keys() ^ tensors.keys()) or sorted(
        name for name, tensor in tensors.items() if tensor.shape != expected[name].shape)
