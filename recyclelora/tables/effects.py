"""The table of effects: the main effect of each factor of a grid, averaged over the others, and their interactions."""

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from recyclelora.spaces.design import label_of
from recyclelora.spaces.statement import Statement
from recyclelora.tables.captions import describe_evidence
from recyclelora.tables.cells import Cell
from recyclelora.tables.comparisons import ALPHA, LEAST
from recyclelora.tables.factorial import Effect, factorial_effects
from recyclelora.tables.measures import POINTS, SOURCE, TARGET_MEAN, grounds_of, mixed, recorded, title
from recyclelora.tables.results_table import runs_of, show
from recyclelora.tables.sheet import Column, Number, Sheet, SheetRow
from recyclelora.tables.statistics import Difference, holm

P_DIGITS = 6  # a t-test on a handful of seeds means nothing beyond these
Levels = tuple[object, ...]  # as text, one of each factor


class Crossing(NamedTuple):
    """The cells of a full grid by their levels, in the order of `factors`; of each factor the baseline's level comes
    first. `cells` is empty where the grid has a hole, and `lacks` says which."""

    factors: tuple[str, ...]
    levels: tuple[Levels, ...]  # of each factor
    cells: dict[Levels, Cell]
    lacks: str = ""

    def values(self, metric: str) -> dict[Levels, dict[int, float]]:
        """Levels -> seed -> value, as recorded."""
        return {key: cell.values(metric) for key, cell in self.cells.items()}


def cross(cells: Sequence[Cell], statement: Statement) -> Crossing:
    """The grid among the cells: those that have all factors, apart from baselines, which have names of their own."""
    factors = statement.factors
    gridded = [cell for cell in cells if set(factors) <= cell.knobs.keys()
               and cell.label == label_of(cell.knobs)]  # type: ignore[arg-type]
    keys = {cell.label: tuple(show(cell.knobs[factor], None) or "null" for factor in factors) for cell in gridded}
    first = [cell for cell in gridded if cell.label == statement.baseline]
    levels = tuple(tuple(dict.fromkeys(keys[cell.label][place] for cell in (*first, *gridded)))
                   for place in range(len(factors)))
    by_levels = {keys[cell.label]: cell for cell in gridded}
    wanted = list(product(*levels)) if math.prod(map(len, levels)) <= len(gridded) else []
    lacks = ""
    if not gridded or len(by_levels) < len(gridded) or len(wanted) != len(by_levels):
        lacks = "the cells are no full crossing of the factors"
    elif empty := [by_levels[key].label for key in wanted if not by_levels[key].finished]:
        lacks = f"{empty[0]} has no finished run" + (f", nor have {len(empty) - 1} others" if len(empty) > 1 else "")
    return Crossing(factors, levels, {} if lacks else {key: by_levels[key] for key in wanted}, lacks)


def tabulate_effects(name: str, cells: Sequence[Cell], statement: Statement) -> Sheet:
    """A row per main effect and per interaction of two factors, on the mean of the targets and on the source."""
    crossing = cross(cells, statement)
    apart = mixed(grounds_of(recorded(cells), (TARGET_MEAN, SOURCE)))
    metrics = [metric for metric in (TARGET_MEAN, SOURCE) if metric not in apart]
    columns = [Column("pairs", "seeds")]
    for metric in metrics:
        columns += [Column(metric, title(metric)), *p_columns(metric)]
    if not crossing.cells:
        return Sheet(name=name, columns=tuple(columns), rows=(), corner="effect",
                     caption=(f"No effect can be taken: {crossing.lacks}.",))
    effects = {metric: factorial_effects(crossing.values(metric), crossing.factors) for metric in metrics}
    adjusted = holm([_tested(each.difference) for some in effects.values() for each in some])
    rows = []
    for place, each in enumerate(next(iter(effects.values()), [])):
        entries: list[Number | None] = [Number(each.difference.n, digits=0)]
        for rank, metric in enumerate(metrics):
            p, difference = adjusted[rank * len(effects[metric]) + place], effects[metric][place].difference
            entries += [signed(difference, POINTS, p), *p_values(_tested(difference), p)]
        rows.append(SheetRow(label_effect(each, crossing), tuple(entries), runs_of(*cells_of(each, crossing))))
    return Sheet(name=name, columns=tuple(columns), rows=tuple(rows), corner="effect", caption=(
        f"Effects of {' and '.join(crossing.factors)} on mIoU in points, paired by seed, with 95 % interval (Student's "
        "t): a main effect is a level minus the first level of its factor, averaged over the other factors; an "
        "interaction is a difference of two such differences.",
        f"*: p < {ALPHA} after Holm over the {sum(not math.isnan(p) for p in adjusted)} tests of the table; the "
        "others are not distinguishable from 0. p: of the paired t-test alone.", *describe_evidence(cells)))


def cells_of(effect: Effect, crossing: Crossing) -> list[Cell]:
    """The cells that an effect compares: at its levels and at the first levels of its factors."""
    places = [crossing.factors.index(factor) for factor in effect.factors]
    return [cell for key, cell in crossing.cells.items()
            if all(key[place] in (level, crossing.levels[place][0])
                   for place, level in zip(places, effect.levels, strict=True))]


def label_effect(effect: Effect, crossing: Crossing) -> str:
    """`main.end: major − minor`, and the two joined by × for an interaction."""
    return " × ".join(f"{factor.partition('.')[2] or factor}: {level} − "
                      f"{crossing.levels[crossing.factors.index(factor)][0]}"
                      for factor, level in zip(effect.factors, effect.levels, strict=True))


def signed(difference: Difference, scale: float, p: float) -> Number | None:
    """A difference as it is printed: with its sign, its interval if one pair is not all there is, and * if clear."""
    if difference.n == 0:
        return None
    bounds = (difference.low, difference.high) if difference.n > 1 else (math.nan, math.nan)
    return Number(scale * difference.difference, low=scale * bounds[0], high=scale * bounds[1], signed=True,
                  note="*" if p < ALPHA else "")


def p_columns(metric: str) -> list[Column]:
    """Behind a difference: its p, as tested alone and after Holm."""
    return [Column(f"{metric} p raw", f"{title(metric)} p"), Column(f"{metric} p holm", f"{title(metric)} p (Holm)")]


def p_values(raw: float, adjusted: float) -> list[Number | None]:
    """What stands in `p_columns`."""
    return [p_value(raw), p_value(adjusted)]


def p_value(p: float) -> Number | None:
    """A p as it is printed: three digits, up to six where its first figure needs them, and `<0.000001` below."""
    if math.isnan(p):
        return None
    return Number(p, digits=min(P_DIGITS, max(3, -math.floor(math.log10(p)))) if p > 0 else P_DIGITS,
                  least=10.0**-P_DIGITS)


def _tested(difference: Difference) -> float:
    return difference.p if difference.n >= LEAST else math.nan
