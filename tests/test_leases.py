"""Drivers that share a store: of two that want a trial one gets it, dead ones are replaced, and who was replaced writes
nothing."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from recyclelora.documents import dump
from recyclelora.errors import InputError
from recyclelora.runs import leases as module
from recyclelora.runs.leases import Leases, Unshared, open_ledger
from recyclelora.runs.tracking import Tracker
from recyclelora.sweeps.bookkeeping import bookkeeping
from recyclelora.sweeps.display import Board
from recyclelora.sweeps.driver import wait_for_others
from recyclelora.trials.paths import Paths
from recyclelora.trials.trial import Progress
from tests.test_delivery import JOB, leave, record_of
from tests.test_tracking import reserved_port, serving
from tests.tiny_config import TINY


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database that is no results folder's."""
    folder = tmp_path_factory.mktemp("store")
    Tracker.open(folder)
    return f"sqlite:///{shutil.copy(folder / 'mlflow.db', folder / 'shared.db')}"


@pytest.fixture
def ledger(uri: str, request: pytest.FixtureRequest) -> str:
    """One for each test."""
    return open_ledger(MlflowClient(uri), re.sub(r"\W", "-", request.node.name)[:80])


Driver = Callable[..., Leases]


@pytest.fixture
def driver(uri: str, ledger: str) -> Driver:
    """Makes a driver, by default in another results folder on another machine, with a heartbeat."""
    def make(machine: str = "", owner: str = "", limit: float = 60.0) -> Leases:
        made = Leases(MlflowClient(uri), ledger, owner or os.urandom(4).hex(), beat=0.05, limit=limit)
        made._self = made._self._replace(machine=machine or made._self.key, host="far away" if not machine else "here")
        made.beat()
        return made

    return make


def test_of_two_drivers_one_gets_a_trial(driver: Driver) -> None:
    one, two = driver(), driver()
    assert one.claim("f0") is None and one.claim("f0") is None
    assert two.claim("f0") == one._self and str(two.claim("f0")) == f"far away, process {os.getpid()}"
    assert two.claim("f1") is None and one.claim("f1") == two._self and one.held("f0")


def test_of_many_that_ask_at_once_one_gets_each_trial(driver: Driver) -> None:
    drivers, names = [driver() for _ in range(4)], [f"f{i}" for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda one: [name for name in names if one.claim(name) is None], drivers))
    assert Counter(name for some in got for name in some) == dict.fromkeys(names, 1)
    dead = driver()
    dead.claim("x")
    dead._client.delete_tag(dead._ledger, f"beat.{dead._self.key}")
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda one: one.claim("x"), drivers)).count(None) == 1, "and of those that take one over"


def test_an_ended_driver_holds_nothing(driver: Driver) -> None:
    one, two = driver(), driver()
    with one.kept():
        one.claim("f0")
        assert two.claim("f0") is not None
    assert two.claim("f0") is None


def test_a_heartbeat_that_stands_still_is_taken_over_by_the_readers_clock(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(module, "seconds", lambda: now[0])
    one, two = driver(), driver()
    one.claim("f0")
    now[0] += 3600
    assert two.claim("f0") == one._self, "however old it is, it counts from when it was first read"
    now[0] += 59
    assert two.claim("f0") == one._self
    one.beat()
    now[0] += 59
    assert two.claim("f0") == one._self, "it was seen to go on"
    now[0] += 61
    assert two.claim("f0") is None
    assert not one.held("f0"), "who was away for too long finds out before it writes"
    assert one.claim("f0") == two._self and two.held("f0")


def test_who_was_away_and_was_not_replaced_goes_on(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(module, "seconds", lambda: now[0])
    one = driver()
    one.claim("f0")
    now[0] += 3600
    assert one.held("f0")


def test_the_heartbeat_goes_on_by_itself(driver: Driver) -> None:
    one, two = driver(limit=3), driver(limit=3)
    with one.kept():
        one.claim("f0")
        for _ in range(8):  # for longer than the limit
            assert two.claim("f0") == one._self
            time.sleep(0.5)


def test_a_process_of_this_machine_that_has_ended_is_not_waited_for(driver: Driver) -> None:
    one, two = driver("same"), driver("same")
    one.claim("f0")
    assert two.claim("f0") is not None, "it lives: it is this process"
    with subprocess.Popen([sys.executable, "-c", "pass"]) as ended:
        pass
    dead = driver("same")
    dead._self = dead._self._replace(pid=ended.pid)
    dead.beat()
    dead.claim("f1")
    assert two.claim("f1") is None
    reused = driver("same")
    reused._self = reused._self._replace(started="1")
    reused.beat()
    reused.claim("f2")
    assert two.claim("f2") is None, "the number is another process's now"


def test_the_same_results_folder_has_one_driver(driver: Driver) -> None:
    one, two = driver(owner="folder"), driver(owner="folder")
    one.claim("f0")
    assert two.claim("f0") is None, "its lock is held by whoever asks"


def test_many_that_come_at_once_make_one_ledger(uri: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: open_ledger(MlflowClient(uri), "many"), range(4)))) == 1
    client = MlflowClient(uri)
    left = client.create_experiment("half.leases")
    assert open_ledger(client, "half", patience=0.1) == client.get_experiment(left).tags["ledger"], "its maker died"
    client.delete_experiment(left)
    with pytest.raises(InputError, match=r"experiment 'half\.leases': is deleted; restore it"):
        open_ledger(client, "half")


