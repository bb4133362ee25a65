"""What tables say of a sweep's runs, against recorded content that a person has read, and against runs gone wrong."""

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from recyclelora.data.labels import CAMVID11, CITYSCAPES19
from recyclelora.errors import InputError
from recyclelora.runs.planned_cells import PlannedCell
from recyclelora.runs.run import DeletedRun
from recyclelora.spaces.statement import TABLES, Expectation, Statement, Target
from recyclelora.tables.sheet import Entry, Number, Sheet
from recyclelora.tables.sweep_sheets import build
from recyclelora.trials.label_mapping import label_tags
from recyclelora.trials.record import Record
from tests.ablation import LEVELS, RANKS, noisy, ordinary, planned, record, scored, sweep
from tests.calls import count_calls

RECORDS = Path(__file__).parent / "records"
ALL = Statement(tables=TABLES)
BOTH = Statement(tables=("results", "differences"))


def plain(entry: Entry) -> str:
    """Every digit that is to be printed, and every mark."""
    if not isinstance(entry, Number):
        return entry or "–"
    sign, digits = ("+" if entry.signed else ""), f".{entry.digits}f"
    text = f"<{entry.least:{digits}}" if 0 <= entry.value < entry.least else f"{entry.value:{sign}{digits}}"
    text += f"±{entry.sd:{digits}}" if entry.sd == entry.sd else ""
    text += f" [{entry.low:+{digits}}, {entry.high:+{digits}}]" if entry.low == entry.low else ""
    return text + (f" <{entry.mark}>" if entry.mark else "") + (f" {entry.note}" if entry.note else "")


def text_of(sheets: Sequence[Sheet]) -> str:
    lines = []
    for sheet in sheets:
        lines += [f"===== {sheet.name} =====", " | ".join([sheet.corner, *(column.key for column in sheet.columns)])]
        for row in sheet.rows:
            assert len(row.entries) == len(sheet.columns)
            lines += ["-----"] if row.apart else []
            lines.append(" | ".join([row.label, *map(plain, row.entries)]))
            lines.append("    " + " ".join(f"{run.seed}:{run.fingerprint}" for run in row.runs))
        lines += ["", *sheet.caption, ""]
    return "\n".join(line.rstrip() for line in lines)


def assert_recorded(name: str, text: str, folder: Path) -> None:
    """Fails unless `tests/records/<name>.txt` holds exactly this text."""
    recorded, actual = RECORDS / f"{name}.txt", folder / f"{name}.txt"
    actual.write_text(text, "utf-8")
    before = recorded.read_text("utf-8") if recorded.exists() else None
    assert text == before, f"if a person has read it and it is right, accept it with: cp {actual} {recorded}"


def caption(sheets: Sequence[Sheet], place: int = 0) -> str:
    return " ".join(sheets[place].caption)


# recorded


def test_an_ordinary_ablation(tmp_path: Path) -> None:
    statement = dataclasses.replace(BOTH, baseline="main.rank=8", targets=(
        Target("main.rank=16", "miou/target_mean", 68.95, "a third-party summary of arXiv 2603.28142", "note"),
        Target("main.rank=4", "miou/target_mean", 61.1, "Rein, table 1", "paper-copy"),
        Target("main.rank=16", "miou/mapillary", 72.0, "a third-party summary of arXiv 2603.28142", "note")))
    assert_recorded("ordinary", text_of(build(sweep(), *ordinary((0, 1, 2, 3, 4)), statement)), tmp_path)


