"""Two low-rank adapters on one frozen linear layer, and on a whole ViT: adapt it, merge it, merge it for a while."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.lowrank import Directions, Factors
from recyclelora.adapters.roles import EVERY_LINEAR, Target, select
from recyclelora.adapters.tensor_files import combined_digest, tensor_digest

Scaling = Literal["shared", "per_adapter"] | float
Which = Literal["main", "sub"]
WHICH: tuple[Which, Which] = ("main", "sub")


class DualLoRALinear(nn.Module):
    """y = x W_res^T + bias + s_main (x A_main^T) B_main^T + s_sub (x A_sub^T) B_sub^T   (method of arXiv 2603.28142)

    with W_res = W0 - s_main B_main A_main - s_sub B_sub A_sub at the start factors, so that y starts as W0's output.
    Trained: `lora_a_main` (rank, in), `lora_b_main` (out, rank), the same for sub; None for an adapter of rank 0.
    Frozen: `residual` (out, in) and `bias`. `start` keeps both adapters' start factors on the CPU: with them and W0
    anybody rebuilds W_res, on a machine whose LAPACK breaks ties otherwise too."""

    lora_a_main: nn.Parameter | None
    lora_b_main: nn.Parameter | None
    lora_a_sub: nn.Parameter | None
    lora_b_sub: nn.Parameter | None

    def __init__(self, linear: nn.Linear, start: Mapping[Which, Factors], scales: Mapping[Which, float]) -> None:
        """`start` and `scales` hold "main" and "sub"; `linear` is not touched, its bias is shared."""
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.start, self.scales = dict(start), dict(scales)
        self.residual = nn.Parameter(_residual(linear.weight, self.start, self.scales), requires_grad=False)
        self.bias = linear.bias
        for which, factors in self.start.items():
            present = factors.a.shape[0] > 0
            a, b = (nn.Parameter(tensor.to(linear.weight.device, copy=True)) if present else None for tensor in factors)
            self.register_parameter(f"lora_a_{which}", a)
            self.register_parameter(f"lora_b_{which}", b)

    def factors(self, which: Which) -> Factors | None:
        """An adapter's parameters as they are now; None where its rank is 0."""
        a, b = (self.lora_a_main, self.lora_b_main) if which == "main" else (self.lora_a_sub, self.lora_b_sub)
        return None if a is None or b is None else Factors(a, b)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        rows = x.reshape(-1, self.in_features)
        a, b = self._fused()
        y = F.linear(rows, self.residual, self.bias)
        low = F.linear(rows, a.to(rows.dtype))
        y = y.addmm_(low, b.to(y.dtype).T)  # in place: one pass over y less, 5 % of a ViT-S training step's linears
        return y.view(*x.shape[:-1], self.out_features)

    @property
    def weight(self) -> Tensor:
        """The effective weight (out, in), W_res + s B A, summed in float32 and differentiable: for attention code that
        reads `layer.weight` instead of calling the layer."""
        a, b = self._fused()
        wide = torch.promote_types(self.residual.dtype, torch.float32)
        weight = self.residual.to(wide, copy=True)
        return weight.addmm_(b.to(wide), a.to(wide)).to(self.residual.dtype)  # in place: autocast lets that be

    def merge(self) -> nn.Linear:
        """A plain frozen layer with the effective weight and this layer's own bias."""
        linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        linear.weight = nn.Parameter(self.weight.detach(), requires_grad=False)
        linear.bias = self.bias
        return linear.train(self.training)

    def extra_repr(self) -> str:
        ranks = ", ".join(f"{which}={factors.a.shape[0]}" for which, factors in self.start.items())
        scales = ", ".join(f"{scale:.4g}" for scale in self.scales.values())
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, {ranks}, scaling=({scales})"

    def _fused(self) -> tuple[Tensor, Tensor]:
        """Both adapters as one: a (total rank, in), b (out, total rank) with each one's scaling folded in."""
        a, b = [], []
        for which in WHICH:
            factors = self.factors(which)
            if factors is not None:
                a.append(factors.a)
                b.append(factors.b * self.scales[which])
        return torch.cat(a), torch.cat(b, dim=1)


