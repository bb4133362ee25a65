"""Figures: marks stand where the numbers say, and equal data give equal bytes on any machine."""

import base64
import hashlib
import io
import math
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from recyclelora.adapters.diagnostics import DEFINITIONS
from recyclelora.tables import figures
from recyclelora.tables.cells import Cell
from recyclelora.tables.comparisons import Comparison
from recyclelora.tables.effects import Crossing
from recyclelora.tables.factorial import factorial_effects
from recyclelora.tables.figures import Drawing, canvas
from recyclelora.tables.statistics import mean_sd, paired_difference
from recyclelora.trials.record import Record

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
METRIC, OTHER = "miou/target_mean", "miou/source"
HOSTILE = 'a <script>alert("x")</script> & $x_1$ \\textbf{b} \0\x1b \u202e'


def cell(label: str, values: dict[str, Sequence[float]], planned: int | None = None) -> Cell:
    seeds = max((len(some) for some in values.values()), default=0)
    records = {seed: Record(fingerprint=f"{label}-{seed}", config={}, outcome="finished",
                            metrics={name: some[seed] for name, some in values.items() if seed < len(some)})
               for seed in range(seeds)}
    return Cell(label, {}, tuple(range(planned or seeds)), records)


CELLS = [cell("base", {METRIC: [0.10, 0.12, 0.11, 0.13, 0.10], OTHER: [0.2, 0.21, 0.22, 0.2, 0.19]}),
         cell("better", {METRIC: [0.15, 0.18, 0.15, 0.19, 0.16], OTHER: [0.21, 0.2, 0.25, 0.2, 0.18]}),
         cell("much the same", {METRIC: [0.09, 0.13, 0.12, 0.11, 0.12], OTHER: [0.1, 0.11, 0.12, 0.1, 0.19]})]


def compared(cells: Sequence[Cell], p: Sequence[float], metric: str = METRIC) -> list[Comparison]:
    base = cells[0]
    return [Comparison(each.label, base.label, metric, paired_difference(each.values(metric), base.values(metric)),
                       adjusted, 0.0) for each, adjusted in zip(cells[1:], p, strict=True)]


def adapted(label: str, shift: float = 0.0) -> Cell:
    numbers = {"rank_efficiency/main": 0.8, "rank_efficiency/sub": 0.6, "drift/main": 1.5, "grassmann/between_a": 0.1,
               "grassmann_chance/between_a": 0.03}
    end = {f"adapter/{name}": [value + shift + 0.01 * seed for seed in range(3)] for name, value in numbers.items()}
    return cell(label, {**end, "adapter_start/rank_efficiency/main": [1.0] * 3})


def profile(offset: float) -> list[tuple[str, dict[str, float]]]:
    return [(f"blocks.{block}.{role}", {"adapter/drift/main": block + offset, "adapter/drift/sub": 1.0})
            for block in range(4) for role in ("attn.qkv", "mlp.fc1")]


def crossing() -> Crossing:
    cells = {(end, rate): cell(f"{end} {rate}", {METRIC: [0.1 + 0.01 * i + 0.02 * j * i + 0.001 * s * (i - j)
                                                          for s in range(5)], OTHER: [0.2 + 0.01 * s for s in range(5)]})
             for i, end in enumerate(("minor", "major")) for j, rate in enumerate(("10", "0.5", "2"))}
    return Crossing(("adapter.main.end", "adapter.rate"), (("minor", "major"), ("10", "0.5", "2")), cells)


def square(rank: int, off: float) -> np.ndarray:
    return np.where(np.eye(rank) > 0, 1.0, off)


MADE: dict[str, Callable[[], Drawing]] = {
    "differences": lambda: figures.differences(compared(CELLS, [0.01, 0.5]), CELLS),
    "cells": lambda: figures.cells(CELLS, [METRIC, OTHER], {METRIC: 0.05}),
    "effects": lambda: figures.effects(crossing(), [METRIC, OTHER]),
    "interactions": lambda: figures.interactions(crossing().values(METRIC), crossing().factors, METRIC),
    "adapters": lambda: figures.adapters([adapted("one"), adapted("two", 0.05)]),
    "layers": lambda: figures.layers({"one": {0: profile(0), 1: profile(0.2)}, "_two": {0: profile(1)}}, "drift"),
    "cosines": lambda: figures.cosines({"a_main": square(8, 0.3), "start/a_main": square(8, 0.0),
                                        "b_main": square(8, 0.1)}),
}


# reading a figure back


def texts(drawing: Drawing) -> list[str]:
    return ["".join(text.itertext()).strip() for text in ET.fromstring(drawing.svg).iter(f"{SVG}text")]


