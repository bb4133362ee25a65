"""Renames the tensors of a DINOv2 ViT from its authors' names, which RecycleLoRA, SoMA and Rein use too, to timm's."""

import math
import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from recyclelora.errors import InputError
from recyclelora.models.catalogue import BACKBONES

_CHUNK = re.compile(r"blocks\.\d+\.(\d+\.)")  # saved in chunks of blocks: the second number counts through
_OTHER = {"mlp.w12": "mlp.fc1", "mlp.w3": "mlp.fc2"}  # SwiGLU, of the giant


def timm_name(name: str) -> str:
    """`blocks.0.5.mlp.w3.weight` -> `blocks.5.mlp.fc2.weight`; most names are the same."""
    name = _CHUNK.sub(r"blocks.\1", name)
    for theirs, ours in _OTHER.items():
        name = name.replace(f".{theirs}.", f".{ours}.")
    return "reg_token" if name == "register_tokens" else name


def from_dinov2(vit: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A whole ViT under timm's names. timm keeps no position for the class token of a ViT with registers: it is added
    in; `mask_token` is left out, which no forward pass here reads."""
    renamed = {timm_name(name): tensor for name, tensor in vit.items() if name != "mask_token"}
    if "reg_token" in renamed:
        position = renamed["pos_embed"]
        renamed |= {"cls_token": renamed["cls_token"] + position[:, :1], "pos_embed": position[:, 1:]}
    return renamed


def depth_of(names: Iterable[str]) -> int:
    """The number of blocks that names (timm's) speak of."""
    return 1 + max((int(match[1]) for name in names if (match := re.match(r"blocks\.(\d+)\.", name))), default=-1)


def backbone_of(vit: Mapping[str, Tensor]) -> str:
    """Which DINOv2 a whole ViT under timm's names is, by depth, width and registers. Raises InputError."""
    depth, width = depth_of(vit), vit["cls_token"].shape[-1] if "cls_token" in vit else 0
    for name, row in BACKBONES.items():
        if (row.depth, row.width) == (depth, width) and name.startswith("dinov2") and (
                name.endswith("_reg") == ("reg_token" in vit)):
            return name
    raise InputError(f"a ViT of {depth} blocks, {width} wide: no DINOv2; known sizes: " + ", ".join(
        f"{row.depth} x {row.width}" for name, row in BACKBONES.items()
        if name.startswith("dinov2") and not name.endswith("_reg")))


def image_side(vit: Mapping[str, Tensor]) -> tuple[int, int]:
    """(patch size, side in pixels of the square image) that the patch kernel and the position embedding were made for.
    Raises InputError where the two were not made for each other."""
    patch = int(vit["patch_embed.proj.weight"].shape[-1])
    grid = math.isqrt(vit["pos_embed"].shape[1])  # with or without the class token's
    if (patch, grid) in ((16, 37), (14, 32)):
        raise InputError(f"patch kernels of {patch} pixels beside positions of {grid}x{grid} patches, which belong to "
                         f"kernels of {30 - patch}: one was converted and the other not; convert both")
    return patch, patch * grid


