"""Summary measures of the adapters of every cell, with their values at the start and by chance."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from recyclelora.adapters.diagnostics import DEFINITIONS
from recyclelora.tables.cells import Cell
from recyclelora.tables.figures import canvas
from recyclelora.tables.figures.intervals import draw_span, limits, span_of

COLUMNS = 2
MEASURES = ("rank_efficiency", "grassmann", "drift", "subspace_drift", "column_ratio")


class Look(NamedTuple):
    """How one adapter, or what lies between two, is named and drawn."""

    name: str
    colour: str
    marker: str


LOOKS = {"main": Look("main", canvas.BLUE, "o"), "sub": Look("sub", canvas.RED, "s"),
         "both": Look("both together", canvas.SERIES[2], "^"),
         "between_a": Look("main and sub, rows of A", canvas.SERIES[3], "D"),
         "between_b": Look("main and sub, columns of B", canvas.SERIES[4], "v")}


def adapters(cells: Sequence[Cell], measures: Sequence[str] = MEASURES) -> canvas.Drawing:
    """A panel per measure of `adapters.DEFINITIONS` that any cell has, a line per cell that has any: the records'
    `adapter/<measure>/<which>`, with `adapter_start/...` and `adapter/<measure>_chance/...` where these are there too.
    Raises ValueError where no cell has any of it."""
    found = {measure: which for measure in measures if (which := tuple(
        which for which in LOOKS if any(cell.values(f"adapter/{measure}/{which}") for cell in cells)))}
    if not found:
        raise ValueError("no cell has any of these measures of adapters")
    shown = [cell for cell in cells if any(cell.values(f"adapter/{measure}/{which}")
                                           for measure, some in found.items() for which in some)]
    used = [which for which in LOOKS if any(which in some for some in found.values())]

    def paint(figure: Figure) -> None:
        panels = canvas.lay_panels(figure, len(found), COLUMNS)
        canvas.lay_rows(panels, [canvas.wrap(cell.label) for cell in shown], COLUMNS)
        for panel, (measure, some) in zip(panels, found.items(), strict=True):
            panel.set_title(canvas.name_of(measure))
            _draw_panel(panel, shown, measure, some)
        figure.legend(handles=[Line2D([], [], color=LOOKS[which].colour, marker=LOOKS[which].marker, markersize=5,
                                      linewidth=1.6, label=LOOKS[which].name) for which in used],
                      loc="outside lower left", ncols=3)

    rows, height = -(-len(found) // COLUMNS), 0.18 * max(map(len, found.values()))
    return canvas.draw(canvas.WIDTH, canvas.rows_height(len(shown), rows, line=height + 0.08) + 0.4, paint,
                       _says(list(found), chance=any(f"{measure}_chance" in DEFINITIONS for measure in found)))


def _draw_panel(panel: Axes, cells: Sequence[Cell], measure: str, some: Sequence[str]) -> None:
    def means(prefix: str) -> dict[tuple[int, str], float]:
        return {(row, which): span_of(cell.values(f"{prefix}/{which}")).mean for row, cell in enumerate(cells)
                for which in some}

    spans = {(row, which): span_of(cell.values(f"adapter/{measure}/{which}")) for row, cell in enumerate(cells)
             for which in some}
    starts, chances = means(f"adapter_start/{measure}"), means(f"adapter/{measure}_chance")
    panel.set_xlim(limits(list(spans.values()), [*starts.values(), *chances.values()]))
    places = _places(some)
    for (row, which), span in spans.items():
        look, y = LOOKS[which], row + places[which]
        draw_span(panel, y, span, look.colour, marker=look.marker)
        if math.isfinite(start := starts[row, which]):
            panel.plot([start], [y], "|", color=look.colour, markersize=8, markeredgewidth=1.3)
        if math.isfinite(chance := chances[row, which]):
            panel.plot([chance, chance], [y - 0.2, y + 0.2], color=look.colour, linewidth=1.1,
                       linestyle=(0, (1.2, 1.2)))


def _places(some: Sequence[str]) -> Mapping[str, float]:
    """Where in its line each adapter stands, evenly around the middle."""
    step = 0.8 / max(2, len(some))
    return {which: step * (place - (len(some) - 1) / 2) - 0.06 for place, which in enumerate(some)}


def _says(measures: Sequence[str], *, chance: bool) -> str:
    defined = " ".join(f"{canvas.name_of(measure).capitalize()}: {DEFINITIONS[measure]}" for measure in measures
                       if measure in DEFINITIONS)
    return ("Drawn: measures of the trained adapters, each the mean over the adapted layers of a run. Faint dots: "
            "single seeds; large marks: their mean; bars: 95 % intervals (Student's t over seeds); upright ticks: the "
            f"same before training{'; dotted: random spaces of the same sizes' if chance else ''}. {defined}")
