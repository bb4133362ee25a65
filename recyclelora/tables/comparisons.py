"""Compares cells, paired by seed: differences from the baseline, and the verdict on the claim."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from recyclelora.documents import nearest
from recyclelora.errors import InputError
from recyclelora.spaces.statement import Expectation, Statement
from recyclelora.tables.cells import Cell
from recyclelora.tables.measures import (
    POINTS,
    SOURCE,
    TARGET_MEAN,
    copies_of,
    grounds_of,
    metrics_of,
    mixed,
    scale_of,
    title,
)
from recyclelora.tables.statistics import Difference, effect_size, evidence, holm, paired_difference

ALPHA = 0.05
LEAST = 3  # pairs of runs that a test needs; fewer say nothing of seed noise (`statistics.evidence`)
Word = Literal["supported", "not distinguishable", "contradicted", "not tested"]


class Comparison(NamedTuple):
    """`cell` minus `against`. `difference` is in the metric's own unit (mIoU as a fraction); `p_holm` is adjusted over
    all comparisons made together, nan where there are too few pairs; `effect` is Hedges' g of the pairs."""

    cell: str
    against: str
    metric: str
    difference: Difference
    p_holm: float
    effect: float

    @property
    def p(self) -> float:
        """That of this test alone; nan where it was not made."""
        return math.nan if math.isnan(self.p_holm) else self.difference.p

    @property
    def clear(self) -> bool:
        """Whether the adjusted p is below 0.05. (The 95 % interval then excludes 0.)"""
        return self.p_holm < ALPHA


class Verdict(NamedTuple):
    """What the runs say of the claim: a word, and the sentence that bears it out."""

    word: Word
    sentence: str
    comparisons: tuple[Comparison, ...]


def compare(cells: Sequence[Cell], statement: Statement, metrics: Sequence[str] | None = None) -> list[Comparison]:
    """Every other cell minus the statement's baseline (the first cell where it names none), for each metric; by cell,
    then by metric. Without `metrics` those of `metrics_compared`, which is what the table adjusts its p over.

    Raises InputError for a baseline that is no cell."""
    metrics = metrics_compared(cells, statement) if metrics is None else metrics
    baseline = baseline_of(cells, statement)
    pairs = [(cell, baseline, metric) for cell in cells if cell.label != baseline.label for metric in metrics]
    return _compare(pairs)


def metrics_compared(cells: Sequence[Cell], statement: Statement) -> tuple[str, ...]:
    """The mean of the targets, the source, and each target domain; without metrics that repeat another, that no run
    has, or that cells have measured on different things."""
    records = [record for cell in cells for record in cell.records.values()]
    metrics = metrics_of(records, statement)
    measured = {TARGET_MEAN, SOURCE}.union(*(record.metrics for record in records))
    without = {*copies_of(records), *mixed(grounds_of(records, metrics)), *(set(metrics) - measured)}
    return tuple(metric for metric in (*metrics[-2:], *metrics[:-2]) if metric not in without)


def baseline_of(cells: Sequence[Cell], statement: Statement) -> Cell:
    """The cell that differences are taken against. Raises InputError where the statement names one that is none."""
    return cells[0] if statement.baseline is None else cell_called(cells, statement.baseline, "baseline")


def cell_called(cells: Iterable[Cell], label: str, role: str) -> Cell:
    """Raises InputError, naming the cells there are."""
    by_label = {cell.label: cell for cell in cells}
    if label not in by_label:
        known = list(by_label)
        listed = ", ".join(map(repr, known[:12])) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
        close = nearest(label, known)
        guess = close if close.startswith("; did") else ""
        raise InputError(f"{role}: no cell of the sweep is called {label!r}{guess}; its cells are {listed}")
    return by_label[label]


def check_names(cells: Sequence[Cell], statement: Statement) -> None:
    """Raises InputError where the statement speaks of a cell that is not in the plan."""
    labels = {cell.label for cell in cells}
    named = [*([("baseline", statement.baseline)] if statement.baseline is not None else []),
             *(("expect", label) for each in statement.expectations for label in (each.better, each.worse)),
             *(("targets", each.cell) for each in statement.targets)]
    for role, label in named:
        if label not in labels:
            cell_called(cells, label, role)


def _compare(pairs: Sequence[tuple[Cell, Cell, str]]) -> list[Comparison]:
    values: dict[tuple[str, str], dict[int, float]] = {}
    for one, other, metric in pairs:
        for cell in (one, other):
            if (cell.label, metric) not in values:
                values[cell.label, metric] = cell.values(metric)
    samples = [(values[one.label, metric], values[other.label, metric]) for one, other, metric in pairs]
    differences = [paired_difference(a, b) for a, b in samples]
    adjusted = holm([each.p if each.n >= LEAST else math.nan for each in differences])
    return [Comparison(one.label, other.label, metric, difference, p, _effect(a, b))
            for (one, other, metric), (a, b), difference, p in zip(pairs, samples, differences, adjusted, strict=True)]