def test_an_unfinished_ablation(tmp_path: Path) -> None:
    """Seeds missing, stopped early and failed; a cell not run at all; a baseline without the others' knobs; runs of two
    commits; a trial with two runs; a run without a number; a run that somebody deleted."""
    ranks = {label: {**knobs, "adapter.init": "rrqr"} for label, knobs in RANKS.items()}
    cells = {"frozen": {"adapter.method": "frozen"}, **ranks, "main.rank=32": {"adapter.main.rank": 32},
             "sub.rank=4": {"adapter.main.rank": 8, "adapter.sub.rank": 4}, "alpha=2": {"adapter.alpha": 2.0}}
    plan = planned(cells)
    levels = {"frozen": 0.2, "main.rank=4": 0.3, "main.rank=8": 0.9, "main.rank=16": 0.8, "main.rank=32": 0.7}
    left_out = {("main.rank=8", 2), ("sub.rank=4", 0), ("sub.rank=4", 1), ("sub.rank=4", 2)}
    outcomes = {("main.rank=16", 0): "pruned", ("main.rank=16", 1): "failed", ("main.rank=32", 1): "pruned",
                ("alpha=2", 0): "failed", ("alpha=2", 1): "failed", ("alpha=2", 2): "failed"}
    records = [record(cell, levels.get(cell.cell, 0.5), outcomes.get((cell.cell, cell.seed), "finished"))
               for cell in plan if (cell.cell, cell.seed) not in left_out]
    records[0].tags.update(commit="999999999999", dirty="true", duplicates="2" * 32)
    records[1].metrics["miou/scenes-fog"] = float("nan")
    gone = next(cell for cell in plan if (cell.cell, cell.seed) == ("main.rank=8", 2))
    deleted = [DeletedRun(gone.fingerprint, "3" * 32, gone.cell, gone.seed),
               DeletedRun(plan[0].fingerprint, "4" * 32, plan[0].cell, plan[0].seed)]
    sheets = build(sweep("unfinished"), plan, records, BOTH, deleted=deleted)
    assert_recorded("unfinished", text_of(sheets), tmp_path)


def test_single_runs(tmp_path: Path) -> None:
    assert_recorded("single", text_of(build(sweep("single"), *ordinary((0,)), BOTH)), tmp_path)


def test_a_factorial_with_measures_of_its_adapters(tmp_path: Path) -> None:
    cells: dict[str, dict[str, object]] = {
        f"main.end={end}, main.lr_multiplier={rate}": {"adapter.main.end": end, "adapter.main.lr_multiplier": rate}
        for end in ("minor", "major") for rate in (0.1, 0.4, 1.6)}
    plan = planned(cells, (0, 1, 2, 3, 4))
    draw = random.Random(0)
    records = []
    for number, cell in enumerate(plan):
        made = record(cell, 0.3 + 0.02 * (number % 6) + draw.gauss(0, 0.01))
        made.metrics.update({"adapter/rank_efficiency/main": 0.2 + draw.gauss(0, 0.02),
                             "adapter_start/rank_efficiency/main": 0.9 + draw.gauss(0, 0.02),
                             "adapter/drift_norm/main": 40 + draw.gauss(0, 3)})
        records.append(made)
    statement = Statement(tables=("effects", "adapters"), factors=("adapter.main.end", "adapter.main.lr_multiplier"),
                          baseline="main.end=minor, main.lr_multiplier=0.4")
    assert_recorded("factorial", text_of(build(sweep("factorial"), plan, records, statement)), tmp_path)


def test_a_search(tmp_path: Path) -> None:
    draw = random.Random(0)
    trials = [PlannedCell(f"lr={number}", 0, f"{number:08d}", {"training.lr": 10 ** draw.uniform(-4, -2),
                                                                "adapter.main.rank": draw.choice([4, 8])})
              for number in range(30)]
    outcomes = {3: "pruned", 7: "failed", 21: "pruned"}
    records = [record(trial, 0.2 + 0.01 * (number * 7 % 30), outcomes.get(number, "finished"))
               for number, trial in enumerate(trials[:16] + trials[20:24])]
    assert_recorded("search", text_of(build(sweep("search", "tpe"), [], records, Statement())), tmp_path)


# what a table may claim


