"""The table of differences: its numbers are those of the comparisons, and images are drawn anew as one would by hand."""

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from recyclelora.runs.planned_cells import PlannedCell
from recyclelora.spaces.statement import Statement
from recyclelora.tables.bootstrap import bootstrap_images
from recyclelora.tables.cells import group
from recyclelora.tables.comparisons import compare
from recyclelora.tables.differences import tabulate_differences
from recyclelora.tables.sheet import Number, Sheet
from recyclelora.tables.statistics import detectable_difference
from recyclelora.training import metrics
from recyclelora.training.metrics import Absent
from recyclelora.trials.record import Record
from tests.ablation import TARGETS, noisy, ordinary, planned, record, scored

MEAN = "miou/target_mean"
Matrices = dict[str, dict[str, NDArray[np.int64]]]


def column(sheet: Sheet, key: str) -> dict[str, object]:
    place = [column.key for column in sheet.columns].index(key)
    return {row.label: row.entries[place] for row in sheet.rows}


def test_the_entries_are_the_comparisons_in_points() -> None:
    plan, records = ordinary((0, 1, 2, 3, 4))
    cells, statement = group("rank", plan, records), Statement(baseline="main.rank=8")
    sheet = tabulate_differences("rank.differences", cells, statement)
    assert [column.key for column in sheet.columns] == [
        "pairs", MEAN, f"{MEAN} p raw", f"{MEAN} p holm", f"{MEAN} g",
        *(f"{metric}{part}" for metric in ("miou/source", "miou/scenes-night", "miou/scenes-fog")
          for part in ("", " p raw", " p holm"))]
    assert len({each.heading for each in sheet.columns}) == len(sheet.columns)  # a heading names one column
    for each in compare(cells, statement):
        for part, p in ((" p raw", each.difference.p), (" p holm", each.p_holm)):
            shown = column(sheet, each.metric + part)[each.cell]
            assert isinstance(shown, Number) and shown.value == p
        entry = column(sheet, each.metric)[each.cell]
        assert entry == Number(100 * each.difference.difference, low=100 * each.difference.low,
                               high=100 * each.difference.high, signed=True, note="*" if each.p_holm < 0.05 else "")
    assert {row.label: [run.fingerprint for run in row.runs] for row in sheet.rows} == {
        label: [made.fingerprint for made in records if made.tags["cell"] == label]
        + [made.fingerprint for made in records if made.tags["cell"] == "main.rank=8"]
        for label in ("main.rank=4", "main.rank=16")}


def test_the_caption_says_what_these_seeds_could_have_found() -> None:
    values = noisy({"a": 0.3, "b": 0.3, "c": 0.3}, 0.02)
    sheet = tabulate_differences("s", group("s", *scored(values)), Statement())
    spreads = [statistics.stdev(x - y for x, y in zip(values[cell], values["a"], strict=True)) for cell in "bc"]
    found = 100 * detectable_difference(statistics.median(spreads), 5)
    said = " ".join(sheet.caption)
    assert f"is {100 * statistics.median(spreads):.2f} points (median)" in said
    assert f"a difference of {found:.2f} points or more with 80 % power" in said
    assert "5 pairs a difference: enough for a claim." in said


def test_equal_runs_do_not_promise_to_find_any_difference() -> None:
    sheet = tabulate_differences("s", group("s", *scored({"a": [0.3, 0.3, 0.3], "b": [0.3, 0.3, 0.3]})), Statement())
    assert "80 % power" not in " ".join(sheet.caption)


@pytest.mark.parametrize(("seeds", "says"), [(1, "1 pair a difference: a single run"), (3, "3 pairs a difference: indicative")])
def test_few_seeds_are_said(seeds: int, says: str) -> None:
    sheet = tabulate_differences("s", group("s", *scored(noisy({"a": 0.3, "b": 0.9}, 0.01, seeds))), Statement())
    assert says in " ".join(sheet.caption)
    assert (column(sheet, f"{MEAN} p raw")["b"] is None) == (column(sheet, f"{MEAN} p holm")["b"] is None) == (seeds < 3)
    entry = column(sheet, MEAN)["b"]
    assert isinstance(entry, Number) and entry.note == ("*" if seeds >= 3 else "") and (
        math.isnan(entry.low) == (seeds == 1))


