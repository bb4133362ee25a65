"""The table of results: marks only where scipy, asked cell by cell, finds a lead; published numbers beside, never in."""

import math
import statistics
from collections.abc import Mapping

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from recyclelora.errors import InputError
from recyclelora.spaces.statement import Statement, Target
from recyclelora.tables.cells import group
from recyclelora.tables.leads import mark_leads
from recyclelora.tables.measures import recorded
from recyclelora.tables.results_table import show, tabulate_results
from recyclelora.tables.sheet import Number, Sheet
from recyclelora.tables.sweep_sheets import build
from tests.ablation import noisy, ordinary, planned, record, scored, sweep

MEAN = "miou/target_mean"


def marks_of(values: Mapping[str, list[float]]) -> dict[str, str]:
    """Cell -> its mark in the only column."""
    cells = group("s", *scored(dict(values)))
    return {cell: mark for (cell, _), mark in mark_leads(cells, [MEAN], recorded(cells)).of.items()}


def column(sheet: Sheet, key: str) -> dict[str, object]:
    place = [column.key for column in sheet.columns].index(key)
    return {row.label: row.entries[place] for row in sheet.rows}


# leads


FEW = st.integers(0, 30).map(lambda value: value / 100)


@settings(max_examples=150)
@given(st.integers(3, 6).flatmap(lambda n: st.lists(st.lists(FEW, min_size=n, max_size=n), min_size=2, max_size=5)))
def test_marks_are_where_paired_t_tests_with_holm_put_them(rows: list[list[float]]) -> None:
    values = {f"cell {number}": row for number, row in enumerate(rows)}
    assume(len({round(statistics.fmean(row), 12) for row in rows}) == len(rows))  # no ties: those have a test below
    order = sorted(values, key=lambda cell: -statistics.fmean(values[cell]))
    raw = []
    for ahead, behind in zip(order[:2], order[1:3], strict=False):
        steps = [a - b for a, b in zip(values[ahead], values[behind], strict=True)]
        assume(statistics.stdev(steps) > 1e-9)
        raw.append(float(stats.ttest_rel(values[ahead], values[behind]).pvalue))
    adjusted = [min(1.0, p * len(raw)) if p == min(raw) else max(p, min(1.0, min(raw) * len(raw))) for p in raw]
    assume(all(abs(p - 0.05) > 1e-6 for p in adjusted))
    expected = {}
    if adjusted[0] < 0.05:
        expected[order[0]] = "best"
        if len(adjusted) > 1 and adjusted[1] < 0.05:
            expected[order[1]] = "second"
    assert marks_of(values) == expected


@given(st.lists(FEW, min_size=5, max_size=5), st.integers(2, 4))
def test_ties_are_never_marked(row: list[float], cells: int) -> None:
    assert marks_of({f"cell {number}": row for number in range(cells)}) == {}


@pytest.mark.parametrize(("seeds", "marked"), [(1, False), (2, False), (3, True), (5, True)])
def test_fewer_than_three_seeds_mark_nothing(seeds: int, marked: bool) -> None:
    low, high = [0.1, 0.11, 0.105, 0.1, 0.1], [0.5, 0.52, 0.51, 0.5, 0.51]
    assert marks_of({"low": low[:seeds], "high": high[:seeds]}) == ({"high": "best"} if marked else {})


def test_the_more_columns_the_more_a_lead_must_show() -> None:
    """Holm over the table: one lead of p = 0.03 stands alone, and falls among columns without any."""
    lead = {"a": [0.30, 0.33, 0.31, 0.34, 0.30], "b": [0.28, 0.31, 0.31, 0.31, 0.29]}
    p = stats.ttest_rel(lead["a"], lead["b"]).pvalue
    assert 0.02 < p < 0.05
    assert marks_of(lead) == {"a": "best"}
    plan, records = scored(lead)
    for made in records:
        seed = int(str(made.config["seed"]))
        made.metrics["miou/source"] = [0.2, 0.3, 0.25, 0.1, 0.3][seed] if made.tags["cell"] == "a" else [
            0.3, 0.2, 0.2, 0.15, 0.29][seed]
    cells = group("s", plan, records)
    marks = mark_leads(cells, [MEAN, "miou/source"], records)
    assert not marks.of and marks.undecided == (MEAN, "miou/source") and marks.tested == 2