def test_equal_records_in_any_order_give_equal_tables() -> None:
    cells = {f"init={init}, main.rank={rank}": {"adapter.init": init, "adapter.main.rank": rank}
             for init in ("rrqr", "svd") for rank in (4, 8)}
    plan = planned(cells)
    records = [record(cell, 0.3 + 0.01 * number) for number, cell in enumerate(plan)]
    statement = dataclasses.replace(ALL, factors=("adapter.init", "adapter.main.rank"))
    expected = build(sweep(), plan, records, statement)
    assert [sheet.name for sheet in expected] == ["rank", "rank.differences", "rank.effects", "rank.adapters"]
    for seed in range(5):
        assert text_of(build(sweep(), plan, random.Random(seed).sample(records, len(records)), statement)) == \
            text_of(expected)
        shuffled = random.Random(seed).sample(records, len(records))
        assert text_of(build(sweep("s", "tpe"), [], shuffled, statement)) == text_of(build(sweep("s", "tpe"), [],
                                                                                           records, statement))


def test_only_the_tables_that_were_asked_for() -> None:
    plan, records = ordinary()
    assert [sheet.name for sheet in build(sweep(), plan, records, Statement())] == ["rank"]
    assert [sheet.name for sheet in build(sweep(), plan, records, Statement(tables=("differences",)))] == [
        "rank.differences"]
    assert not build(sweep(), plan, records, Statement(tables=("effects",)))  # no factors


def test_a_run_stopped_early_is_in_no_mean() -> None:
    plan, records = ordinary()
    with_pruned = [made if made.config["seed"] else record(cell, 0.99, "pruned")
                   for cell, made in zip(plan, records, strict=True)]
    (sheet,) = build(sweep(), plan, with_pruned, Statement())
    without, = build(sweep(), plan, [made for made in records if made.config["seed"]], Statement())
    places = [place for place, column in enumerate(sheet.columns) if column.key.startswith("miou/")]
    for row, bare in zip(sheet.rows[:3], without.rows[:3], strict=True):
        assert [row.entries[place] for place in places] == [bare.entries[place] for place in places]
        assert row.entries[1] == "2 of 3 seeds (1 pruned)" and plan[0].fingerprint not in str(row.runs)
    assert "Not counted: main.rank=4 seed 0 (stopped early)" in caption([sheet])


@pytest.mark.parametrize(("tag", "what"), [("protocol", "evaluation protocols"), ("selection", "selection rules")])
@pytest.mark.parametrize("other", ["oracle, 2048x1024", ""])
def test_runs_measured_differently_are_refused(tag: str, what: str, other: str) -> None:
    plan, records = ordinary()
    records[4] = record(plan[4], 0.3, **{tag: other})
    with pytest.raises(InputError, match=what) as refused:
        build(sweep(), plan, records, ALL)
    message = str(refused.value)
    assert f"main.rank=8 {plan[4].fingerprint}" in message and "\n" not in message and len(message) < 600
    with pytest.raises(InputError, match=what):
        build(sweep(method="tpe"), [], records, Statement())
    records[4] = record(plan[4], 0.3, "failed", **{tag: other})  # its numbers are in no row
    build(sweep(), plan, records, ALL)


def test_a_run_outside_the_plan_is_in_no_row() -> None:
    plan, records = ordinary()
    assert text_of(build(sweep(), plan[:6], records, ALL)) == text_of(build(sweep(), plan[:6], records[:6], ALL))


def test_two_cells_under_one_label_are_refused() -> None:
    plan, records = ordinary()
    with pytest.raises(InputError, match="'main.rank=4' with seed 0 twice"):
        build(sweep(), [*plan, plan[1]._replace(cell=plan[0].cell)], records, ALL)


