"""Numbers about adapted layers: how much of its rank an adapter uses, how main and sub share space, how far they moved.

The paper's own definitions are not public: these are the standard ones (DEFINITIONS), to be reported as ours. No matrix
of the weight's size is ever formed. A QR of the factors gives coordinates in which all lengths and angles are kept, and
everything is computed there, in float64 on the CPU: factors are small, and the numbers are the same wherever the model
was trained.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from recyclelora.adapters.layer import WHICH, DualLoRALinear, Which
from recyclelora.adapters.lora import adapted_layers

DEFINITIONS = {
    "rank_efficiency": "Effective rank over rank: exp(-sum p ln p) / r, p = sigma / sum sigma, of the singular values "
                       "of B A (both: of the sum of s B A); 1 where all r are equal (Roy and Vetterli 2007).",
    "rank_efficiency_energy": "Effective rank over rank as above, from p = sigma^2 / sum sigma^2.",
    "grassmann": "Similarity of the spaces of main and sub: sum of cos^2 of their q = min(r1, r2) principal angles, "
                 "over q; 0 where orthogonal, 1 where one holds the other; between the rows of A, the columns of B.",
    "grassmann_chance": "What grassmann is on average for random spaces: max(r1, r2) / d in d dimensions.",
    "geodesic": "Geodesic distance of the spaces of main and sub: sqrt(sum theta^2), in radians.",
    "chordal": "Chordal distance of the spaces of main and sub: sqrt(sum sin^2 theta).",
    "cosine_a": "Mean |cos| between two rows of A; 0 where orthogonal.",
    "cosine_b": "Mean |cos| between two columns of B; 0 where orthogonal.",
    "column_ratio": "Mean norm of the columns of A selected at the start over the mean norm of all other columns; "
                    "only where A starts as a selector (rrqr).",
    "drift": "Distance from the start relative to it: ||B A - B0 A0||_F / ||B0 A0||_F; only where B0 A0 is not 0.",
    "drift_norm": "How far the adapter has moved the weight: s ||B A - B0 A0||_F (both: the norm of the sum).",
    "subspace_drift": "How far the space of B has turned: 1 - grassmann similarity of B with B0; only where B0 is not "
                      "0.",
}
PER_LAYER = frozenset({"geodesic", "chordal"})  # left out of summaries, to which they add nothing beside grassmann
_RESOLUTION = 1e-6  # of a float32 factor: a direction this much shorter than the longest is rounding, not a direction


class Columns(NamedTuple):
    """One adapter's directions as columns, float64: of A^T (d_in, r) and of B (d_out, r)."""

    a: Tensor
    b: Tensor


_Adapters = dict[Which, Columns]  # those of one layer that have a rank above 0


def effective_rank(singular_values: Tensor, *, energy: bool = False) -> float:
    """exp(-sum p ln p) with p = sigma / sum sigma, or sigma^2 / sum sigma^2 with `energy`; nan where all are 0."""
    weights = singular_values.double() ** (2 if energy else 1)
    return float(torch.special.entr(weights / weights.sum()).sum().exp())


def product_singular_values(b: Tensor, a: Tensor) -> Tensor:
    """The singular values of b @ a, (out, r) times (r, in), largest first, from its r x r core; the others are 0."""
    return torch.linalg.svdvals(_triangle(b) @ _triangle(a.T).T)


def principal_cosines(x: Tensor, y: Tensor) -> Tensor:
    """cos of the principal angles between the column spaces of x (d, p) and y (d, q), largest first; as many as the
    smaller space has dimensions, so none where one of them is 0."""
    return torch.linalg.svdvals(_basis(x).T @ _basis(y)).clamp(max=1)


def grassmann_similarity(cosines: Tensor) -> float:
    """Mean cos^2 of the principal angles, in [0, 1]; nan where there are none."""
    return float(cosines.square().mean())


def geodesic_distance(cosines: Tensor) -> float:
    """sqrt(sum theta^2) of the principal angles, radians; nan where there are none."""
    return float(cosines.acos().norm()) if len(cosines) else math.nan


def chordal_distance(cosines: Tensor) -> float:
    """sqrt(sum sin^2 theta) of the principal angles; nan where there are none."""
    return float((1 - cosines.square()).sum().sqrt()) if len(cosines) else math.nan


