"""A value with its interval and the seeds behind it, as one line of a figure."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from recyclelora.tables.figures.canvas import PAPER
from recyclelora.tables.statistics import Difference, paired_difference

BELOW = 0.2  # where the seeds stand, in lines, so that they and the bar do not hide each other


class Span(NamedTuple):
    """A mean over n seeds, its 95 % interval (infinite ends: so few seeds bound nothing), and the seeds' values where
    these are known."""

    mean: float
    low: float
    high: float
    n: int
    seeds: tuple[float, ...] = ()


def span_of(values: Mapping[int, float], scale: float = 1.0) -> Span:
    """The mean over seeds with Student's t interval."""
    return span_from(paired_difference(values, dict.fromkeys(values, 0.0)), values, scale)


def span_from(difference: Difference, seeds: Mapping[int, float], scale: float = 1.0) -> Span:
    return Span(difference.difference * scale, difference.low * scale, difference.high * scale, difference.n,
                tuple(seeds[seed] * scale for seed in sorted(seeds)))


def limits(spans: Sequence[Span], include: Sequence[float] = ()) -> tuple[float, float]:
    """Ends of an axis that shows every seed and every interval over at least three. Two seeds bound so little that
    their interval would push all else into a corner: it may run out of the picture."""
    shown = [value for span in spans for value in (*span.seeds, span.mean)] + list(include)
    shown += [end for span in spans if span.n > 2 for end in (span.low, span.high)]
    shown = [value for value in shown if math.isfinite(value)]
    if not shown:
        return 0.0, 1.0
    margin = 0.06 * (max(shown) - min(shown)) or 0.05 * abs(shown[0]) or 0.05
    return min(shown) - margin, max(shown) + margin


def draw_span(panel: Axes, y: float, span: Span, colour: str, *, filled: bool = True, marker: str = "o") -> None:
    """Seeds faintly below, the interval as a bar, the mean on top. A bar that leaves the picture ends in an arrow."""
    left, right = panel.get_xlim()
    panel.scatter(span.seeds, [y + BELOW] * len(span.seeds), s=10, color=colour, alpha=0.4, linewidths=0, zorder=2)
    if math.isfinite(span.low) and span.n > 1:
        panel.plot([max(span.low, left), min(span.high, right)], [y, y], color=colour, linewidth=1.6,
                   solid_capstyle="butt", zorder=3)
        for end, beyond, head in ((left, span.low < left, "<"), (right, span.high > right, ">")):
            if beyond:
                panel.plot([end], [y], head, color=colour, markersize=4, clip_on=False, zorder=3)
    if math.isfinite(span.mean):
        panel.plot([span.mean], [y], marker, markersize=5.2, markeredgewidth=1.3, markeredgecolor=colour,
                   markerfacecolor=colour if filled else PAPER, zorder=4)
