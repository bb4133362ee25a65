"""The way back: every number that a table prints can be computed again from the runs that it is explained with."""

import math
import re
import statistics
from collections.abc import Sequence

import pytest

from recyclelora.errors import InputError
from recyclelora.runs.planned_cells import PlannedCell
from recyclelora.spaces.statement import TABLES, Statement, Target
from recyclelora.tables.provenance import Explanation, explain, lines
from recyclelora.tables.sheet import Number
from recyclelora.tables.sweep_sheets import build
from recyclelora.trials.record import Record
from tests.ablation import ordinary, planned, record, sweep

MEAN = "miou/target_mean"
STATEMENT = Statement(tables=TABLES, baseline="main.rank=8", targets=(
    Target("main.rank=4", MEAN, 61.1, "Rein, table 1", "paper-copy"),))


def address(run_ids: Sequence[str]) -> str:
    return "http://127.0.0.1:5000/#/" + ",".join(run_ids)


def ask(table: str, row: str, column: str, runs: tuple[list[PlannedCell], list[Record]] | None = None,
        statement: Statement = STATEMENT) -> Explanation:
    plan, records = runs or ordinary()
    sheets = build(sweep(), plan, records, statement)
    return explain(sheets, sweep(), plan, records, statement, table, row, column, address)


def unfinished() -> tuple[list[PlannedCell], list[Record]]:
    """main.rank=4: seed 0 failed, seed 1 without a number, seed 2 with a second run; main.rank=16: seed 0 not run."""
    plan, records = ordinary((0, 1, 2, 3, 4))
    records[0] = record(plan[0], 0.3, "failed")
    records[3].metrics[MEAN] = math.nan
    records[6].tags.update(duplicates="e" * 32, dirty="true")
    return plan, [made for made in records if made is not records[2]]


def test_every_mean_of_the_results_can_be_computed_again() -> None:
    plan, records = unfinished()
    results, *_ = build(sweep(), plan, records, STATEMENT)
    seen = 0
    for row in results.rows:
        for place, column in enumerate(results.columns):
            entry = row.entries[place]
            if row.apart or not isinstance(entry, Number) or not column.key.startswith("miou/") or " " in column.key:
                continue
            found = ask("rank", row.label, column.key, (plan, records))
            values = [100 * float(source.value) for source in found.sources if source.counted]
            assert entry.value == pytest.approx(statistics.fmean(values))
            assert entry.sd == pytest.approx(statistics.stdev(values))
            assert found.printed.startswith(f"{entry.value:.2f} ± {entry.sd:.2f}") and f"{len(values)} seeds" in found.formula
            assert found.url == address([source.run_id for source in found.sources if source.counted])
            seen += 1
    assert seen == 12


def test_every_difference_can_be_computed_again_from_the_runs_of_both_cells() -> None:
    plan, records = unfinished()
    differences = build(sweep(), plan, records, STATEMENT)[1]
    for row in differences.rows:
        place = [column.key for column in differences.columns].index(MEAN)
        found = ask("rank.differences", row.label, MEAN, (plan, records))
        values = {(source.cell, source.seed): 100 * float(source.value) for source in found.sources if source.counted}
        seeds = sorted({seed for _, seed in values})
        assert len(values) == 2 * len(seeds)
        pairs = [values[row.label, seed] - values["main.rank=8", seed] for seed in seeds]
        entry = row.entries[place]
        assert isinstance(entry, Number) and entry.value == pytest.approx(statistics.fmean(pairs))
        assert row.entries[0] == Number(len(seeds), digits=0) and f"over {len(seeds)} pairs" in found.formula


@pytest.mark.parametrize(("cell", "fewer"), [("main.rank=4", True), ("main.rank=16", False)])
def test_pairs_are_those_of_the_table_where_a_cell_has_fewer_seeds_planned(cell: str, fewer: bool) -> None:
    plan, records = ordinary((0, 1, 2, 3, 4))
    plan = [each for each in plan if each.cell != "main.rank=4" or each.seed < 2]
    differences = build(sweep(), plan, records, STATEMENT)[1]
    row = next(row for row in differences.rows if row.label == cell)
    assert row.entries[0] == Number(2 if fewer else 5, digits=0)
    for column in ("pairs", MEAN, "target mean p", "target mean p (Holm)", "target mean g"):
        found = ask("rank.differences", cell, column, (plan, records))
        counted = sorted({source.seed for source in found.sources if source.counted})
        assert counted == ([0, 1] if fewer else [0, 1, 2, 3, 4])
        assert column == "pairs" or f"over {len(counted)} pairs" in found.formula
    assert len(ask("rank.differences", cell, "pairs", (plan, records)).sources) == (7 if fewer else 10)


def test_runs_that_do_not_count_are_shown_and_say_why() -> None:
    sources = ask("rank", "main.rank=4", "target mean", unfinished()).sources
    assert [(source.seed, source.counted, source.outcome) for source in sources] == [
        (0, False, "failed"), (1, False, "finished"), (2, True, "finished"), (3, True, "finished"), (4, True, "finished")]
    assert sources[0].reason == "diverged" and sources[1].value == "nan"
    assert sources[2].commit == "abc123def456 (modified)" and sources[2].duplicates == "e" * 32
    missing = ask("rank", "main.rank=16", "target mean", unfinished()).sources[0]
    assert (missing.outcome, missing.counted, missing.fingerprint) == ("not run", False, "0200" * 4)