def test_nothing_run_yet() -> None:
    sheets = build(sweep(), planned(RANKS), [], ALL)
    assert [row.entries[1] for row in sheets[0].rows] == ["not run"] * 3
    assert all(entry is None or entry == "not run" or isinstance(entry, Number) and entry == Number(0, digits=0)
               for sheet in sheets[1:] for row in sheet.rows for entry in row.entries)
    assert all("9 trials: 0 finished, 0 pruned, 0 failed, 9 not run." in sheet.caption for sheet in sheets)
    search = build(sweep(method="tpe"), [], [], Statement())
    assert "0 of 0 trials" in caption(search) and not search[0].rows


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_left_out_and_named(bad: float) -> None:
    plan, records = ordinary()
    for made in records[:2]:
        made.metrics["miou/source"] = bad
    del records[3].metrics["miou/scenes-fog"]
    sheets = build(sweep(), plan, records, ALL)
    assert "nan" not in text_of(sheets) and "inf" not in text_of(sheets).replace("infer", "")
    said = caption(sheets)
    assert (f"2 runs without a finite miou/source are not counted: {records[0].fingerprint}; {records[1].fingerprint}."
            in said)
    assert f"1 run without a finite miou/scenes-fog is not counted: {records[3].fingerprint}." in said
    source = next(place for place, column in enumerate(sheets[0].columns) if column.key == "miou/source")
    entry = sheets[0].rows[0].entries[source]
    assert isinstance(entry, Number) and entry.value == pytest.approx(
        50 * (records[3].metrics["miou/source"] + records[6].metrics["miou/source"]))


def test_other_code_versions_are_said() -> None:
    plan, records = ordinary()
    records[0].tags["dirty"] = "true"
    assert "Code: runs of 2 code versions, abc123def456, abc123def456 (modified)." in caption(
        build(sweep(), plan, records, Statement()))


def test_a_deleted_run_is_missed_unless_it_was_run_again() -> None:
    plan, records = ordinary()
    gone = DeletedRun(plan[4].fingerprint, "9" * 32, plan[4].cell, plan[4].seed)
    without = [made for made in records if made.fingerprint != gone.fingerprint]
    said = caption(build(sweep(), plan, without, ALL, deleted=[gone]))
    assert f"1 deleted from the store, and not run again: main.rank=8 seed 1 ({gone.fingerprint})." in said
    assert "Seeds not run: main.rank=8: 1." in said
    assert "deleted" not in caption(build(sweep(), plan, records, ALL, deleted=[gone]))


@pytest.mark.parametrize(("statement", "role"), [
    (Statement(baseline="main.rank=9"), "baseline"),
    (Statement(expectations=(Expectation("main.rank=8", "main.rank=9", "miou/source"),)), "expect"),
    (Statement(targets=(Target("main.rank=9", "miou/source", 60.0, "a paper", "note"),)), "targets")])
def test_a_statement_about_a_cell_that_is_not_there(statement: Statement, role: str) -> None:
    with pytest.raises(InputError, match=f"^{role}: no cell .* 'main.rank=9'; did you mean main.rank=.*its cells are "
                                         "'main.rank=4', 'main.rank=8', 'main.rank=16'$"):
        build(sweep(), *ordinary(), statement)


# label spaces and sources


def two_spaces(records: Sequence[Record]) -> None:
    for made in records:
        made.tags["label_space"] = "camvid11+cityscapes19"
        made.metrics.update({"iou/scenes-night/pavement": 0.1, "iou/scenes-fog/tree": 0.1, "iou/source/traffic_light": 0.1})


def test_each_column_tells_its_label_space() -> None:
    plan, records = ordinary()
    two_spaces(records)
    assert "Label space: camvid11 (scenes-night, scenes-fog); cityscapes19 (source)." in caption(
        build(sweep(), plan, records, Statement()))
    del records[0].metrics["iou/source/traffic_light"]  # other runs of its kind do not help: nothing is guessed
    for made in records:
        made.metrics["iou/source/road"] = made.metrics.pop("iou/source/traffic_light", 0.1)
    assert "Label space: camvid11, cityscapes19." in caption(build(sweep(), plan, records, Statement()))


