"""Puts the adapters of another code's checkpoint on a ViT of this package."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from recyclelora.adapters import Factors, attach_rein, reins_of
from recyclelora.errors import InputError
from recyclelora.exchange.dinov2_names import from_dinov2
from recyclelora.exchange.layouts import Layout
from recyclelora.exchange.recovered_adapters import Recovered, Trained, install_trained

SAME = 1e-4  # of a tensor's largest value: what resampling the same embedding elsewhere may change


def transplant_recyclelora(vit: nn.Module, layout: Layout, alpha: float) -> tuple[dict[str, Trained], Recovered]:
    """Adapt `vit`, which holds the pretrained weights. Raises InputError and AdapterError."""
    layers = _layers(layout)
    _check_same(vit, from_dinov2(layout.vit), layers)
    return layers, install_trained(vit, layers, alpha=alpha)


def _layers(layout: Layout) -> dict[str, Trained]:
    layers = {}
    for name in dict.fromkeys(name.rpartition(".")[0] for name in layout.adapters):
        weight = layout.vit.get(f"{name}.weight")
        if weight is None:
            raise InputError(f"{name}: adapters without the weight they sit on")
        layers[name] = Trained(weight, _factors(layout, name, "main", weight), _factors(layout, name, "sub", weight))
    ranks = {(len(layer.main.a), len(layer.sub.a)) for layer in layers.values()}
    if len(ranks) > 1:
        raise InputError(f"layers of different ranks (main, sub): {sorted(ranks)}; expected the same on each layer")
    return layers


def _factors(layout: Layout, name: str, which: str, weight: Tensor) -> Factors:
    rows, columns = weight.shape
    a = layout.adapters.get(f"{name}.lora_A_{which}", torch.empty(0, columns))
    b = layout.adapters.get(f"{name}.lora_B_{which}", torch.empty(rows, 0))
    if a.shape != (b.shape[-1], columns) or b.shape != (rows, a.shape[0]):
        raise InputError(f"{name}: lora_A_{which} and lora_B_{which} do not fit each other and its weight of "
                         f"{rows}x{columns}")
    return Factors(a.float(), b.float())


def _check_same(vit: nn.Module, tensors: Mapping[str, Tensor], adapted: Mapping[str, object]) -> None:
    """Everything but the adapted weights must be the pretrained ViT's: adapters alone could not carry it."""
    for name, expected in vit.state_dict().items():
        if name.removesuffix(".weight") in adapted:
            continue
        if name not in tensors or tensors[name].shape != expected.shape:
            raise InputError(f"{name} is missing, or of another size than the backbone's")
        distance = float((tensors[name].float() - expected).abs().max())
        if distance > SAME * float(expected.abs().max()):
            raise InputError(f"{name} differs from the pretrained weights' by {distance:.2g}; are they the weights it "
                             "was trained on?")


def transplant_rein(vit: nn.Module, layout: Layout, query_width: int) -> bool:
    """Put a checkpoint's tokens on `vit`; returns whether they make the head's queries. Raises InputError."""
    tensors = {_rein_name(name): tensor for name, tensor in layout.adapters.items()}
    if not {"tokens_a", "tokens_b", "scale"} <= tensors.keys():
        raise InputError("Rein without low-rank tokens (LoRAReins) or without a learned scale is not supported; "
                         "expected reins.learnable_tokens_a, reins.learnable_tokens_b and reins.scale")
    (blocks, tokens, rank), width = tensors["tokens_a"].shape, tensors["tokens_b"].shape[-1]
    if (blocks, width) != (len(vit.blocks), vit.embed_dim):  # type: ignore[arg-type]
        raise InputError(f"tokens of {blocks} blocks {width} wide, on a backbone of {len(vit.blocks)} "  # type: ignore
                         f"{vit.embed_dim} wide; give the right one with --backbone")
    linked = any(name.startswith("transformer_module.queries_features.project.") for name in layout.head)
    if not linked:  # the authors' class makes these whether or not a head reads them
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(("transform.", "merge."))}
    attach_rein(vit, tokens=tokens, rank=rank, query_width=query_width if linked else None)
    reins = reins_of(vit)
    assert reins is not None
    wrong = sorted(name for name, ours in reins.state_dict().items()
                   if name not in tensors or tensors[name].shape != ours.shape)
    if wrong:
        raise InputError(f"Rein's {wrong[0]} is missing, or of another size than its tokens ask for")
    reins.load_state_dict(tensors)
    return linked


def _rein_name(name: str) -> str:
    for theirs, ours in (("reins.", ""), ("learnable_tokens", "tokens"), ("mlp_token2feat", "token_mlp"),
                         ("mlp_delta_f", "feature_mlp")):
        name = name.replace(theirs, ours)
    return name