def test_the_text_holds_every_digit_and_every_run() -> None:
    plan, records = unfinished()
    text = lines(ask("rank", "main.rank=4", MEAN, (plan, records)))
    made = records[5]
    assert text[0].startswith("rank, row main.rank=4, column miou/target_mean: ")
    assert f"  seed 2: {made.metrics[MEAN]!r} · finished · run {made.tags['run_id']} · fingerprint {made.fingerprint} · " \
        f"commit abc123def456 (modified) · {address([made.tags['run_id']])} · other runs of this trial, which do not " \
        f"count: {'e' * 32}" in text
    assert "  seed 0: failed (diverged) · run" in "\n".join(text) and "  seed 1: nan (not counted) · finished" in "\n".join(text)
    assert "settings that differ from main.rank=8:" in text and "  adapter.main.rank: 4 (there: 8)" in text
    assert text == lines(ask("rank", "main.rank=4", MEAN, (plan, records[::-1])))
    assert not re.search(r"[\n\r\x1b]", "".join(text))


@pytest.mark.parametrize(("column", "says"), [
    ("target mean published", "published 61.1 (Rein, table 1; tier paper-copy); not measured here"),
    ("target mean difference", "minus published 61.1 (Rein, table 1; tier paper-copy)"),
    ("adapter.main.rank", "setting adapter.main.rank"), ("status", "how many of its planned runs have finished"),
    ("adapter params", "params/adapter over 3 seeds")])
def test_every_kind_of_column_has_its_words(column: str, says: str) -> None:
    found = ask("rank", "main.rank=4", column)
    assert says in found.formula and bool(found.sources) == (column != "target mean published")


@pytest.mark.parametrize(("column", "says"), [
    ("target mean p", "p of a paired t test: "), ("source p (Holm)", "Holm-adjusted"), ("target mean g", "Hedges"),
    ("pairs", "have finished")])
def test_the_columns_of_differences_have_theirs(column: str, says: str) -> None:
    found = ask("rank.differences", "main.rank=4", column)
    assert says in found.formula and len(found.sources) == 6


def test_an_effect_is_explained_with_the_cells_it_compares() -> None:
    cells = {f"init={init}, main.rank={rank}": {"adapter.init": init, "adapter.main.rank": rank}
             for init in ("rrqr", "svd") for rank in (4, 8, 16)}
    plan = planned(cells)
    runs = plan, [record(cell, 0.3 + 0.01 * number) for number, cell in enumerate(plan)]
    found = ask("rank.effects", "main.rank: 16", "target mean", runs,
                Statement(tables=TABLES, factors=("adapter.init", "adapter.main.rank")))
    assert {source.cell for source in found.sources} == {cell for cell in cells if not cell.endswith("=8")}


def test_a_trial_of_a_search_is_explained_with_its_run() -> None:
    _, records = ordinary()
    sheets = build(sweep(method="tpe"), [], records, Statement())
    found = explain(sheets, sweep(method="tpe"), [], records, Statement(), "rank", "1", "source", address)
    assert len(found.sources) == 1 and found.formula == "miou/source x 100 of a single run"
    assert float(found.sources[0].value) == pytest.approx(max(made.metrics["miou/source"] for made in records), abs=0.01)


def test_rows_and_columns_are_found_by_their_beginning_or_heading_in_any_case() -> None:
    plan = planned({"frozen backbone": {"x": 1}, "rrqr": {"x": 2}, "rrqr, swapped": {"x": 3}})
    runs = plan, [record(cell, 0.3) for cell in plan]
    statement = Statement()
    assert ask("rank", "FROZ", "Target MEAN", runs, statement).row == "frozen backbone"
    assert ask("rank", "rrqr", "SOURCE", runs, statement).row == "rrqr"  # a whole label is no beginning
    with pytest.raises(InputError, match="row 'r' could be 'rrqr', 'rrqr, swapped'; give more"):
        ask("rank", "r", "source", runs, statement)


@pytest.mark.parametrize(("table", "row", "column", "says"), [
    ("rnak", "main.rank=4", "source", "table 'rnak': .*did you mean rank.*tables: rank, rank.differences"),
    ("rank", "main.rnk=4", "source", "no row is called 'main.rnk=4'; did you mean main.rank=4?"),
    ("rank", "", "source", "no row is called ''.*rows: 'main.rank=4'"),
    ("rank", "main.rank=4", "sorce", "no column is called 'sorce'; did you mean source?"),
    ("rank", "main.rank=4", "zzz", "columns: 'adapter.main.rank', 'seeds'")])
def test_what_is_not_there_is_said_with_what_there_is(table: str, row: str, column: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        ask(table, row, column)
    assert "\n" not in str(refused.value)


def test_chance_comes_from_no_run_of_a_cell() -> None:
    found = ask("rank", "chance", "source")
    assert not found.sources and found.printed == "3.00" and "chance/source" in found.formula
