"""Factorial designs: the main effect of each factor, and the interactions between factors."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from statistics import fmean
from typing import NamedTuple

from recyclelora.errors import InputError
from recyclelora.tables.statistics import Difference, paired_difference

Cells = Mapping[tuple[object, ...], Mapping[int, float]]  # level of each factor -> seed -> value


class Effect(NamedTuple):
    """One factor: its level minus the factor's first. Two factors: how much that difference changes from the other's
    first level to its level."""

    factors: tuple[str, ...]
    levels: tuple[object, ...]
    difference: Difference


def factorial_effects(values: Cells, factors: Sequence[str]) -> list[Effect]:
    """Main effects and two-way interactions of a complete crossing, each averaged over the levels of all other factors;
    the first level of a factor is the one that `values` has first. A contrast is taken at each seed, and tested over
    the seeds that all its cells have, so the pairing is kept. A factor of one level has no effect to show.

    Raises InputError where a combination is missing."""
    levels = [list(dict.fromkeys(key[place] for key in values)) for place in range(len(factors))]
    for key in product(*levels):
        if key not in values:
            named = ", ".join(f"{factor}={level}" for factor, level in zip(factors, key, strict=True))
            raise InputError(f"the crossing of {', '.join(factors)} has no cell {named}; a factorial design needs all")
    return [*_main(values, factors, levels), *_interactions(values, factors, levels)]


def _main(values: Cells, factors: Sequence[str], levels: Sequence[Sequence[object]]) -> Iterator[Effect]:
    for place, factor in enumerate(factors):
        for level in levels[place][1:]:
            yield Effect((factor,), (level,), paired_difference(_mean(values, {place: level}),
                                                                _mean(values, {place: levels[place][0]})))


def _interactions(values: Cells, factors: Sequence[str], levels: Sequence[Sequence[object]]) -> Iterator[Effect]:
    for a, b in combinations(range(len(factors)), 2):
        for one, other in product(levels[a][1:], levels[b][1:]):
            start, base = levels[a][0], levels[b][0]
            with_other = _minus(_mean(values, {a: one, b: other}), _mean(values, {a: start, b: other}))
            without = _minus(_mean(values, {a: one, b: base}), _mean(values, {a: start, b: base}))
            yield Effect((factors[a], factors[b]), (one, other), paired_difference(with_other, without))


def _mean(values: Cells, at: Mapping[int, object]) -> dict[int, float]:
    """By seed, the mean over the cells with these levels, of the seeds that all of them have."""
    cells = [cell for key, cell in values.items() if all(key[place] == level for place, level in at.items())]
    common = set.intersection(*(set(cell) for cell in cells))
    return {seed: fmean(cell[seed] for cell in cells) for seed in sorted(common)}


def _minus(a: Mapping[int, float], b: Mapping[int, float]) -> dict[int, float]:
    return {seed: a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())}