def test_a_cell_that_lacks_a_seed_leads_no_other_and_hides_the_lead_behind_it() -> None:
    values = {"a": [0.50, 0.51, 0.52, 0.50], "b": [0.40, 0.41, 0.41, 0.40, 0.41], "c": [0.1, 0.11, 0.1, 0.12, 0.1]}
    assert marks_of(values) == {}
    assert marks_of({**values, "a": [*values["a"], 0.51]}) == {"a": "best", "b": "second"}


def test_one_target_is_its_own_mean_and_is_tested_once() -> None:
    plan, records = scored(noisy({"a": 0.2, "b": 0.4, "c": 0.6}, 0.01))
    for made in records:
        made.metrics["miou/dusk"] = made.metrics[MEAN]
        made.config["data.targets"] = ["dusk"]  # type: ignore[index]
    cells = group("s", plan, records)
    marks = mark_leads(cells, ["miou/dusk", MEAN], recorded(cells))
    assert marks.tested == 2
    assert marks.of == {("c", "miou/dusk"): "best", ("b", "miou/dusk"): "second", ("c", MEAN): "best",
                        ("b", MEAN): "second"}


def test_the_caption_names_the_columns_without_a_lead() -> None:
    plan, records = scored({"a": [0.3, 0.1, 0.2, 0.3, 0.1], "b": [0.1, 0.3, 0.2, 0.1, 0.31]})
    (sheet,) = build(sweep(), plan, records, Statement())
    assert "No lead is distinguishable in: target mean." in sheet.caption
    assert not any("Best and second" in sentence for sentence in sheet.caption)


# numbers


def test_numbers_are_means_over_seeds_with_their_runs() -> None:
    plan, records = ordinary()
    sheet = tabulate_results("rank", group("rank", plan, records), Statement())
    own = [made for made in records if made.tags["cell"] == "main.rank=8"]
    values = [100 * made.metrics["miou/scenes-fog"] for made in own]
    assert column(sheet, "miou/scenes-fog")["main.rank=8"] == Number(
        pytest.approx(statistics.fmean(values)), sd=pytest.approx(statistics.stdev(values)), mark="second")  # type: ignore[arg-type]
    row = next(row for row in sheet.rows if row.label == "main.rank=8")
    assert [(run.run_id, run.fingerprint, run.seed) for run in row.runs] == [
        (made.tags["run_id"], made.fingerprint, made.config["seed"]) for made in own]
    assert column(sheet, "params/adapter")["main.rank=8"] == Number(196608, digits=0)
    assert column(sheet, "adapter.main.rank") == {"main.rank=4": "4", "main.rank=8": "8", "main.rank=16": "16",
                                                  "chance": None}


def test_chance_is_shown_only_where_all_runs_agree_on_it() -> None:
    plan, records = ordinary()
    records[4].metrics["chance/scenes-fog"] = 0.5
    sheet = tabulate_results("rank", group("rank", plan, records), Statement())
    assert sheet.rows[-1].apart
    assert column(sheet, "miou/scenes-night")["chance"] == Number(pytest.approx(3.1))  # type: ignore[arg-type]
    assert column(sheet, "miou/scenes-fog")["chance"] is None and column(sheet, MEAN)["chance"] is None


def test_settings_read_as_in_a_config_file() -> None:
    assert [show(value) for value in (None, True, 0.1 + 0.2, [1, "a"], "x", 1e-5)] == [
        "", "true", "0.3", "[1, a]", "x", "1e-05"]
    assert show(0.1 + 0.2, None) == "0.30000000000000004"