def scale(drawing: Drawing, axis: str, panel: int = 0) -> Callable[[float], float]:
    """Pixels -> value along an axis, from its grid lines and the numbers at them."""
    ticks = []
    axes = [group for group in ET.fromstring(drawing.svg).iter(f"{SVG}g") if group.get("id", "").startswith("axes_")]
    number = {"x": 1, "y": 2}[axis]
    found = next(group for group in axes[panel].iter(f"{SVG}g")
                 if re.fullmatch(rf"matplotlib\.axis_{2 * panel + number}", group.get("id", "")))
    for tick in (group for group in found if "tick" in group.get("id", "")):
        text = "".join(next(tick.iter(f"{SVG}text")).itertext())
        line = re.match(r"M ([\d.]+) ([\d.]+)", next(tick.iter(f"{SVG}path")).get("d", ""))
        ticks.append((float(line[number]), float(text.replace("\u2212", "-"))))  # type: ignore[index]
    (x0, v0), (x1, v1) = ticks[0], ticks[-1]
    return lambda x: v0 + (x - x0) * (v1 - v0) / (x1 - x0)


def marks(drawing: Drawing, colour: str, panel: int = 0) -> list[tuple[float, float]]:
    """Paths of the marks with that edge colour, in pixels."""
    axes = [group for group in ET.fromstring(drawing.svg).iter(f"{SVG}g") if group.get("id") == f"axes_{panel + 1}"]
    return [(float(use.get("x")), float(use.get("y"))) for use in axes[0].iter(f"{SVG}use")
            if f"stroke: {colour}" in use.get("style", "")]


def seeds(drawing: Drawing, panel: int = 0) -> list[float]:
    """x of the faint dots, in pixels."""
    axes = [group for group in ET.fromstring(drawing.svg).iter(f"{SVG}g") if group.get("id") == f"axes_{panel + 1}"]
    return [float(use.get("x")) for group in axes[0].iter(f"{SVG}g")
            if group.get("id", "").startswith("PathCollection") for use in group.iter(f"{SVG}use")]


def bars(drawing: Drawing, colour: str) -> list[tuple[float, float]]:
    """Ends of the horizontal lines of that colour, in pixels."""
    found = []
    for path in ET.fromstring(drawing.svg).iter(f"{SVG}path"):
        line = re.fullmatch(r"M ([\d.]+) ([\d.]+)\s+L ([\d.]+) ([\d.]+)\s*", path.get("d", ""))
        if line and line[2] == line[4] and f"stroke: {colour}; stroke-width: 1.6" in path.get("style", ""):
            found.append((float(line[1]), float(line[3])))
    return found


# all of them


@pytest.mark.parametrize("name", MADE)
def test_a_figure_is_whole_svg_that_says_what_it_draws(name: str) -> None:
    drawing = MADE[name]()
    root = ET.fromstring(drawing.svg)
    assert root.tag == f"{SVG}svg" and drawing.says.startswith("Drawn: ")
    assert root.find(f"{SVG}desc").text == drawing.says  # type: ignore[union-attr]
    assert texts(drawing) and "DejaVu" not in drawing.svg and "<!--" not in drawing.svg
    assert not re.search(r"dc:date|<metadata|matplotlib v", drawing.svg)
    assert len(drawing.svg) < 200_000


@pytest.mark.parametrize("name", MADE)
def test_equal_data_give_equal_bytes_whatever_matplotlib_is_told(name: str) -> None:
    first = MADE[name]().svg
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "other", "lines.linewidth": 9,
                                "axes.grid": True, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        assert MADE[name]().svg == first
        assert dict(matplotlib.rcParams) == before


@pytest.mark.slow
def test_another_process_draws_the_same_and_never_meets_pyplot() -> None:
    code = ("import sys; from tests.test_figures import MADE; svg = [MADE[name]().svg for name in MADE];"
            "assert 'matplotlib.pyplot' not in sys.modules; import hashlib;"
            "print(hashlib.sha256(''.join(svg).encode()).hexdigest())")
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           env={**os.environ, "PYTHONHASHSEED": "7"}, cwd=Path(__file__).parents[1]).stdout.strip()
    assert other == hashlib.sha256("".join(MADE[name]().svg for name in MADE).encode()).hexdigest()


@pytest.mark.parametrize(("name", "shown"), [("base", "base"), ("main.end=minor, main.lr_multiplier=0.4", "the baseline")])
def test_a_long_baseline_does_not_run_into_the_next_panel(name: str, shown: str) -> None:
    cells = [replace(CELLS[0], label=name), *CELLS[1:]]
    drawing = figures.differences(compared(cells, [0.01, 0.5]) + compared(cells, [0.01, 0.5], OTHER), cells)
    assert texts(drawing).count(f"mIoU, percentage points, relative to {shown}") == 2 and name in drawing.says


