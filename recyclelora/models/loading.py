"""Every tensor of a file into a model, each accounted for on both sides, or an error and nothing loaded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from recyclelora.errors import InputError
from recyclelora.models.resizing import PATCH, POSITION, Resize, resize_all

UNUSED = ("mask_token", "head.weight", "head.bias")  # in published files; no part of what the blocks output
_EXACT = (torch.float32, torch.float16, torch.bfloat16)  # dtypes that float32 holds without rounding


def load_strict(model: nn.Module, path: Path, *, patch_size: int | None = None, unused: Sequence[str] = UNUSED,
                renames: Mapping[str, str] | None = None, resize: Resize = "plain") -> None:
    """Copy the tensors of a safetensors file into a timm ViT: same names, same shapes, all finite, bit for bit.

    Left out are those named in `unused`, or beginning with an entry that ends in a dot. `renames` applies to names that
    the model lacks. What depends on patch and image size is resized (see `resizing`): plainly, as the authors do, or as
    timm's own loader would; where `patch_size` is given, only from kernels of that size: others, but for the model's
    own, are another backbone's or were resized before. Raises InputError naming the first tensors at fault, or for
    `flexible` where nothing is resized; the model is then untouched."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error})", key="backbone.weights") from None
    expected = model.state_dict()
    tensors = {_rename(name, expected, tensors, renames or {}): tensor for name, tensor in tensors.items()
               if name in expected or not _matches(name, unused)}
    _check_names(tensors, expected, path)
    _check_values(tensors, path)
    if patch_size is not None:
        _check_patch(tensors[PATCH], model, patch_size, path)
    tensors = {name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}
    resized = resize_all(tensors, model, resize)
    if resize == "flexible" and all(resized[name] is tensors[name] for name in (PATCH, POSITION) if name in tensors):
        raise InputError("backbone.resize: flexible changes nothing here, since patches and positions of the weights "
                         "have this model's size already; leave it out", key="backbone.resize")
    wrong = [f"{name} is {_size(resized[name])}, not {_size(tensor)}" for name, tensor in expected.items()
             if resized[name].shape != tensor.shape]
    _refuse(path, "of another size", wrong)
    model.load_state_dict(resized, strict=True)


def _matches(name: str, unused: Sequence[str]) -> bool:
    return any(name.startswith(entry) if entry.endswith(".") else name == entry for entry in unused)


def _rename(name: str, expected: Mapping[str, Tensor], given: Mapping[str, Tensor], renames: Mapping[str, str]) -> str:
    wanted = renames.get(name, name)
    return name if name in expected or wanted in given or wanted not in expected else wanted


def _check_names(tensors: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    if tensors and not tensors.keys() & expected.keys():
        raise InputError(f"{path}: its tensors have other names than timm's ({min(tensors)}, ...; expected "
                         f"{next(iter(expected))}, ...); convert the file to timm's names, or let the hub's be fetched",
                         key="backbone.weights")
    _refuse(path, "missing", [name for name in expected if name not in tensors])
    _refuse(path, "that the backbone does not have", [name for name in tensors if name not in expected])


def _check_values(tensors: dict[str, Tensor], path: Path) -> None:
    _refuse(path, "not float32, float16 or bfloat16",
            [name for name, tensor in tensors.items() if tensor.dtype not in _EXACT])
    _refuse(path, "with values that are not finite",
            [name for name, tensor in tensors.items() if not tensor.isfinite().all()])


def _check_patch(kernel: Tensor, model: nn.Module, patch_size: int, path: Path) -> None:
    known: Any = model.patch_embed
    good = dict.fromkeys(((patch_size, patch_size), tuple(known.patch_size)))
    if kernel.ndim != 4 or tuple(kernel.shape[-2:]) not in good:
        raise InputError(f"{path}: patch kernels of {'x'.join(map(str, kernel.shape[2:]))} pixels, not of "
                         f"{' or '.join(f'{height}x{width}' for height, width in good)}; is it the right backbone?",
                         key="backbone.weights")


def _refuse(path: Path, what: str, names: list[str]) -> None:
    if names:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        tensors = f"{len(names)} tensor{'s' * (len(names) > 1)}"
        raise InputError(f"{path}: {tensors} {what}: {shown}; is it the right backbone?", key="backbone.weights")


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))