def cosine_matrix(columns: Tensor) -> Tensor:
    """(d, r) -> (r, r): |cos| between any two columns; nan for a column of zeros."""
    unit = columns / columns.norm(dim=0)
    return (unit.T @ unit).abs()


def mean_off_diagonal(matrix: Tensor) -> float:
    """nan for a single row."""
    rank = len(matrix)
    return float(matrix[~torch.eye(rank, dtype=torch.bool)].mean())


def measure(layer: DualLoRALinear, *, start: bool = False) -> dict[str, float]:
    """`<measure>/<which>` of one layer as it is now, or as it started: which is main, sub, both, and for what lies
    between main and sub `between_a` and `between_b`. What is not defined is left out: a layer with one adapter has
    nothing between, a B of zeros (kaiming's start) no directions, and at the start nothing has moved."""
    origin = _start(layer)
    state = origin if start else _now(layer)
    here, there = _compressed(state, {} if start else origin)
    numbers: dict[str, float] = {}
    for which, columns in here.items():
        numbers |= _used(columns, which)
        numbers[f"cosine_a/{which}"] = mean_off_diagonal(cosine_matrix(columns.a))
        numbers[f"cosine_b/{which}"] = mean_off_diagonal(cosine_matrix(columns.b))
        numbers[f"column_ratio/{which}"] = column_ratio(state[which].a.T, origin[which].a.T)
    for which in there:
        numbers |= _moved(here[which], there[which], layer.scales[which], which)
    if len(here) == 2:
        numbers |= _used(_summed(here, layer.scales), "both")
        numbers |= _between(here["main"].a, here["sub"].a, layer.in_features, "between_a")
        numbers |= _between(here["main"].b, here["sub"].b, layer.out_features, "between_b")
    if len(there) == 2:
        numbers["drift_norm/both"] = _change(_summed(here, layer.scales), _summed(there, layer.scales))
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def measure_model(vit: nn.Module, *, start: bool = False) -> list[tuple[str, dict[str, float]]]:
    """`measure` of each adapted layer by name, in the model's order; empty for a plain or merged model."""
    return [(name, measure(layer, start=start)) for name, layer in adapted_layers(vit).items()]


def summarise(per_layer: Iterable[tuple[str, Mapping[str, float]]]) -> dict[str, float]:
    """The mean of each number over the layers that have it, without those of PER_LAYER; in the order of DEFINITIONS."""
    values: dict[str, list[float]] = {}
    for _, numbers in per_layer:
        for name, value in numbers.items():
            values.setdefault(name, []).append(value)
    kept = [(list(DEFINITIONS).index(name.partition("/")[0]), name) for name in values
            if name.partition("/")[0] not in PER_LAYER]
    return {name: math.fsum(values[name]) / len(values[name]) for _, name in sorted(kept)}


def mean_cosines(vit: nn.Module, *, start: bool = False) -> dict[str, Tensor]:
    """`a_main`, `b_main`, `a_sub`, `b_sub`: |cos| between the rows of A and the columns of B, (r, r), mean over the
    layers in which it is defined; left out where it is in none."""
    found: dict[str, list[Tensor]] = {}
    for layer in adapted_layers(vit).values():
        for which, columns in (_start(layer) if start else _now(layer)).items():
            for letter, directions in zip("ab", columns, strict=True):
                matrix = cosine_matrix(directions)
                if matrix.isfinite().all():
                    found.setdefault(f"{letter}_{which}", []).append(matrix)
    return {name: torch.stack(matrices).mean(0) for name, matrices in found.items()}


def column_ratio(a: Tensor, start_a: Tensor) -> float:
    """Of a (r, in): mean norm of the columns that `start_a` selects over that of all others. nan where the start is no
    selector (one 1 in each row, zeros elsewhere) or selects every column; inf while all others are 0."""
    if not (((start_a != 0).sum(1) == 1).all() and (start_a.sum(1) == 1).all()):
        return math.nan
    selected = (start_a != 0).any(0)
    norms = a.norm(dim=0)
    return float(norms[selected].mean() / norms[~selected].mean())


