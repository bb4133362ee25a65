"""The columns of a table of results: one contract over all entries, held against runs that were really recorded."""

import dataclasses
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from recyclelora.errors import InputError
from recyclelora.runs.run import Sweep
from recyclelora.spaces.columns import (
    BY_KEY,
    COLUMNS,
    DEFAULT,
    SETTINGS,
    STATUS,
    TARGETS,
    UNKNOWN,
    Fact,
    Quantity,
    facts_of,
    quantity,
)
from recyclelora.spaces.space_file import read_space
from recyclelora.spaces.statement import Statement, dump_statement, parse_statement
from recyclelora.tables.cells import NEVER_MIXED, group
from recyclelora.tables.composition import _facts
from recyclelora.tables.formats import FORMS, render, terminal
from recyclelora.tables.provenance import explain
from recyclelora.tables.results_table import tabulate_results
from recyclelora.tables.search import tabulate_search
from recyclelora.tables.sheet import Entry, Number, Sheet
from recyclelora.tables.sweep_sheets import build
from recyclelora.trials.record import Record
from tests.ablation import ordinary, planned, record, sweep
from tests.refresh_readme_table import ROOT, load

QUANTITIES = [entry for entry in COLUMNS if isinstance(entry, Quantity)]
FACTS = [entry for entry in COLUMNS if isinstance(entry, Fact)]


def named(entry: Any) -> str:
    return str(entry.key)


def table(records: Sequence[Record] | None = None, columns: Sequence[str] = DEFAULT) -> Sheet:
    """The default sweep's, with these columns."""
    evidence = load()
    cells = group("default", evidence.plan, evidence.records if records is None else records)
    return tabulate_results("default", cells, Statement(columns=tuple(columns)))


def column(sheet: Sheet, key: str) -> Mapping[str, Entry]:
    place = [column.key for column in sheet.columns].index(key)
    return {row.label: row.entries[place] for row in sheet.rows if not row.apart}


def without(record: Record, *kept: str) -> Record:
    """A run that tells nothing of itself but some tags."""
    return dataclasses.replace(record, metrics={}, tags={name: record.tags[name] for name in kept}, iteration=0,
                               config={"seed": record.config["seed"]})


# the contract


@pytest.mark.parametrize("entry", COLUMNS, ids=named)
def test_an_entry_says_what_it_is(entry: Any) -> None:
    assert entry.key and entry.means and not entry.means.endswith(".")
    assert entry.key in BY_KEY and [each.key for each in COLUMNS].count(entry.key) == 1
    if isinstance(entry, Quantity):
        assert entry.heading and entry.better in ("higher", "lower", "") and 0 <= entry.digits <= 6 and entry.scale > 0
        assert not entry.unit or entry.unit in ("%", "h", "s", "GiB")


@pytest.mark.parametrize("entry", QUANTITIES, ids=named)
def test_a_quantity_is_the_mean_and_sd_of_what_the_runs_recorded(entry: Quantity) -> None:
    evidence = load()
    sheet = table(columns=(entry.key,))
    for cell, shown in column(sheet, entry.key).items():
        values = [entry.scale * entry.of(each) for each in evidence.records if each.tags["cell"] == cell]
        assert values and all(map(math.isfinite, values)), "nothing records this column: it is dead"
        assert isinstance(shown, Number) and shown.digits == entry.digits
        assert shown.value == pytest.approx(statistics.fmean(values), rel=1e-12)
        if entry.digits == 0 and len(set(values)) == 1:
            assert math.isnan(shown.sd)
        else:
            assert shown.sd == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-12)
    heading = sheet.columns[0].heading
    assert entry.unit in ("", "%") or heading.endswith(f", {entry.unit}")


