"""Runs in a store that does not answer for a while: nothing is lost, nothing is written twice, and it is said once."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException

from recyclelora.errors import Outage, is_away
from recyclelora.runs.leases import Leases, Unshared
from recyclelora.runs.tracking import Tracker
from recyclelora.runs.unbooked import NOTE, notes_in
from recyclelora.sweeps.books import Books, reconcile
from recyclelora.trials.history import HISTORY
from recyclelora.trials.paths import Paths
from tests.test_delivery import JOB, TAGS, leave, record_of

JOBS = [JOB._replace(fingerprint=name, tags={**TAGS, "fingerprint": name}) for name in ("f0", "f1")]
STEPS = [(iteration, {"loss/total": 1.0 / iteration}) for iteration in range(1, 5)]
Cut = Callable[[bool], None]


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return Tracker.open(tmp_path)


@pytest.fixture
def cut(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> Cut:
    """Has every call of the store fail as it does where nobody answers at the address of a server; False ends it."""
    def switch(off: bool) -> None:
        monkeypatch.undo()
        if off:
            monkeypatch.setattr(tracker, "_client", Silent())

    return switch


class Silent:
    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*given: object, **named: object) -> None:
            raise MlflowException("API request to http://127.0.0.1:1/api/2.0/mlflow/runs/log-batch failed with exception "
                                  "HTTPConnectionPool(host='127.0.0.1', port=1): Max retries exceeded")

        return call


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def books(tracker: Tracker, tmp_path: Path, said: list[str]) -> Books:
    made = Books(tracker, None, Paths(tmp_path, tmp_path, None), said.append)
    made.pause = made.retry = 0.0
    return made


def end(books: Books, tmp_path: Path, which: int) -> None:
    job = JOBS[which]
    record = record_of(fingerprint=job.fingerprint, tags=job.tags, iteration=4)
    leave(record, tmp_path / "trials" / job.fingerprint)
    books.close(job, record)


def steps_of(tracker: Tracker, fingerprint: str) -> list[int]:
    [run] = tracker._store.tagged("fingerprint", [fingerprint])
    return [point.step for point in tracker._client.get_metric_history(run.run_id, "loss/total")]


def status_of(tracker: Tracker, fingerprint: str) -> str:
    [run] = tracker._store.tagged("fingerprint", [fingerprint])
    return run.status


@pytest.mark.parametrize("away_at", ["start", "step", "end"])
def test_what_a_store_misses_arrives_once_when_it_answers(books: Books, tracker: Tracker, tmp_path: Path, cut: Cut,
                                                          said: list[str], away_at: str) -> None:
    for moment, act in (("start", lambda: books.open(JOBS[0])), ("step", lambda: books.add(JOBS[0], STEPS[:2])),
                        ("later", lambda: books.add(JOBS[0], STEPS[2:])), ("end", lambda: end(books, tmp_path, 0))):
        if moment == away_at:
            cut(True)
        act()
    assert books.away is not None and len(said) == 1 and "does not answer (MlflowException: API request" in said[0]
    cut(False)
    books.settle(0.0)
    assert books.away is None and not books.pages and len(said) == 2 and "answers again" in said[1]
    assert steps_of(tracker, "f0") == [1, 2, 3, 4] and status_of(tracker, "f0") == "FINISHED"
    assert not list(tmp_path.rglob(NOTE))


def test_one_that_stays_away_leaves_notes_that_are_booked_later(books: Books, tracker: Tracker, tmp_path: Path,
                                                                cut: Cut) -> None:
    books.open(JOBS[0])
    books.add(JOBS[0], STEPS[:2])
    cut(True)
    books.open(JOBS[1])
    for which in (0, 1):
        end(books, tmp_path, which)
        (tmp_path / "trials" / JOBS[which].fingerprint / HISTORY).write_text(
            "".join(f'[{iteration}, {{"loss/total": {metrics["loss/total"]}}}]\n' for iteration, metrics in STEPS))
    with pytest.raises(Outage, match=r"has not answered for \d+ s; 2 trials that have ended are kept in .*reconcile"):
        books.settle(-1.0)
    cut(False)
    assert reconcile(tracker, Unshared(), tmp_path / "trials") == 2
    for name in ("f0", "f1"):
        assert steps_of(tracker, name) == [1, 2, 3, 4] and status_of(tracker, name) == "FINISHED"
    assert reconcile(tracker, Unshared(), tmp_path / "trials") == 0 and not list(tmp_path.rglob(NOTE))


def test_a_trial_whose_driver_was_killed_at_its_end_is_booked(books: Books, tracker: Tracker, tmp_path: Path) -> None:
    """Its note was made when it started; the record on file says that it has finished."""
    books.open(JOBS[0])
    books.open(JOBS[1])  # has not ended
    leave(record_of(fingerprint="f0", tags=JOBS[0].tags), tmp_path / "trials" / "f0")
    assert reconcile(tracker, Unshared(), tmp_path / "trials") == 1
    assert status_of(tracker, "f0") == "FINISHED" and status_of(tracker, "f1") == "RUNNING"


def test_only_whole_notes_of_this_store_that_no_other_driver_has_are_booked(books: Books, tracker: Tracker,
                                                                            tmp_path: Path) -> None:
    for job in JOBS:
        books.open(job)
        leave(record_of(fingerprint=job.fingerprint, tags=job.tags), tmp_path / "trials" / job.fingerprint)
    note = tmp_path / "trials" / "f0" / NOTE
    whole = note.read_text()
    for damaged in ("", "{", "[]", "null", whole[:-9], whole.replace('"f0"', '"f1"'), whole.replace('"config": {', '"config": [{')):
        note.write_text(damaged)
        assert [folder.name for folder, _ in notes_in(tmp_path / "trials")] == ["f1"], damaged
    note.write_text(whole.replace("mlflow.db", "other.db"))

    class Taken(Leases):
        def __init__(self) -> None: ...

        def claim(self, fingerprint: str) -> object:  # type: ignore[override]
            return object()

    assert reconcile(tracker, Taken(), tmp_path / "trials") == 0
    assert reconcile(tracker, Unshared(), tmp_path / "trials") == 1 and status_of(tracker, "f0") == "RUNNING"


def test_an_error_that_waiting_does_not_mend_is_raised(books: Books, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **named: object) -> None:
        raise MlflowException("API request to endpoint /api/2.0/mlflow/runs/create failed with error code 403 != 200")

    monkeypatch.setattr(tracker, "trial_run", refuse)
    with pytest.raises(MlflowException, match="403"):
        books.open(JOBS[0])


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody who writes to the database and does not come to an end."""
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        yield other