def test_a_results_folder_alone_needs_no_leases(tmp_path: Path) -> None:
    tracker = Tracker.open(tmp_path)
    with tracker.leasing() as leases:
        assert isinstance(leases, Unshared) and leases.claim("f0") is None and leases.held("f0")
    assert [found.name for found in tracker._client.search_experiments()] == ["recyclelora", "Default"]


# what a driver does with them


class Side:
    """One of two drivers: its bookkeeper in a results folder of its own."""

    def __init__(self, folder: Path, uri: str, leases: Leases) -> None:
        self.results, self.said = folder, (folder / "said").open("w+")
        self.tracker = Tracker.open(folder, experiment=f"e-{folder.parent.name}", uri=uri)
        self.sweep = self.tracker.sweep_run(folder.name, [])
        self.console = Console(file=self.said, soft_wrap=True)
        with bookkeeping(self.tracker, self.sweep, Paths(folder, folder, None), Board("s", "miou/source", 2), self.console,
                         leases=leases) as self.keeper:
            pass

    def text(self) -> str:
        self.said.seek(0)
        return self.said.read()


@pytest.fixture
def sides(tmp_path: Path, uri: str, driver: Driver) -> Iterator[tuple[Side, Side]]:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    yield Side(tmp_path / "one", uri, driver()), Side(tmp_path / "two", uri, driver())


JOBS = [JOB._replace(fingerprint=name, tags={**JOB.tags, "fingerprint": name, "sweep": "one"}) for name in ("f0", "f1")]
STEP = Progress(1, 4, {"loss/total": 1.0}, [(1, {"loss/total": 1.0})])


def finish(side: Side, job: object, outcome: str = "finished") -> None:
    record = record_of(fingerprint=job.fingerprint, tags=job.tags, outcome=outcome, reason="" if outcome == "finished" else "nan")  # type: ignore[attr-defined]
    leave(record, side.results / "trials" / job.fingerprint)  # type: ignore[attr-defined]
    side.keeper.ended(job, record)  # type: ignore[arg-type]


@pytest.mark.parametrize("outcome", ["finished", "failed"])
def test_a_trial_of_another_driver_is_left_to_it_and_shown_when_it_ended(sides: tuple[Side, Side], outcome: str) -> None:
    (one, two), job = sides, JOBS[0]
    theirs = job._replace(tags={**job.tags, "sweep": "two"})
    assert one.keeper.claim(job) and not two.keeper.claim(theirs)
    one.keeper.started(job)
    assert two.keeper.revisit() == [] and list(two.keeper.elsewhere) == ["f0"]
    finish(one, job, outcome)
    assert wait_for_others(two.keeper, two.console, pause=0) == [] and not two.keeper.elsewhere
    assert (two.keeper.board.already, len(two.keeper.board.failed)) == ((1, 0) if outcome == "finished" else (0, 1))
    [run] = one.tracker._store.tagged("fingerprint", ["f0"])
    assert run.tags["sweep.two"] == job.cell, "it belongs to both sweeps"
    assert two.keeper.claim(theirs) is False


def test_a_trial_that_failed_before_is_not_taken_for_a_failure_of_now(sides: tuple[Side, Side]) -> None:
    (one, two), job = sides, JOBS[0]
    one.keeper.claim(job)
    one.keeper.started(job)
    finish(one, job, "failed")
    assert not two.keeper.claim(job), "its driver lives, and may be about to try again"
    assert two.keeper.revisit() == [] and not two.keeper.board.failed


