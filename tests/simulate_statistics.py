"""What the intervals and p-values of the tables promise, held against simulated tables whose truth is known:

    python -m tests.simulate_statistics [--tables 20000] [--sets 1000]

A value of a table is the level of its cell + the luck of its seed, which all cells share + noise of its own. Every
difference and every p is taken by the functions that the tables use, one table at a time."""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recyclelora.tables.bootstrap import bootstrap_images
from recyclelora.tables.factorial import factorial_effects
from recyclelora.tables.statistics import Difference, holm, paired_difference

ALPHA = 0.05
LUCK = 0.02  # s.d. of what all cells with one seed share: two points, as people report
NOISE = (0.003, 0.004, 0.005, 0.006, 0.007, 0.008)  # s.d. of what is a run's own, by cell
SAME = (0.4,) * 6
MIXED = (0.4, 0.4, 0.4, 0.405, 0.41, 0.42)  # three cells are alike, three are not
Floats = NDArray[np.float64]
Pairs = Sequence[tuple[int, int]]  # cell, and the cell it is compared with


class Promise(NamedTuple):
    """Of so many tables: how often an interval held the truth, with standard error; in which share of tables something
    was claimed of a pair without a difference, by adjusted and by plain p; which share of the true differences was
    claimed. nan where there are none of them."""

    name: str
    tables: int
    coverage: float
    error: float
    false: float
    unadjusted: float
    found: float


def against_first(cells: int) -> Pairs:
    return [(cell, 0) for cell in range(1, cells)]


def draw_tables(tables: int, levels: Sequence[float], seeds: int, *, heavy: bool = False, draw: int = 0) -> Floats:
    """(tables, cells, seeds). `heavy`: own noise from Student's t with 3 degrees of freedom, of the same s.d."""
    generator = np.random.default_rng(draw)
    shape = (tables, len(levels), seeds)
    own = generator.standard_t(3, shape) / math.sqrt(3) if heavy else generator.standard_normal(shape)
    luck = LUCK * generator.standard_normal((tables, 1, seeds))
    return np.asarray(np.reshape(levels, (1, -1, 1)) + luck + np.reshape(NOISE[:len(levels)], (1, -1, 1)) * own)


def draw_domains(tables: int, cells: int, seeds: int, domains: int = 7, draw: int = 0) -> Floats:
    """(tables, cells x (1 + domains), seeds): of each cell the mean of its domains and then these. A run's own noise is
    half shared by its domains; no cell differs from another."""
    generator = np.random.default_rng(draw)
    whole = draw_tables(tables, (0.4,) * cells, seeds, draw=draw)[:, :, None]
    each = whole + np.mean(NOISE) * generator.standard_normal((tables, cells, domains, seeds))
    return np.concatenate([each.mean(2, keepdims=True), each], axis=2).reshape(tables, -1, seeds)


def hold(name: str, rows: Sequence[Sequence[Difference]], truths: Sequence[float]) -> Promise:
    """Compare what each table says of its pairs with the truths of these."""
    covered, false, unadjusted, found = [], [], [], []
    real = [truth != 0 for truth in truths]
    for row in rows:
        covered.append([each.low <= truth <= each.high for each, truth in zip(row, truths, strict=True)])
        claimed = [p < ALPHA for p in holm([each.p for each in row])]
        false.append(any(claim and not some for claim, some in zip(claimed, real, strict=True)))
        unadjusted.append(any(each.p < ALPHA and not some for each, some in zip(row, real, strict=True)))
        found += [claim for claim, some in zip(claimed, real, strict=True) if some]
    shares = np.mean(covered, axis=1)  # intervals of one table share its runs: tables are what is independent
    null = not all(real)
    return Promise(name, len(rows), float(shares.mean()), float(shares.std(ddof=1) / math.sqrt(len(rows))),
                   float(np.mean(false)) if null else math.nan, float(np.mean(unadjusted)) if null else math.nan,
                   float(np.mean(found)) if found else math.nan)


def compare(name: str, values: Floats, pairs: Pairs, levels: Sequence[float]) -> Promise:
    """All pairs of each table (cells, seeds), as the table of differences compares them."""
    rows = []
    for table in values.tolist():
        cells = [dict(enumerate(cell)) for cell in table]
        rows.append([paired_difference(cells[a], cells[b]) for a, b in pairs])
    return hold(name, rows, [round(levels[a] - levels[b], 12) for a, b in pairs])


def cross(name: str, values: Floats) -> Promise:
    """The six cells of each table as a crossing of 2 x 3 levels without any effect."""
    keys = list(product("ab", "xyz"))
    rows = [[each.difference for each in factorial_effects(
        {key: dict(enumerate(cell)) for key, cell in zip(keys, table, strict=True)}, ["one", "other"])]
        for table in values.tolist()]
    return hold(name, rows, [0.0] * len(rows[0]))


