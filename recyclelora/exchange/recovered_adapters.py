"""Recovers adapters that the authors' RecycleLoRA code trained, and puts them on the ViT they belong to.

Such a checkpoint holds each layer's trained factors and its frozen weight: W_res = W0 - s (B0_main A0_main + B0_sub
A0_sub), or W_res + s B A where it was written in eval mode, which merges. Where W0 is known, all else can be read off
the difference, without a factorisation and whatever LAPACK made it: (W0 - W_res) / s is zero but for the columns that
A0 selects, which are the columns of B0, of length 1; so the length is s. With W0[:, P] = Q R, column k of B0 is Q_k,
and Q_k . W0[:, P_k] = R_kk, which falls with k: the largest belong to sub, in this order, the others to main."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recyclelora.adapters.adaptation import Adaptation
from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.inits import Factors
from recyclelora.adapters.layer import Which
from recyclelora.adapters.lora import adapted_layers, base_digest, install

TOLERANCE = 1e-6  # of a rebuilt residual, against weights of 0.01 to 1: a few float32 roundings
_NOISE = 1e-3  # of a column's length: what may be left in the others, and how far lengths may lie apart


class Trained(NamedTuple):
    """One layer of a checkpoint: `weight` (out, in) as it was frozen, and the trained factors (rank 0: no rows)."""

    weight: Tensor
    main: Factors
    sub: Factors


class Recovered(NamedTuple):
    """What the checkpoint turned out to be. `difference`: the largest, of a rebuilt residual from the file's."""

    alpha: float
    merged: bool
    difference: float


def install_trained(vit: nn.Module, layers: Mapping[str, Trained], *, alpha: float = 1.0) -> Recovered:
    """Adapt the plain `vit`, which holds W0, by a checkpoint's layers. Forward passes are the checkpoint's to a float32
    rounding of the residual; the factors are its own. `alpha` is needed for a merged checkpoint only: it is what the
    authors' configs have, and wrong ones are noticed.

    Raises AdapterError where a frozen weight is neither residual nor merged weight of this ViT's."""
    weights = {name: vit.get_parameter(f"{name}.weight") for name in layers}  # before they are replaced
    first, *_ = layers
    merged = _start(weights[first], layers[first].weight, layers[first]) is None
    starts: dict[str, Mapping[Which, Factors]] = {}
    scales, residuals = [], {}
    for name, layer in layers.items():
        residuals[name] = _unmerged(layer, alpha) if merged else layer.weight.float()
        found = _start(weights[name], residuals[name], layer)
        if found is None:
            raise AdapterError(f"{name}: its frozen weight is no RRQR residual of the pretrained weights, with or "
                               "without the adapters merged in; are they the weights it was trained on?")
        starts[name], scale = found
        scales.append(scale)
    main, sub = len(layers[first].main.a), len(layers[first].sub.a)
    alpha = _settle((main + sub) * torch.tensor(scales).median().item())
    install(vit, starts, Adaptation("rrqr", main, sub, "minor", "major", alpha, "shared", base_digest(vit)))
    return Recovered(alpha, merged, _fill(vit, layers, residuals))


def _fill(vit: nn.Module, layers: Mapping[str, Trained], residuals: Mapping[str, Tensor]) -> float:
    difference = 0.0
    for name, layer in adapted_layers(vit).items():
        difference = max(difference, float((layer.residual - residuals[name]).abs().max()))
        for which, given in (("main", layers[name].main), ("sub", layers[name].sub)):
            now = layer.factors("main" if which == "main" else "sub")
            if now is not None:
                with torch.no_grad():
                    now.a.copy_(given.a)
                    now.b.copy_(given.b)
    if difference > TOLERANCE:
        raise AdapterError(f"a residual differs by {difference:.1g} from the checkpoint's, more than {TOLERANCE:g}")
    return difference


def _unmerged(layer: Trained, alpha: float) -> Tensor:
    scale = alpha / (len(layer.main.a) + len(layer.sub.a))
    return layer.weight.float() - scale * (layer.main.b @ layer.main.a + layer.sub.b @ layer.sub.a)


def _start(weight: Tensor, residual: Tensor, layer: Trained) -> tuple[Mapping[Which, Factors], float] | None:
    """The start factors and the scaling of one layer; None where the difference is not what a start leaves behind."""
    rank = len(layer.main.a) + len(layer.sub.a)
    difference = weight.detach().float() - residual.float()
    lengths = difference.norm(dim=0)
    if rank >= len(lengths):
        return None
    top = lengths.topk(rank + 1)
    scale = float(top.values[:rank].median())
    if scale == 0 or float(top.values[rank]) > _NOISE * scale or (
            float((top.values[:rank] / scale - 1).abs().max()) > _NOISE):
        return None
    scale = _settle(scale * rank) / rank
    columns = difference[:, top.indices[:rank]] / scale
    diagonal = (columns * weight.detach().float()[:, top.indices[:rank]]).sum(0).abs()
    order = diagonal.argsort(descending=True)
    selector = torch.zeros(rank, difference.shape[1])
    selector[torch.arange(rank), top.indices[:rank][order]] = 1.0
    b, sub = columns[:, order], len(layer.sub.a)
    return {"main": Factors(selector[sub:], b[:, sub:].contiguous()),
            "sub": Factors(selector[:sub], b[:, :sub].contiguous())}, scale


def _settle(alpha: float) -> float:
    """The round number that a measured alpha stands for."""
    near = round(alpha, 3)
    return near if near > 0 and abs(alpha / near - 1) < _NOISE else alpha
