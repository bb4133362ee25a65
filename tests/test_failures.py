"""The kinds of failures: each is known by real exceptions, and by what Ray writes of workers that died."""

import errno
import sqlite3
from pathlib import Path

import pytest
import torch
from ray import exceptions
from rich.console import Console

from recyclelora.errors import InputError, Outage
from recyclelora.runs.tracking import Tracker
from recyclelora.sweeps.bookkeeping import bookkeeping
from recyclelora.sweeps.display import Board
from recyclelora.sweeps.jobs import Job, failed
from recyclelora.trials.failures import KINDS, Failure, TooLong, failure_of, kind_of, kind_of_death, trace_of
from recyclelora.trials.paths import Paths


def raised(make: object, cause: BaseException | None = None) -> BaseException:
    try:
        raise make from cause  # type: ignore[misc]
    except BaseException as error:
        return error


@pytest.mark.parametrize(("error", "kind"), [
    (InputError("data: no such folder"), "bad input"), (MemoryError(), "out of memory"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out of memory"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to"), "out of memory"),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "out of memory"),
    (OSError(errno.ENOSPC, "No space left on device"), "disk"), (OSError(errno.ESTALE, "Stale file handle"), "disk"),
    (sqlite3.OperationalError("database is locked"), "store"), (ValueError("x"), "bug"), (AssertionError(), "bug"),
    (OSError("no number"), "bug"), (ZeroDivisionError(), "bug")])
def test_of_an_exception(error: BaseException, kind: str) -> None:
    assert kind_of(raised(error)) == kind and kind in KINDS
    assert kind_of(raised(RuntimeError("while training"), cause=raised(error))) == kind


def test_what_is_hidden_is_no_cause() -> None:
    try:
        try:
            raise MemoryError
        except MemoryError:
            raise ValueError("another matter") from None
    except ValueError as error:
        assert kind_of(error) == "bug"


@pytest.mark.parametrize(("text", "kind"), [
    ("", "lost"), ("\n", "lost"), ("The actor died unexpectedly before finishing this task.", "lost"), (str(exceptions.ActorDiedError()), "lost"),
    (f"ray.exceptions.ActorDiedError: {exceptions.ActorDiedError()}", "lost"),
    ("ray.exceptions.NodeDiedError: Task failed due to the node dying.", "lost"),
    ("ray.exceptions.WorkerCrashedError: The worker died unexpectedly", "lost"),
    ("ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.", "out of memory"),
    ("ray.exceptions.RayTaskError(OutOfMemoryError): torch.OutOfMemoryError: CUDA out of memory.", "out of memory"),
    ("Traceback (most recent call last):\nZeroDivisionError: division by zero", "bug")])
def test_of_a_death(text: str, kind: str) -> None:
    assert kind_of_death(text) == kind


def test_every_error_of_rays_that_means_a_lost_worker_is_known() -> None:
    for name in ("ActorDiedError", "ActorUnavailableError", "NodeDiedError", "WorkerCrashedError", "ObjectLostError",
                 "OwnerDiedError", "LocalRayletDiedError", "RaySystemError"):
        assert issubclass(getattr(exceptions, name), exceptions.RayError), name
        assert kind_of_death(f"ray.exceptions.{name}: it died") == "lost"


def fail(value: int) -> None:
    if value > 5:
        raise ValueError(f"{value} is too large")
    raise ValueError(f"{value} is too small")


def caught(value: int) -> BaseException:
    try:
        fail(value)
    except ValueError as error:
        return error
    raise AssertionError


def test_the_same_bug_has_the_same_trace_whatever_its_numbers_say() -> None:
    assert trace_of(caught(6)) == trace_of(caught(7)) != trace_of(caught(1))
    assert trace_of(raised(TypeError("x"))) != trace_of(raised(ValueError("x")))
    assert len(trace_of(caught(6))) == 8


def test_kinds_say_what_they_mean() -> None:
    assert all(kind.means and name == kind.name for name, kind in KINDS.items())
    assert {name for name, kind in KINDS.items() if not kind.tries} == {"bad input", "diverged", "too long"}


def test_a_failure_says_kind_reason_and_trace() -> None:
    bug = failure_of(caught(6))
    assert bug == ("bug", "ValueError: 6 is too large", trace_of(caught(6)))
    assert bug.tags == {"failure": "bug", "failure_trace": bug.trace}
    assert failure_of(InputError("no such image")) == ("bad input", "no such image", "")
    assert failure_of(TooLong("at iteration 3")).tags == {"failure": "too long"}


@pytest.mark.parametrize(("traces", "stopped"), [("aaa", True), ("aabba", True), ("aabb", False), ("abcd", False)])
def test_the_same_bug_in_three_trials_stops_the_sweep(tmp_path: Path, traces: str, stopped: bool) -> None:
    """With one line, after what happened is written down; trials that fail in other ways stop nothing."""
    tracker, paths = Tracker.open(tmp_path), Paths(tmp_path, tmp_path, None)
    jobs = [Job("one", {}, f"f{seed}", {"seed": seed}, {"seed": str(seed), "fingerprint": f"f{seed}"}) for seed in range(9)]
    with bookkeeping(tracker, None, paths, Board("s", "miou/source", 9), Console(quiet=True)) as keeper:
        def fail(job: Job, trace: str) -> None:
            keeper.started(job)
            keeper.ended(job, failed(job, Failure("bug", f"ValueError: {job.fingerprint}", trace)))

        for job, trace in zip(jobs, traces[:-1], strict=False):
            fail(job, trace)
        keeper.started(jobs[7])
        keeper.ended(jobs[7], failed(jobs[7], Failure("bad input", "no such image")))
        last = jobs[len(traces)]
        if stopped:
            with pytest.raises(Outage, match=rf"^3 trials failed with the same error, .*: ValueError: {last.fingerprint}; its "
                                             rf"traceback is in .*{last.fingerprint}/error.txt"):
                fail(last, traces[-1])
        else:
            fail(last, traces[-1])
    assert tracker.ended([last.fingerprint])[last.fingerprint].tags["failure"] == "bug"
