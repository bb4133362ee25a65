"""Reading by SQL against reading by MLflow's API, on a store with everything odd in it: equal to the last digit."""

import math
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from sqlalchemy import create_engine, text
from sqlalchemy.dialects import mssql, mysql, postgresql
from sqlalchemy.exc import OperationalError

from recyclelora.runs import store as store_module
from recyclelora.runs.planned_cells import PlannedCell
from recyclelora.runs.run import Run
from recyclelora.runs.store import Store, connect
from recyclelora.runs.tracking import Tracker
from recyclelora.trials.record import Record

NUMBERS = {"nan": math.nan, "inf": math.inf, "minus": -math.inf, "tiny": 5e-324, "big": 1.7e308, "third": 1 / 3,
           "zero": 0.0, "whole": 2.0, "odd key/ü.-": 0.1}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    """Two sweeps that share trials, a search; finished, failed, pruned, killed, running, deleted, duplicate runs."""
    results = tmp_path_factory.mktemp("odd") / "größe #1"
    tracker = Tracker.open(results)
    client, experiment = tracker._client, tracker._experiment_id
    config: dict[str, object] = {"seed": 3, "a.b": None, "lr": 1e-4, "list": ["x", 1, None], "long": "y" * 5999,
                                 "too long": "y" * 7000, "word": "ü 漢 'q' \"d\" \\ \n \0 \ud800", "number": "1e-4",
                                 "empty": "", "yes": True}
    plan = [PlannedCell(f"cell {i}", i, f"f{i}", {"k": [i]}) for i in (3, 1, 2, 0, 4, 5, 6, 7)]
    first = tracker.sweep_run("first", plan, space="a: 1")
    for i, outcome in enumerate(["finished", "failed", "pruned", "finished", "finished", "running", "killed"]):
        run_id = tracker.trial_run(f"f{i}", sweep_run_id=first, config={**config, "i": i},
                                   tags={"sweep": "first", "cell": f"größe=\ud800 <{i}>", "note": "it's `x` = 'y' --"})
        tracker.log_steps(run_id, [(1, {"loss/total": math.nan if i % 2 else 0.5, "loss/step": math.inf})])
        if outcome in ("finished", "failed", "pruned"):
            numbers = {**NUMBERS, "loss/total": 0.1 * i}
            tracker.finish(run_id, Record(fingerprint=f"f{i}", config={}, outcome=outcome, metrics=numbers,  # type: ignore[arg-type]
                                          reason="because \0" + "z" * 6000, iteration=9),
                           series={"norm/main": [1.0, math.nan, math.inf]})
        elif outcome == "killed":
            client.set_terminated(run_id, "KILLED")
    client.delete_run(tracker._runs_of(["f4"])["f4"][0].run_id)
    for start, status in ((5, "FINISHED"), (7, "FAILED"), (6, "FINISHED"), (6, "RUNNING")):  # duplicates of f0, older
        run = client.create_run(experiment, start_time=start, tags={"kind": "trial", "fingerprint": "f0",
                                                                    "sweep.first": "c", "outcome": "finished"})
        client.log_batch(run.info.run_id, [Metric("miou/a", 1.0, 1, 1), Metric("miou/a", 2.0, 1, 0)])
        client.set_terminated(run.info.run_id, status)
    for tags in ({"kind": "trial"}, {"kind": "note", "sweep.first": "c", "fingerprint": "f1"}, {"goal": "g"}, {}):
        client.set_terminated(client.create_run(experiment, tags=tags).info.run_id)  # by other people
    other = client.create_experiment("other")
    client.set_terminated(client.create_run(other, tags={"kind": "trial", "sweep.first": "c", "fingerprint": "f7"}
                                            ).info.run_id)
    tracker.sweep_run("second", plan[:4], method="random", objective="miou/source", goal="minimize")
    tracker.sweep_run("search", [], method="tpe")
    return tracker


def by_sql(tracker: Tracker) -> Tracker:
    """The same, with nobody to ask when SQL fails."""
    copy = Tracker(tracker._client, tracker._experiment_id, tracker._results, tracker._owner, tracker._uri)
    copy._store = Store(None, tracker._experiment_id, connect(tracker._uri))
    return copy


def by_api(tracker: Tracker) -> Tracker:
    copy = Tracker(tracker._client, tracker._experiment_id, tracker._results, tracker._owner, tracker._uri)
    copy._store = Store(tracker._client, tracker._experiment_id, None)
    return copy


def written_out(record: Record) -> str:
    """Everything in a record, in its order where it has one; nan equals nan and -0.0 is not 0.0."""
    return repr((record.fingerprint, record.outcome, record.reason, record.iteration, sorted(record.tags.items()),
                 sorted((key, type(value), value) for key, value in record.metrics.items()),
                 sorted((key, repr(value)) for key, value in record.config.items())))


