"""Nothing is booked that is not there: records of other trials, and finished ones whose files are elsewhere."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console

from recyclelora.runs.tracking import Tracker
from recyclelora.sweeps.bookkeeping import Bookkeeper, bookkeeping
from recyclelora.sweeps.display import Board
from recyclelora.sweeps.jobs import Job
from recyclelora.trials.delivery import ADAPTER, NEEDED, RECORD, other_trial, undelivered
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record

TAGS = {"fingerprint": "f0", "weights_sha256": "a" * 64, "data_fingerprint": "b" * 16, "seed": "0"}
JOB = Job("rank=8", {"adapter.main.rank": 8}, "f0", {"seed": 0, "adapter.main.rank": 8}, TAGS)


def record_of(**given: object) -> Record:
    fields = {"fingerprint": "f0", "config": JOB.config, "outcome": "finished", "tags": TAGS, "iteration": 4,
              "metrics": {"params/adapter": 9.0, "miou/source": 0.5, "miou/odd": float("nan")}}
    return Record(**{**fields, **given})  # type: ignore[arg-type]


def leave(record: Record, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*NEEDED, ADAPTER):
        (folder / name).write_text(name)
    (folder / RECORD).write_text(json.dumps(asdict(record)))


@pytest.mark.parametrize("name", [*NEEDED, ADAPTER])
def test_a_file_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "f0"
    leave(record_of(), folder)
    assert undelivered(record_of(), folder) == ""
    (folder / name).unlink()
    assert undelivered(record_of(), folder) == (
        f"it finished, but {folder} has no {name} on this machine; RESULTS must be a folder that every node shares")


def test_a_trial_that_trains_no_adapter_leaves_none(tmp_path: Path) -> None:
    frozen = record_of(metrics={"params/adapter": 0.0})
    leave(frozen, tmp_path / "f0")
    (tmp_path / "f0" / ADAPTER).unlink()
    assert undelivered(frozen, tmp_path / "f0") == ""


@pytest.mark.parametrize("former", [record_of(metrics={"params/adapter": 9.0, "miou/source": 0.4}), record_of(fingerprint="f1"),
                                    record_of(outcome="failed")])
def test_a_record_of_another_run_of_the_trial_is_not_its_own(tmp_path: Path, former: Record) -> None:
    leave(former, tmp_path / "f0")
    assert "is of another run of it" in undelivered(record_of(), tmp_path / "f0")


@pytest.mark.parametrize(("found", "said"), [
    ({"weights_sha256": "c" * 64}, "weights cccccccccccc instead of aaaaaaaaaaaa;"),
    ({"data_fingerprint": "d" * 16}, "data dddddddddddd instead of bbbbbbbbbbbb;"),
    ({"weights_sha256": "c" * 64, "data_fingerprint": "d" * 16}, "aaaaaaaaaaaa, data dddddddddddd"),
    ({}, "another version of the code or of its packages;")])
def test_what_differs_is_said(found: dict[str, str], said: str) -> None:
    assert other_trial(TAGS, {**TAGS, **found}) == "", "the fingerprint decides"
    assert said in other_trial(TAGS, {**TAGS, **found, "fingerprint": "f1"})


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    return Tracker.open(tmp_path_factory.mktemp("store"))


@pytest.fixture
def book(tracker: Tracker, tmp_path: Path) -> Callable[[str, Record], Bookkeeper]:
    """Books a record as that of the job with this fingerprint, in a results folder of its own."""
    def enter(fingerprint: str, record: Record) -> Bookkeeper:
        job = JOB._replace(fingerprint=fingerprint, tags={**TAGS, "fingerprint": fingerprint})
        board = Board("s", "miou/source", 1)
        with bookkeeping(tracker, None, Paths(tmp_path, tmp_path, None), board, Console(quiet=True)) as keeper:
            keeper.patience = 0.0
            keeper.started(job)
            keeper.ended(job, record)
        return keeper

    return enter


def status_of(tracker: Tracker, fingerprint: str) -> tuple[str, dict[str, str]]:
    run = next(run for run in tracker._store.tagged("fingerprint", [fingerprint]))
    assert len(tracker._store.tagged("fingerprint", [fingerprint])) == 1
    return run.status, run.tags


def test_a_finished_record_with_its_files_is_booked(book: Callable[[str, Record], Bookkeeper], tracker: Tracker,
                                                    tmp_path: Path) -> None:
    record = record_of(fingerprint="good", tags={**TAGS, "fingerprint": "good"})
    leave(record, tmp_path / "trials" / "good")
    assert book("good", record).board.done == 1
    assert status_of(tracker, "good")[0] == "FINISHED"


@pytest.mark.parametrize("outcome", ["finished", "failed", "pruned"])
def test_a_record_of_another_trial_is_a_failure(book: Callable[[str, Record], Bookkeeper], tracker: Tracker, tmp_path: Path,
                                                outcome: str) -> None:
    record = record_of(fingerprint="f1", outcome=outcome, tags={**TAGS, "fingerprint": "f1", "weights_sha256": "c" * 64})
    for name in ("f1", f"o-{outcome}"):
        leave(record, tmp_path / "trials" / name)
    keeper = book(f"o-{outcome}", record)
    status, tags = status_of(tracker, f"o-{outcome}")
    assert status == "FAILED" and (keeper.board.done, len(keeper.board.failed)) == (0, 1)
    assert "weights cccccccccccc instead of aaaaaaaaaaaa" in tags["reason"] and tags["weights_sha256"] == "a" * 64
    assert not tracker._store.tagged("fingerprint", ["f1"])


def test_a_finished_record_without_its_files_is_a_failure(book: Callable[[str, Record], Bookkeeper], tracker: Tracker) -> None:
    keeper = book("gone", record_of(fingerprint="gone", tags={**TAGS, "fingerprint": "gone"}))
    status, tags = status_of(tracker, "gone")
    assert status == "FAILED" and keeper.board.done == 0 and "no config.yaml, head.safetensors" in tags["reason"]


FOREIGN = {"fingerprint": "f9", "kind": "sweep", "owner": "me", "seed": "7", "sweep": "s", "cell": "c", "mlflow.parentRunId": "p",
           "device": "new"}


def test_tags_of_a_record_never_change_which_run_it_is(tracker: Tracker) -> None:
    run_id = tracker.trial_run("own", sweep_run_id=None, config={}, tags={**FOREIGN, "fingerprint": "x", "kind": "x"})
    before = status_of(tracker, "own")[1]
    tracker.trial_run("own", sweep_run_id=None, config={}, tags={**FOREIGN, "seed": "8", "owner": "x"})
    tracker.finish(run_id, replace(record_of(fingerprint="own"), tags=FOREIGN))
    tracker.add_metrics(run_id, {}, {}, FOREIGN)
    after = status_of(tracker, "own")[1]
    assert {key: after.get(key) for key in FOREIGN} == {key: before.get(key) for key in FOREIGN} and after["device"] == "new"
    assert after["fingerprint"] == "own" and after["kind"] == "trial"


def test_the_record_of_another_trial_is_refused_by_the_store(tracker: Tracker) -> None:
    run_id = tracker.trial_run("mine", sweep_run_id=None, config={}, tags={})
    with pytest.raises(ValueError, match="is of trial mine, the record of f0"):
        tracker.finish(run_id, record_of())
