"""A weight matrix -> the two factors of a low-rank adapter. Tensors in, tensors out; `inits.py` says what they are.

The layer keeps W - s lora_b lora_a, so each of the starts begins at W's own output."""

import math
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.cache import Factorisation
from recyclelora.adapters.init_names import ENDS
from recyclelora.adapters.inits import Cut, Factors, find_init
from recyclelora.adapters.python_numbers import real, whole
from recyclelora.adapters.tensor_files import tensor_digest


def lowrank(weight: Tensor, rank: int, init: str, end: str | None, *, scaling: float = 1.0,
            cache: Path | str | None = None, generator: torch.Generator | None = None) -> Factors:
    """The start of one adapter of `weight` (out, in), computed in float32 on the CPU whatever the weight's own kind.

    `cache` is a folder that keeps the factorisation for every later rank, end and process; `generator` serves kaiming.
    Raises AdapterError for an init, end, rank or scaling that does not exist, and for a weight that is not finite."""
    return Directions(weight, init, cache=cache).cut(rank, end, scaling=scaling, generator=generator)


class Directions:
    """The directions of one weight, from which any number of adapters are cut; factorised at the first cut, if at all.

    `digest` spares hashing the weight where `tensor_digest(weight)` is known."""

    def __init__(self, weight: Tensor, init: str, *, cache: Path | str | None = None,
                 digest: str | None = None) -> None:
        self.init = find_init(init)
        if weight.ndim != 2:
            raise AdapterError(f"expected a weight of shape (out, in), got {tuple(weight.shape)}")
        self.out_features, self.in_features = weight.shape
        self.count = min(weight.shape)
        self.device = torch.device("meta" if weight.is_meta else "cpu")
        self._factorisation: Factorisation | None = None
        if weight.is_meta:
            return
        matrix = weight.detach().to("cpu", torch.float32)
        if not all(math.isfinite(extreme) for extreme in torch.aminmax(matrix)):  # one NaN makes both extremes NaN
            raise AdapterError("the weight holds NaN or infinite values; load an intact checkpoint")
        if self.init.factorise is not None:
            path = cache and Path(cache) / "factors" / f"{init}-{digest or tensor_digest(weight)}.safetensors"
            self._factorisation = Factorisation(partial(self.init.factorise, matrix), path or None)

    def cut(self, rank: int, end: str | None, *, scaling: float = 1.0,
            generator: torch.Generator | None = None) -> Factors:
        """`rank` directions at one end as an adapter; arguments and errors as in `lowrank`."""
        rank, scaling = whole(rank, "rank"), real(scaling, "scaling")
        self._check(rank, end, scaling)
        if rank == 0 or self.device.type == "meta":
            return Factors(torch.empty(rank, self.in_features, device=self.device),
                           torch.empty(self.out_features, rank, device=self.device))
        start = self.count - rank if end == "minor" else 0  # of k, not of the pivots: a wide weight has more of those
        return self.init.cut(self._factorisation, Cut(start, start + rank, self.out_features, self.in_features,
                                                      scaling, generator))

    def _check(self, rank: int, end: str | None, scaling: float) -> None:
        if not 0 <= rank <= self.count:
            raise AdapterError(f"rank {rank} does not fit a weight of {self.out_features}x{self.in_features}; "
                               f"choose 0 to {self.count}")
        if not self.init.has_ends and end is not None:
            raise AdapterError(f"end {end!r} means nothing to init {self.init.name}, which has no directions; leave it "
                               "out")
        if self.init.has_ends and end not in ENDS:
            raise AdapterError(f"end {end!r} is not known to init {self.init.name}; known: {', '.join(ENDS)}")
        if scaling <= 0:
            raise AdapterError(f"scaling {scaling} must be a finite number above 0")