@pytest.mark.parametrize("sweep", ["first", "second", "search"])
def test_records_by_sql_are_those_of_the_api(odd: Tracker, sweep: str) -> None:
    ours, theirs = by_sql(odd).records(sweep), by_api(odd).records(sweep)
    assert list(map(written_out, ours)) == list(map(written_out, theirs))
    assert len(ours) == {"first": 4, "second": 4, "search": 0}[sweep]


def test_the_odd_records_are_what_was_logged(odd: Tracker) -> None:
    found = {record.fingerprint: record for record in by_sql(odd).records("first")}
    assert list(found) == ["f3", "f1", "f2", "f0"]  # in the plan's order; f4 is deleted, f5 runs, f6 was killed
    assert [record.outcome for record in found.values()] == ["finished", "failed", "pruned", "finished"]
    assert found["f0"].metrics == {"miou/a": 1.0} and len(found["f0"].tags["duplicates"].split(", ")) == 4
    metrics = found["f3"].metrics
    assert math.isnan(metrics.pop("nan"))
    assert metrics == {**{key: value for key, value in NUMBERS.items() if key != "nan"}, "loss/total": 0.1 * 3,
                       "loss/step": math.inf}
    assert found["f3"].config["word"] == "ü 漢 'q' \"d\" \\ \n \0 \ud800" and found["f3"].config["list"] == ["x", 1, None]
    assert found["f3"].config["list"] is not found["f1"].config["list"]


ASKED: dict[str, Callable[[Tracker], object]] = {
    "sweeps": lambda tracker: tracker.sweeps(), "plan": lambda tracker: tracker.plan("second"),
    "sweep": lambda tracker: tracker.sweep("search"), "space": lambda tracker: tracker.space_sha256("first"),
    "statement": lambda tracker: tracker.statement("second"), "deleted": lambda tracker: tracker.deleted("first"),
    "few": lambda tracker: {key: written_out(record) for key, record in tracker.finished(["f0", "f2", "f9"]).items()},
    "many": lambda tracker: {key: written_out(record) for key, record
                             in tracker.finished([f"f{i}" for i in range(70)]).items()},
    "none": lambda tracker: tracker.finished([]),
    "running": lambda tracker: [run[:5] for run in tracker._store.tagged("owner", [tracker._owner], status="RUNNING")],
    "place": lambda tracker: tracker._store.place_of(tracker.sweep("first").run_id),
    "a trial": lambda tracker: _sorted(tracker._find("f6")), "no trial": lambda tracker: tracker._find("f9")}


def _tags(run: Run) -> str:
    return repr((run[:5], sorted(run.tags.items())))


def _sorted(run: Run | None) -> str:
    assert run is not None
    return repr((run[:5], *(sorted(values.items()) for values in run[5:])))


@pytest.mark.parametrize("what", ASKED)
def test_every_question_has_the_same_answer(odd: Tracker, what: str) -> None:
    ours, theirs = ASKED[what](by_sql(odd)), ASKED[what](by_api(odd))
    assert ours == theirs and (ours or what.startswith("no"))


def test_chunks_and_pages_change_nothing(odd: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(map(written_out, odd.records("first")))
    for size in (1, 2, 3):
        monkeypatch.setattr(store_module, "CHUNK", size)
        monkeypatch.setattr(store_module, "PAGE", size)
        monkeypatch.setattr(store_module, "FEW", size)
        assert list(map(written_out, by_sql(odd).records("first"))) == whole
        assert list(map(written_out, by_api(odd).records("first"))) == whole
        assert set(by_sql(odd).finished(["f0", "f2"])) == {"f0", "f2"} == set(by_api(odd).finished(["f0", "f2"]))


# the database


def copy_of(tracker: Tracker, folder: Path) -> Path:
    return Path(shutil.copy(tracker._results / "mlflow.db", folder))


def test_the_points_of_metrics_are_not_touched(odd: Tracker, tmp_path: Path) -> None:
    file = copy_of(odd, tmp_path)
    with sqlite3.connect(file) as database:
        database.execute("DROP TABLE metrics")
    blind = by_sql(odd)
    blind._store = Store(None, odd._experiment_id, connect(f"sqlite:///{file}"))
    assert list(map(written_out, blind.records("first"))) == list(map(written_out, odd.records("first")))


def test_the_database_is_opened_to_be_read(odd: Tracker) -> None:
    engine = connect(odd._uri)
    assert engine is not None
    with engine.connect() as connection, pytest.raises(OperationalError, match="readonly"):
        connection.execute(text("DELETE FROM runs"))


@pytest.mark.parametrize("change", ["ALTER TABLE latest_metrics RENAME COLUMN is_nan TO nan", "DROP TABLE tags",
                                    'ALTER TABLE params RENAME COLUMN "key" TO name'])
def test_an_unknown_schema_is_left_to_mlflow(odd: Tracker, tmp_path: Path, change: str) -> None:
    file = copy_of(odd, tmp_path)
    assert connect(f"sqlite:///{file}") is not None
    with sqlite3.connect(file) as database:
        for (view,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall():
            database.execute(f"DROP VIEW {view}")
        database.execute(change)
    assert connect(f"sqlite:///{file}") is None


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000", "https://a:b@host/x", "file:///tmp/mlruns", "sqlite://", "",
                                 "sqlite:////proc/none/x.db", "postgresql+none://ann:x@127.0.0.1:1/db", "databricks"])
