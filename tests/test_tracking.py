"""Tracking against real stores: one run per trial whatever was killed, every step once, nothing lost on the way."""

import contextlib
import hashlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from mlflow import MlflowClient
from mlflow.telemetry.utils import is_telemetry_disabled
from sqlalchemy import event
from sqlalchemy.engine import Engine

from recyclelora.errors import InputError
from recyclelora.runs import store, tracking
from recyclelora.runs.mlflow_urls import command as server_command
from recyclelora.runs.planned_cells import PlannedCell, dump_plan, parse_plan
from recyclelora.runs.run import DeletedRun
from recyclelora.runs.tracking import Tracker
from recyclelora.spaces.statement import Expectation, Statement, Target, dump_statement
from recyclelora.trials.record import Record

CONFIG: dict[str, object] = {
    "seed": 0, "adapter.method": "recyclelora", "adapter.alpha": None, "training.lr": 1e-4, "data.targets": ["a", "b"],
    "training.ema": False, "data.limit": 8, "note": "1e-4"}
TAGS = {"sweep": "rank", "cell": "rank=8", "protocol": "84x112", "selection": "last", "commit": "abc", "dirty": "false"}
PATIENCE = 60  # s, for what takes at most two: MLflow by itself waits for two minutes, several times
OPEN = "import sys; from pathlib import Path; from recyclelora.runs.tracking import Tracker, PlannedCell; "


