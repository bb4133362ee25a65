"""Numbers as callers have them (Python's, NumPy's, torch's) -> Python's own, which files and messages can hold."""

import math
import operator
from typing import Any

import torch
from torch import Tensor

from recyclelora.adapters.adapter_error import AdapterError


def whole(value: Any, what: str) -> int:
    """A whole number of any library. Raises AdapterError for a bool, a float (4.0 too) and everything else."""
    try:
        if not _is_scalar(value):
            raise TypeError
        return operator.index(value)
    except (TypeError, RuntimeError):
        near = f"; give {int(value)}" if isinstance(value, float) and value.is_integer() else ""
        raise AdapterError(f"{what} {value!r}: expected a whole number{near}") from None


def real(value: Any, what: str) -> float:
    """A finite number of any library. Raises AdapterError for a bool, a text and everything else."""
    try:
        if not _is_scalar(value):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        raise AdapterError(f"{what} {value!r}: expected a number") from None
    if not math.isfinite(number):
        raise AdapterError(f"{what} {number} must be a finite number")
    return number


def _is_scalar(value: Any) -> bool:
    """Whether it may be a number: neither a truth value nor a text nor several of something."""
    if isinstance(value, Tensor):
        return value.ndim == 0 and value.dtype != torch.bool and not value.is_complex()
    if isinstance(value, (bool, str, bytes, complex)) or type(value).__name__ in ("bool", "bool_"):  # NumPy's too
        return False
    return getattr(value, "ndim", 0) == 0