def test_what_is_no_database_is_left_to_mlflow(uri: str) -> None:
    assert connect(uri) is None


def test_a_journal_that_a_killed_writer_left_is_rolled_back_by_mlflow(odd: Tracker, tmp_path: Path) -> None:
    file = copy_of(odd, tmp_path)
    code = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN")
database.execute("UPDATE runs SET status = 'FAILED'")
database.execute("UPDATE tags SET value = hex(randomblob(3000))")  # more than its cache holds
os.kill(os.getpid(), signal.SIGKILL)"""
    uri = f"sqlite:///{file}"
    client, engine, before = MlflowClient(tracking_uri=uri), connect(uri), by_sql(odd)._store.tagged("sweep.first")
    client.search_experiments()
    assert engine is not None
    assert subprocess.run([sys.executable, "-c", code, str(file)]).returncode == -signal.SIGKILL
    with pytest.raises(OperationalError, match="readonly"), engine.connect() as connection:
        connection.execute(text("SELECT * FROM runs"))
    assert list(map(_tags, Store(client, odd._experiment_id, engine).tagged("sweep.first"))) == list(map(_tags, before))
    assert Store(None, odd._experiment_id, engine).tagged("sweep.first") == before  # the journal is gone


@pytest.mark.parametrize("dialect", [postgresql, mysql, mssql], ids=lambda module: module.__name__.split(".")[-1])
def test_other_databases_understand_the_queries(dialect: object, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def read(_: object, statement: object) -> list[object]:
        asked.append(str(statement.compile(dialect=dialect.dialect())))  # type: ignore[attr-defined]
        return []

    monkeypatch.setattr(store_module, "_read", read)
    store = Store(None, "1", create_engine("sqlite://"))
    store.tagged("fingerprint", ["f"], status="RUNNING")
    list(store.whole([Run("r", "", "FINISHED", 1, "", {}, {}, {})]))
    quoted = {postgresql: "tags.key", mysql: "tags.`key`", mssql: "tags.[key]"}[dialect]
    assert len(asked) == 3 and quoted in asked[0]


# many


def fill(tracker: Tracker, sweep: str, runs: int, points: int = 1) -> None:
    """Finished runs of one sweep straight into the tables, with 60 params, 80 metrics and 20 tags each."""
    rows: dict[str, list[tuple[object, ...]]] = {"runs": [], "tags": [], "params": [], "latest_metrics": [], "metrics": []}
    for i in range(runs):
        run_id = f"{random.Random(i).getrandbits(128):032x}"
        rows["runs"].append((run_id, f"run {i}", "me", "FINISHED", i, i + 1, "active", f"file:///x/{run_id}/artifacts",
                             tracker._experiment_id))
        tags = {"kind": "trial", "fingerprint": f"{i:016x}", f"sweep.{sweep}": f"cell {i // 5}", "seed": str(i % 5),
                "iteration": "100", **{f"tag.{k}": f"value {k}" for k in range(15)}}
        rows["tags"] += [(key, value, run_id) for key, value in tags.items()]
        rows["params"] += [(f"part.knob_{k}", str(i + k) if k % 2 else "word", run_id) for k in range(60)]
        rows["latest_metrics"] += [(f"miou/{k}", i / (k + 1), 1, points, 0, run_id) for k in range(80)]
        rows["metrics"] += [(f"miou/{k}", i / (k + 1), 1, run_id, step, 0) for k in range(80)
                            for step in range(1, points + 1)]
    with sqlite3.connect(tracker._results / "mlflow.db") as database:
        columns = {"runs": "run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id",
                   "tags": "key, value, run_uuid", "params": "key, value, run_uuid",
                   "latest_metrics": "key, value, timestamp, step, is_nan, run_uuid",
                   "metrics": "key, value, timestamp, run_uuid, step, is_nan"}
        for place, names in columns.items():
            marks = ", ".join("?" * len(names.split(",")))
            database.executemany(f"INSERT INTO {place} ({names}) VALUES ({marks})", rows[place])


@pytest.mark.slow
def test_many_records_by_sql_are_those_of_the_api(tmp_path: Path) -> None:
    """More than a chunk, a page, and what is looked up one by one. `tests/benchmark_tables.py` has the speed of both."""
    tracker = Tracker.open(tmp_path)
    fill(tracker, "s", 1005)
    tracker.sweep_run("s", [], method="random")
    ours, theirs = (list(map(written_out, way(tracker).records("s"))) for way in (by_sql, by_api))
    assert ours == theirs and len(ours) == 1005