def test_two_pairs_have_an_interval_and_no_star() -> None:
    values = {"a": [0.1, 0.1], "b": [0.9, 0.9001]}
    entry = column(tabulate_differences("s", group("s", *scored(values)), Statement()), MEAN)["b"]
    assert isinstance(entry, Number) and entry.low > 0 and entry.note == ""


def test_an_absent_baseline_leaves_nothing_to_compare() -> None:
    plan, records = ordinary()
    sheet = tabulate_differences("s", group("s", plan, records), Statement())
    gone = tabulate_differences("s", group("s", plan, [made for made in records if made.tags["cell"] != "main.rank=4"]),
                                Statement())
    assert "main.rank=4 has no finished run, so that nothing can be compared." in gone.caption
    assert all(entry is None or entry == Number(0, digits=0) for row in gone.rows for entry in row.entries)
    assert len(gone.columns) == len(sheet.columns)


def test_the_power_is_that_of_the_cells_with_enough_pairs() -> None:
    """Two pairs say nothing of a spread, however far apart they are."""
    values = {"a": [0.1, 0.1, 0.1, 0.1], "b": [0.3, 0.31, 0.29, 0.3], "c": [0.2, 0.6]}
    sentences = tabulate_differences("s", group("s", *scored(values)), Statement()).caption
    (told,) = (sentence for sentence in sentences if "(median)" in sentence)
    assert f"is {100 * statistics.stdev([0.2, 0.21, 0.19, 0.2]):.2f} points (median): 4 seeds" in told


# other images


def drawn(seeds: int = 3, images: int = 40) -> tuple[list[PlannedCell], list[Record], Matrices]:
    """Two cells with confusion matrices of two classes, and the metrics that come of these."""
    plan = planned({"a": {"x": 1}, "b": {"x": 2}}, tuple(range(seeds)))
    records, confusions = [], {}
    generator = np.random.default_rng(0)
    for each in plan:
        made = record(each, 0.3)
        confusions[each.fingerprint] = {domain: generator.integers(1, 50, (images, 2, 2)) for domain in TARGETS}
        scores = {f"miou/{domain}": miou(some.sum(0)) for domain, some in confusions[each.fingerprint].items()}
        made.metrics.update({**scores, MEAN: statistics.fmean(scores.values())})
        records.append(made)
    return plan, records, confusions


def miou(confusion: NDArray[np.int64]) -> float:
    hits = np.diagonal(confusion)
    return float(np.mean(hits / (confusion.sum(0) + confusion.sum(1) - hits)))


def test_the_interval_over_images_is_that_of_drawing_them_by_hand() -> None:
    plan, records, confusions = drawn()
    entry = column(tabulate_differences("s", group("s", plan, records), Statement(), confusions), f"{MEAN} images")["b"]
    assert isinstance(entry, Number)
    generator = np.random.default_rng(1)
    means = []
    for _ in range(3000):
        chosen = {domain: generator.integers(0, 40, 40) for domain in TARGETS}
        scores = {each.fingerprint: statistics.fmean(miou(confusions[each.fingerprint][domain][chosen[domain]].sum(0))
                                                     for domain in TARGETS) for each in plan}
        pairs = {seed: {each.cell: scores[each.fingerprint] for each in plan if each.seed == seed} for seed in range(3)}
        means.append(100 * statistics.fmean(pair["b"] - pair["a"] for pair in pairs.values()))
    low, high = np.quantile(means, [0.025, 0.975])
    width = high - low
    assert entry.low == pytest.approx(low, abs=0.1 * width) and entry.high == pytest.approx(high, abs=0.1 * width)
    own = {made.fingerprint: made.metrics[MEAN] for made in records}
    assert entry.value == pytest.approx(100 * statistics.fmean(
        own[b.fingerprint] - own[a.fingerprint] for a in plan for b in plan
        if a.cell == "a" and b.cell == "b" and a.seed == b.seed))


