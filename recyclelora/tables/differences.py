"""The table of differences: every cell minus the baseline, paired by seed, with intervals."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from recyclelora.spaces.statement import Statement
from recyclelora.tables.bootstrap import bootstrap_images
from recyclelora.tables.cells import Cell
from recyclelora.tables.comparisons import ALPHA, LEAST, Comparison, baseline_of, compare, metrics_compared
from recyclelora.tables.effects import p_columns, p_values, signed
from recyclelora.tables.measures import POINTS, TARGET_MEAN, domains_of, recorded, scale_of, title
from recyclelora.tables.results_table import runs_of
from recyclelora.tables.sheet import Column, Entry, Number, Sheet, SheetRow
from recyclelora.tables.statistics import detectable_difference, evidence, mean_sd
from recyclelora.training.metrics import Absent
from recyclelora.trials.record import Record

Confusions = Mapping[str, Mapping[str, NDArray[Any]]]  # fingerprint -> domain -> (images, classes, classes)


def tabulate_differences(name: str, cells: Sequence[Cell], statement: Statement,
                         confusions: Confusions | None = None) -> Sheet:
    """A row per cell but the baseline. The mean of the targets comes first, with its effect size; each metric of the
    family has its p, raw and after Holm over the whole table. `confusions` of the runs give the interval that other
    test images would give."""
    baseline = baseline_of(cells, statement)
    metrics = metrics_compared(cells, statement)
    comparisons = compare(cells, statement, metrics)
    domains = domains_of(recorded(cells))
    columns = [Column("pairs", "pairs")]
    for metric in metrics:
        columns += [Column(metric, title(metric)), *p_columns(metric)]
        if metric == TARGET_MEAN:
            columns += [Column(f"{metric} g", f"{title(metric)} g")]
            columns += [Column(f"{metric} images", f"{title(metric)}, other images")] if confusions else []
    others = [cell for cell in cells if cell.label != baseline.label]
    rows = []
    for place, cell in enumerate(others):
        own = comparisons[place * len(metrics):(place + 1) * len(metrics)]
        images = [_over_images(cell, baseline, domains, confusions)] if confusions else []
        rows.append(SheetRow(cell.label, tuple(_entries(own, images)), runs_of(cell, baseline)))
    return Sheet(name=name, columns=tuple(columns), rows=tuple(rows),
                 caption=tuple(_sentences(baseline, others, comparisons, bool(confusions))))


def _entries(comparisons: Sequence[Comparison], images: Sequence[Entry]) -> list[Entry]:
    entries: list[Entry] = [Number(comparisons[0].difference.n, digits=0) if comparisons else None]
    for each in comparisons:
        entries += [signed(each.difference, scale_of(each.metric), each.p_holm), *p_values(each.p, each.p_holm)]
        if each.metric == TARGET_MEAN:
            entries += [Number(each.effect, signed=True) if math.isfinite(each.effect) else None, *images]
    return entries


def _over_images(cell: Cell, baseline: Cell, domains: Sequence[str], confusions: Confusions) -> Number | None:
    """The difference in the mean of the targets, with the interval that other test images would give. Each domain has
    images of its own, so the distances from difference to bound add up as variances do (MOVER: Zou and Donner 2008)."""
    own, other = cell.values(TARGET_MEAN), baseline.values(TARGET_MEAN)
    seeds = sorted(own.keys() & other.keys())
    below, above = 0.0, 0.0
    for domain in domains:
        ones, others = ([found for seed in seeds if (found := _matrices(each.finished[seed], domain, confusions))
                         is not None] for each in (cell, baseline))
        points = _mean_difference(cell.values(f"miou/{domain}"), baseline.values(f"miou/{domain}"), seeds)
        alike = len({each.shape for each in (*ones, *others)}) == 1
        if math.isnan(points) or not alike or len(ones) + len(others) < 2 * len(seeds):
            return None
        low, high = bootstrap_images(ones, others, absent=_absent(cell, seeds))
        below, above = below + (points - low) ** 2, above + (high - points) ** 2
    mean, count = _mean_difference(own, other, seeds), len(domains)
    return Number(POINTS * mean, low=POINTS * (mean - math.sqrt(below) / count),
                  high=POINTS * (mean + math.sqrt(above) / count), signed=True) if domains else None


def _absent(cell: Cell, seeds: Sequence[int]) -> Absent:
    """How its runs count absent classes: all runs of a table alike, as that is part of the protocol."""
    told = {cell.finished[seed].config.get("evaluation.absent_classes", "skip") for seed in seeds}
    return "zero" if told == {"zero"} else "skip"


def _mean_difference(a: Mapping[int, float], b: Mapping[int, float], seeds: Sequence[int]) -> float:
    """nan where a seed lacks its value."""
    return mean_sd([a.get(seed, math.nan) - b.get(seed, math.nan) for seed in seeds]).mean


def _matrices(record: Record, domain: str, confusions: Confusions) -> NDArray[Any] | None:
    run = confusions.get(record.fingerprint)
    return None if run is None else run.get(domain)


def _sentences(baseline: Cell, others: Sequence[Cell], comparisons: Sequence[Comparison], images: bool) -> list[str]:
    sentences = [f"Each cell minus {baseline.label}, paired by seed: mIoU in points, with the 95 % interval over seeds "
                 "(Student's t)."]
    if not baseline.finished:
        return [*sentences, f"{baseline.label} has no finished run, so that nothing can be compared."]
    counts = [each.difference.n for each in comparisons if each.difference.n]
    if not counts:
        return [*sentences, "No other cell has a finished run of the same seed."]
    tested = sum(not math.isnan(each.p_holm) for each in comparisons)
    least, most = min(counts), max(counts)
    if tested:
        untested = f" Differences of fewer than {LEAST} pairs are not tested." if least < LEAST else ""
        sentences.append(f"*: p < {ALPHA} after Holm over the table's {tested} comparisons; the others are not "
                         "distinguishable from 0. p: of the paired t-test alone. g: mean of the paired "
                         "differences over their s.d. (Hedges)." + untested)
    sentences.append(f"{least} pair{'' if least == 1 else 's'} a difference: {evidence(least)}." if least == most else
                     f"{least} to {most} pairs a difference; {least}: {evidence(least)}; {most}: {evidence(most)}.")
    sentences += _power(others, baseline, most)
    if images:
        sentences.append("Other images: the 95 % interval of a bootstrap over test images, the same for both cells, "
                         "with these seeds: noise of the test set, apart from that of the seeds.")
    return sentences


def _power(others: Sequence[Cell], baseline: Cell, most: int) -> list[str]:
    """What difference this many seeds would have found, given how much the differences vary."""
    against = baseline.values(TARGET_MEAN)
    spreads = []
    for cell in others:
        values = cell.values(TARGET_MEAN)
        pairs = [values[seed] - against[seed] for seed in sorted(values.keys() & against.keys())]
        spreads += [mean_sd(pairs).sd] if len(pairs) >= LEAST else []
    median = statistics.median(spreads or [0.0])
    if median == 0 or most < LEAST:  # equal differences say nothing of what a seed would change
        return []
    found = detectable_difference(median, most)
    return [f"The s.d. of a difference in the target mean is {POINTS * median:.2f} points (median): {most} seeds find "
            f"a difference of {POINTS * found:.2f} points or more with 80 % power, before Holm."]