@dataclass(frozen=True)
class Adaptation:
    """How a ViT was adapted: `vit.adaptation`, and part of an adapter's file."""

    init: str
    main_rank: int
    sub_rank: int
    main_end: str | None
    sub_end: str | None
    alpha: float
    scaling: Scaling
    base: str | None  # `base_digest` before adapting; None on the meta device
    separated: tuple[str, ...] = ()  # attention modules told to add their bias apart; see `_separate_bias`

    @property
    def scales(self) -> dict[Which, float]:
        """Each adapter's scaling s; an adapter of rank 0 has none to speak of and gets the shared one."""
        total = self.main_rank + self.sub_rank
        if self.scaling == "shared":
            return {"main": self.alpha / total, "sub": self.alpha / total}
        if self.scaling == "per_adapter":
            return {"main": self.alpha / (self.main_rank or total), "sub": self.alpha / (self.sub_rank or total)}
        return {"main": float(self.scaling), "sub": float(self.scaling)}


def adapt(vit: nn.Module, *, init: str = "rrqr", main_rank: int = 32, sub_rank: int = 4, main_end: str | None = None,
          sub_end: str | None = None, alpha: float = 1.0, scaling: Scaling = "shared",
          roles: Sequence[str] = EVERY_LINEAR, skip_blocks: int = 0, cache: Path | None = None,
          seed: int = 0) -> list[str]:
    """Freeze all of `vit`, put a DualLoRALinear in the place of each linear layer of `roles`, and return their names.

    The output stays what it was. Ends left out are main minor, sub major; kaiming has none, and draws its values from
    `seed` and the layer's name alone. `scaling` is alpha / total rank ("shared", as the authors' code), alpha / own
    rank ("per_adapter") or a number. `cache` is a folder for the factorisations. On meta nothing is computed.
    Raises AdapterError, and leaves the model as it was, where the request does not fit it."""
    if adapted_layers(vit):
        raise AdapterError("the model is adapted already; merge it first, or build another")
    if min(main_rank, sub_rank) < 0 or main_rank + sub_rank == 0:
        raise AdapterError(f"ranks {main_rank} and {sub_rank}: give one of the adapters a rank of 1 or more")
    if scaling not in ("shared", "per_adapter") and not isinstance(scaling, (int, float)):
        raise AdapterError(f"scaling {scaling!r} is not known; known: shared, per_adapter, or a number")
    if init != "kaiming":
        main_end, sub_end = main_end or "minor", sub_end or "major"
    digests = _digests(vit)
    adaptation = Adaptation(init, main_rank, sub_rank, main_end, sub_end, alpha, scaling, _base(digests))
    starts = {target.name: _start(target, adaptation, cache, digests.get(f"{target.name}.weight"), seed)
              for target in select(vit, roles, skip_blocks)}
    install(vit, starts, adaptation)
    return list(starts)


def install(vit: nn.Module, starts: Mapping[str, Mapping[Which, Factors]], adaptation: Adaptation) -> None:
    """Freeze a plain `vit` and put adapters with these start factors, by layer name, in place."""
    vit.requires_grad_(False)
    for name, start in starts.items():
        _replace(vit, name, DualLoRALinear(_linear(vit, name), start, adaptation.scales))
    attentions = dict.fromkeys(name.rpartition(".")[0] for name in starts if name.endswith(".qkv"))
    separated = tuple(name for name in attentions
                      if getattr(vit.get_submodule(name), "qkv_bias_separate", None) is False)
    _separate_bias(vit, separated, True)
    vit.__dict__["adaptation"] = replace(adaptation, separated=separated)


def merge(vit: nn.Module) -> None:
    """Fold the adapters into the weights for good: `vit` is a plain timm model again, frozen, with timm's own keys. A
    plain model stays as it is."""
    for name, layer in adapted_layers(vit).items():
        _replace(vit, name, layer.merge())
    adaptation = vit.__dict__.pop("adaptation", None)
    if adaptation is not None:
        _separate_bias(vit, adaptation.separated, False)