@pytest.mark.parametrize("entry", QUANTITIES, ids=named)
def test_a_run_without_the_number_is_named_and_not_counted(entry: Quantity) -> None:
    records = load().records
    lacking = without(records[0], *NEVER_MIXED)
    sheet = table([lacking, *records[1:]], (entry.key,))
    own = [entry.scale * entry.of(each) for each in records[1:] if each.tags["cell"] == records[0].tags["cell"]]
    shown = column(sheet, entry.key)[records[0].tags["cell"]]
    assert isinstance(shown, Number) and shown.value == pytest.approx(statistics.fmean(own), rel=1e-12)
    if entry.key not in DEFAULT:  # of those the sweep's own caption tells
        assert f"1 run without a finite {entry.key} is not counted: {records[0].fingerprint}." in sheet.caption
    assert set(column(table(list(map(without, records)), (entry.key,)), entry.key).values()) == {None}


@pytest.mark.parametrize("entry", FACTS, ids=named)
def test_a_fact_that_a_run_did_not_record_is_unknown(entry: Fact) -> None:
    records = load().records
    assert all(map(entry.of, records)), "nothing records this column: it is dead"
    assert UNKNOWN not in str(column(table(columns=(entry.key,)), entry.key).values())
    if entry.key not in NEVER_MIXED:  # a table of which is refused
        some = column(table([without(records[0], *NEVER_MIXED), *records[1:]], (entry.key,)), entry.key)
        assert f"{UNKNOWN} (1)" in str(some[records[0].tags["cell"]])
    assert set(column(table(list(map(without, records)), (entry.key,)), entry.key).values()) == {UNKNOWN}


@pytest.mark.parametrize("entry", COLUMNS, ids=named)
def test_every_format_prints_it_and_explain_finds_its_runs(entry: Any) -> None:
    evidence = load()
    statement = Statement(columns=(entry.key,))
    sheet = table(columns=(entry.key,))
    assert sheet.columns
    for chosen in sheet.columns:
        assert all(chosen.heading.split(",")[0].split(".")[-1] in render(sheet, form).replace("<wbr>", "")
                   .replace("{}", "").replace("\\", "") or chosen.key in render(sheet, form) for form in FORMS)
        found = explain([sheet], evidence.sweep, evidence.plan, evidence.records, statement, "default", sheet.rows[1].label,
                        chosen.key, lambda ids: None)
        assert found.formula and len(found.sources) == 3 and all(source.outcome == "finished" for source in found.sources)
        if isinstance(entry, Quantity):
            values = [float(source.value) * entry.scale for source in found.sources if source.counted]
            shown = sheet.rows[1].entries[0]
            assert isinstance(shown, Number) and shown.value == pytest.approx(statistics.fmean(values), rel=1e-12)
    assert terminal(sheet).plain


@pytest.mark.parametrize("entry", [*QUANTITIES, *FACTS], ids=named)
def test_a_search_has_the_same_columns(entry: Any) -> None:
    evidence = load()
    found = Sweep("s", "0" * 32, "tpe", "miou/source", "maximize")
    sheet = tabulate_search(found, evidence.records, Statement(columns=(entry.key,)))
    by_fingerprint = {each.fingerprint: each for each in evidence.records}
    for row in (row for row in sheet.rows if not row.apart):
        told, shown = entry.of(by_fingerprint[row.runs[0].fingerprint]), row.entries[0]
        assert shown.value == pytest.approx(entry.scale * told) if isinstance(shown, Number) else shown == told
    keys = [column.key for column in sheet.columns]
    assert keys == list(dict.fromkeys([entry.key, "miou/source"]))  # what the trials are ranked by is always shown


@pytest.mark.parametrize("entry", COLUMNS, ids=named)
def test_an_entry_is_documented(entry: Any) -> None:
    unit = f" ({entry.unit})" if isinstance(entry, Quantity) and entry.unit else ""
    assert f"| `{entry.key}` | {entry.means}{unit} |" in (ROOT / "experiments" / "README.md").read_text("utf-8")


def test_no_two_columns_have_one_heading() -> None:
    headings = [column.heading for column in table(columns=[entry.key for entry in COLUMNS]).columns]
    assert len(set(headings)) == len(headings)