def lopsided(seeds: int = 2) -> tuple[list[PlannedCell], list[Record], Matrices]:
    """As `drawn`, but one image in twelve decides: draws without it are far from those with it, on one side."""
    plan, records, confusions = drawn(seeds, images=12)
    for each, made in zip(plan, records, strict=True):
        for number, domain in enumerate(TARGETS):
            some = np.tile(np.array([[60, 40], [40, 60]]), (12, 1, 1))
            if each.cell == "b":
                some[0] += np.array([[4000, 0], [0, 9000]]) * (number + 1)
                some[1 + each.seed] += np.array([[0, 30], [0, 0]])
            confusions[each.fingerprint][domain] = some
            made.metrics[f"miou/{domain}"] = miou(some.sum(0))
        made.metrics[MEAN] = statistics.fmean(made.metrics[f"miou/{domain}"] for domain in TARGETS)
    return plan, records, confusions


def by_hand(plan: list[PlannedCell], confusions: Matrices, absent: Absent = "skip") -> tuple[float, float, float]:
    """Cell b minus cell a in points, and how far the bounds lie below and above it: each bound adds up the distances of
    its own side, over domains that have images of their own (MOVER)."""
    points, below, above = [], 0.0, 0.0
    for domain in TARGETS:
        ones, others = ([confusions[each.fingerprint][domain] for each in plan if each.cell == cell] for cell in "ba")
        scores = [[metrics.miou(torch.from_numpy(some.sum(0)), absent) for some in side] for side in (ones, others)]
        point = statistics.fmean(one - other for one, other in zip(*scores, strict=True))
        low, high = bootstrap_images(ones, others, absent=absent)
        points, below, above = [*points, point], below + (point - low) ** 2, above + (high - point) ** 2
    return 100 * statistics.fmean(points), 100 * math.sqrt(below) / len(TARGETS), 100 * math.sqrt(above) / len(TARGETS)


def test_the_bounds_of_the_interval_over_images_are_not_swapped() -> None:
    plan, records, confusions = lopsided()
    entry, mirrored = (column(tabulate_differences("s", group("s", plan, records), Statement(baseline=baseline), confusions),
                              f"{MEAN} images")[cell] for baseline, cell in ("ab", "ba"))
    mean, below, above = by_hand(plan, confusions)
    assert below > 1.5 * above or above > 1.5 * below, "the sides are to differ"
    assert isinstance(entry, Number) and isinstance(mirrored, Number)
    assert (entry.low, entry.high) == pytest.approx((mean - below, mean + above))
    assert (mirrored.low, mirrored.high) == pytest.approx((-entry.high, -entry.low))


@pytest.mark.parametrize("absent", ["skip", "zero"])
def test_the_interval_over_images_counts_absent_classes_as_the_runs_did(absent: Absent) -> None:
    plan, records, confusions = drawn()
    for each in plan:
        for domain, some in confusions[each.fingerprint].items():
            confusions[each.fingerprint][domain] = wide = np.pad(some, ((0, 0), (0, 1), (0, 1)))
            wide[::2, 0, 2] += 3 * (each.cell == "b")  # a third class, predicted by one cell and labelled nowhere
    found = []
    for each, made in zip(plan, records, strict=True):
        scores = {f"miou/{domain}": metrics.miou(torch.from_numpy(some.sum(0)), absent)
                  for domain, some in confusions[each.fingerprint].items()}
        found.append(replace(made, config={**made.config, "evaluation.absent_classes": absent},
                             metrics={**made.metrics, **scores, MEAN: statistics.fmean(scores.values())}))
    entry = column(tabulate_differences("s", group("s", plan, found), Statement(), confusions), f"{MEAN} images")["b"]
    mean, below, above = by_hand(plan, confusions, absent)
    assert isinstance(entry, Number)
    assert (entry.value, entry.low, entry.high) == pytest.approx((mean, mean - below, mean + above))


@pytest.mark.parametrize("wrong", ["a run", "a domain", "images", "classes"])
def test_no_interval_over_images_that_are_not_the_same(wrong: str) -> None:
    plan, records, confusions = drawn()
    own = confusions[plan[0].fingerprint]
    if wrong == "a run":
        del confusions[plan[0].fingerprint]
    elif wrong == "a domain":
        del own["scenes-fog"]
    else:
        own["scenes-fog"] = np.ones((39, 2, 2) if wrong == "images" else (40, 3, 3), int)
    sheet = tabulate_differences("s", group("s", plan, records), Statement(), confusions)
    assert column(sheet, f"{MEAN} images")["b"] is None
    assert f"{MEAN} images" not in [column.key for column in tabulate_differences(
        "s", group("s", plan, records), Statement()).columns]
