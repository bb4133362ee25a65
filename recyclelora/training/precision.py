"""The arithmetic of forward pass and loss: float32, or mixed with one of the 16-bit types."""

import warnings
from typing import Literal

import torch
import torch.nn.functional as F
from torch.amp import GradScaler

from recyclelora.errors import InputError

Precision = Literal["float32", "bfloat16", "float16"]

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The context for a forward pass. Parameters, their gradients and the losses stay float32."""
    return torch.autocast(device.type, dtype=_TYPES[precision], enabled=precision != "float32")


def build_scaler(precision: Precision, device: torch.device) -> GradScaler:
    """torch's loss scaling, which float16 needs so that small gradients do not become 0; for the others it does
    nothing. It skips an update whose gradients overflowed and halves its scale."""
    return GradScaler(device.type, enabled=precision == "float16")


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raises InputError where the device does not compute in this precision, or only by imitating it."""
    if precision != "float32" and not _is_possible(precision, device):
        others = [name for name in ("bfloat16", "float16") if name != precision and _is_possible(name, device)]
        raise InputError(f"training.precision: {precision} is not possible on this device ({device.type}); "
                         f"use {' or '.join([*others, 'float32'])}", key="training.precision")


def _is_possible(precision: Precision, device: torch.device) -> bool:
    if precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(False):  # no imitation
        return False
    one = torch.ones(1, 1, 4, 4, device=device)
    try:
        with warnings.catch_warnings(action="ignore"), autocast(precision, device):  # torch warns, and does without
            made = (F.linear(one, one[0, 0]), F.conv2d(one, one), F.scaled_dot_product_attention(one, one, one))
    except (RuntimeError, ValueError):
        return False
    return all(tensor.dtype == _TYPES[precision] for tensor in made)