@contextmanager
def merged(vit: nn.Module) -> Iterator[nn.Module]:
    """`vit` merged while the context lasts, for evaluation or export; then the very modules it had before are back,
    untouched, whatever happened inside. On a plain model it changes nothing, so it nests."""
    layers, adaptation = adapted_layers(vit), vit.__dict__.get("adaptation")
    merge(vit)
    try:
        yield vit
    finally:
        for name, layer in layers.items():
            _replace(vit, name, layer)
        if adaptation is not None:
            _separate_bias(vit, adaptation.separated, True)
            vit.__dict__["adaptation"] = adaptation


def adapted_layers(vit: nn.Module) -> dict[str, DualLoRALinear]:
    """The adapted layers by name, in the model's order; none for a plain or merged model."""
    return {name: module for name, module in vit.named_modules() if isinstance(module, DualLoRALinear)}


def adapter_parameters(vit: nn.Module, which: Which) -> dict[str, nn.Parameter]:
    """The trainable parameters of one adapter by full name; none where its rank is 0."""
    return {name: parameter for name, parameter in vit.named_parameters()
            if name.endswith((f".lora_a_{which}", f".lora_b_{which}"))}


def base_digest(vit: nn.Module) -> str | None:
    """sha256 naming the frozen base an adapter belongs to: of every tensor under `blocks.` before it was adapted. Patch
    and position embeddings are left out, since they are resampled to each image size. None on the meta device."""
    adaptation = vit.__dict__.get("adaptation")
    return adaptation.base if isinstance(adaptation, Adaptation) else _base(_digests(vit))


def _digests(vit: nn.Module) -> dict[str, str]:
    """`tensor_digest` of every tensor under `blocks.`, by name; empty on the meta device."""
    tensors = {name: tensor for name, tensor in vit.state_dict().items() if name.startswith("blocks.")}
    return {} if any(tensor.is_meta for tensor in tensors.values()) else {
        name: tensor_digest(tensor) for name, tensor in tensors.items()}


def _base(digests: Mapping[str, str]) -> str | None:
    return combined_digest(digests) if digests else None


def _start(target: Target, adaptation: Adaptation, cache: Path | None, digest: str | None,
           seed: int) -> dict[Which, Factors]:
    """Both adapters' start factors for one layer, from one factorisation."""
    ranks = {"main": adaptation.main_rank, "sub": adaptation.sub_rank}
    ends = {"main": adaptation.main_end, "sub": adaptation.sub_end}
    try:
        directions = Directions(target.module.weight, adaptation.init, cache=cache, digest=digest)
        return {which: directions.cut(ranks[which], ends[which], scaling=adaptation.scales[which],
                                      generator=_generator(seed, target.name, which)) for which in WHICH}
    except AdapterError as error:
        raise AdapterError(f"{target.name}: {error}") from None


def _generator(seed: int, name: str, which: Which) -> torch.Generator:
    """Random numbers of its own for each adapter: they do not depend on which other layers are adapted."""
    digest = hashlib.sha256(f"{seed} {name} {which}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))


def _residual(weight: Tensor, start: Mapping[Which, Factors], scales: Mapping[Which, float]) -> Tensor:
    """W0 - sum of s B A, in float32 (or wider) on the CPU: the same bits for every device and on every reload."""
    wide = weight.detach().to("meta" if weight.is_meta else "cpu", torch.promote_types(weight.dtype, torch.float32))
    for which, (a, b) in start.items():
        if len(a):
            wide = wide - scales[which] * (b @ a)
    return wide.to(weight.device, weight.dtype)


def _separate_bias(vit: nn.Module, attentions: Sequence[str], separate: bool) -> None:
    """timm's EVA and BEiT attention reads `qkv.weight` instead of calling the layer, unless it adds its bias apart."""
    for name in attentions:
        vit.get_submodule(name).__dict__["qkv_bias_separate"] = separate


def _linear(vit: nn.Module, name: str) -> nn.Linear:
    module = vit.get_submodule(name)
    assert isinstance(module, nn.Linear)
    return module


def _replace(vit: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(vit.get_submodule(parent), child, module)
