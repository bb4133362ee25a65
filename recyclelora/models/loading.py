"""Every tensor of a file into a model, each accounted for on both sides, or an error and nothing loaded."""

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from recyclelora.errors import InputError

UNUSED = ("mask_token", "head.weight", "head.bias")  # in published files; no part of what the blocks output
_PATCH, _POSITION = "patch_embed.proj.weight", "pos_embed"
_EXACT = (torch.float32, torch.float16, torch.bfloat16)  # dtypes that float32 holds without rounding


def load_strict(model: nn.Module, path: Path) -> None:
    """Copy the tensors of a safetensors file into a timm ViT: same names, same shapes, all finite, bit for bit.

    Two may differ in size and are resized by plain bicubic interpolation, as the authors do: the patch
    kernel to the model's patch size, the position embedding to its grid. timm's own loader would pass the kernel
    through a pseudo-inverse (FlexiViT) and antialias. Raises InputError naming the first tensors at fault; the model
    is then untouched."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error})", key="backbone.weights") from None
    expected = model.state_dict()
    grid: Any = model.patch_embed
    tensors = {name: tensor for name, tensor in tensors.items() if name in expected or name not in UNUSED}
    _check_names(tensors, expected, path)
    _check_values(tensors, path)
    tensors = {name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}
    tensors[_PATCH] = resize_patch(tensors[_PATCH], grid.patch_size)
    if _POSITION in tensors:
        prefix = 0 if model.no_embed_class else int(model.num_prefix_tokens)  # type: ignore[arg-type]
        tensors[_POSITION] = resize_position(tensors[_POSITION], grid.grid_size, prefix)
    wrong = [f"{name} is {_size(tensors[name])}, not {_size(tensor)}" for name, tensor in expected.items()
             if tensors[name].shape != tensor.shape]
    _refuse(path, "of another size", wrong)
    model.load_state_dict(tensors, strict=True)


def resize_patch(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """(width, 3, h, w) -> (width, 3, *size), the same tensor if it has that size."""
    if tuple(kernel.shape[-2:]) == tuple(size):
        return kernel
    return F.interpolate(kernel, size=size, mode="bicubic", align_corners=False)


def resize_position(embedding: Tensor, grid: tuple[int, int], prefix: int) -> Tensor:
    """(1, prefix + side * side, width) -> (1, prefix + rows * columns, width), the same tensor if it has that grid."""
    side = math.isqrt(embedding.shape[1] - prefix)
    if (side, side) == tuple(grid) or side * side != embedding.shape[1] - prefix:
        return embedding
    patches = embedding[:, prefix:].transpose(1, 2).reshape(1, -1, side, side)
    patches = F.interpolate(patches, size=grid, mode="bicubic", align_corners=False)
    return torch.cat([embedding[:, :prefix], patches.flatten(2).transpose(1, 2)], dim=1)


def _check_names(tensors: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    _refuse(path, "missing", [name for name in expected if name not in tensors])
    _refuse(path, "that the backbone does not have", [name for name in tensors if name not in expected])


def _check_values(tensors: dict[str, Tensor], path: Path) -> None:
    _refuse(path, "not float32, float16 or bfloat16",
            [name for name, tensor in tensors.items() if tensor.dtype not in _EXACT])
    _refuse(path, "with values that are not finite",
            [name for name, tensor in tensors.items() if not tensor.isfinite().all()])


def _refuse(path: Path, what: str, names: list[str]) -> None:
    if names:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        tensors = f"{len(names)} tensor{'s' * (len(names) > 1)}"
        raise InputError(f"{path}: {tensors} {what}: {shown}; is it the right backbone?", key="backbone.weights")


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))
