"""Forest plot of paired differences against a baseline."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recyclelora.tables.cells import Cell
from recyclelora.tables.comparisons import Comparison, probability
from recyclelora.tables.figures import canvas
from recyclelora.tables.figures.intervals import Span, draw_span, limits, span_from
from recyclelora.tables.measures import scale_of

COLUMNS = 2
SHORT = 12  # letters of a baseline's name that the axis has room for


def differences(comparisons: Sequence[Comparison], cells: Sequence[Cell] = ()) -> canvas.Drawing:
    """A panel per metric, a line per comparison, in the order given. `cells` supply the seeds' own differences, which
    are left out without them. Raises ValueError where there is nothing to compare."""
    if not comparisons:
        raise ValueError("no comparison to draw")
    metrics = tuple(dict.fromkeys(each.metric for each in comparisons))
    against = tuple(dict.fromkeys(each.against for each in comparisons))
    labels = {(each.cell, each.against): each.cell if len(against) == 1 else f"{each.cell} − {each.against}"
              for each in comparisons}
    by_label = {cell.label: cell for cell in cells}

    def paint(figure: Figure) -> None:
        panels = canvas.lay_panels(figure, len(metrics), COLUMNS)
        canvas.lay_rows(panels, [canvas.wrap(label) for label in labels.values()], COLUMNS)
        spans = {metric: {(each.cell, each.against): _span(each, by_label) for each in comparisons
                          if each.metric == metric} for metric in metrics}
        everything = [span for some in spans.values() for span in some.values()]
        alike = len({canvas.unit_of(metric) for metric in metrics}) == 1
        for metric, panel in zip(metrics, panels, strict=True):  # one unit, one scale: lengths may be compared
            panel.set_xlim(limits(everything if alike else list(spans[metric].values()), include=[0.0]))
            panel.axvline(0, color=canvas.INK, linewidth=0.9, zorder=1)
            panel.set_title(canvas.name_of(metric))
            for row, key in enumerate(labels):
                if key in spans[metric]:
                    found = next(each for each in comparisons
                                 if each.metric == metric and (each.cell, each.against) == key)
                    _draw_row(panel, row, spans[metric][key], found)
        for panel in panels[-COLUMNS:]:
            panel.set_xlabel(_axis(metrics, against))

    rows = -(-len(metrics) // COLUMNS)
    return canvas.draw(canvas.WIDTH, canvas.rows_height(len(labels), rows), paint, _says(metrics, against))


def _span(comparison: Comparison, cells: Mapping[str, Cell]) -> Span:
    seeds: dict[int, float] = {}
    if comparison.cell in cells and comparison.against in cells:
        own, other = (cells[label].values(comparison.metric) for label in (comparison.cell, comparison.against))
        seeds = {seed: own[seed] - other[seed] for seed in own.keys() & other.keys()}
    return span_from(comparison.difference, seeds, scale_of(comparison.metric))


def _draw_row(panel: Axes, row: int, span: Span, comparison: Comparison) -> None:
    clear = comparison.clear
    draw_span(panel, row, span, canvas.BLUE if clear else canvas.FAINT, filled=clear)
    known = "" if math.isnan(comparison.p_holm) else f"p {probability(comparison.p_holm)}, "
    panel.text(1.03, row, f"{known}n {span.n}", transform=panel.get_yaxis_transform(), va="center", fontsize=7,
               color=canvas.INK if clear else canvas.FAINT)


def _axis(metrics: Sequence[str], against: Sequence[str]) -> str:
    unit = "mIoU, percentage points" if all(metric.startswith("miou/") for metric in metrics) else "difference"
    if len(against) > 1:
        return unit
    name = canvas.plain(against[0])  # a long one would run into the next panel
    return f"{unit}, relative to {name if len(name) <= SHORT else 'the baseline'}"


def _says(metrics: Sequence[str], against: Sequence[str]) -> str:
    what = "difference in mIoU (percentage points)" if metrics[0].startswith("miou/") else "difference"
    whom = f"each cell's {what} to {canvas.plain(against[0])}" if len(against) == 1 else f"the {what} of two cells"
    return (f"Drawn: {whom}, paired by seed. Small dots: single seeds. Large mark: their mean; bar: its 95 % interval "
            "(Student's t over n pairs, not corrected for the number of lines; arrow heads: it goes on beyond the "
            "picture). Filled: p < 0.05 after Holm's correction over all comparisons of the table; hollow: not "
            "distinguishable from 0. The p beside a line is the corrected one; fewer than three pairs have none.")