@pytest.fixture(scope="module")
def first_use(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A store made by a process of its own in an empty working directory; its experiment is not the default one, so
    that copies of its database serve as blank stores."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "cwd").mkdir()
    code = OPEN + """
tracker = Tracker.open(Path(sys.argv[1]), "first")
tracker.sweep_run("s", [PlannedCell("c", 0, "f", {})], space="method: grid")
print(len(tracker.sweeps()))"""
    return folder, _python(code, str(folder / "results"), cwd=folder / "cwd")


def _python(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=cwd, env=environment, capture_output=True,
                          text=True, timeout=400)


@pytest.fixture
def results(tmp_path: Path, first_use: tuple[Path, object]) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    shutil.copy(first_use[0] / "results" / "mlflow.db", folder)
    return folder


@pytest.fixture
def tracker(results: Path) -> Tracker:
    return Tracker.open(results)


def client_of(results: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{results}/mlflow.db")


def record(fingerprint: str = "f0", outcome: str = "finished", **given: object) -> Record:
    fields = {"metrics": {"miou/a": 0.5}, "iteration": 100, **given}
    return Record(fingerprint=fingerprint, config=CONFIG, outcome=outcome, **fields)  # type: ignore[arg-type]


def run_trial(tracker: Tracker, fingerprint: str, sweep: str = "rank", parent: str | None = None,
              outcome: str = "finished", **given: object) -> str:
    run_id = tracker.trial_run(fingerprint, sweep_run_id=parent, config=CONFIG, tags={**TAGS, "sweep": sweep})
    tracker.finish(run_id, record(fingerprint, outcome, **given))
    return run_id


def steps_of(results: Path, run_id: str, key: str) -> list[int]:
    return [point.step for point in client_of(results).get_metric_history(run_id, key)]


# the store


def test_first_use_is_silent_and_writes_into_the_results_folder_only(
        first_use: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, made = first_use
    assert (made.returncode, made.stdout, made.stderr) == (0, "1\n", "")
    assert list((folder / "cwd").iterdir()) == []
    assert sorted(path.name for path in (folder / "results").iterdir()) == ["artifacts", "id", "mlflow.db"]
    kept = {path.name for path in (folder / "results" / "artifacts").rglob("*") if path.is_file()}
    assert kept == {"plan.json", "space.yaml"}


def test_nothing_is_sent_home() -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true" and is_telemetry_disabled()


@pytest.mark.parametrize("name", ["with space", "größe #1", "semi;colon'\"&=", "line\nbreak"])
def test_any_folder_name_but_two_signs(results: Path, name: str) -> None:
    folder = results.parent / name
    results.rename(folder)
    tracker = Tracker.open(folder)
    tracker.sweep_run("s", [PlannedCell("c", 0, "f", {"k": 1})])
    assert tracker.plan("s") == [PlannedCell("c", 0, "f", {"k": 1})]
    assert (folder / "artifacts").is_dir()
    with pytest.raises(InputError, match="'%'"):
        Tracker.open(results.parent / "50%")


@pytest.mark.parametrize("uri", ["http://ann:hunter2@127.0.0.1:{port}", "sqlite:////proc/none/x.db", "file:///tmp/mlruns",
                                 "postgresql://ann:hunter2@127.0.0.1:{port}/db"])
def test_a_store_that_cannot_be_used_is_refused_soon_and_in_one_line(results: Path, uri: str) -> None:
    start = time.monotonic()
    with reserved_port() as port, pytest.raises(InputError) as refused:
        Tracker.open(results, uri=uri.format(port=port))
    assert time.monotonic() - start < PATIENCE
    message = str(refused.value)
    assert "MLFLOW_TRACKING_URI" in message and "\n" not in message and len(message) < 500
    assert "hunter2" not in message and "ann:" not in message


def test_a_server_that_never_answers_is_refused_soon(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    retries, timeout = (int(tracking.IMPATIENT[f"MLFLOW_HTTP_REQUEST_{name}"]) for name in ("MAX_RETRIES", "TIMEOUT"))
    assert (1 + retries) * timeout < 10
    monkeypatch.setitem(tracking.IMPATIENT, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    start, patient = time.monotonic(), os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        with pytest.raises(InputError, match="no answer"):
            Tracker.open(results, uri=f"http://127.0.0.1:{deaf.getsockname()[1]}")
        assert callers(deaf) == 1 + retries and time.monotonic() - start < PATIENCE
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == patient  # patience is back for the hours after


def callers(server: socket.socket) -> int:
    """How many have called so far, at a server that has not answered one of them."""
    server.setblocking(False)
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            count += 1
    return count


def test_a_results_folder_that_cannot_be_used_is_refused(results: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        Tracker.open(results / "mlflow.db" / "below")
    (results / "id").write_text("torn")
    with pytest.raises(InputError, match="id: is damaged"):
        Tracker.open(results)
    (results / "id").unlink()
    (results / "mlflow.db").write_text("not a database")
    with pytest.raises(InputError, match="not a database"):
        Tracker.open(results)


def test_a_moved_results_folder_is_noticed_and_a_link_repairs_it(results: Path) -> None:
    Tracker.open(results).sweep_run("s", [PlannedCell("c", 0, "f", {})])
    moved = results.parent / "elsewhere"
    results.rename(moved)
    with pytest.raises(InputError, match="was moved"):
        Tracker.open(moved)
    results.symlink_to(moved)
    assert len(Tracker.open(moved).plan("s")) == 1


def test_a_deleted_experiment_is_said_to_be_deleted(results: Path) -> None:
    Tracker.open(results, "mine")
    client = client_of(results)
    experiment = client.get_experiment_by_name("mine")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    with pytest.raises(InputError, match="'mine': is deleted"):
        Tracker.open(results, "mine")


# one run per trial


@pytest.mark.parametrize("status", ["RUNNING", "KILLED", "FAILED", "PRUNED"])
def test_a_trial_that_did_not_finish_is_opened_again(tracker: Tracker, results: Path, status: str) -> None:
    first = tracker.trial_run("f0", sweep_run_id=None, config=CONFIG, tags=TAGS)
    if status == "KILLED":
        assert tracker.close_orphans() == ["rank=8, seed 0"]
    elif status in ("FAILED", "PRUNED"):
        tracker.finish(first, record(outcome=status.lower(), reason="diverged"))
    again = Tracker.open(results).trial_run("f0", sweep_run_id=None, config=CONFIG, tags=TAGS)
    run = client_of(results).get_run(again)
    assert again == first and run.info.status == "RUNNING"
    assert not {"outcome", "reason"} & set(run.data.tags)


def test_a_finished_trial_is_left_alone_but_joins_the_sweep_that_needs_it(tracker: Tracker, results: Path) -> None:
    run_id = run_trial(tracker, "f0", "first")
    again = tracker.trial_run("f0", sweep_run_id=None, config={**CONFIG, "seed": 9},
                              tags={**TAGS, "sweep": "second", "cell": "baseline", "commit": "later"})
    tracker.finish(again, record(metrics={"miou/a": 0.9}))
    run = client_of(results).get_run(run_id)
    assert again == run_id and run.info.status == "FINISHED"
    assert run.data.metrics == {"miou/a": 0.5} and run.data.params["seed"] == "0" and run.data.tags["commit"] == "abc"
    assert (run.data.tags["sweep"], run.data.tags["sweep.first"], run.data.tags["sweep.second"]) == (
        "first", "rank=8", "baseline")


def test_a_trial_trained_on_its_own_finds_a_home_in_the_first_sweep_that_plans_it(tracker: Tracker,
                                                                                results: Path) -> None:
    run_id = tracker.trial_run("f0", sweep_run_id=None, config=CONFIG, tags={"cell": "my config"})
    tracker.finish(run_id, record())
    first, second = (tracker.sweep_run(name, [PlannedCell(f"cell of {name}", 0, "f0", {})]) for name in ("a", "b"))
    tags = client_of(results).get_run(run_id).data.tags
    assert tags["mlflow.parentRunId"] == first != second and (tags["sweep"], tags["cell"]) == ("a", "cell of a")
    assert (tags["sweep.a"], tags["sweep.b"]) == ("cell of a", "cell of b")
    assert [found.fingerprint for found in tracker.records("b")] == ["f0"]


def test_two_processes_that_ask_at_once_get_the_same_runs(tracker: Tracker, results: Path) -> None:
    code = OPEN + """
import time
tracker = Tracker.open(Path(sys.argv[1]))
Path(sys.argv[1], "ready").touch()
while not Path(sys.argv[1], "go").exists(): time.sleep(0.001)
print([tracker.trial_run(f"f{i}", sweep_run_id=None, config={"seed": i}, tags={}) for i in range(12)])"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", code, str(results)], env=environment, stdout=subprocess.PIPE,
                          text=True) as other:
        while not (results / "ready").exists() and other.poll() is None:
            time.sleep(0.01)
        (results / "go").touch()
        ours = [tracker.trial_run(f"f{i}", sweep_run_id=None, config={"seed": i}, tags={}) for i in range(12)]
        assert other.communicate(timeout=400)[0] == f"{ours}\n"
    for i in range(12):
        assert len(tracker._runs_of([f"f{i}"])[f"f{i}"]) == 1


def test_a_machine_that_was_slower_withdraws_its_run(tracker: Tracker, results: Path) -> None:
    client, experiment = client_of(results), tracker._experiment_id
    early = client.create_run(experiment, start_time=1000, tags={"kind": "trial", "fingerprint": "f0"})
    made = tracker._create("f0", {"kind": "trial", "fingerprint": "f0"})
    assert tracker._withdraw(made).run_id == early.info.run_id
    assert client.get_run(made.run_id).info.lifecycle_stage == "deleted"
    assert tracker.trial_run("f0", sweep_run_id=None, config=CONFIG, tags=TAGS) == early.info.run_id


def test_of_several_runs_the_oldest_finished_counts_and_the_others_are_named(tracker: Tracker, results: Path) -> None:
    client, experiment = client_of(results), tracker._experiment_id
    tags = {"kind": "trial", "fingerprint": "f0", "sweep.s": "c"}
    runs = [client.create_run(experiment, start_time=start, tags=tags).info.run_id for start in (1, 2, 3, 4)]
    for run_id, status, score in zip(runs, ("KILLED", "FINISHED", "FINISHED", "FINISHED"), (0.1, 0.2, 0.3, 0.4),
                                     strict=True):
        client.log_metric(run_id, "miou/a", score)
        client.set_terminated(run_id, status)
    client.delete_run(runs[3])
    tracker.sweep_run("s", [PlannedCell("c", 0, "f0", {})])
    for found in (tracker.records("s")[0], tracker.finished(["f0"])["f0"]):
        assert found.tags["run_id"] == runs[1] and found.metrics["miou/a"] == 0.2
        assert set(found.tags["duplicates"].split(", ")) == {runs[0], runs[2]}
    client.delete_run(runs[1])
    client.delete_run(runs[2])
    assert tracker.records("s") == [] and tracker.finished(["f0"]) == {}


# steps


def test_a_killed_trial_goes_on_with_every_step_once(tracker: Tracker, results: Path) -> None:
    code = OPEN + """
tracker = Tracker.open(Path(sys.argv[1]))
run_id = tracker.trial_run("f0", sweep_run_id=None, config={"seed": 0}, tags={})
for i in range(10**6):
    tracker.log_steps(run_id, [(i, {"loss/total": 1 / (i + 1), "lr/head": 0.1})])
    print(run_id, i, flush=True)"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", code, str(results)], env=environment, stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(12)]
        process.send_signal(signal.SIGKILL)
    run_id = lines[0].split()[0]
    assert tracker.close_orphans() and client_of(results).get_run(run_id).info.status == "KILLED"
    again = tracker.trial_run("f0", sweep_run_id=None, config={"seed": 0}, tags={})
    assert again == run_id
    for i in range(5, 40):  # from a checkpoint before the kill
        tracker.log_steps(run_id, [(i, {"loss/total": 1 / (i + 1), "lr/head": 0.1, **({"miou/a": 0.1} if i == 8 else {})})])
    tracker.finish(run_id, record(metrics={"miou/a": 0.5}))
    for key in ("loss/total", "lr/head"):
        assert steps_of(results, run_id, key) == list(range(40))
    assert steps_of(results, run_id, "miou/a") == [8, 100]
    assert client_of(results).get_run(run_id).info.status == "FINISHED"


def test_final_numbers_are_the_latest_and_are_logged_once(tracker: Tracker, results: Path) -> None:
    run_id = tracker.trial_run("f0", sweep_run_id=None, config=CONFIG, tags=TAGS)
    for metric in range(30):
        tracker.log_steps(run_id, [(100, {f"miou/{metric}": 0.9})])  # the last step's score; the best was worse elsewhere
    final = {f"miou/{metric}": 0.4 for metric in range(29)} | {"miou/29": 0.9, "time/train": 3.0}
    client_of(results).log_metric(run_id, "time/train", 3.0, step=100)  # a former try at finishing was killed here
    tracker.finish(run_id, record(metrics=final))
    assert client_of(results).get_run(run_id).data.metrics == final
    assert steps_of(results, run_id, "miou/29") == [100] and steps_of(results, run_id, "time/train") == [100]


def test_no_number_is_too_strange(tracker: Tracker) -> None:
    parent = tracker.sweep_run("rank", [PlannedCell("c", 0, "f0", {})])
    run_id = tracker.trial_run("f0", sweep_run_id=parent, config=CONFIG, tags=TAGS)
    strange = {"loss/nan": math.nan, "loss/inf": math.inf, "loss/minus": -math.inf, "loss/tiny": 5e-324}
    tracker.log_steps(run_id, [(1, strange)])
    tracker.finish(run_id, record(metrics={**strange, "miou/a": 1 / 3}))
    found = tracker.records("rank")[0].metrics
    assert math.isnan(found.pop("loss/nan"))
    assert found == {"loss/inf": math.inf, "loss/minus": -math.inf, "loss/tiny": 5e-324, "miou/a": 1 / 3}
    tracker.finish(run_id, record(metrics=strange))


# records


def test_a_record_comes_back_as_it_was(tracker: Tracker, tmp_path: Path, results: Path) -> None:
    config = {**CONFIG, "adapter.roles": ["qkv", "fc1"], "words": "a\n'b' \"c\" \\ ü 漢 \0 \ud800", "long": "x" * 7000,
              "empty": "", "none": None}
    reason = "CUDA said: \0 \ud800 " + "y" * 9000
    tags = {"protocol": "84x112, window 84x112/56", "note": "it's `quoted` = 'x' OR 1=1 --"}
    parent = tracker.sweep_run("rank", [PlannedCell("rank=8", 0, "f0", {})])
    run_id = tracker.trial_run("f0", sweep_run_id=parent, config=config, tags={**TAGS, "cell": "<b>\ud800|&%"})
    (tmp_path / "panels").mkdir()
    (tmp_path / "panels" / "a.png").write_bytes(b"png")
    file = tmp_path / "any name"
    file.write_text("seed: 0")
    tracker.finish(run_id, Record(fingerprint="f0", config=config, outcome="failed", metrics={"miou/a": 0.25},
                                  tags=tags, reason=reason, iteration=7),
                   {"config.yaml": file, "panels": tmp_path / "panels", "deep/x.txt": file})
    found = tracker.records("rank")[0]
    assert found.config == {key: value for key, value in config.items() if key != "long"}
    assert found.tags["only_in_config_yaml"] == "long"
    assert (found.outcome, found.metrics, found.iteration) == ("failed", {"miou/a": 0.25}, 7)
    assert found.reason.startswith("CUDA said: ") and len(found.reason) == 5000
    assert {key: found.tags[key] for key in tags} == tags and found.tags["cell"] == "<b>?|&%"
    stored = results / "artifacts" / run_id / "artifacts"
    assert {str(path.relative_to(stored)): path.read_bytes() for path in stored.rglob("*") if path.is_file()} == {
        "config.yaml": b"seed: 0", "panels/a.png": b"png", "deep/x.txt": b"seed: 0"}
    with pytest.raises(ValueError, match="leaves"):
        tracker.log_artifact(run_id, "../x", file)


def test_params_are_written_once(tracker: Tracker, results: Path) -> None:
    run_id = tracker.trial_run("f0", sweep_run_id=None, config=CONFIG, tags=TAGS)
    other = {**CONFIG, "data.limit": 9, "more": 1}
    assert tracker.trial_run("f0", sweep_run_id=None, config=other, tags={**TAGS, "commit": "later"}) == run_id
    data = client_of(results).get_run(run_id).data
    assert data.params["data.limit"] == "8" and data.params["more"] == "1" and data.tags["commit"] == "later"


def test_a_sweep_has_its_plan_and_only_the_trials_in_it(tracker: Tracker, results: Path) -> None:
    run_trial(tracker, "f2", "other")
    plan = [PlannedCell(f"c{i}", seed, f"f{i}{seed}", {"adapter.rank": i, "init": None})
            for i in (2, 0, 1) for seed in (0, 1)] + [PlannedCell("from elsewhere", 0, "f2", {})]
    parent = tracker.sweep_run("rank", plan, space="a: 1")
    run_trial(tracker, "f10", parent=parent)
    run_trial(tracker, "f20", parent=parent, outcome="pruned")
    run_trial(tracker, "f01", parent=parent, outcome="failed", reason="nan")
    tracker.trial_run("f11", sweep_run_id=parent, config=CONFIG, tags=TAGS)
    tracker = Tracker.open(results)
    assert tracker.plan("rank") == plan
    assert [(found.fingerprint, found.outcome) for found in tracker.records("rank")] == [
        ("f20", "pruned"), ("f01", "failed"), ("f10", "finished"), ("f2", "finished")]
    assert {key: found.outcome for key, found in tracker.finished(["f10", "f20", "f01", "f11", "f99"]).items()} == {
        "f10": "finished", "f20": "pruned"}
    assert client_of(results).get_run(tracker._runs_of(["f10"])["f10"][0].run_id).data.tags[
        "mlflow.parentRunId"] == parent
    assert tracker.sweep_run("rank", plan[:2], method="random", space="a: 2") == parent  # the space was edited
    assert tracker.plan("rank") == plan[:2] and [found.fingerprint for found in tracker.records("rank")] == ["f20"]
    tracker.close_sweep(parent)
    assert [(sweep.name, sweep.method, sweep.objective, sweep.goal) for sweep in tracker.sweeps()] == [
        ("rank", "random", "miou/target_mean", "maximize")]
    assert tracker.sweep("rank").run_id == parent


def test_a_second_file_of_one_name_with_other_trials_is_refused(tracker: Tracker, tmp_path: Path) -> None:
    """A sweep is named after its file. One that was moved, edited, linked or copied as it is goes on with its sweep."""
    one, two, three = (tmp_path / folder / "space.yaml" for folder in "abc")
    for path in (one, two):
        path.parent.mkdir()
        path.write_text("method: grid")
    plan = [PlannedCell(f"c{i}", 0, f"f{i}", {}) for i in range(3)]
    parent = tracker.sweep_run("space", plan, file=one)
    with pytest.raises(InputError) as refused:
        tracker.sweep_run("space", plan[:2], file=two)
    assert str(refused.value) == (f"{two}: its sweep would be called space, which is that of {one} already, with other "
                                  "trials; rename one of the files, or choose another folder with --results")
    assert tracker.plan("space") == plan, "it is as it was"
    assert tracker.sweep_run("space", plan[:2], file=one) == parent, "edited"
    assert tracker.sweep_run("space", plan[:2], file=two) == parent, "a copy, with the same trials"
    two.rename(one)
    assert tracker.sweep_run("space", plan, file=one) == parent, "moved"
    three.parent.mkdir()
    three.symlink_to(one)
    assert tracker.sweep_run("space", plan[:1], file=three) == parent, "one file by two names"


def test_a_search_has_its_trials_in_the_order_they_started(tracker: Tracker) -> None:
    parent = tracker.sweep_run("search", [], method="tpe", objective="miou/source")
    for name in ("fb", "fa", "fc"):
        run_trial(tracker, name, "search", parent, outcome="pruned" if name == "fa" else "finished")
        time.sleep(0.002)
    assert tracker.plan("search") == []
    assert [found.fingerprint for found in tracker.records("search")] == ["fb", "fa", "fc"]


@pytest.mark.parametrize("name", ["", "a b", "x' OR '1'='1", "a`b", "../up", "..", "ü", "n" * 81])
def test_names_that_are_not_plain_are_refused(tracker: Tracker, name: str) -> None:
    with pytest.raises(InputError, match="letters, digits"):
        tracker.sweep_run(name, [])
    for ask in (tracker.plan, tracker.records, tracker.sweep):
        with pytest.raises(InputError, match="letters, digits"):
            ask(name)
    with pytest.raises(InputError, match="letters, digits"):
        tracker.trial_run("f0", sweep_run_id=None, config={}, tags={"sweep": name})


def test_an_unknown_sweep_and_a_damaged_plan_are_said(tracker: Tracker, results: Path) -> None:
    parent = tracker.sweep_run("known", [])
    with pytest.raises(InputError, match="'unknown': not in .*; it has: known"):
        tracker.records("unknown")
    for damage in ("", "{}", '{"cells": [{"cell": 1}]}', '{"cells": [["c", 0, "f", {}]]}'):
        (results / "artifacts" / parent / "artifacts" / "plan.json").write_text(damage)
        with pytest.raises(InputError, match="missing or damaged"):
            tracker.plan("known")


def test_a_plan_is_json() -> None:
    plan = [PlannedCell("größe=\ud800", 3, "f", {"a.b": [1, None, 0.1, "x"]})]
    assert parse_plan(dump_plan(plan)) == plan
    assert json.loads(dump_plan(plan))["cells"][0]["seed"] == 3


def test_a_sweep_keeps_what_it_states(tracker: Tracker, results: Path) -> None:
    stated = Statement(claim="größe \ud800", baseline="base", factors=("a.b",), expectations=(Expectation("a", "b", "miou/x"),),
                       targets=(Target("a", "miou/x", 68.9, "a paper", "readme"),))
    parent = tracker.sweep_run("s", [], space="a: 1")
    assert tracker.statement("s") == Statement() and tracker.space_sha256("s") == hashlib.sha256(b"a: 1").hexdigest()
    assert tracker.sweep_run("s", [], space="ä: 2", statement=dump_statement(stated)) == parent
    assert tracker.statement("s") == replace(stated, claim="größe ?")  # no file has half a character
    assert tracker.space_sha256("s") == hashlib.sha256("ä: 2".encode()).hexdigest()
    for damage in (b"", b"{}", b"[]", b"\xff"):
        (results / "artifacts" / parent / "artifacts" / "statement.json").write_bytes(damage)
        with pytest.raises(InputError, match="'s': its statement.json is damaged"):
            tracker.statement("s")
    tracker.sweep_run("s", [], space="ä: 2")  # states nothing any more
    assert tracker.statement("s") == Statement()
    for ask in (tracker.statement, tracker.space_sha256, tracker.deleted):
        with pytest.raises(InputError, match="'none': not in"):
            ask("none")


def test_a_deleted_trial_is_said_and_run_again(tracker: Tracker, results: Path) -> None:
    plan = [PlannedCell(f"größe={i}", i, f"f{i}", {}) for i in range(3)]
    parent = tracker.sweep_run("rank", plan)
    runs = {f"f{i}": tracker.trial_run(f"f{i}", sweep_run_id=parent, config={"seed": i},
                                       tags={"sweep": "rank", "cell": f"größe={i}"}) for i in range(3)}
    for fingerprint, run_id in runs.items():
        tracker.finish(run_id, record(fingerprint))
    lost = tracker._create("lost a race", {"kind": "trial", "fingerprint": "f2", "sweep": "rank", "seed": "2"})
    tracker._withdraw(lost)  # the store's own deletion, not somebody's
    assert tracker.deleted("rank") == []
    client_of(results).delete_run(runs["f1"])
    assert tracker.deleted("rank") == [DeletedRun("f1", runs["f1"], "größe=1", 1)]
    assert set(tracker.finished(runs)) == {"f0", "f2"}
    tracker.sweep_run("rank", plan)
    again = run_trial(tracker, "f1", parent=parent, metrics={"miou/a": 0.75})
    assert again != runs["f1"]
    assert [found.tags["run_id"] for found in tracker.records("rank")] == [runs["f0"], again, runs["f2"]]
    assert tracker.records("rank")[1].metrics == {"miou/a": 0.75} and len(tracker.deleted("rank")) == 1


# numbers per layer, and numbers that come later


def series_of(results: Path, run_id: str, key: str) -> list[tuple[int, float]]:
    points = client_of(results).get_metric_history(run_id, key)
    return sorted((point.step, point.value) for point in points)


def test_values_per_layer_are_steps_of_a_metric_and_no_part_of_the_record(tracker: Tracker, results: Path) -> None:
    parent = tracker.sweep_run("rank", [PlannedCell("c", 0, "f0", {})])
    run_id = tracker.trial_run("f0", sweep_run_id=parent, config=CONFIG, tags=TAGS)
    values = {"norm/main": [0.5, 0.25, 1.0], "norm/sub": [1.0]}
    tracker._log_series(store.to_run(client_of(results).get_run(run_id)), {"norm/main": [0.5, 0.25]})  # a former try was killed here
    tracker = Tracker.open(results)
    tracker.finish(run_id, record(), series=values)
    assert series_of(results, run_id, "layer/norm/main") == [(0, 0.5), (1, 0.25), (2, 1.0)]
    assert series_of(results, run_id, "layer/norm/sub") == [(0, 1.0)]
    assert tracker.records("rank")[0].metrics == {"miou/a": 0.5}
    tracker.finish(run_id, record(), series={"norm/main": [9.0]})  # it finished before
    assert len(series_of(results, run_id, "layer/norm/main")) == 3


def test_numbers_are_added_to_a_finished_run_once(tracker: Tracker, results: Path) -> None:
    parent = tracker.sweep_run("rank", [PlannedCell("c", 0, "f0", {})])
    run_id = run_trial(tracker, "f0", parent=parent, metrics={"miou/a": 0.5, "adapter/old": 1.0})
    added = {"adapter/norm/main": 0.125, "adapter/nan": math.nan, "adapter/inf": math.inf, "adapter/old": 2.0}
    layers = {"norm/main": [0.5, math.nan, -math.inf]}
    for _ in range(3):
        tracker.add_metrics(run_id, added, layers)
    found = tracker.records("rank")[0].metrics
    assert math.isnan(found.pop("adapter/nan")) and found == {
        "miou/a": 0.5, "adapter/norm/main": 0.125, "adapter/inf": math.inf, "adapter/old": 2.0}
    assert [len(series_of(results, run_id, key)) for key in added] == [1, 1, 1, 2]
    assert [step for step, _ in series_of(results, run_id, "layer/norm/main")] == [0, 1, 2]
    assert client_of(results).get_run(run_id).info.status == "FINISHED"
    tracker.add_metrics(run_id, {"adapter/norm/main": 0.25}, {"norm/main": [0.75, math.nan, -math.inf]})
    assert tracker.records("rank")[0].metrics["adapter/norm/main"] == 0.25  # a better analysis is the latest
    assert series_of(results, run_id, "layer/norm/main")[:2] == [(0, 0.5), (0, 0.75)]


# files and pages


def test_files_of_a_run_are_copied_out(tracker: Tracker, tmp_path: Path) -> None:
    run_id = run_trial(tracker, "f0")
    (tmp_path / "some").mkdir()
    for name in ("a.txt", "größe #1?.txt"):
        (tmp_path / "some" / name).write_text(name)
    tracker.log_artifact(run_id, "report.html", tmp_path / "some" / "a.txt")
    tracker.log_artifact(run_id, "report.html", tmp_path / "some" / "größe #1?.txt")  # replaces it
    tracker.log_artifact(run_id, "deep/tables", tmp_path / "some")
    out = tmp_path / "out"
    report = tracker.artifact(run_id, "report.html", out)
    assert report is not None and report.read_text() == "größe #1?.txt" and report.is_relative_to(out)
    folder = tracker.artifact(run_id, "deep/tables", out)
    assert folder is not None and sorted(path.name for path in folder.iterdir()) == ["a.txt", "größe #1?.txt"]
    nested = tracker.artifact(run_id, "deep/tables/größe #1?.txt", out / "more")
    assert nested is not None and nested.read_text() == "größe #1?.txt"
    assert tracker.artifact(run_id, "none", out) is None and tracker.artifact(run_id, "deep/none/x", out) is None
    for name in ("../x", "/etc/passwd", "a/../../x", ""):
        with pytest.raises(ValueError, match="leaves"):
            tracker.artifact(run_id, name, out)


def test_runs_have_addresses(tracker: Tracker, results: Path) -> None:
    experiment = tracker._experiment_id
    assert tracker.run_url("ab") == f"http://127.0.0.1:5000/#/experiments/{experiment}/runs/ab"
    assert tracker.runs_url(["ab"], port=5001) == f"http://127.0.0.1:5001/#/experiments/{experiment}/runs/ab"
    url = tracker.runs_url(["ab", "cd"])
    assert not set(url) & set("\"'<> []")
    query = parse_qs(urlsplit(urlsplit(url).fragment).query)  # as MLflow's pages take it apart
    assert urlsplit(urlsplit(url).fragment).path == "/compare-runs"
    assert {key: json.loads(value) for key, (value,) in query.items()} == {"runs": ["ab", "cd"], "experiments": [experiment]}
    far = Tracker(tracker._client, "7", results, "me", "https://ann:hunter2@runs.example/mlflow/?token=x")
    assert far.run_url("ab") == "https://runs.example/mlflow/#/experiments/7/runs/ab"


# orphans


def test_only_our_own_dead_are_buried(tracker: Tracker, results: Path, tmp_path: Path) -> None:
    theirs = Tracker.open(tmp_path / "theirs", uri=f"sqlite:///{results}/mlflow.db")
    parents = {name: who.sweep_run(name, []) for name, who in (("mine", tracker), ("dead", tracker), ("yours", theirs))}
    runs = {name: who.trial_run(name, sweep_run_id=parents[sweep], config=CONFIG, tags={**TAGS, "sweep": sweep})
            for name, who, sweep in (("live", tracker, "mine"), ("lost", tracker, "dead"), ("far", theirs, "yours"))}
    done = run_trial(tracker, "done", "dead", parents["dead"])
    assert sorted(tracker.close_orphans({"live"})) == ["dead", "rank=8, seed 0"]
    client = client_of(results)
    status = {name: client.get_run(run_id).info.status for name, run_id in {**runs, **parents, "done": done}.items()}
    assert status == {"live": "RUNNING", "mine": "RUNNING", "far": "RUNNING", "yours": "RUNNING", "lost": "KILLED",
                      "dead": "KILLED", "done": "FINISHED"}
    tracker.close_orphans()
    assert client.get_run(runs["live"]).info.status == client.get_run(parents["mine"]).info.status == "KILLED"
    assert client.get_run(runs["far"]).info.status == "RUNNING"
    tracker.trial_run("far", sweep_run_id=None, config=CONFIG, tags=TAGS)  # taken over
    assert tracker.close_orphans() == ["rank=8, seed 0"] and theirs.close_orphans() == ["yours"]


# many runs, and servers


def test_a_search_goes_on_past_its_first_page(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PAGE", 2)
    tracker._store = store.Store(tracker._client, tracker._experiment_id, None)  # as for a server
    names = [f"f{i}" for i in range(7)]
    parent = tracker.sweep_run("rank", [PlannedCell("c", i, name, {}) for i, name in enumerate(names)])
    for name in names:
        run_trial(tracker, name, parent=parent)
    assert [found.fingerprint for found in tracker.records("rank")] == names
    monkeypatch.setattr(store, "FEW", 3)
    assert set(tracker.finished(names)) == set(names) and set(tracker.finished(names[:2])) == set(names[:2])


@contextlib.contextmanager
def statements() -> Iterator[list[str]]:
    """The SQL of this process, ours and MLflow's."""
    asked: list[str] = []

    def hear(connection: object, cursor: object, statement: str, *rest: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


@pytest.mark.slow
def test_a_thousand_and_five_runs_are_all_found(tracker: Tracker, results: Path) -> None:
    """In questions about many runs at a time: what is asked for each by itself takes minutes."""
    client, names = client_of(results), [f"{i:016x}" for i in range(1005)]
    for name in names:
        run = client.create_run(tracker._experiment_id, tags={"kind": "trial", "fingerprint": name, "sweep.s": "c"})
        client.set_terminated(run.info.run_id)
    tracker.sweep_run("s", [], method="random")
    with statements() as asked:
        assert set(tracker.finished(names)) == set(names) and len(tracker.records("s")) == 1005
    assert len(asked) < 100
    plan = [PlannedCell("c", 0, name, {}) for name in names]
    for most in (30 * 1005, 100):  # every trial becomes a member, then all are
        with statements() as asked:
            tracker.sweep_run("adopts", plan)
        assert len(asked) < most
    assert len(tracker.records("adopts")) == 1005


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """A port of this machine at which nobody answers, and which nobody is given, until a server asks for it by number:
    one that takes over old addresses, as servers do, may listen at an address that is bound and silent."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


@pytest.fixture
def server(tracker: Tracker, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """MLflow's own server, started as `ui_command` says in an empty working directory."""
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    with (reserved_port() as port, open(tmp_path / "server.log", "w") as log,
          subprocess.Popen(tracker.ui_command(port=port), cwd=cwd, stdout=log, stderr=log,
                           start_new_session=True) as process):
        try:
            deadline = time.monotonic() + 300
            while not answers(port):  # its port is open seconds before it answers
                assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "server.log").read_text()
                time.sleep(0.2)
            yield port, cwd
        finally:
            os.killpg(process.pid, signal.SIGTERM)


@contextlib.contextmanager
def serving(folder: Path, port: int) -> Iterator[None]:
    """An MLflow server on a store of its own in `folder`, which is killed when the block ends."""
    store = folder / "store"
    store.mkdir(exist_ok=True)
    words = server_command(f"sqlite:///{store}/mlflow.db", store, "127.0.0.1", port)
    with open(folder / "server.log", "w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True, cwd=store)
    try:
        while not answers(port):
            assert process.poll() is None
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=20):
        return True
    return False


@pytest.mark.slow
def test_through_a_server_it_is_the_same(server: tuple[int, Path], tmp_path: Path, results: Path) -> None:
    port, cwd = server
    (tmp_path / "far").mkdir()
    far = Tracker.open(tmp_path / "far", "shared", uri=f"http://127.0.0.1:{port}")
    parent = far.sweep_run("rank", [PlannedCell("größe", 0, "f0", {"k": None})])
    run_id = far.trial_run("f0", sweep_run_id=parent, config={**CONFIG, "empty": "", "word": "ü\0"}, tags=TAGS)
    far.log_steps(run_id, [(1, {"loss/total": math.nan, "loss/x": math.inf})])
    (tmp_path / "config.yaml").write_text("seed: 0")
    far.finish(run_id, record(metrics={"miou/a": 0.5, "loss/total": math.nan}),
               {"config.yaml": tmp_path / "config.yaml"})
    far.add_metrics(run_id, {"adapter/norm": 1.0}, {"norm": [1.0, 2.0]})
    assert far.artifact(run_id, "config.yaml", tmp_path / "out") == tmp_path / "out" / "config.yaml"
    assert (tmp_path / "out" / "config.yaml").read_text() == "seed: 0"
    assert far.artifact(run_id, "none/x", tmp_path) is None and far.artifact(run_id, "none", tmp_path) is None
    assert far.statement("rank") == Statement() and far.deleted("rank") == []
    assert far.run_url(run_id) == f"http://127.0.0.1:{port}/#/experiments/{far._experiment_id}/runs/{run_id}"
    orphan = far.trial_run("f1", sweep_run_id=parent, config=CONFIG, tags=TAGS)
    far = Tracker.open(tmp_path / "far", "shared", uri=f"http://127.0.0.1:{port}")
    assert far.plan("rank") == [PlannedCell("größe", 0, "f0", {"k": None})]
    found = far.records("rank")[0]
    assert found.config == {**CONFIG, "empty": "", "word": "ü\0"} and found.metrics["loss/x"] == math.inf
    assert found.metrics["adapter/norm"] == 1.0
    assert far.trial_run("f1", sweep_run_id=parent, config=CONFIG, tags=TAGS) == orphan
    assert len(far.close_orphans()) == 2
    assert Tracker.open(results, "shared", uri=f"http://127.0.0.1:{port}").close_orphans() == []
    far._client.delete_run(orphan)
    assert far.deleted("rank") == [DeletedRun("f1", orphan, "rank=8", 0)]
    with pytest.raises(InputError, match=f"http://127.0.0.1:{port}"):
        far.ui_command()
    assert list(cwd.iterdir()) == [] and sorted(path.name for path in (tmp_path / "far").iterdir()) == ["id"]
    assert _listening(port) == {"127.0.0.1"}


def _listening(port: int) -> set[str]:
    """The addresses on which something listens at that port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    rows += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    hosts = [row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port]
    return {socket.inet_ntoa(bytes.fromhex(host)[::-1]) if len(host) == 8 else host for host in hosts}


def test_the_pages_are_served_on_loopback_and_without_passwords(results: Path, tracker: Tracker) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.com"):
        with pytest.raises(InputError, match="pages without a login are served on 127.0.0.1 only"):
            tracker.ui_command(host=host)
    command = tracker.ui_command(port=5001)
    assert command[command.index("--host") + 1] == "127.0.0.1" and "5001" in command
    assert not any("disable" in word or "gunicorn" in word for word in command)
    secret = Tracker(tracker._client, "1", results, "me", "postgresql://ann:hunter2@db/runs")
    with pytest.raises(InputError, match="needs a password") as refused:
        secret.ui_command()
    assert "hunter2" not in str(refused.value)