def draw_images(images: int, classes: int = 6, draw: int = 0) -> tuple[Floats, Floats]:
    """Confusion matrices (images, classes, classes) of two models on the same images: two thousand pixels each, rarer
    and commoner classes, images and classes of different difficulty for both, and the second a little better."""
    generator = np.random.default_rng(draw)
    present = generator.random((images, classes)) < np.geomspace(1, 0.3, classes)
    present[:, 0] = True
    share = generator.gamma(0.7, size=(images, classes)) * present + 1e-9 * present
    pixels = np.round(2000 * share / share.sum(1, keepdims=True))
    ease = generator.normal(0.5, 0.7, (images, 1)) + generator.normal(0, 0.5, (images, classes))
    return tuple(_confuse(generator, pixels, ease + better) for better in (0, 0.1))  # type: ignore[return-value]


def _confuse(generator: np.random.Generator, pixels: Floats, ease: Floats) -> Floats:
    """Hits by logistic chance, and the misses scattered over the other classes."""
    hits = np.round(pixels / (1 + np.exp(-ease - generator.normal(0, 0.25, ease.shape))))
    scatter = generator.dirichlet(np.full(ease.shape[1], 0.5), ease.shape)
    diagonal = np.arange(ease.shape[1])
    scatter[:, diagonal, diagonal] = 0
    confusion = np.floor((pixels - hits)[:, :, None] * scatter / scatter.sum(2, keepdims=True))
    confusion[:, diagonal, diagonal] = hits
    return np.asarray(confusion)


def draw_sets(images: int, sets: int, draw: int = 0, draws: int = 1000) -> Iterator[tuple[float, float, float]]:
    """Low, high and truth of the interval over images, for so many test sets of so many images. The truth is that of
    the fifty thousand images that they are drawn from."""
    one, other = draw_images(50_000, draw=draw)
    truth = _miou(one.sum(0)) - _miou(other.sum(0))
    generator = np.random.default_rng(draw + 1)
    for number in range(sets):
        chosen = generator.choice(len(one), images, replace=False)
        yield *bootstrap_images(one[chosen], other[chosen], draws=draws, seed=number), truth


def _miou(confusion: Floats) -> float:
    hits = np.diagonal(confusion)
    return float(np.mean(hits / (confusion.sum(0) + confusion.sum(1) - hits)))


def cover_images(images: int, sets: int, draw: int = 0) -> Promise:
    covered = [low <= truth <= high for low, high, truth in draw_sets(images, sets, draw)]
    share = float(np.mean(covered))
    return Promise(f"other images: {images} in the test set", sets, share, math.sqrt(share * (1 - share) / sets),
                   math.nan, math.nan, math.nan)


def simulate(tables: int) -> Iterator[Promise]:
    """The promises over seeds."""
    first, every = against_first(6), list(combinations(range(6), 2))
    for seeds in (5, 3):
        alike, mixed = draw_tables(tables, SAME, seeds, draw=1), draw_tables(tables, MIXED, seeds, draw=2)
        yield compare(f"{seeds} seeds, no differences, 5 against a baseline", alike, first, SAME)
        yield compare(f"{seeds} seeds, no differences, all 15 pairs", alike, every, SAME)
        yield compare(f"{seeds} seeds, some differences, 5 against a baseline", mixed, first, MIXED)
        yield compare(f"{seeds} seeds, some differences, all 15 pairs", mixed, every, MIXED)
    heavy = draw_tables(tables, SAME, 5, heavy=True, draw=3)
    yield compare("5 seeds, no differences, all 15 pairs, heavy tails", heavy, every, SAME)
    domains = draw_domains(tables, 6, 5, draw=4)
    yield compare("5 seeds, no differences, 5 cells x 8 metrics", domains,
                  [(8 * cell + metric, metric) for cell in range(1, 6) for metric in range(8)], (0.4,) * 48)
    yield cross("5 seeds, no effects, crossing of 2 x 3", draw_tables(tables, SAME, 5, draw=5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=20_000)
    parser.add_argument("--sets", type=int, default=1000)
    arguments = parser.parse_args()
    show: Callable[[float], str] = lambda share: "    –  " if math.isnan(share) else f"{100 * share:6.2f} "  # noqa: E731
    print(f"{'in %':56}  tables  coverage (s.e.)  type I, Holm  without   found")
    for each in (*simulate(arguments.tables), *(cover_images(images, arguments.sets) for images in (10, 30, 100))):
        print(f"{each.name:56} {each.tables:7}  {show(each.coverage)}({100 * each.error:.2f})  {show(each.false):>12}"
              f"  {show(each.unadjusted)}  {show(each.found)}", flush=True)


if __name__ == "__main__":
    main()
