"""The table of adapters: its measures in their order, start before end, defined beneath."""

import pytest

from recyclelora.adapters.diagnostics import DEFINITIONS
from recyclelora.tables.adapter_table import tabulate_adapters
from recyclelora.tables.cells import group
from recyclelora.tables.sheet import Number
from tests.ablation import ordinary


def test_measures_stand_in_the_order_of_their_definitions() -> None:
    plan, records = ordinary()
    for number, made in enumerate(records):
        made.metrics.update({"adapter/drift_norm/main": 123.4 + number, "adapter/rank_efficiency/sub": 0.5,
                             "adapter/rank_efficiency/main": 0.01, "adapter_start/rank_efficiency/main": 1.0,
                             "adapter/unheard_of/x": 2.0, "adapter/cosine_a/main": 0.1})
    sheet = tabulate_adapters("s.adapters", group("s", plan, records))
    assert [(column.key, column.heading) for column in sheet.columns[1:]] == [
        ("adapter_start/rank_efficiency/main", "rank efficiency, main, start"),
        ("adapter/rank_efficiency/main", "rank efficiency, main"), ("adapter/rank_efficiency/sub", "rank efficiency, sub"),
        ("adapter/drift_norm/main", "drift norm, main")]
    first = sheet.rows[0].entries
    assert first[1] == Number(1.0, sd=0.0) and first[2] == Number(0.01, sd=0.0, digits=4)
    assert first[4] == Number(pytest.approx(126.4), sd=pytest.approx(3.0), digits=0)  # type: ignore[arg-type]
    assert f"rank efficiency: {DEFINITIONS['rank_efficiency']}" in sheet.caption
    assert not any(sentence.startswith(("unheard of", "cosine")) for sentence in sheet.caption)


def test_a_cell_without_adapters_has_no_numbers() -> None:
    plan, records = ordinary()
    for made in records:
        if made.tags["cell"] != "main.rank=4":
            made.metrics["adapter/rank_efficiency/main"] = 0.5
    sheet = tabulate_adapters("s.adapters", group("s", plan, records))
    assert sheet.rows[0].entries == ("3", None) and sheet.rows[1].entries[1] == Number(0.5, sd=0.0, digits=3)
