"""The tensors of a ViT that depend on patch and image size, from a checkpoint's size to a model's.

| tensor                   | plain (the authors' code)        | flexible (FlexiViT, and timm's own loader) |
|--------------------------|----------------------------------|--------------------------------------------|
| patch kernel             | bicubic                          | through the pseudo-inverse of a resize     |
| position embedding       | bicubic                          | bicubic, antialiased where it shrinks      |
| SAM's relative positions | linear, as its forward pass does | the same                                   |

The pseudo-inverse is that of the patches' own bicubic resize: a larger patch gives the tokens that the smaller one gave
before the image was enlarged, a smaller one the nearest there are.

Tensors of the right size are left as they are, the very same.
"""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from timm.layers import resample_abs_pos_embed, resample_abs_pos_embed_nhwc, resample_patch_embed
from torch import Tensor, nn

Resize = Literal["plain", "flexible"]
PATCH, POSITION = "patch_embed.proj.weight", "pos_embed"


def resize_all(tensors: dict[str, Tensor], model: nn.Module, resize: Resize) -> dict[str, Tensor]:
    """The tensors of a file for `model` by its own names, those above resized; what else is of a wrong size stays."""
    grid: Any = model.patch_embed
    prefix = 0 if getattr(model, "no_embed_class", False) else int(getattr(model, "num_prefix_tokens", 0))
    resized = {**tensors, PATCH: resize_patch(tensors[PATCH], grid.patch_size, resize)}
    if POSITION in tensors:
        resized[POSITION] = resize_position(tensors[POSITION], grid.grid_size, prefix, resize)
    for name, module in model.named_modules():
        if getattr(module, "window_size", None) == 0:  # SAM's blocks that see the whole image
            for side, table in zip(grid.grid_size, (f"{name}.attn.rel_pos_h", f"{name}.attn.rel_pos_w"), strict=True):
                resized[table] = resize_table(tensors[table], 2 * side - 1)
    return resized


def resize_patch(kernel: Tensor, size: tuple[int, int], resize: Resize = "plain") -> Tensor:
    """(width, 3, h, w) -> (width, 3, *size), the same tensor if it has that size."""
    if tuple(kernel.shape[-2:]) == tuple(size):
        return kernel
    if resize == "flexible":
        return resample_patch_embed(kernel, list(size))
    return F.interpolate(kernel, size=size, mode="bicubic", align_corners=False)


def resize_position(embedding: Tensor, grid: tuple[int, int], prefix: int, resize: Resize = "plain") -> Tensor:
    """(1, prefix + side * side, width) -> (1, prefix + rows * columns, width), or (1, side, side, width) -> (1, rows,
    columns, width); the same tensor if it has that grid."""
    if embedding.ndim == 4:
        return _resize_grid(embedding, grid, resize)
    side = math.isqrt(embedding.shape[1] - prefix)
    if (side, side) == tuple(grid) or side * side != embedding.shape[1] - prefix:
        return embedding
    if resize == "flexible":
        return resample_abs_pos_embed(embedding, list(grid), [side, side], num_prefix_tokens=prefix)
    patches = embedding[:, prefix:].reshape(1, side, side, -1)
    return torch.cat([embedding[:, :prefix], _resize_grid(patches, grid, resize).flatten(1, 2)], dim=1)


def _resize_grid(embedding: Tensor, grid: tuple[int, int], resize: Resize) -> Tensor:
    if tuple(embedding.shape[1:3]) == tuple(grid):
        return embedding
    if resize == "flexible":
        return resample_abs_pos_embed_nhwc(embedding, list(grid))
    planes = embedding.permute(0, 3, 1, 2).contiguous()  # the other layout rounds differently
    resized = F.interpolate(planes, size=grid, mode="bicubic", align_corners=False)
    return resized.permute(0, 2, 3, 1)


def resize_table(table: Tensor, length: int) -> Tensor:
    """(entries, width) -> (length, width), the same tensor if it has that length."""
    if table.shape[0] == length:
        return table
    return F.interpolate(table.T[None], size=length, mode="linear", align_corners=False)[0].T
