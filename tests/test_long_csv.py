"""The long CSV: somebody who has that file alone, and plain csv, numpy and scipy, computes every number of ours again."""

import csv
import dataclasses
import io
import math
import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from recyclelora.runs.planned_cells import PlannedCell
from recyclelora.runs.run import Sweep
from recyclelora.spaces.columns import COLUMNS, DEFAULT, Quantity
from recyclelora.spaces.statement import Statement
from recyclelora.tables.cells import group
from recyclelora.tables.formats import render
from recyclelora.tables.long_csv import long_csv
from recyclelora.tables.sweep_sheets import build
from recyclelora.trials.record import Record
from tests.ablation import noisy, planned, record, scored, sweep
from tests.refresh_readme_table import load

Runs = tuple[list[PlannedCell], list[Record]]
UNITS = {"memory/peak": 2.0**-30, "time/train": 1 / 3600, "time/evaluate": 1 / 3600}
CLOSE = {"rel": 1e-9, "abs": 1e-9}


def unfinished() -> Runs:
    """Five cells with noise of their own: seeds that failed, were stopped, were not run; a metric that is no number."""
    labels = {f"main.rank={rank}": {"adapter.main.rank": rank} for rank in (2, 4, 8, 16, 32)}
    plan, draw = planned(labels, (0, 1, 2, 3, 4)), random.Random(3)
    levels = dict(zip(labels, (0.30, 0.35, 0.32, 0.45, 0.2), strict=True))
    records = []
    for each in plan:
        made = record(each, levels[each.cell] + draw.gauss(0, 0.01))
        for metric in [metric for metric in made.metrics if metric.startswith("miou/")]:
            made.metrics[metric] += draw.gauss(0, 0.01)
        made.metrics.update({"memory/peak": draw.random() * 2e9, "time/train": draw.random() * 9999, "loss/all": 1.0})
        records.append(made)
    records[1] = record(plan[1], 0.9, "pruned")
    records[7] = record(plan[7], 0.9, "failed")
    records[3].metrics["miou/source"] = math.nan
    return plan, [made for place, made in enumerate(records) if place not in (4, 9, 14)]  # main.rank=32: two seeds


def single_target() -> Runs:
    plan, records = scored(noisy({"a": 0.2, "b": 0.4, "c": 0.41}, 0.01))
    for made in records:
        made.metrics.update({"miou/dusk": made.metrics["miou/target_mean"], "miou/source": 0.2 + made.metrics["miou/target_mean"]})
        made.config["data.targets"] = ["dusk"]  # type: ignore[index]
    return plan, records


def recorded() -> Runs:
    evidence = load()
    return evidence.plan, evidence.records


STORES = {"unfinished": unfinished, "single target": single_target, "the default sweep": recorded}


class Outsider:
    """Reads nothing but the text of the file."""

    def __init__(self, text: str) -> None:
        lines = list(csv.DictReader(io.StringIO(text), strict=True))
        self.baseline = lines[0]["baseline"]
        self.cells = list(dict.fromkeys(line["cell"] for line in lines))
        self.compared = list(dict.fromkeys(line["metric"] for line in lines if line["compared"] == "yes"))
        self.values: dict[tuple[str, str], dict[int, float]] = {}
        for line in lines:
            if line["outcome"] == "finished" and line["value"] and np.isfinite(float(line["value"])):
                self.values.setdefault((line["cell"], line["metric"]), {})[int(line["seed"])] = float(line["value"])

    def of(self, cell: str, metric: str) -> dict[int, float]:
        scale = 100 if metric.startswith("miou/") else UNITS.get(metric, 1)
        return {seed: scale * value for seed, value in self.values.get((cell, metric), {}).items()}

    def steps(self, cell: str, metric: str) -> np.ndarray:  # type: ignore[type-arg]
        own, other = self.of(cell, metric), self.of(self.baseline, metric)
        return np.array([own[seed] - other[seed] for seed in sorted(own.keys() & other.keys())])

    def p_values(self) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]:
        """Of every cell and metric with three pairs: alone, and after Holm over all of them."""
        tests = [(cell, metric) for cell in self.cells if cell != self.baseline for metric in self.compared
                 if len(self.steps(cell, metric)) >= 3]
        raw = {test: float(stats.ttest_1samp(self.steps(*test), 0).pvalue) for test in tests}
        order = sorted(tests, key=raw.__getitem__)
        steps = [min(1.0, (len(order) - place) * raw[test]) for place, test in enumerate(order)]
        return raw, dict(zip(order, np.maximum.accumulate(steps or [0.0]).tolist(), strict=False))


def tables_of(runs: Runs, statement: Statement) -> tuple[Outsider, list[dict[str, str]], list[dict[str, str]]]:
    plan, records = runs
    sheets = build(sweep("some"), plan, records, statement)
    results, differences = (list(csv.DictReader(io.StringIO(render(sheet, "csv")))) for sheet in sheets)
    return Outsider(long_csv(sweep("some"), group("some", plan, records), records, statement)), results, differences


def statement_of(runs: Runs) -> Statement:
    """The second cell as baseline, and all columns."""
    extra = tuple(entry.key for entry in COLUMNS if isinstance(entry, Quantity) and entry.key not in DEFAULT)
    return Statement(tables=("results", "differences"), baseline=runs[0][1].cell, columns=(*DEFAULT, *extra))