# published numbers


def target(cell: str = "main.rank=8", value: float = 68.63, metric: str = MEAN, tier: str = "note") -> Target:
    return Target(cell, metric, value, "a summary", tier)


def test_a_published_number_stands_beside_the_measured_one() -> None:
    plan, records = ordinary()
    statement = Statement(targets=(target(), target("main.rank=4", 61.1, tier="paper-copy")))
    bare = tabulate_results("rank", group("rank", plan, records), Statement())
    sheet = tabulate_results("rank", group("rank", plan, records), statement)
    keys = [column.key for column in sheet.columns]
    assert keys[keys.index(MEAN):][:3] == [MEAN, f"{MEAN} published", f"{MEAN} difference"]
    assert column(sheet, f"{MEAN} published") == {
        "main.rank=4": Number(61.1, digits=1, note="(paper-copy)"), "main.rank=8": Number(68.63, note="(note)"),
        "main.rank=16": None, "chance": None}
    for key in (column.key for column in bare.columns):
        assert column(bare, key) == column(sheet, key)  # nothing measured has changed, not even a mark
    values = [100 * made.metrics[MEAN] for made in records if made.tags["cell"] == "main.rank=8"]
    low, high = stats.ttest_1samp(values, 68.63).confidence_interval()
    difference = column(sheet, f"{MEAN} difference")["main.rank=8"]
    assert difference == Number(pytest.approx(statistics.fmean(values) - 68.63), low=pytest.approx(low - 68.63),  # type: ignore[arg-type]
                                high=pytest.approx(high - 68.63), signed=True)  # type: ignore[arg-type]
    said = " ".join(sheet.caption)
    assert "a summary (tier note: second hand) for main.rank=8, target mean" in said
    assert "not measured here" in said and "under their own protocol" in said


def test_a_published_number_of_a_cell_that_was_not_run_is_all_there_is() -> None:
    plan, records = ordinary()
    statement = Statement(targets=(target(), target(metric="miou/mapillary")))
    sheet = tabulate_results("rank", group("rank", plan, [made for made in records if made.tags["cell"] != "main.rank=8"]),
                             statement)
    assert column(sheet, f"{MEAN} difference")["main.rank=8"] is None and column(sheet, MEAN)["main.rank=8"] is None
    assert column(sheet, "miou/mapillary published")["main.rank=8"] == Number(68.63, note="(note)")
    assert set(column(sheet, "miou/mapillary").values()) == {None}


def test_a_single_run_has_no_interval_around_its_distance_from_a_published_number() -> None:
    plan, records = ordinary((0,))
    sheet = tabulate_results("rank", group("rank", plan, records), Statement(targets=(target(),)))
    difference = column(sheet, f"{MEAN} difference")["main.rank=8"]
    assert isinstance(difference, Number) and math.isnan(difference.low) and math.isnan(difference.high)


@pytest.mark.parametrize("targets", [(target(tier="memory"),), (target(), target(value=1.0))])
def test_what_may_not_be_shown_is_refused(targets: tuple[Target, ...]) -> None:
    with pytest.raises(InputError, match="^targets: main.rank=8: miou/target_mean: "):
        build(sweep(), *ordinary(), Statement(targets=targets))


def test_a_cell_that_was_run_in_part_says_so() -> None:
    plan = planned({"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 3}}, (0, 1, 2, 3, 4))
    records = [record(cell, 0.3, "failed" if (cell.cell, cell.seed) == ("a", 4) else "finished") for cell in plan
               if cell.cell != "c" and (cell.cell, cell.seed) != ("b", 0)]
    sheet = tabulate_results("s", group("s", plan, records), Statement())
    assert column(sheet, "status") == {"a": "4 of 5 seeds (1 failed)", "b": "4 of 5 seeds", "c": "not run", "chance": None}
