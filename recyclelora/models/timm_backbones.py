"""Vision foundation models by readable names, built through timm: frozen, in eval mode, at any patch and image size."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import timm
import torch
from torch import nn

from recyclelora.errors import InputError
from recyclelora.models.catalogue import Backbone, find_backbone
from recyclelora.models.loading import load_strict
from recyclelora.models.resizing import Resize


def build_backbone(name: str, *, patch_size: int | None, image_size: tuple[int, int], weights: Path | None,
                   resize: Resize = "plain") -> nn.Module:
    """A timm ViT, every parameter frozen, in eval mode, without a classifier, attention pool or neck.

    `patch_size` None keeps the checkpoint's; another resizes the patch kernel. `image_size` (height, width) in pixels
    sets the grid the position embedding is resized to when loaded; other sizes that are multiples of the patch size
    work too, and are then interpolated in each forward pass. `weights` None leaves timm's random initialisation: for
    shapes and counts, on the meta device too. `resize`: how a file's kernel and embedding are brought to size, see
    `resizing`; nothing without a file. Raises InputError."""
    row = find_backbone(name)
    patch = patch_size or row.patch_size
    if any(side % patch for side in image_size):
        raise InputError(f"{image_size[0]}x{image_size[1]} pixels: not a multiple of the patch size {patch}")
    create = partial(_create, row, patch, image_size)
    vit: nn.Module = create() if weights is None else _load(create, row, weights, resize)
    return vit.requires_grad_(False).eval()


def _create(row: Backbone, patch: int, image_size: tuple[int, int]) -> nn.Module:
    vit: nn.Module = timm.create_model(row.timm_name, num_classes=0, patch_size=patch, img_size=image_size,
                                       **row.family.options)
    if hasattr(vit, "neck"):  # SAM's, behind the last block
        vit.prune_intermediate_layers(prune_norm=True)  # type: ignore[operator]
    return vit


def _load(create: Callable[[], nn.Module], row: Backbone, weights: Path, resize: Resize) -> nn.Module:
    # Without drawing random weights only to overwrite them: 5 to 8 s for a Large model.
    with torch.device("meta"):
        vit = create()
    vit.to_empty(device=torch.get_default_device())
    for module in vit.modules():
        if hasattr(module, "init_non_persistent_buffers"):  # timm's hook for what no file holds, as EVA02's rotations
            module.init_non_persistent_buffers()  # type: ignore[operator]
    load_strict(vit, weights, patch_size=row.patch_size, unused=row.family.unused, renames=row.family.renames,
                resize=resize)
    return vit
