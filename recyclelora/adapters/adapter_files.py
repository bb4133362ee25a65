"""Adapters in files of their own: safetensors to come back to, PEFT's format to leave with."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recyclelora.adapters.adaptation import Adaptation
from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.inits import Factors, find_init
from recyclelora.adapters.layer import WHICH, Which
from recyclelora.adapters.lora import adapted_layers, base_digest, install
from recyclelora.adapters.roles import linears
from recyclelora.adapters.tensor_files import read_described, write_described, write_tensors
from recyclelora.adapters.wrappers import check_unwrapped
from recyclelora.writing import write_text

_FORMAT = 2


def save_adapter(vit: nn.Module, path: Path | str, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write the adapters of `vit` alone: per layer the factors as they are and as they started; in the header how it
    was adapted, the sha256 of the base it belongs to, and `metadata`. Raises AdapterError for a plain or wrapped
    model."""
    settings = asdict(_adaptation(vit))
    del settings["separated"]
    row = find_init(settings["init"])
    tensors: dict[str, Tensor] = {}
    for name, layer in adapted_layers(vit).items():
        for which in WHICH:
            now = layer.factors(which)
            if now is not None:
                start = row.compact(layer.start[which])
                tensors |= {f"{name}.lora_a_{which}": now.a, f"{name}.lora_b_{which}": now.b,
                            f"{name}.start_a_{which}": start.a, f"{name}.start_b_{which}": start.b}
    write_described(tensors, Path(path), {**settings, "format": _FORMAT}, metadata)


def read_adapter(path: Path | str) -> dict[str, Tensor]:
    """The tensors in a file of `save_adapter`: factors as they are, and as they started (`.start_`). Raises
    AdapterError."""
    return _read(path)[1]


def load_adapter(vit: nn.Module, path: Path | str) -> None:
    """Adapt the plain `vit` from a file of `save_adapter`: forward passes are those of the saved model, bit for bit.

    Raises AdapterError, and leaves the model as it was, for a file that is not one, is damaged or belongs to another
    base, and for a wrapped model."""
    check_unwrapped(vit)
    if adapted_layers(vit):
        raise AdapterError("the model is adapted already; merge it first, or build another")
    settings, tensors = _read(path)
    adaptation = Adaptation(**settings)
    base = base_digest(vit)
    if base != adaptation.base:
        raise AdapterError(f"{path}: belongs to base {str(adaptation.base)[:12]}, this model is {str(base)[:12]}; "
                           "build it with the weights the adapter was trained on")
    names = dict.fromkeys(key.rpartition(".")[0] for key in tensors)
    starts = {target.name: {which: start_of(tensors, target.name, target.module.weight.shape, which, adaptation.init)
                            for which in WHICH} for target in linears(vit) if target.name in names}
    install(vit, starts, adaptation)
    with torch.no_grad():
        for name, parameter in vit.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(tensors[name])


def save_peft(vit: nn.Module, folder: Path | str) -> None:
    """Write `folder` in PEFT's format, for `PeftModel.from_pretrained` on the plain timm model: one LoRA, scaling 1.

    The change to W0 is s B A minus the start's s B0 A0, so its rank is twice the total: lora_A stacks A and A0, lora_B
    s B and -s B0. Merge it after loading where timm's attention reads `qkv.weight` (EVA02 tiny and small, DINOv3): it
    passes by PEFT's layer. Raises AdapterError for a plain or wrapped model."""
    adaptation, folder = _adaptation(vit), Path(folder)
    layers = adapted_layers(vit)
    tensors: dict[str, Tensor] = {}
    for name, layer in layers.items():
        a, b = [], []
        for which in WHICH:
            now, start, scale = layer.factors(which), layer.start[which], layer.scales[which]
            if now is not None:
                a += [now.a.detach().cpu(), start.a]
                b += [scale * now.b.detach().cpu(), -scale * start.b]
        tensors[f"base_model.model.{name}.lora_A.weight"] = torch.cat(a)
        tensors[f"base_model.model.{name}.lora_B.weight"] = torch.cat(b, dim=1)
    rank = 2 * (adaptation.main_rank + adaptation.sub_rank)
    config = {"peft_type": "LORA", "task_type": None, "base_model_name_or_path": None, "inference_mode": True,
              "r": rank, "lora_alpha": rank, "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": False,
              "target_modules": list(layers)}
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    write_text(folder / "adapter_config.json", json.dumps(config, indent=2) + "\n")


def _read(path: Path | str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return read_described(Path(path), _FORMAT,
                          f"not an adapter file of format {_FORMAT}; expected one of `save_adapter`")


def _adaptation(vit: nn.Module) -> Adaptation:
    check_unwrapped(vit)
    adaptation = vit.__dict__.get("adaptation")
    if not isinstance(adaptation, Adaptation) or adaptation.base is None:
        raise AdapterError("the model holds no adapters to save: it is plain, merged, or on the meta device")
    return adaptation


def start_of(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...], which: Which, init: str) -> Factors:
    """The start factors in a file of one layer, whose weight has that shape (out, in); without rows and columns where
    the adapter has rank 0."""
    out_features, in_features = shape
    a, b = (tensors.get(f"{name}.start_{letter}_{which}") for letter in "ab")
    if a is None or b is None:
        return Factors(torch.empty(0, in_features), torch.empty(out_features, 0))
    return find_init(init).expand(Factors(a, b), in_features)