# choosing


def test_the_default_columns_are_what_they_were() -> None:
    keys = [column.key for column in table().columns]
    domains = [f"miou/scenes-{domain}" for domain in ("night", "fog", "rain", "snow", "dusk", "city", "camera")]
    assert keys == ["adapter.method", "adapter.init", "status", "params/adapter", *domains, "miou/target_mean",
                    "miou/source"]


def test_columns_stand_in_the_order_they_were_asked_for() -> None:
    chosen = ("memory/peak", "miou/target_mean", "miou/scenes-fog", STATUS, "adapter.main.rank", "worst_target", SETTINGS)
    assert [column.key for column in table(columns=chosen).columns] == [
        *chosen[:-1], "adapter.method", "adapter.init"]
    assert len(table(columns=(TARGETS,)).columns) == 7


def test_the_columns_shown_change_no_mark() -> None:
    """Leads are tested over all metrics: leaving columns out makes no lead clearer."""
    plan, records = ordinary((0, 1, 2, 3, 4))
    cells = group("rank", plan, records)
    whole = tabulate_results("rank", cells, Statement())
    for key in ("miou/target_mean", "miou/source", "miou/scenes-fog"):
        alone = tabulate_results("rank", cells, Statement(columns=(key,)))
        assert column(alone, key) == column(whole, key)


def test_the_worst_target_is_the_lowest_of_each_run() -> None:
    plan, records = ordinary()
    for place, made in enumerate(records):
        made.metrics["miou/scenes-night"] = 0.5 if place == 0 else 0.1
        made.metrics["miou/scenes-fog"] = 0.2
    sheet = tabulate_results("rank", group("rank", plan, records), Statement(columns=("miou/worst_target", "worst_target")))
    first = records[0].tags["cell"]
    shown = column(sheet, "miou/worst_target")[first]
    assert isinstance(shown, Number) and shown.value == pytest.approx((20 + 10 + 10) / 3)
    assert column(sheet, "worst_target")[first] == "scenes-night (2), scenes-fog (1)"
    assert column(sheet, "worst_target")["main.rank=16"] == "scenes-night"


def test_the_caption_says_what_a_chosen_column_is() -> None:
    said = table(columns=("miou/target_mean", "memory/peak")).caption
    assert ("Peak memory: the most that torch held on the GPU, or the process held without one, in GiB; lower is better."
            in said)
    assert not any("in GiB" in sentence for sentence in table().caption)


SPACE = """\
claim: More rank helps.
base: base.yaml
method: grid
parameters:
  adapter.main.rank: {values: [8, 16]}
seeds: [0]
"""


def space(tmp_path: Path, columns: str, text: str = SPACE) -> Statement:
    (tmp_path / "base.yaml").write_text("data: {source: scenes-day, targets: [scenes-night, scenes-fog]}\n")
    (tmp_path / "some.yaml").write_text(f"{text}columns: {columns}\n")
    return read_space(tmp_path / "some.yaml").statement


def test_a_file_chooses_its_columns(tmp_path: Path) -> None:
    statement = space(tmp_path, "[miou/scenes-fog, memory/peak, adapter.main.rank]")
    assert statement.columns == ("miou/scenes-fog", "memory/peak", "adapter.main.rank")
    assert parse_statement(dump_statement(statement)) == statement
    (tmp_path / "some.yaml").write_text(SPACE)
    assert read_space(tmp_path / "some.yaml").statement.columns == DEFAULT
    search = SPACE.replace("grid", "tpe") + "run_cap: 2\n"
    assert space(tmp_path, "[status, memory/peak]", search).columns == (
        "status", "memory/peak")


def test_a_statement_of_before_has_the_default_columns() -> None:
    told = json.loads(dump_statement(Statement(claim="x")))
    del told["columns"]
    assert parse_statement(json.dumps(told)) == Statement(claim="x")