def numbers(row: Mapping[str, str], keys: Sequence[str]) -> list[float]:
    return [float(row.get(key) or "nan") for key in keys]


@pytest.mark.parametrize("store", STORES)
def test_every_mean_and_spread_comes_back(store: str) -> None:
    runs = STORES[store]()
    outsider, results, _ = tables_of(runs, statement_of(runs))
    checked = 0
    for row in (row for row in results if row["cell"] != "chance"):
        for metric in [key for key in row if "/" in key and " " not in key] + ["iterations"]:
            values = list(outsider.of(row["cell"], metric).values())
            mean, spread = numbers(row, [metric, f"{metric} sd"])
            assert mean == (pytest.approx(np.mean(values), **CLOSE) if values else pytest.approx(math.nan, nan_ok=True))
            if len(values) > 1 and not (math.isnan(spread) and len(set(values)) == 1):
                assert spread == pytest.approx(np.std(values, ddof=1), **CLOSE)
            checked += len(values) > 0
    assert checked >= 12


@pytest.mark.parametrize("store", STORES)
def test_every_difference_interval_and_p_comes_back(store: str) -> None:
    runs = STORES[store]()
    outsider, _, differences = tables_of(runs, statement_of(runs))
    raw, adjusted = outsider.p_values()
    assert [row["cell"] for row in differences] == [cell for cell in outsider.cells if cell != outsider.baseline]
    assert outsider.compared and set(outsider.compared) == {key for key in differences[0] if "/" in key and " " not in key}
    for row in differences:
        for metric in outsider.compared:
            steps, test = outsider.steps(row["cell"], metric), (row["cell"], metric)
            shown = numbers(row, [metric, f"{metric} low", f"{metric} high", f"{metric} p raw", f"{metric} p holm"])
            expected = [np.mean(steps) if len(steps) else math.nan, math.nan, math.nan, raw.get(test, math.nan),
                        adjusted.get(test, math.nan)]
            if len(steps) > 1:
                expected[1:3] = stats.ttest_1samp(steps, 0).confidence_interval(0.95)
            assert shown == pytest.approx(expected, nan_ok=True, **CLOSE)
    assert any(p > 0 for p in raw.values())


def test_every_effect_size_comes_back() -> None:
    runs = unfinished()
    outsider, _, differences = tables_of(runs, statement_of(runs))
    for row in differences:
        steps = outsider.steps(row["cell"], "miou/target_mean")
        m = len(steps) - 1
        expected = math.nan if m < 2 else np.exp(gammaln(m / 2) - gammaln((m - 1) / 2)) / np.sqrt(m / 2) * (
            np.mean(steps) / np.std(steps, ddof=1))
        assert numbers(row, ["miou/target_mean g"]) == pytest.approx([expected], nan_ok=True, **CLOSE)


@pytest.mark.parametrize("store", STORES)
def test_equal_stores_give_equal_bytes(store: str) -> None:
    plan, records = STORES[store]()
    statement = statement_of((plan, records))

    def text(some: Sequence[Record]) -> str:
        return long_csv(sweep("some"), group("some", plan, some), some, statement)

    shuffled = [dataclasses.replace(each, metrics=dict(reversed(each.metrics.items())))
                for each in random.Random(1).sample(records, len(records))]
    assert text(records) == text(shuffled)


def test_every_planned_run_and_digit_is_there_and_nothing_of_training() -> None:
    plan, records = unfinished()
    text = long_csv(sweep("some"), group("some", plan, records), records, statement_of((plan, records)))
    lines = list(csv.DictReader(io.StringIO(text)))
    assert {(line["cell"], int(line["seed"])) for line in lines} == {(each.cell, each.seed) for each in plan}
    outcomes = {(line["cell"], int(line["seed"])): line["outcome"] for line in lines}
    assert outcomes[plan[1].cell, plan[1].seed] == "pruned" and outcomes[plan[7].cell, plan[7].seed] == "failed"
    assert outcomes[plan[4].cell, plan[4].seed] == "not run"
    by_fingerprint = {made.fingerprint: made for made in records}
    for line in lines:
        assert line["sweep"] == "some" and line["device"] == "unknown" and not line["metric"].startswith(("loss/", "iou/"))
        made = by_fingerprint.get(line["fingerprint"])
        if made and line["metric"] in made.metrics:
            assert line["value"] == repr(made.metrics[line["metric"]])


def test_a_search_has_its_trials_by_rank() -> None:
    evidence = load()
    found = Sweep("s", "0" * 32, "tpe", "miou/source", "maximize")
    lines = list(csv.DictReader(io.StringIO(long_csv(found, [], evidence.records, Statement()))))
    scores = [float(line["value"]) for line in lines if line["metric"] == "miou/source"]
    assert len(scores) == len(evidence.records) and scores == sorted(scores, reverse=True)
    assert lines[0]["cell"] == "1" and lines[0]["baseline"] == "" and lines[0]["device"] == evidence.records[0].tags["device"]


def test_a_label_that_a_spreadsheet_would_run_is_text() -> None:
    plan = planned({"=cmd|x": {"x": 1}})
    records = [record(plan[0], 0.3)]
    assert "'=cmd|x" in long_csv(sweep("some"), group("some", plan[:1], records), records, Statement())
