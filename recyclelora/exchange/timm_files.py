"""Writes a ViT in files that timm and PEFT read, and reads them again without this package's code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from timm.models import get_model_args
from torch import Tensor, nn

from recyclelora.adapters.tensor_files import write_tensors

WEIGHTS, CONFIG, EMBEDDINGS = "model.safetensors", "config.json", "embeddings.safetensors"
_COPIED = ("tag", "license", "input_size", "interpolation", "crop_pct", "mean", "std", "first_conv", "classifier")


def build_arguments(vit: nn.Module) -> dict[str, Any]:
    """The arguments of `timm.create_model` for this ViT, except its name, as plain values."""
    arguments: dict[str, Any] = json.loads(json.dumps(get_model_args(vit)))
    return arguments


def save_timm(vit: nn.Module, folder: Path, about: Mapping[str, str]) -> None:
    """Write a plain or merged ViT for `timm.create_model("local-dir:FOLDER", pretrained=True)`: `config.json` and
    `model.safetensors`, with timm's own names and `about` in its header."""
    folder.mkdir(parents=True)
    write_tensors(_tensors(vit), folder / WEIGHTS, {"format": "pt", **about})
    known: Any = vit.pretrained_cfg
    copied = {key: known[key] for key in _COPIED if known.get(key) is not None}
    content = {"architecture": known["architecture"], "num_classes": 0, "num_features": vit.num_features,
               "model_args": build_arguments(vit), "pretrained_cfg": {**copied, "num_classes": 0}}
    (folder / CONFIG).write_text(json.dumps(content, indent=1) + "\n")


def save_embeddings(vit: nn.Module, path: Path) -> None:
    """Write what surrounds the blocks (patch and position embeddings, prefix tokens, norms) at this patch and image
    size, for PEFT on a ViT of timm's: timm resizes pretrained embeddings in another way than training here did."""
    write_tensors({name: tensor for name, tensor in _tensors(vit).items() if not name.startswith("blocks.")}, path,
                  {"format": "pt"})


def read_timm(folder: Path) -> nn.Module:
    """The ViT of `save_timm`, as timm alone loads it."""
    vit: nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=True)
    return vit.eval()


def read_peft(folder: Path, weights: Path, architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """timm's own pretrained ViT from the file `weights`, with the embeddings and the PEFT adapter of `folder`, which
    PEFT merges: timm's attention in EVA02 tiny and small reads `qkv.weight` and would pass by a layer of PEFT's. Needs
    the package peft."""
    from peft import PeftModel

    vit: Any = timm.create_model(architecture, pretrained=True, pretrained_cfg_overlay={"file": str(weights)},
                                 **arguments)
    unknown = vit.load_state_dict(load_file(folder / EMBEDDINGS), strict=False).unexpected_keys
    assert not unknown, unknown
    loaded: Any = PeftModel.from_pretrained(vit, folder)
    adapted: nn.Module = loaded.merge_and_unload().eval()
    return adapted


@torch.no_grad()
def last_features(vit: nn.Module, images: Tensor) -> Tensor:
    """(B, tokens, width) behind the last block and the final norm."""
    features: Tensor = vit.forward_features(images)  # type: ignore[operator]
    return features


def _tensors(vit: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in vit.state_dict().items()}