@contextmanager
def back_at_start(vit: nn.Module, which: Which | Literal["both"]) -> Iterator[nn.Module]:
    """`vit` with that adapter's factors as they started while the context lasts, and the other as trained; with both
    it computes W0's output. Then the very parameters it had are back, untouched, whatever happened inside."""
    kept: list[tuple[nn.Module, str, nn.Parameter]] = []
    try:
        for layer in adapted_layers(vit).values():
            for one in WHICH if which == "both" else (which,):
                for letter, tensor in zip("ab", layer.start[one], strict=True):
                    name = f"lora_{letter}_{one}"
                    parameter = getattr(layer, name)
                    if parameter is not None:
                        kept.append((layer, name, parameter))
                        setattr(layer, name, nn.Parameter(tensor.to(parameter), requires_grad=False))
        yield vit
    finally:
        for module, name, parameter in kept:
            setattr(module, name, parameter)


def _now(layer: DualLoRALinear) -> _Adapters:
    return {which: _wide(*factors) for which in WHICH if (factors := layer.factors(which)) is not None}


def _start(layer: DualLoRALinear) -> _Adapters:
    return {which: _wide(*layer.start[which]) for which in WHICH if layer.factors(which) is not None}


def _wide(a: Tensor, b: Tensor) -> Columns:
    return Columns(a.detach().to("cpu", torch.float64).T, b.detach().to("cpu", torch.float64))


def _compressed(now: _Adapters, start: _Adapters) -> tuple[_Adapters, _Adapters]:
    """The same columns in few coordinates, common to all of them."""
    given = [*now.values(), *start.values()]
    ranks = [columns.a.shape[1] for columns in given]
    a = _triangle(torch.cat([columns.a for columns in given], 1)).split(ranks, 1)
    b = _triangle(torch.cat([columns.b for columns in given], 1)).split(ranks, 1)
    found = [Columns(*pair) for pair in zip(a, b, strict=True)]
    return dict(zip(now, found[:len(now)], strict=True)), dict(zip(start, found[len(now):], strict=True))


def _triangle(columns: Tensor) -> Tensor:
    """(d, n) -> (min(d, n), n), R of the QR: the columns in an orthonormal basis of their span."""
    return torch.linalg.qr(columns, mode="r").R


def _basis(columns: Tensor) -> Tensor:
    """An orthonormal basis of the column space, without the directions that are only rounding."""
    u, s, _ = torch.linalg.svd(columns, full_matrices=False)
    return u[:, s > _RESOLUTION * s.max()]


def _summed(adapters: _Adapters, scales: Mapping[Which, float]) -> Columns:
    """Both adapters as one, each one's scaling folded into B."""
    return Columns(torch.cat([columns.a for columns in adapters.values()], 1),
                   torch.cat([columns.b * scales[which] for which, columns in adapters.items()], 1))


def _used(columns: Columns, which: str) -> dict[str, float]:
    found, rank = product_singular_values(columns.b, columns.a.T), columns.a.shape[1]
    return {f"rank_efficiency/{which}": effective_rank(found) / rank,
            f"rank_efficiency_energy/{which}": effective_rank(found, energy=True) / rank}


def _between(main: Tensor, sub: Tensor, dimensions: int, place: str) -> dict[str, float]:
    cosines = principal_cosines(main, sub)
    chance = max(main.shape[1], sub.shape[1]) / dimensions if len(cosines) else math.nan
    return {f"grassmann/{place}": grassmann_similarity(cosines), f"grassmann_chance/{place}": chance,
            f"geodesic/{place}": geodesic_distance(cosines), f"chordal/{place}": chordal_distance(cosines)}


def _moved(now: Columns, start: Columns, scale: float, which: Which) -> dict[str, float]:
    change = _change(now, start)
    size = float(product_singular_values(start.b, start.a.T).norm())
    return {f"drift/{which}": change / size if size else math.nan, f"drift_norm/{which}": scale * change,
            f"subspace_drift/{which}": 1 - grassmann_similarity(principal_cosines(now.b, start.b))}


def _change(now: Columns, start: Columns) -> float:
    """||B A - B0 A0||_F, as of (B - B0) A + B0 (A - A0): no difference of large numbers."""
    b = torch.cat([now.b - start.b, start.b], 1)
    a = torch.cat([now.a, now.a - start.a], 1)
    return float(product_singular_values(b, a.T).norm())
