"""Which linear layers may be replaced by an adapted one: those that compute x W^T + b and nothing else. Any other would
lose what it adds in silence, so it is refused by name, with what to do."""

from collections.abc import Iterator, Mapping

import torch
from torch import nn
from torch.nn.utils import parametrize

from recyclelora.adapters.adapter_error import AdapterError

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_HOOKS = {"_forward_pre_hooks": "a forward pre-hook", "_forward_hooks": "a forward hook",
          "_backward_pre_hooks": "a backward pre-hook", "_backward_hooks": "a backward hook"}


def check_replaceable(model: nn.Module, layers: Mapping[str, nn.Module]) -> None:
    """Raises AdapterError for the first of `layers` (by name in `model`) that is no plain nn.Linear of floating-point
    weights, or that is used under another name too."""
    owners = _Owners(model)
    for name, layer in layers.items():
        why = (_wrong_kind(layer) or _computed(layer) or _hooked(layer) or _odd_weight(layer)
               or owners.shared(name, layer))
        if why is not None:
            raise AdapterError(f"{name}: {why}")


def _wrong_kind(layer: nn.Module) -> str | None:
    if type(layer) is nn.Linear:
        return None
    if parametrize.is_parametrized(layer):
        which = ", ".join(layer.parametrizations)  # type: ignore[arg-type]
        return (f"its {which} is computed by a parametrization, which would be lost; make it a plain one first: "
                f"torch.nn.utils.parametrize.remove_parametrizations(layer, {which!r})")
    kind = f"{type(layer).__module__}.{type(layer).__qualname__}"
    if hasattr(layer, "base_layer"):
        return f"is adapted already, by another library ({kind}); merge that first (PEFT: model.merge_and_unload())"
    return (f"is a {kind}, which may compute something else than torch.nn.Linear; put a plain one with the same weight "
            "in its place (dequantised, if it is quantised), or leave its role out of `roles`")


def _computed(layer: nn.Module) -> str | None:
    if "weight" in layer._parameters:
        return None
    return ("its weight is no parameter but computed before each pass (weight_norm, spectral_norm, pruning); make it "
            "one first: torch.nn.utils.remove_weight_norm(layer), or the like")


def _hooked(layer: nn.Module) -> str | None:
    if "forward" in vars(layer):
        return "its forward was replaced on the object, which would be lost; give it back torch's own"
    for attribute, words in _HOOKS.items():
        for hook in getattr(layer, attribute).values():
            name = getattr(hook, "__qualname__", type(hook).__name__)
            return (f"has {words} ({name}), which would be lost; remove it by its handle, and put it on the adapted "
                    "layer if it is still wanted")
    return None


def _odd_weight(layer: nn.Module) -> str | None:
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    if type(weight) is not nn.Parameter or weight.dtype not in _FLOATS or weight.layout != torch.strided:
        kind = type(weight).__qualname__ if type(weight) is not nn.Parameter else f"{weight.dtype}, {weight.layout}"
        return f"its weight is quantised or otherwise no plain tensor ({kind}); load the model in bfloat16 or float32"
    return None


class _Owners:
    """Under which names a model holds its modules and parameters."""

    def __init__(self, model: nn.Module) -> None:
        self._modules: dict[int, list[str]] = {}
        self._parameters: dict[int, list[str]] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            self._modules.setdefault(id(module), []).append(name)
            for key, parameter in module._parameters.items():
                if parameter is not None:
                    self._parameters.setdefault(id(parameter), []).append(f"{name}.{key}")

    def shared(self, name: str, layer: nn.Module) -> str | None:
        """Why a layer cannot be replaced alone, if so."""
        others = list(self._others(name, self._modules[id(layer)]))
        if others:
            return f"is also {others[0]}: adapting one would leave the other; give each a copy (copy.deepcopy)"
        weights = list(self._others(f"{name}.weight", self._parameters[id(layer.weight)]))
        if weights:
            return (f"its weight is also {weights[0]} (tied): the two would part; give each its own: layer.weight = "
                    "torch.nn.Parameter(layer.weight.detach().clone())")
        return None

    def _others(self, own: str, names: list[str]) -> Iterator[str]:
        return (name for name in names if name != own)
