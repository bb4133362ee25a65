"""A weight matrix -> the two factors of a low-rank adapter. Tensors in, tensors out.

With W (out, in), k = min(out, in) directions ordered from major to minor, s the adapter's scaling, and i running over
the last (`minor`) or the first (`major`) `rank` directions:

| init    | factorisation                       | lora_a (rank, in)            | lora_b (out, rank)      |
|---------|-------------------------------------|------------------------------|-------------------------|
| rrqr    | W[:, P] = Q R, |R_ii| non-increasing | 1 at (i, P[i]), 0 elsewhere | Q[:, i]                 |
| svd     | W = U S V^T                         | sqrt(S_i / s) V_i^T          | U_i sqrt(S_i / s)       |
| kaiming | none, and no end                    | Kaiming-uniform, a = sqrt(5) | 0                       |

rrqr is RecycleLoRA's (arXiv 2603.28142, from the authors' code); svd is PiSSA's at the major end, MiLoRA's and SoMA's
at the minor one; kaiming is LoRA's. The layer keeps W - s lora_b lora_a, so each of them starts at W's own output.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import lapack
from torch import Tensor, nn

from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.cache import Factorisation
from recyclelora.adapters.tensor_files import tensor_digest

INITS = ("rrqr", "svd", "kaiming")
ENDS = ("minor", "major")


class Factors(NamedTuple):
    """float32, on the CPU (or on meta, without values, when the weight is)."""

    a: Tensor  # (rank, in)
    b: Tensor  # (out, rank)


def lowrank(weight: Tensor, rank: int, init: str, end: str | None, *, scaling: float = 1.0, cache: Path | None = None,
            generator: torch.Generator | None = None) -> Factors:
    """The start of one adapter of `weight` (out, in), computed in float32 on the CPU whatever the weight's own kind.

    `cache` is a folder that keeps the factorisation for every later rank, end and process; `generator` serves kaiming.
    Raises AdapterError for an init, end, rank or scaling that does not exist, and for a weight that is not finite."""
    return Directions(weight, init, cache=cache).cut(rank, end, scaling=scaling, generator=generator)


class Directions:
    """The directions of one weight, from which any number of adapters are cut; factorised at the first cut, if at all.

    `digest` spares hashing the weight where `tensor_digest(weight)` is known."""

    def __init__(self, weight: Tensor, init: str, *, cache: Path | None = None, digest: str | None = None) -> None:
        if init not in INITS:
            raise AdapterError(f"init {init!r} is not known; known: {', '.join(INITS)}")
        if weight.ndim != 2:
            raise AdapterError(f"expected a weight of shape (out, in), got {tuple(weight.shape)}")
        self.init = init
        self.out_features, self.in_features = weight.shape
        self.count = min(weight.shape)
        self.device = torch.device("meta" if weight.is_meta else "cpu")
        self._factorisation: Factorisation | None = None
        if weight.is_meta:
            return
        matrix = weight.detach().to("cpu", torch.float32)
        if not all(math.isfinite(extreme) for extreme in torch.aminmax(matrix)):  # one NaN makes both extremes NaN
            raise AdapterError("the weight holds NaN or infinite values; load an intact checkpoint")
        if init in _FACTORISE:
            path = cache and cache / "factors" / f"{init}-{digest or tensor_digest(weight)}.safetensors"
            self._factorisation = Factorisation(partial(_FACTORISE[init], matrix), path)

    def cut(self, rank: int, end: str | None, *, scaling: float = 1.0,
            generator: torch.Generator | None = None) -> Factors:
        """`rank` directions at one end as an adapter; arguments and errors as in `lowrank`."""
        self._check(rank, end, scaling)
        if rank == 0 or self.device.type == "meta":
            return Factors(torch.empty(rank, self.in_features, device=self.device),
                           torch.empty(self.out_features, rank, device=self.device))
        if self._factorisation is None:  # kaiming
            return _draw_kaiming(rank, self.out_features, self.in_features, generator)
        start = self.count - rank if end == "minor" else 0  # of k, not of the pivots: a wide weight has more of those
        if self.init == "rrqr":
            return _cut_qr(self._factorisation, start, start + rank, self.in_features)
        return _cut_svd(self._factorisation, start, start + rank, scaling)

    def _check(self, rank: int, end: str | None, scaling: float) -> None:
        if not 0 <= rank <= self.count:
            raise AdapterError(f"rank {rank} does not fit a weight of {self.out_features}x{self.in_features}; "
                               f"choose 0 to {self.count}")
        if self.init == "kaiming" and end is not None:
            raise AdapterError(f"end {end!r} means nothing to init kaiming, which has no directions; leave it out")
        if self.init != "kaiming" and end not in ENDS:
            raise AdapterError(f"end {end!r} is not known to init {self.init}; known: {', '.join(ENDS)}")
        if not (scaling > 0 and math.isfinite(scaling)):
            raise AdapterError(f"scaling {scaling} must be a finite number above 0")


def pivoted_qr(matrix: Tensor) -> dict[str, Tensor]:
    """Businger-Golub QR of `matrix` (m, n) float32, W[:, P] = Q R, as LAPACK's geqp3 leaves it: one row per direction.

    `reflectors` (k, m), `tau` (k,), `pivots` (k,) int64 positions among the input features, `diagonal` (k,) of R."""
    columns = np.array(matrix.numpy(), order="F")  # a copy, which geqp3 overwrites
    count = min(columns.shape)
    workspace = lapack.sgeqp3(columns, lwork=-1, overwrite_a=1)[3]  # a query: leaves its argument alone
    packed, pivots, tau, _, info = lapack.sgeqp3(columns, lwork=int(workspace[0]), overwrite_a=1)
    assert info == 0, info  # LAPACK can only refuse an argument, which would be our mistake
    return {"reflectors": torch.from_numpy(packed.T[:count]), "tau": torch.from_numpy(tau),
            "pivots": torch.from_numpy(pivots[:count].astype(np.int64) - 1),  # LAPACK counts from 1
            "diagonal": torch.from_numpy(packed.diagonal().copy())}


def q_columns(reflectors: Tensor, tau: Tensor, start: int, stop: int) -> Tensor:
    """Columns start..stop-1 of the economic Q, (m, stop - start), without forming the others.

    Column i is the product of the first i + 1 reflections applied to unit vector i: `reflectors` (at least stop, m)."""
    wanted = np.eye(reflectors.shape[1], stop - start, -start, dtype=np.float32, order="F")
    packed, scalars = reflectors[:stop].numpy().T, tau[:stop].numpy()
    workspace = lapack.sormqr("L", "N", packed, scalars, wanted, -1, overwrite_c=1)[1]
    columns, _, info = lapack.sormqr("L", "N", packed, scalars, wanted, int(workspace[0]), overwrite_c=1)
    assert info == 0, info
    return torch.from_numpy(columns).contiguous()


def svd(matrix: Tensor) -> dict[str, Tensor]:
    """Economic SVD of `matrix` (m, n) float32, one row per direction: `u` (k, m), `s` (k,), `v` (k, n)."""
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    return {"u": u.T.contiguous(), "s": s, "v": v.contiguous()}


_FACTORISE: dict[str, Callable[[Tensor], dict[str, Tensor]]] = {"rrqr": pivoted_qr, "svd": svd}


def _draw_kaiming(rank: int, out_features: int, in_features: int, generator: torch.Generator | None) -> Factors:
    a = torch.empty(rank, in_features)
    nn.init.kaiming_uniform_(a, a=math.sqrt(5), generator=generator)
    return Factors(a, torch.zeros(out_features, rank))


def _cut_qr(directions: Factorisation, start: int, stop: int, in_features: int) -> Factors:
    rows = directions.rows(0, stop)  # a column of Q needs every reflector before it
    a = torch.zeros(stop - start, in_features)
    a[torch.arange(stop - start), rows["pivots"][start:]] = 1.0
    return Factors(a, q_columns(rows["reflectors"], rows["tau"], start, stop))


def _cut_svd(directions: Factorisation, start: int, stop: int, scaling: float) -> Factors:
    rows = directions.rows(start, stop)
    root = (rows["s"] / scaling).sqrt()[:, None]
    return Factors(root * rows["v"], (root * rows["u"]).T.contiguous())
