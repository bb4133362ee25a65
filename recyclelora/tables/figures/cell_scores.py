"""Every cell of an ablation: seeds, mean and interval."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from recyclelora.tables.cells import Cell
from recyclelora.tables.figures import canvas
from recyclelora.tables.figures.intervals import draw_span, limits, span_of
from recyclelora.tables.measures import scale_of

COLUMNS = 2


def cells(cells: Sequence[Cell], metrics: Sequence[str], chance: Mapping[str, float] | None = None) -> canvas.Drawing:
    """A panel per metric, a line per cell in the order given. `chance` is what guessing scores, as recorded, by
    metric. Raises ValueError without a cell or a metric."""
    if not cells or not metrics:
        raise ValueError("no cell or no metric to draw")
    guessed = {metric: value * scale_of(metric) for metric, value in (chance or {}).items() if metric in metrics}

    def paint(figure: Figure) -> None:
        panels = canvas.lay_panels(figure, len(metrics), COLUMNS)
        canvas.lay_rows(panels, [canvas.wrap(cell.label) for cell in cells], COLUMNS)
        for metric, panel in zip(metrics, panels, strict=True):
            spans = [span_of(cell.values(metric), scale_of(metric)) for cell in cells]
            include = [guessed[metric]] if metric in guessed else []
            panel.set_xlim(limits(spans, include))
            panel.set_title(canvas.name_of(metric))
            panel.set_xlabel(canvas.unit_of(metric))
            for value in include:
                panel.axvline(value, color=canvas.FAINT, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
                panel.annotate("chance", (value, -0.45), (3, 0), textcoords="offset points", fontsize=7, va="center",
                               color=canvas.FAINT)
            for row, span in enumerate(spans):
                draw_span(panel, row, span, canvas.BLUE)

    rows = -(-len(metrics) // COLUMNS)
    guessing = " Dotted: what guessing scores." if guessed else ""
    return canvas.draw(canvas.WIDTH, canvas.rows_height(len(cells), rows), paint,
                       "Drawn: each cell's value. Small dots: single seeds. Large dot: their mean; bar: its 95 % "
                       "interval (Student's t over seeds; none for a single run). Cells share their seeds, so that a "
                       f"difference can be clear where these intervals overlap.{guessing}")
