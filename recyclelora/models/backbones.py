"""Vision foundation models by readable names, built through timm: frozen, in eval mode, at any patch and image size."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from timm.models import get_pretrained_cfg
from torch import nn

from recyclelora.documents import nearest
from recyclelora.errors import InputError
from recyclelora.models.loading import load_strict


class Backbone(NamedTuple):
    """What is known of a backbone before it is built. `mean`, `std`: RGB, of images in [0, 1]."""

    timm_name: str  # architecture.tag
    depth: int
    width: int
    patch_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    hub_id: str


def _row(timm_name: str, depth: int, width: int) -> Backbone:
    known: Any = get_pretrained_cfg(timm_name, allow_unregistered=False)
    patch_size = re.search(r"_patch(\d+)", timm_name)
    assert patch_size is not None
    return Backbone(timm_name, depth, width, int(patch_size[1]), known.mean, known.std, known.license,
                    known.hf_hub_id)


BACKBONES: dict[str, Backbone] = {
    "dinov2_small": _row("vit_small_patch14_dinov2.lvd142m", 12, 384),
    "dinov2_base": _row("vit_base_patch14_dinov2.lvd142m", 12, 768),
    "dinov2_large": _row("vit_large_patch14_dinov2.lvd142m", 24, 1024),
    "dinov2_giant": _row("vit_giant_patch14_dinov2.lvd142m", 40, 1536),
    "dinov2_small_reg": _row("vit_small_patch14_reg4_dinov2.lvd142m", 12, 384),
    "dinov2_base_reg": _row("vit_base_patch14_reg4_dinov2.lvd142m", 12, 768),
    "dinov2_large_reg": _row("vit_large_patch14_reg4_dinov2.lvd142m", 24, 1024),
    "dinov2_giant_reg": _row("vit_giant_patch14_reg4_dinov2.lvd142m", 40, 1536),
    "eva02_tiny": _row("eva02_tiny_patch14_224.mim_in22k", 12, 192),
    "eva02_small": _row("eva02_small_patch14_224.mim_in22k", 12, 384),
    "eva02_base": _row("eva02_base_patch14_224.mim_in22k", 12, 768),
    "eva02_large": _row("eva02_large_patch14_224.mim_m38m", 24, 1024),
}


def build_backbone(name: str, *, patch_size: int | None, image_size: tuple[int, int],
                   weights: Path | None) -> nn.Module:
    """A timm ViT, every parameter frozen, in eval mode, without a classifier.

    `patch_size` None keeps the checkpoint's; another resizes the patch kernel. `image_size` (height, width) in pixels
    sets the grid the position embedding is resized to when loaded; other sizes that are multiples of the patch size
    work too, and are then interpolated in each forward pass. `weights` None leaves timm's random initialisation: for
    shapes and counts, on the meta device too. Raises InputError."""
    if name not in BACKBONES:
        raise InputError(f"backbone.name: {name!r} is not known{nearest(name, BACKBONES)}", key="backbone.name")
    row = BACKBONES[name]
    patch = patch_size or row.patch_size
    if any(side % patch for side in image_size):
        raise InputError(f"{image_size[0]}x{image_size[1]} pixels: not a multiple of the patch size {patch}")
    create = partial(timm.create_model, row.timm_name, num_classes=0, patch_size=patch, img_size=image_size,
                     dynamic_img_size=True)
    vit: nn.Module = create() if weights is None else _load(create, weights)
    return vit.requires_grad_(False).eval()


def _load(create: Callable[[], nn.Module], weights: Path) -> nn.Module:
    # Without drawing random weights only to overwrite them: 5 to 8 s for a Large model.
    with torch.device("meta"):
        vit = create()
    vit.to_empty(device=torch.get_default_device())
    for module in vit.modules():
        if hasattr(module, "init_non_persistent_buffers"):  # timm's hook for what no file holds, as EVA02's rotations
            module.init_non_persistent_buffers()  # type: ignore[operator]
    load_strict(vit, weights)
    return vit


