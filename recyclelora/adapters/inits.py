"""How an adapter starts: one row for each init, and everything else asks the row.

With W (out, in), k = min(out, in) directions ordered from major to minor, s the adapter's scaling, and i running over
the last (`minor`) or the first (`major`) `rank` directions:

| init    | factorisation                       | lora_a (rank, in)            | lora_b (out, rank)      |
|---------|-------------------------------------|------------------------------|-------------------------|
| rrqr    | W[:, P] = Q R, |R_ii| non-increasing | 1 at (i, P[i]), 0 elsewhere | Q[:, i]                 |
| svd     | W = U S V^T                         | sqrt(S_i / s) V_i^T          | U_i sqrt(S_i / s)       |
| kaiming | none, and no end                    | Kaiming-uniform, a = sqrt(5) | 0                       |

To add an init is to add a row to INITS, and its name to `init_names.py`, from which settings are read."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.cache import Factorisation
from recyclelora.adapters.factorisations import pivoted_qr, q_columns, svd


class Factors(NamedTuple):
    """float32, on the CPU (or on meta, without values, when the weight is)."""

    a: Tensor  # (rank, in)
    b: Tensor  # (out, rank)


class Cut(NamedTuple):
    """What one adapter asks of an init: directions start..stop-1 (at least one) of a weight (out, in)."""

    start: int
    stop: int
    out_features: int
    in_features: int
    scaling: float
    generator: torch.Generator | None  # of random starts; None: torch's own


def _as_it_is(start: Factors) -> Factors:
    return start


def _expand_nothing(kept: Factors, in_features: int) -> Factors:
    return kept


@dataclass(frozen=True, kw_only=True)
class Init:
    """`factorise`: a finite float32 weight (out, in) -> tensors of one row per direction, which the cache keeps; None
    for an init that reads no weight. `cut`: the start factors from those (None then), float32 on the CPU, contiguous.
    `compact` and `expand`: what a file keeps of the start (in_features given on the way back), where that is less."""

    name: str
    words: str
    source: str
    has_ends: bool  # whether there are major and minor directions to choose from
    factorise: Callable[[Tensor], dict[str, Tensor]] | None
    cut: Callable[[Factorisation | None, Cut], Factors]
    compact: Callable[[Factors], Factors] = _as_it_is
    expand: Callable[[Factors, int], Factors] = _expand_nothing


def _cut_qr(directions: Factorisation | None, wanted: Cut) -> Factors:
    assert directions is not None
    rows = directions.rows(0, wanted.stop)  # a column of Q needs every reflector before it
    b = q_columns(rows["reflectors"], rows["tau"], wanted.start, wanted.stop)
    return _expand_selector(Factors(rows["pivots"][wanted.start:], b), wanted.in_features)


def _compact_selector(start: Factors) -> Factors:
    """The column of each row's 1 instead of the row: a thousandth of the bytes."""
    return Factors(start.a.argmax(1), start.b)


def _expand_selector(kept: Factors, in_features: int) -> Factors:
    return Factors(torch.zeros(len(kept.a), in_features).scatter_(1, kept.a[:, None], 1.0), kept.b)


def _cut_svd(directions: Factorisation | None, wanted: Cut) -> Factors:
    assert directions is not None
    rows = directions.rows(wanted.start, wanted.stop)
    root = (rows["s"] / wanted.scaling).sqrt()[:, None]
    return Factors(root * rows["v"], (root * rows["u"]).T.contiguous())


def _draw_kaiming(directions: Factorisation | None, wanted: Cut) -> Factors:
    rank = wanted.stop - wanted.start
    a = torch.empty(rank, wanted.in_features)
    nn.init.kaiming_uniform_(a, a=math.sqrt(5), generator=wanted.generator)
    return Factors(a, torch.zeros(wanted.out_features, rank))


INITS: dict[str, Init] = {row.name: row for row in (
    Init(name="rrqr", words="columns of Q and the input features they pivot on, of a pivoted QR of the weight",
         source="RecycleLoRA (arXiv 2603.28142), from the authors' code", has_ends=True, factorise=pivoted_qr,
         cut=_cut_qr, compact=_compact_selector, expand=_expand_selector),
    Init(name="svd", words="singular vectors of the weight, each with the root of its singular value",
         source="PiSSA at the major end, MiLoRA and SoMA at the minor one", has_ends=True, factorise=svd,
         cut=_cut_svd),
    Init(name="kaiming", words="random rows of A, and a B of zeros", source="LoRA", has_ends=False, factorise=None,
         cut=_draw_kaiming),
)}


def find_init(name: str) -> Init:
    """The row of that name. Raises AdapterError naming those there are."""
    row = INITS.get(name) if isinstance(name, str) else None
    if row is None:
        raise AdapterError(f"init {name!r} is not known; known: {', '.join(INITS)}")
    return row