@pytest.mark.slow
def test_a_database_that_is_locked_for_long_is_waited_for(books: Books, tracker: Tracker, busy: sqlite3.Connection,
                                                          said: list[str]) -> None:
    """With the real error of SQLite, which comes after its own five seconds."""
    books.open(JOBS[0])
    busy.execute("BEGIN EXCLUSIVE")
    books.add(JOBS[0], STEPS)
    assert books.away is not None and "database is locked" in said[0]
    busy.execute("ROLLBACK")
    books.settle(0.0)
    assert steps_of(tracker, "f0") == [1, 2, 3, 4]


@pytest.mark.parametrize(("error", "away"), [
    (MlflowException("API request to http://h/api failed with exception ..."), True),
    (MlflowException("API request to http://h/api failed with timeout exception ..."), True),
    (MlflowException("API request to endpoint /x failed with error code 503 != 200. Response body: ''"), True),
    (MlflowException("API request to endpoint /x failed with error code 403 != 200"), False),
    (MlflowException("RESOURCE_DOES_NOT_EXIST: Run not found"), False),
    (requests.exceptions.ConnectionError("refused"), True), (requests.exceptions.ReadTimeout("slow"), True),
    (requests.exceptions.InvalidURL("x"), False), (sqlite3.OperationalError("database is locked"), True),
    (sqlite3.OperationalError("database or disk is full"), False),
    (sqlite3.OperationalError("attempt to write a readonly database"), False),
    (OSError(28, os.strerror(28)), False), (ConnectionError("of Python's own"), False)])
def test_which_errors_say_that_a_store_is_away(error: Exception, away: bool) -> None:
    assert is_away(error) is away
