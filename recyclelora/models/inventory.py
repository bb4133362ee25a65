"""What adapting each backbone means, counted by doing it: on the meta device, without weights or arithmetic."""

import re
from collections import Counter
from functools import cache
from typing import NamedTuple

import torch

from recyclelora.adapters import adapt, linears
from recyclelora.adapters.layer import WHICH
from recyclelora.adapters.lora import adapter_parameters
from recyclelora.models.catalogue import BACKBONES
from recyclelora.models.timm_backbones import build_backbone


class Entry(NamedTuple):
    """One backbone. `adapted`: linear layers of all blocks; `roles`: how many a block has of each role; `params_r32`,
    `params_r4`: trainable parameters of one adapter of that rank on all of them; `mean`, `std`: RGB, of images in
    [0, 1], as its checkpoint was trained with; `hub`: repository of its safetensors file on the model hub."""

    name: str
    adapted: int
    roles: dict[str, int]
    params_r32: int
    params_r4: int
    patch_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    hub: str
    depth: int
    width: int


class Counts(NamedTuple):
    """Of an architecture: linear layers in all, by role in a block, and trainable parameters by adapter's rank."""

    adapted: int
    roles: dict[str, int]
    params_r32: int
    params_r4: int


def describe(name: str) -> Entry:
    """A backbone's row, with what adapting its architecture counts to. Raises InputError."""
    row = BACKBONES[name]
    counts = _count(next(other for other in BACKBONES if _architecture(other) == _architecture(name)))
    return Entry(name, *counts, row.patch_size, row.mean, row.std, row.licence, row.hub_id, row.depth, row.width)


def _architecture(name: str) -> str:
    """timm's name without tag and image size: what is published at several sizes has the same blocks at each."""
    return re.sub(r"_\d{3}$", "", BACKBONES[name].timm_name.partition(".")[0])


@cache
def _count(name: str) -> Counts:
    """Adapt with ranks 32 (main) and 4 (sub) on every linear layer, and count each adapter's parameters."""
    with torch.device("meta"):
        vit = build_backbone(name, patch_size=None, image_size=(8 * BACKBONES[name].patch_size,) * 2, weights=None)
    blocks = Counter((target.block, target.role) for target in linears(vit))
    roles = {role: count for (block, role), count in blocks.items() if block == 0}
    assert all(blocks[block, role] == roles[role] for block, role in blocks), "blocks of a ViT are alike"
    adapted = adapt(vit, main_rank=32, sub_rank=4)
    main, sub = (sum(parameter.numel() for parameter in adapter_parameters(vit, which).values()) for which in WHICH)
    return Counts(len(adapted), roles, main, sub)