def test_what_waits_is_said_once_for_each_driver(sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = sides
    for job in JOBS:
        assert one.keeper.claim(job) and not two.keeper.claim(job)
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            one.tracker._client.delete_tag(one.keeper.leases._ledger, f"beat.{one.keeper.leases._self.key}")  # type: ignore[union-attr]

    monkeypatch.setattr("recyclelora.sweeps.driver.time.sleep", sleep)
    assert wait_for_others(two.keeper, two.console) == JOBS, "their driver has died"
    assert two.text() == (f"another driver (far away, process {os.getpid()}) runs some of these trials, which are left to it\n"
                          f"2 trials are run by another driver (far away, process {os.getpid()}); waiting for it\n")


def test_who_was_replaced_writes_nothing_more(sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch) -> None:
    (one, two), job, now = sides, JOBS[0], [1000.0]
    monkeypatch.setattr(module, "seconds", lambda: now[0])
    for side in sides:
        side.keeper.leases.beat()  # type: ignore[union-attr]
    one.keeper.claim(job)
    one.keeper.started(job)
    one.keeper.progressed(job, STEP)
    assert not two.keeper.claim(job)
    now[0] += 61
    two.keeper.leases.beat()  # type: ignore[union-attr]
    assert two.keeper.claim(job)
    two.keeper.started(job)
    for side in sides:  # both have the whole curve from their checkpoints
        side.keeper.progressed(job, STEP)
        side.keeper.progressed(job, Progress(2, 4, {"loss/total": 0.5}, [(2, {"loss/total": 0.5})]))
    finish(one, job)
    [run] = one.tracker._store.tagged("fingerprint", ["f0"])
    assert run.status == "RUNNING" and "left to it" in one.text()
    finish(two, job)
    points = one.tracker._client.get_metric_history(run.run_id, "loss/total")
    assert [point.step for point in points] == [1, 2]


# two real drivers on one server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with reserved_port() as port, serving(tmp_path, port):
        yield f"http://127.0.0.1:{port}"


SPACE = "base: config.yaml\nmethod: grid\nseeds: [0, 1, 2, 3]\nparameters:\n  training.lr: {values: [1e-3]}\n"


@pytest.mark.slow
@pytest.mark.parametrize("killed", [pytest.param(False, marks=pytest.mark.long), True])
def test_two_drivers_on_one_server_train_each_trial_once(tmp_path: Path, cache: Path, server: str, killed: bool) -> None:
    (tmp_path / "config.yaml").write_text(dump({**TINY, "training.iterations": 20, "evaluation.every": 20,
                                                "resources.checkpoint_every": 5}))
    (tmp_path / "space.yaml").write_text(SPACE)
    environment = {**os.environ, "RECYCLELORA_CACHE": str(cache), "MLFLOW_TRACKING_URI": server}

    def start(results: str) -> "subprocess.Popen[str]":
        return subprocess.Popen([sys.executable, "-m", "recyclelora.cli", "sweep", "space.yaml", "--results", results],
                                cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    first = start("one")
    while not list(tmp_path.glob("one/trials/*/history.jsonl")):
        assert first.poll() is None
        time.sleep(0.1)
    second = start("two")
    if killed:
        while not list(tmp_path.glob("two/trials/*/history.jsonl")):
            assert second.poll() is None
            time.sleep(0.1)
        first.kill()
    outputs = [process.communicate(timeout=900)[0] for process in (first, second)]
    assert second.returncode == 0 and (killed or first.returncode == 0), outputs
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("recyclelora").experiment_id
    runs = [run for run in client.search_runs([experiment]) if run.data.tags["kind"] == "trial"]
    assert sorted(run.data.tags["seed"] for run in runs) == ["0", "1", "2", "3"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, "loss/total")]
        assert steps == list(range(1, 21)), "the whole curve, each step once"
    trained = Counter(path.parent.name for path in tmp_path.glob("*/trials/*/record.json"))
    assert set(trained) >= {run.data.tags["fingerprint"] for run in runs}
    if not killed:
        assert set(trained.values()) == {1}, "no trial was trained by both"
        assert len([*tmp_path.glob("one/trials/*")]) + len([*tmp_path.glob("two/trials/*")]) == 4
    assert "4 trials: 4 finished" in outputs[1] and f"process {first.pid}) runs some" in outputs[1], outputs
