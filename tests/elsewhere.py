"""A second device without one: tensors that say they lie on `cpu:1`, and keep their values on the CPU.

What mixes them with tensors of the CPU is refused as CUDA refuses it, they become arrays only after they were copied
back, and what is computed with them is what the CPU computes. So code that forgets a tensor on the wrong side fails here
as it would on a GPU. (torch has no second CPU; its release builds do not look at that number.)"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

ELSEWHERE = torch.device("cpu", 1)
aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default}
INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}


class Elsewhere(Tensor):
    """`here` holds the values."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> "Elsewhere":
        made = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, here.size(), strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype,
            device=ELSEWHERE)
        made.here = here
        return made  # type: ignore[no-any-return]

    def tolist(self) -> Any:  # which torch has for its own class alone
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class _Device(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """What `torch.tensor(..., device=...)` makes is there before a dispatch mode is asked."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        return func(*args, **kwargs)


@contextmanager
def second_device() -> Iterator[torch.device]:
    """The device, which there is as long as the block lasts."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # in place, a parameter would lose its class
    try:
        with _Literals(), _Device():
            yield ELSEWHERE
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)


def compute(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
    away = {id(tensor.here): tensor for tensor in tensors if isinstance(tensor, Elsewhere)}
    near = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere) and tensor.dim() > 0]
    if away and near and func not in COPIES | INDEXING:
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, but found two")
    asked = kwargs.get("device")
    to_away = bool(away) if asked is None else torch.device(asked) == ELSEWHERE
    if func is aten.copy_.default:
        to_away = isinstance(args[0], Elsewhere)
    if asked is not None and torch.device(asked) == ELSEWHERE:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    result = func(*tree_map(_values, args), **tree_map(_values, kwargs))
    return tree_map(lambda leaf: _send(leaf, away) if isinstance(leaf, Tensor) else leaf, result) if to_away else result


def _values(leaf: Any) -> Any:
    return leaf.here if isinstance(leaf, Elsewhere) else leaf


def _send(tensor: Tensor, known: dict[int, Elsewhere]) -> Elsewhere:
    """What was computed in place keeps its identity."""
    return known[id(tensor)] if id(tensor) in known else Elsewhere(tensor)