def test_the_mapping_of_classes_is_printed_with_the_table() -> None:
    plan, records = ordinary()
    two_spaces(records)
    tags = label_tags(CITYSCAPES19, {"source": CITYSCAPES19, "scenes-night": CAMVID11, "scenes-fog": CAMVID11})
    for made in records[1:]:
        made.tags.update(tags)
    said = caption(build(sweep(), plan, records, Statement()))  # the first run is one of before, of the same kind
    assert ("Label space: source in cityscapes19; scenes-night, scenes-fog in camvid11 (of cityscapes19 building: "
            "building, wall; pavement: sidewalk; tree: vegetation, terrain; sign: traffic light, traffic sign; ") in said
    del records[1].tags["label_mapping"]
    records[1].config["data.source"] = "scenes-snow"  # type: ignore[index]
    assert "Label space: camvid11 (scenes-night" in caption(build(sweep(), plan, records, Statement()))


def test_what_was_measured_on_different_things_is_not_compared() -> None:
    cells: dict[str, dict[str, object]] = {"source=scenes-day": {"data.source": "scenes-day"},
                                           "source=scenes-snow": {"data.source": "scenes-snow"}}
    plan = planned(cells)
    records = [record(cell, 0.3 if cell.cell == "source=scenes-day" else 0.5) for cell in plan]
    results, differences = build(sweep(), plan, records, Statement(tables=("results", "differences")))
    marked = {column.key for row in results.rows for column, entry in zip(results.columns, row.entries, strict=True)
              if isinstance(entry, Number) and entry.mark}
    assert marked == {"miou/target_mean", "miou/scenes-night", "miou/scenes-fog"}
    assert "miou/source" not in [column.key for column in differences.columns]
    for sheet in (results, differences):
        assert ("source: measured on scenes-day in cityscapes19; on scenes-snow in cityscapes19: these are not compared "
                "with each other.") in sheet.caption


# a search


def test_a_search_ranks_by_its_objective_and_never_by_a_trial_that_stopped_early() -> None:
    plan, records = ordinary()
    records[2] = record(plan[2], 0.99, "pruned")
    (sheet,) = build(sweep(method="tpe", objective="miou/source"), [], records, Statement())
    place = next(place for place, column in enumerate(sheet.columns) if column.key == "miou/source")
    scores = [row.entries[place].value for row in sheet.rows if row.label.isdigit()]  # type: ignore[union-attr]
    assert scores == sorted(scores, reverse=True) and len(scores) == 8
    assert [row.label for row in sheet.rows[-2:]] == ["(9)", "chance"] and "pruned at 40" in sheet.rows[-2].entries
    (lowest,) = build(sweep(method="tpe", objective="miou/source")._replace(goal="minimize"), [], records, Statement())
    assert lowest.rows[0].runs != sheet.rows[0].runs
    (other,) = build(sweep(method="tpe", objective="loss/x"), [], records, Statement())
    assert "loss/x" in [column.key for column in other.columns]


# size


def test_twice_the_runs_take_twice_the_work() -> None:
    def work(cells: int) -> int:
        plan, records = scored(noisy({f"cell {number}": 0.3 + 0.0001 * number for number in range(cells)}, 0.01))

        def both() -> None:
            results, differences = build(sweep(), plan, records, Statement(tables=("results", "differences")))
            assert (len(results.rows), len(differences.rows)) == (cells, cells - 1)

        return count_calls(both)

    assert work(400) < 2.2 * work(200)


def test_ten_thousand_runs_have_a_table() -> None:
    plan, records = scored(noisy({f"cell {number}": 0.3 + 0.0001 * number for number in range(2000)}, 0.01))
    results, differences = build(sweep(), plan, records, Statement(tables=("results", "differences")))
    assert len(results.rows) == 2000 and len(differences.rows) == 1999


def test_levels_are_what_they_seem() -> None:
    """The records that the other tests rely on: the ranks' leads are small and steady."""
    plan, records = ordinary()
    (sheet,) = build(sweep(), plan, records, Statement())
    means = [row.entries[-2].value for row in sheet.rows[:3]]  # type: ignore[union-attr]
    assert means == pytest.approx([100 * level + 0.1 for level in LEVELS.values()], abs=0.01)