@pytest.mark.parametrize(("columns", "says"), [
    ("[memory/peek]", "'memory/peek' is no column; did you mean memory/peak?"),
    ("[miou/scenes-fgo]", "'miou/scenes-fgo' is no column; did you mean miou/scenes-fog?"),
    ("[adapter.main.rnak]", "'adapter.main.rnak' is no column; did you mean adapter.main.rank?"),
    ("[zzz]", "'zzz' is no column; known: settings, status, miou/targets"),
    ("[7]", "7 is no column"), ("[status, status]", "'status' is listed twice"),
    ("[]", "expected a list such as [settings, status"), ("status", "expected a list such as"),
    ("{status: 1}", "expected a list such as")])
def test_what_is_no_column_is_refused_with_its_place(tmp_path: Path, columns: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        space(tmp_path, columns)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / 'some.yaml'}:7: columns: ") and says in message and "\n" not in message


# unknown is no default


def test_the_facts_of_a_group_of_runs() -> None:
    records = load().records[:3]
    assert facts_of(records, lambda run: "a") == "a" and facts_of([], lambda run: "a") == ""
    assert facts_of(records, lambda run: "") == UNKNOWN
    answers = iter(["", "b", "b"])
    assert facts_of(records, lambda run: next(answers)) == f"b (2), {UNKNOWN} (1)"
    assert quantity("miou/some-domain").scale == 100 and quantity("loss/all").scale == 1


@pytest.mark.parametrize(("tag", "says"), [
    ("weights_sha256", "Weights: sha256 0123456789ab, unknown."), ("data_fingerprint", "Data: dddddddddddd, unknown."),
    ("commit", "Code: runs of 2 code versions, abc123def456, unknown."), ("label_space", "cityscapes19, unknown."),
    ("protocol", "mix evaluation protocols"), ("selection", "mix selection rules")])
def test_one_run_that_does_not_tell_is_said(tag: str, says: str) -> None:
    plan, records = ordinary()
    del records[4].tags[tag]
    try:
        said = " ".join(build(sweep(), plan, records, Statement())[0].caption)
    except InputError as refused:
        said = str(refused)
    assert says in said
    for made in records:
        made.tags.pop(tag, None)
    said = " ".join(build(sweep(), plan, records, Statement())[0].caption)
    assert UNKNOWN in said


@pytest.mark.parametrize("tag", ["weights_sha256", "weights_source", "data_fingerprint", "commit", "protocol", "selection"])
def test_a_page_says_unknown_too(tag: str) -> None:
    plan, records = ordinary()
    for made in records:
        made.tags["weights_source"] = "a hub"
    assert UNKNOWN not in str(_facts(records))
    del records[0].tags[tag]
    assert str(_facts(records)).count(UNKNOWN) == 1
    assert not _facts([])


def test_a_run_that_failed_has_no_numbers_to_be_told_of() -> None:
    plan, records = ordinary()
    records[0] = dataclasses.replace(record(plan[0], 0.3, "failed"), tags={})
    assert UNKNOWN not in " ".join(build(sweep(), plan, records, Statement())[0].caption)


def test_a_source_that_a_run_does_not_tell_is_unknown() -> None:
    plan, records = ordinary()
    del records[0].config["data.source"]  # type: ignore[attr-defined]
    assert "Source: scenes-day, unknown." in " ".join(build(sweep(), plan, records, Statement())[0].caption)


def test_a_search_that_does_not_tell_its_goal_or_its_seeds_is_refused() -> None:
    plan = planned({"a": {"x": 1}})
    records = [record(cell, 0.3) for cell in plan[:1]]
    with pytest.raises(InputError, match=r"does not tell whether miou/source was to be maximized .*\(goal: unknown\)"):
        tabulate_search(Sweep("s", "0" * 32, "tpe", "miou/source", ""), records, Statement())
    del records[0].config["seed"]  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="does not tell its seed"):
        tabulate_search(sweep(method="tpe"), records, Statement())
