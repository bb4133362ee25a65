"""Low-rank adapters on a whole vision transformer: adapt it, merge it, merge it for a while."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from recyclelora.adapters.adaptation import Adaptation, Scaling
from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.directions import Directions, Factors
from recyclelora.adapters.layer import WHICH, DualLoRALinear, Which
from recyclelora.adapters.python_numbers import whole
from recyclelora.adapters.replaceable import check_replaceable
from recyclelora.adapters.roles import EVERY_LINEAR, Target, select
from recyclelora.adapters.tensor_files import combined_digest, tensor_digest
from recyclelora.adapters.wrappers import check_unwrapped


def adapt(vit: nn.Module, *,
          init: str = "rrqr", main_rank: int = 32, sub_rank: int = 4,
          main_end: str | None = None, sub_end: str | None = None, alpha: float = 1.0, scaling: Scaling = "shared",
          roles: Sequence[str] = EVERY_LINEAR, skip_blocks: int = 0,
          cache: Path | str | None = None, seed: int = 0) -> list[str]:
    """Freeze all of `vit`, put a DualLoRALinear in the place of each linear layer of `roles`, and return their names.
    The output stays what it was.

    What: `init` names the start (see `INITS`), `main_rank` and `sub_rank` the sizes; 0 leaves an adapter out. Ends left
    out are main minor, sub major. `scaling` is alpha / total rank ("shared", as the authors' code), alpha / own rank
    ("per_adapter") or a number. Where: `roles` (see `ROLES`), but for the first `skip_blocks` blocks. How: `cache` is a
    folder for the factorisations; random starts hang on `seed` and the layer's name alone. Numbers may be NumPy's or
    torch's. On meta nothing is computed.

    Raises AdapterError, and leaves the model as it was, where the request does not fit it, and for a layer that
    computes something else than a plain nn.Linear."""
    check_unwrapped(vit)
    if adapted_layers(vit):
        raise AdapterError("the model is adapted already; merge it first, or build another")
    asked = Adaptation(init, main_rank, sub_rank, main_end, sub_end, alpha, scaling, None)
    seed, targets = whole(seed, "seed"), select(vit, roles, skip_blocks)
    check_replaceable(vit, {target.name: target.module for target in targets})
    digests = _digests(vit)
    adaptation = replace(asked, base=_base(digests))
    starts = {target.name: _start(target, adaptation, cache, digests.get(f"{target.name}.weight"), seed)
              for target in targets}
    install(vit, starts, adaptation)
    return list(starts)


def install(vit: nn.Module, starts: Mapping[str, Mapping[Which, Factors]], adaptation: Adaptation) -> None:
    """Freeze a plain `vit` and put adapters with these start factors, by layer name, in place. Raises AdapterError for
    a layer that computes something else than a plain nn.Linear."""
    check_replaceable(vit, {name: vit.get_submodule(name) for name in starts})
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
    plain model stays as it is. Raises AdapterError for a wrapped one (DataParallel, torch.compile)."""
    check_unwrapped(vit)
    for name, layer in adapted_layers(vit).items():
        _replace(vit, name, layer.merge())
    adaptation = vit.__dict__.pop("adaptation", None)
    if adaptation is not None:
        _separate_bias(vit, adaptation.separated, False)


@contextmanager
def merged(vit: nn.Module) -> Iterator[nn.Module]:
    """`vit` merged while the context lasts, for evaluation or export; then the very modules it had before are back,
    untouched, whatever happened inside. On a plain model it changes nothing, so it nests. Raises AdapterError for a
    wrapped one."""
    check_unwrapped(vit)
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
    and position embeddings are left out, since they are resampled to each image size. None on the meta device. Raises
    AdapterError for a wrapped model."""
    check_unwrapped(vit)
    adaptation = vit.__dict__.get("adaptation")
    return adaptation.base if isinstance(adaptation, Adaptation) else _base(_digests(vit))


def _digests(vit: nn.Module) -> dict[str, str]:
    """`tensor_digest` of every tensor under `blocks.`, by name; empty on the meta device. Raises AdapterError for one
    that is not plain."""
    tensors = {name: tensor for name, tensor in vit.state_dict().items() if name.startswith("blocks.")}
    if any(isinstance(tensor, Tensor) and tensor.is_meta for tensor in tensors.values()):
        return {}
    try:
        return {name: tensor_digest(tensor) for name, tensor in tensors.items()}
    except AdapterError as error:
        raise AdapterError(f"the model's base cannot be named: {error}") from None


def _base(digests: Mapping[str, str]) -> str | None:
    return combined_digest(digests) if digests else None


def _start(target: Target, adaptation: Adaptation, cache: Path | str | None, digest: str | None,
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