def test_hostile_names_are_text() -> None:
    cells = [cell(HOSTILE, {METRIC: [0.1, 0.2, 0.3]}), cell("_hidden " + "long " * 30, {METRIC: [0.1, 0.3, 0.3]})]
    drawings = [figures.cells(cells, [METRIC]), figures.differences(compared(cells[::-1], [0.5]), cells),
                figures.layers({each.label: {0: profile(0)} for each in cells}, "drift"),
                figures.interactions({(HOSTILE, "_b"): {0: 1.0}, ("a", "_b"): {0: 1.0}, (HOSTILE, "c"): {0: 2.0},
                                      ("a", "c"): {0: 1.0}}, [HOSTILE, "x.y"], METRIC)]
    for drawing in drawings:
        ET.fromstring(drawing.svg)
        assert "<script" not in drawing.svg and "\u202e" not in drawing.svg
        assert "alert" in "".join(texts(drawing))
    assert any("_hidden" in text for text in texts(drawings[2]))  # matplotlib's legends leave such names out
    shown = " ".join(texts(figures.cells([cell("$x_1$ costs $5", {METRIC: [0.1]})], [METRIC])))
    assert "$x_1$ costs $5" in shown


# each of them


def test_differences_stand_where_they_are() -> None:
    drawing = figures.differences(compared(CELLS, [0.01, 0.5]), CELLS)
    value = scale(drawing, "x")
    filled, hollow = marks(drawing, canvas.BLUE), marks(drawing, canvas.FAINT)
    assert [value(x) for x, _ in filled] == pytest.approx([5.4], abs=0.02)
    assert [value(x) for x, _ in hollow] == pytest.approx([0.2], abs=0.02)
    own = [100 * (one.values(METRIC)[seed] - CELLS[0].values(METRIC)[seed]) for one in CELLS[1:] for seed in range(5)]
    assert sorted(map(value, seeds(drawing))) == pytest.approx(sorted(own), abs=0.02)
    wanted = paired_difference(CELLS[1].values(METRIC), CELLS[0].values(METRIC))
    (low, high), = bars(drawing, canvas.BLUE)
    assert (value(low), value(high)) == pytest.approx((100 * wanted.low, 100 * wanted.high), abs=0.02)
    assert {"p 0.010, n 5", "p 0.500, n 5"} <= set(texts(drawing))


def test_only_what_holm_leaves_is_filled() -> None:
    fills = [style for style in re.findall(r'<use [^>]*style="([^"]*)"', MADE["differences"]().svg)
             if "stroke: " in style and "stroke-width: 1.3" in style]
    by_stroke = {re.search(r"stroke: (#\w+)", style)[1]: re.search(r"fill: (#\w+)", style)[1]  # type: ignore[index]
                 for style in fills}
    assert by_stroke == {canvas.BLUE: canvas.BLUE, canvas.FAINT: canvas.PAPER}


def test_panels_of_one_unit_share_a_scale() -> None:
    several = compared(CELLS, [0.01, 0.5]) + compared(CELLS, [0.2, 0.3], OTHER)
    drawing = figures.differences(several, CELLS)
    first, second = scale(drawing, "x", 0), scale(drawing, "x", 1)
    assert (first(100) - first(0)) == pytest.approx(second(100) - second(0), rel=1e-3)


def test_few_seeds_bound_nothing() -> None:
    single = [cell("a", {METRIC: [0.1]}), cell("b", {METRIC: [0.2]})]
    drawing = figures.differences(compared(single, [math.nan]), single)
    assert "n 1" in texts(drawing) and not bars(drawing, canvas.FAINT) and "nan" not in drawing.svg
    pair = [cell("a", {METRIC: [0.1, 0.1]}), cell("b", {METRIC: [0.11, 0.13]})]  # interval: 2 ± 12.7 points
    drawing = figures.differences(compared(pair, [math.nan]), pair)
    value, ((low, high),) = scale(drawing, "x"), bars(drawing, canvas.FAINT)
    assert value(low) > -1 and value(high) < 4  # cut off, and said so by an arrow at each end
    assert len(marks(drawing, canvas.FAINT)) == 3
    empty = figures.cells([cell("a", {}, planned=3), *single], [METRIC])
    assert "a" in texts(empty) and "nan" not in empty.svg