def _effect(a: dict[int, float], b: dict[int, float]) -> float:
    return effect_size(a, b) if len(a.keys() & b.keys()) >= LEAST else math.nan


def judge(statement: Statement, cells: Sequence[Cell]) -> Verdict:
    """What the runs say of the statement's expectations, tested together (paired t, Holm over the expectations).

    "contradicted" where one is significantly the other way round; else "not tested" where planned runs are still to
    come or fewer than three pairs are there; else "supported" where all hold. Raises InputError for an expectation
    that names no cell."""
    check_names(cells, statement)
    by_label = {cell.label: cell for cell in cells}
    if not statement.expectations:
        return Verdict("not tested", "Not tested: the experiment states no expectation.", ())
    comparisons = _compare([(by_label[each.better], by_label[each.worse], each.metric)
                            for each in statement.expectations])
    grounds = grounds_of([record for cell in cells for record in cell.records.values()],
                         [each.metric for each in statement.expectations])
    outstanding = _outstanding(statement.expectations, cells)
    ended = [each for each in comparisons if not {each.cell, each.against} & outstanding.keys()]
    tested = [each for each in ended if each.difference.n >= LEAST and each.metric not in mixed(grounds)]
    lacking = [*outstanding.values(), *_too_few(ended),
               *(f"{title(metric)} was measured on {'; '.join(some)}" for metric, some in mixed(grounds).items())]
    word = _word(tested, bool(lacking))
    return Verdict(word, _sentence(word, tested, lacking), tuple(comparisons))


def _word(tested: Sequence[Comparison], lacking: bool) -> Word:
    if any(each.clear and each.difference.difference < 0 for each in tested):
        return "contradicted"
    if lacking:
        return "not tested"
    return "supported" if all(each.clear for each in tested) else "not distinguishable"


def _outstanding(expectations: Sequence[Expectation], cells: Sequence[Cell]) -> dict[str, str]:
    """Of the cells concerned, those with planned runs that have not ended, and which. What has been run of them is not
    tested yet: a test that is looked at until it comes out well is none."""
    concerned = {label for each in expectations for label in (each.better, each.worse)}
    missing = {cell.label: [str(seed) for seed in cell.planned if seed not in cell.records] for cell in cells
               if cell.label in concerned}
    return {label: f"{label} has no run of seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"
            for label, seeds in missing.items() if seeds}


def _too_few(comparisons: Sequence[Comparison]) -> Iterator[str]:
    for each in comparisons:
        if each.difference.n < LEAST:
            yield (f"{each.cell} and {each.against} have {each.difference.n} finished seed"
                   f"{'' if each.difference.n == 1 else 's'} in common, and a test needs {LEAST}")


def _sentence(word: Word, tested: Sequence[Comparison], lacking: Sequence[str]) -> str:
    parts = ["; ".join(map(describe, tested))] if tested and word != "not tested" else []
    if parts:
        least = min(each.difference.n for each in tested)
        adjusted = f" p is Holm-adjusted over {len(tested)} expectations;" if len(tested) > 1 else ""
        parts.append(f"{adjusted} n = {least}: {evidence(least)}".strip())
    if lacking:
        shown = [*lacking[:5], *([f"and {len(lacking) - 5} more"] if len(lacking) > 5 else [])]
        parts.append(("" if word == "not tested" else "not all of it was tested: ") + "; ".join(shown))
    return f"{word.capitalize()}: {'. '.join(parts)}."


def describe(comparison: Comparison) -> str:
    """`both − main only: +0.52 points of target mean [+0.10, +0.94], n = 5, p = 0.012`."""
    difference, low, high, _, n = comparison.difference
    scale, unit = scale_of(comparison.metric), " points of" if comparison.metric.startswith("miou/") else " in"
    shown, lowest, highest = (f"{scale * value:+.{2 if scale == POINTS else 3}f}".replace("-", "−")
                              for value in (difference, low, high))
    sign = "" if probability(comparison.p_holm).startswith("<") else "= "
    return (f"{comparison.cell} − {comparison.against}: {shown}{unit} {title(comparison.metric)} [{lowest}, "
            f"{highest}], n = {n}, p {sign}{probability(comparison.p_holm)}")


def probability(p: float) -> str:
    """A p value in a sentence: `0.012`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
