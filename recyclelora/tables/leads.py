"""Finds the leads in a table that are more than noise. Only those are marked."""

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from recyclelora.tables.cells import Cell
from recyclelora.tables.comparisons import ALPHA, LEAST
from recyclelora.tables.measures import copies_of, grounds_of, mixed
from recyclelora.tables.sheet import Mark
from recyclelora.tables.statistics import Difference, holm, paired_difference
from recyclelora.trials.record import Record


class Marks(NamedTuple):
    """`of` holds the mark of (cell, metric), `undecided` the metrics in which no cell leads by more than noise, and
    `tested` how many leads were tested."""

    of: dict[tuple[str, str], Mark]
    undecided: tuple[str, ...]
    tested: int


class Lead(NamedTuple):
    """Of the cell at `rank` (0: the highest mean) over the next."""

    metric: str
    rank: int
    label: str
    difference: Difference


def mark_leads(cells: Sequence[Cell], metrics: Sequence[str], records: Sequence[Record]) -> Marks:
    """Marks the best of a column where its lead over the runner-up is clear (95 % interval of the pairs above 0, p
    below 0.05 after Holm over all leads of the table), and then the second where its lead over the third is.

    A leader has all its planned seeds: where a cell that lacks some has the highest mean, nothing is marked."""
    copies, apart = copies_of(records), mixed(grounds_of(records, metrics))
    candidates = [metric for metric in metrics if metric not in copies and metric not in apart]
    tables = {metric: {cell.label: values for cell in cells if (values := cell.values(metric))}
              for metric in candidates}
    planned = {cell.label: len(cell.planned) for cell in cells}
    leads = [lead for metric in candidates for lead in _leads(metric, tables[metric], planned)]
    adjusted = holm([lead.difference.p for lead in leads])
    clear = {(lead.metric, lead.rank): lead.label for lead, p in zip(leads, adjusted, strict=True)
             if p < ALPHA and lead.difference.low > 0}
    marks: dict[tuple[str, str], Mark] = {}
    for metric in metrics:
        shown = copies.get(metric, metric)
        if (shown, 0) in clear:
            marks[clear[shown, 0], metric] = "best"
            if (shown, 1) in clear:
                marks[clear[shown, 1], metric] = "second"
    undecided = [metric for metric in candidates if len(tables[metric]) > 1 and (metric, 0) not in clear]
    return Marks(marks, tuple(undecided), len(leads))


def _leads(metric: str, values: Mapping[str, Mapping[int, float]], planned: Mapping[str, int]) -> list[Lead]:
    """Those of the first over the second and of the second over the third that can be tested."""
    means = {label: statistics.fmean(some.values()) for label, some in values.items()}
    order = sorted(means, key=lambda label: -means[label])
    leads = [Lead(metric, rank, ahead, paired_difference(values[ahead], values[behind]))
             for rank, (ahead, behind) in enumerate(zip(order[:2], order[1:3], strict=False))]
    return [lead for lead in leads if len(values[lead.label]) == planned[lead.label] and lead.difference.n >= LEAST]