def test_cells_show_seeds_mean_and_chance() -> None:
    drawing = figures.cells(CELLS, [METRIC], {METRIC: 0.05})
    value = scale(drawing, "x")
    means = [100 * mean_sd(each.values(METRIC).values()).mean for each in CELLS]
    assert [value(x) for x, _ in marks(drawing, canvas.BLUE)] == pytest.approx(means, abs=0.02)
    everything = sorted(100 * number for each in CELLS for number in each.values(METRIC).values())
    assert sorted(map(value, seeds(drawing))) == pytest.approx(everything, abs=0.02)
    dotted = re.search(r'd="M ([\d.]+) [\d.]+\s+L \1 [\d.]+\s*"[^>]*stroke-dasharray', drawing.svg)
    assert dotted and value(float(dotted[1])) == pytest.approx(5, abs=0.02) and "chance" in texts(drawing)
    assert "chance" not in texts(figures.cells(CELLS, [METRIC]))


def test_effects_are_those_of_the_statistics() -> None:
    grid = crossing()
    drawing = figures.effects(grid, [METRIC])
    value = scale(drawing, "x")
    wanted = [100 * each.difference.difference for each in factorial_effects(grid.values(METRIC), grid.factors)]
    shown = marks(drawing, canvas.BLUE) + marks(drawing, canvas.FAINT)
    assert [value(x) for x, _ in sorted(shown, key=lambda mark: mark[1])] == pytest.approx(wanted, abs=0.03)
    assert {"main.end: major − minor", "× rate: 2 − 10"} <= set(texts(drawing))
    with pytest.raises(ValueError, match="a hole"):
        figures.effects(Crossing(("a",), (("b",),), {}, "a hole"), [METRIC])


def test_interactions_average_over_all_other_factors() -> None:
    values = {(a, b, c): {seed: 0.1 * a + 0.0002 * b + 0.01 * c + 0.001 * seed for seed in range(3)}
              for a in (0, 1) for b in (1000, 2) for c in (0, 5)}
    drawing = figures.interactions(values, ["x.a", "x.b", "x.c"], METRIC)
    value = scale(drawing, "y")
    lines = marks(drawing, canvas.BLUE)  # first panel: a along x, the lowest b
    wanted = [100 * (0.1 * a + 0.0002 * 2 + 0.01 * 2.5 + 0.001) for a in (0, 1)]
    assert [value(y) for _, y in lines[:2]] == pytest.approx(wanted, abs=0.05)
    said = texts(drawing)
    assert said.index("2") < said.index("1000")  # numbers in their order, not in that of the file
    del values[1, 2, 5]
    with pytest.raises(ValueError, match="every combination"):
        figures.interactions(values, ["x.a", "x.b", "x.c"], METRIC)


def test_adapters_show_what_the_runs_have_and_define_it() -> None:
    cells = [adapted("one"), cell("frozen", {METRIC: [0.1]}), adapted("two", 0.05)]
    drawing = figures.adapters(cells)
    said = texts(drawing)
    assert {"rank efficiency", "drift", "grassmann", "main", "sub"} <= set(said) and "frozen" not in said
    assert DEFINITIONS["drift"] in drawing.says and DEFINITIONS["column_ratio"] not in drawing.says
    value = scale(drawing, "x")
    shown = sorted(round(value(x), 2) for x, _ in marks(drawing, canvas.BLUE))
    assert shown == [0.81, 0.86, 1.0, 1.0]  # two means, two starts
    with pytest.raises(ValueError, match="no cell"):
        figures.adapters([cells[1]])


def test_layers_run_in_the_order_of_the_model() -> None:
    drawing = MADE["layers"]()
    value = scale(drawing, "y")
    line = sorted(marks(drawing, canvas.BLUE))
    assert [value(y) for _, y in line] == pytest.approx([0.1, 0.1, 1.1, 1.1, 2.1, 2.1, 3.1, 3.1], abs=0.03)
    assert {"0", "1", "2", "3", "block", "main", "sub", "one", "_two"} <= set(texts(drawing))
    with pytest.raises(ValueError, match="no layer"):
        figures.layers({"one": {0: profile(0)}}, "column_ratio")


def test_cosines_are_drawn_as_they_are() -> None:
    drawing = MADE["cosines"]()
    found = [np.array(Image.open(io.BytesIO(base64.b64decode(image.get(HREF).partition(",")[2]))).convert("L"))
             for image in ET.fromstring(drawing.svg).iter(f"{SVG}image")]
    pictures = [picture for picture in found if picture.shape == (8, 8)]
    assert len(pictures) == 3 and "not defined" in texts(drawing)  # B starts at 0
    start, end, b_end = pictures
    for picture in pictures:
        assert len(set(np.diag(picture))) == 1 and picture[0, 0] < picture[0, 1]
    assert start[0, 1] > b_end[0, 1] > end[0, 1]  # 0, 0.1, 0.3: darker
    with pytest.raises(ValueError, match="square"):
        figures.cosines({"a_main": np.zeros((3, 4))})


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError):
        figures.differences([])
    with pytest.raises(ValueError):
        figures.cells([], [METRIC])
