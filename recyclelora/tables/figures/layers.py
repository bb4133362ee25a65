"""A measure of the adapters over the layers of the backbone."""

import re
import statistics
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from recyclelora.adapters.diagnostics import DEFINITIONS
from recyclelora.tables.figures import canvas
from recyclelora.tables.figures.adapter_plots import LOOKS

Layers = Sequence[tuple[str, Mapping[str, float]]]  # of one run: layer -> `adapter/<measure>/<which>` -> value
HEIGHT = 2.1  # inches of a panel


def layers(runs: Mapping[str, Mapping[int, Layers]], measure: str) -> canvas.Drawing:
    """`runs`: cell -> seed -> its layers in the model's order. A panel per adapter that has the measure, a line per
    cell. Raises ValueError where no layer has it."""
    names = tuple(dict.fromkeys(name for seeds in runs.values() for some in seeds.values() for name, _ in some))
    values = {which: lines for which in LOOKS if (lines := _lines(runs, f"adapter/{measure}/{which}"))}
    if not values:
        raise ValueError(f"no layer has {measure}")
    labels = [label for label in runs if any(label in lines for lines in values.values())]

    def paint(figure: Figure) -> None:
        panels, handles = canvas.lay_panels(figure, len(values), 1, sharex=True), {}
        for panel, (which, lines) in zip(panels, values.items(), strict=True):
            panel.set_title(LOOKS[which].name)
            panel.set_ylabel(canvas.wrap(canvas.name_of(measure), 22))
            panel.grid(axis="y")
            for label, line in lines.items():
                handles[label] = _draw_line(panel, names, line, labels.index(label))
        _mark_blocks(panels, names)
        figure.legend([handles[label] for label in labels], [canvas.wrap(label, 34, 1) for label in labels],
                      loc="outside lower left", ncols=3, handlelength=2.6)

    height = len(values) * HEIGHT + 0.35 + 0.18 * -(-len(labels) // 3)
    return canvas.draw(canvas.WIDTH, height, paint, f"Drawn: {canvas.name_of(measure)} of every adapted layer after "
                       "training, in the order of the backbone, its blocks set apart by rules. Lines: mean over seeds; "
                       "bands: ± one sample standard deviation over seeds. Lines join layers for the eye only. "
                       f"{DEFINITIONS.get(measure, '')}".strip())


def _lines(runs: Mapping[str, Mapping[int, Layers]], metric: str) -> dict[str, dict[str, list[float]]]:
    """Cell -> layer -> the values of its seeds, of those that have any."""
    found: dict[str, dict[str, list[float]]] = {}
    for label, seeds in runs.items():
        for _, some in sorted(seeds.items()):
            for name, numbers in some:
                if metric in numbers:
                    found.setdefault(label, {}).setdefault(name, []).append(numbers[metric])
    return found


def _draw_line(panel: Axes, names: Sequence[str], line: Mapping[str, Sequence[float]], place: int) -> Line2D:
    x = [index for index, name in enumerate(names) if name in line]
    found = [line[names[index]] for index in x]
    mean = [statistics.fmean(some) for some in found]
    sd = [statistics.stdev(some) if len(some) > 1 else 0.0 for some in found]
    colour = canvas.SERIES[place % len(canvas.SERIES)]
    panel.fill_between(x, [m - s for m, s in zip(mean, sd, strict=True)],
                       [m + s for m, s in zip(mean, sd, strict=True)], color=colour, alpha=0.15, linewidth=0)
    return panel.plot(x, mean, color=colour, linestyle=canvas.DASHES[place % len(canvas.DASHES)], linewidth=1.3,
                      marker=canvas.MARKERS[place % len(canvas.MARKERS)], markersize=2.6)[0]


def _mark_blocks(panels: Sequence[Axes], names: Sequence[str]) -> None:
    """Rules between blocks, and each block's number below its middle."""
    blocks = [found[1] if (found := re.search(r"(?:^|\.)(\d+)(?:\.|$)", name)) else "" for name in names]
    starts = [place for place in range(len(names)) if place == 0 or blocks[place] != blocks[place - 1]]
    ends = [*starts[1:], len(names)]
    for panel in panels:
        for start in starts[1:]:
            panel.axvline(start - 0.5, color=canvas.RULE, linewidth=0.7, zorder=0)
        panel.set_xlim(-0.5, len(names) - 0.5)
        panel.set_xticks([(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)],
                         [blocks[start] for start in starts])
        panel.tick_params(axis="x", length=0)
    panels[-1].set_xlabel("block" if any(blocks) else "layer")
