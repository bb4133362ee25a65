"""Factorial designs: main effects and interactions as a forest plot, and the means that they come from."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recyclelora.tables.comparisons import ALPHA, LEAST, probability
from recyclelora.tables.effects import Crossing, label_effect
from recyclelora.tables.factorial import factorial_effects
from recyclelora.tables.figures import canvas
from recyclelora.tables.figures.intervals import Span, draw_span, limits, span_from, span_of
from recyclelora.tables.measures import scale_of
from recyclelora.tables.statistics import holm

Values = Mapping[tuple[object, ...], Mapping[int, float]]  # level of each factor -> seed -> value
COLUMNS = 2
HEIGHT = 2.7  # inches of a panel


def effects(crossing: Crossing, metrics: Sequence[str]) -> canvas.Drawing:
    """A panel per metric, a line per effect; p is adjusted over all of them, as in the table of the same metrics.
    Raises ValueError where the crossing is empty."""
    if not crossing.cells or not metrics:
        raise ValueError(f"no effect to draw: {crossing.lacks or 'no metric'}")
    taken = {metric: factorial_effects(crossing.values(metric), crossing.factors) for metric in metrics}
    tested = [each.difference.p if each.difference.n >= LEAST else math.nan for some in taken.values() for each in some]
    adjusted = iter(holm(tested))
    lines = {metric: [(each, next(adjusted)) for each in some] for metric, some in taken.items()}
    labels = [canvas.plain(label_effect(each, crossing)).replace(" × ", "\n× ") for each in taken[metrics[0]]]

    def paint(figure: Figure) -> None:
        panels = canvas.lay_panels(figure, len(metrics), COLUMNS)
        canvas.lay_rows(panels, labels, COLUMNS)
        alike = {metric: [span_from(each.difference, {}, scale_of(metric)) for each in some]
                 for metric, some in taken.items()}
        for metric, panel in zip(metrics, panels, strict=True):
            panel.set_xlim(limits([span for some in alike.values() for span in some], include=[0.0]))
            panel.axvline(0, color=canvas.INK, linewidth=0.9, zorder=1)
            panel.set_title(canvas.name_of(metric))
            panel.set_xlabel("mIoU, percentage points")
            for row, ((each, p), span) in enumerate(zip(lines[metric], alike[metric], strict=True)):
                colour = canvas.BLUE if p < ALPHA else canvas.FAINT
                draw_span(panel, row, span, colour, filled=p < ALPHA, marker="o" if len(each.factors) == 1 else "D")
                panel.text(1.03, row, ("" if math.isnan(p) else f"p {probability(p)}, ") + f"n {span.n}", va="center",
                           transform=panel.get_yaxis_transform(), fontsize=7, color=colour)

    rows = -(-len(metrics) // COLUMNS)
    return canvas.draw(canvas.WIDTH, canvas.rows_height(len(labels), rows), paint,
                       "Drawn: dots are main effects, a level minus the first level of its factor, averaged over the "
                       "other factors; diamonds are interactions, a difference of two such differences. Bars: 95 % "
                       "intervals over seeds (Student's t, paired by seed, each for itself). Filled: p < 0.05 after "
                       "Holm's correction over all effects drawn; hollow: not distinguishable from 0.")


def _short(factor: str) -> str:
    """`adapter.main.rank` is "main.rank", as in the labels of cells."""
    return canvas.plain(factor.partition(".")[2] or factor)


def interactions(values: Values, factors: Sequence[str], metric: str) -> canvas.Drawing:
    """A panel per pair of factors: along x the levels of the first, a line per level of the second, each averaged over
    all other factors. Levels that are numbers are in their order, others as
    `values` names them. Raises ValueError for fewer than two factors
    or a crossing with a hole."""
    levels = [_ordered(dict.fromkeys(key[place] for key in values)) for place in range(len(factors))]
    if len(factors) < 2 or len(values) != math.prod(map(len, levels)):
        raise ValueError("expected values for every combination of two or more factors")
    pairs = list(combinations(range(len(factors)), 2))
    scale = scale_of(metric)
    spans = {pair: {(x, line): span_of(_average(values, pair, (x, line)), scale)
                    for x in levels[pair[0]] for line in levels[pair[1]]} for pair in pairs}

    def paint(figure: Figure) -> None:
        panels = canvas.lay_panels(figure, len(pairs), 2, sharey=True)
        for panel, (first, second) in zip(panels, pairs, strict=True):
            _draw_lines(panel, spans[first, second], levels[first], levels[second])
            panel.set_xlabel(_short(factors[first]))
            panel.set_ylabel(f"{canvas.name_of(metric)}, {canvas.unit_of(metric)}".rstrip(", "))
            # above the axes: inside there is no place that no bar reaches
            panel.legend(title=_short(factors[second]), title_fontsize=7.5, loc="lower center",
                         bbox_to_anchor=(0.5, 1.0), ncols=min(4, len(levels[second])), handlelength=2.4)
        panels[0].set_ylim(*limits([span for some in spans.values() for span in some.values()]))

    return canvas.draw(canvas.WIDTH if len(pairs) > 1 else canvas.WIDTH * 0.66, -(-len(pairs) // 2) * HEIGHT, paint,
                       f"Drawn: mean of {canvas.name_of(metric)} over seeds at each level of two factors, averaged "
                       "over all other factors; bars: 95 % intervals (Student's t over seeds). Lines that are not "
                       "parallel show an interaction; whether it is more than noise, the effects say, paired by seed.")


def _ordered(levels: Iterable[object]) -> tuple[object, ...]:
    some = tuple(levels)
    try:
        return tuple(sorted(some, key=lambda level: float(str(level))))
    except ValueError:
        return some


def _average(values: Values, pair: tuple[int, int], at: tuple[object, object]) -> dict[int, float]:
    """Mean over the other factors, for each seed that all these cells have."""
    some = [seeds for key, seeds in values.items() if (key[pair[0]], key[pair[1]]) == at]
    shared = set.intersection(*(set(seeds) for seeds in some))
    return {seed: math.fsum(seeds[seed] for seeds in some) / len(some) for seed in sorted(shared)}


def _draw_lines(panel: Axes, spans: Mapping[tuple[object, object], Span], along: Sequence[object],
                lines: Sequence[object]) -> None:
    panel.grid(axis="y")
    panel.set_xlim(-0.4, len(along) - 0.6)
    panel.set_xticks(range(len(along)), [canvas.wrap(level, 14) for level in along])
    for place, line in enumerate(lines):
        colour, marker = canvas.SERIES[place % len(canvas.SERIES)], canvas.MARKERS[place % len(canvas.MARKERS)]
        shift = 0.09 * (place - (len(lines) - 1) / 2)  # so that bars stand beside each other
        x = [index + shift for index in range(len(along))]
        shown = [spans[level, line] for level in along]
        panel.plot(x, [span.mean for span in shown], color=colour, marker=marker, markersize=4.5, linewidth=1.3,
                   linestyle=canvas.DASHES[place % len(canvas.DASHES)], label=f" {canvas.wrap(line, 18, 1)}")
        for at, span in zip(x, shown, strict=True):
            if math.isfinite(span.low):
                panel.plot([at, at], [span.low, span.high], color=colour, linewidth=1.1, alpha=0.7)
