"""What happens to jobs, written down: in MLflow, and on the board."""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from recyclelora.errors import Outage
from recyclelora.runs.leases import Holder, Leases, Unshared
from recyclelora.runs.tracking import Tracker
from recyclelora.sweeps.display import Board, Display
from recyclelora.sweeps.jobs import Job, failed
from recyclelora.trials import analysis_files
from recyclelora.trials.analysis_files import read_analysis, series_of
from recyclelora.trials.delivery import other_trial, undelivered
from recyclelora.trials.failures import ERROR, TRACE, Failure
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.trials.trial import Progress

ARTIFACTS = ("config.yaml", "adapter.safetensors", "head.safetensors", "confusions.safetensors", "panels",
             *analysis_files.FILES)

SAME = 3  # trials that fail with one traceback: the error is the program's, and not theirs


class Bookkeeper:
    """Hears of every job, and writes it down: in MLflow, and on the board."""

    patience = 5.0  # seconds, for files
    pause = 10.0  # seconds between two calls that log steps of one trial

    def __init__(self, tracker: Tracker, parent: str | None, paths: Paths, board: Board, display: Display,
                 leases: Leases | Unshared | None = None) -> None:
        self.tracker, self.parent, self.paths, self.board, self.display = tracker, parent, paths, board, display
        self.runs: dict[str, str] = {}
        # By fingerprint: steps that a driver that is killed now would leave to the next one, and when some were written
        self.unwritten: dict[str, tuple[list[tuple[int, dict[str, float]]], float]] = {}
        self.leases: Leases | Unshared = leases or Unshared()
        self.elsewhere: dict[str, Job] = {}  # what other drivers run, by fingerprint
        self.holders: dict[str, Holder] = {}
        self.bugs: Counter[str] = Counter()  # trials by the traceback that ended them
        self.former: set[str] = set()  # those whose failure is older than the lease: it is tried again there

    def claim(self, job: Job) -> bool:
        """Whether this driver is to run the job: no other one is running it, or has finished it meanwhile."""
        holder = self.leases.claim(job.fingerprint)
        if holder is not None:
            if job.fingerprint not in self.elsewhere and job.fingerprint in self.tracker.ended([job.fingerprint]):
                self.former.add(job.fingerprint)
            if str(holder) not in map(str, self.holders.values()):
                self.display.console.print(f"another driver ({holder}) runs some of these trials, which are left to it",
                                           style="yellow", highlight=False, markup=False)
            self.elsewhere[job.fingerprint], self.holders[job.fingerprint] = job, holder
            return False
        self.elsewhere.pop(job.fingerprint, None)
        if isinstance(self.leases, Leases) and self._settle(job, ("finished",)):
            return False
        return True

    def revisit(self) -> list[Job]:
        """The jobs of other drivers that this one may run after all; those that ended elsewhere are booked so."""
        for job in [*self.elsewhere.values()]:
            if self._settle(job, ("finished", "failed")):
                del self.elsewhere[job.fingerprint]
        return [job for job in [*self.elsewhere.values()] if self.claim(job)]

    def _settle(self, job: Job, outcomes: Sequence[str]) -> bool:
        """Whether a trial ended so at another driver, which is then shown."""
        record = self.tracker.ended([job.fingerprint]).get(job.fingerprint)
        if record is None:
            self.former.discard(job.fingerprint)
        if record is None or record.outcome not in outcomes or (
                record.outcome == "failed" and job.fingerprint in self.former):
            return False
        if self.parent is not None:
            self.tracker.adopt(self.parent, job.tags["sweep"], [job.planned])
        if record.outcome == "finished":
            self.board.already += 1
        else:
            self.board.failed.append((job.cell, f"elsewhere: {record.reason}"))
        self.display.refresh(ended=True)
        return True

    def started(self, job: Job) -> None:
        self.runs[job.fingerprint] = self.tracker.trial_run(job.fingerprint, sweep_run_id=self.parent,
                                                            config=job.config, tags=job.tags)
        self.board.start(job.fingerprint, f"{job.cell}, seed {job.tags['seed']}")

    def progressed(self, job: Job, progress: Progress) -> None:
        if not self._ours(job):
            return
        steps, last = self.unwritten.setdefault(job.fingerprint, ([], 0.0))
        steps += progress.history
        if time.monotonic() - last > self.pause:
            self._write(job.fingerprint)
        self.board.progress(job.fingerprint, progress.done, progress.total, progress.metrics.get(self.board.metric))
        self.display.refresh()

    def _write(self, fingerprint: str) -> None:
        """Log the steps that wait. A call of MLflow takes as long for many as for one."""
        steps, _ = self.unwritten.pop(fingerprint, ([], 0.0))
        if steps:
            self.tracker.log_steps(self.runs[fingerprint], steps)
        self.unwritten[fingerprint] = [], time.monotonic()

    def retried(self, job: Job, failure: Failure) -> None:
        self.display.console.print(f"{job.cell}: trying again from its checkpoint after: {failure.reason} "
                                   f"({failure.kind})", style="yellow", highlight=False, markup=False)

    def refused(self, finding: str) -> None:
        self.display.console.print(finding, style="red", highlight=False, markup=False)

    def ended(self, job: Job, record: Record) -> None:
        if not self._ours(job):
            self.runs.pop(job.fingerprint, None)
            self.unwritten.pop(job.fingerprint, None)
            return
        folder = self.paths.trial(job.fingerprint)
        record = self._checked(job, record, folder)
        artifacts = {name: path for name in ARTIFACTS if (path := folder / name).exists()}
        found = read_analysis(folder)
        series = series_of(found) if found else {}
        self._write(job.fingerprint)
        del self.unwritten[job.fingerprint]
        self.tracker.finish(self.runs.pop(job.fingerprint), record, artifacts, series)
        self.board.end(job.fingerprint, record)
        if record.outcome == "failed":
            self.display.console.print(f"failed: {job.cell}, seed {job.tags['seed']}: {record.reason}", style="red",
                                       highlight=False, markup=False)
        self.display.refresh(ended=True)
        self._stop_at_the_same_bug(record)

    def _stop_at_the_same_bug(self, record: Record) -> None:
        """Raises Outage where so many trials have failed with one traceback that the others would too."""
        trace = record.tags.get(TRACE)
        if trace is None:
            return
        self.bugs[trace] += 1
        if self.bugs[trace] >= SAME:
            page = self.paths.trial(record.fingerprint) / ERROR
            raise Outage(f"{SAME} trials failed with the same error, so that the others were left: {record.reason}; "
                         f"its traceback is in {page}")

    def _ours(self, job: Job) -> bool:
        """Whether to write for a job: not where another driver took it over while this one was suspended."""
        if self.leases.held(job.fingerprint):
            return True
        if job.fingerprint not in self.elsewhere:
            self.elsewhere[job.fingerprint] = job
            self.board.running.pop(job.fingerprint, None)
            self.display.console.print(f"{job.cell}, seed {job.tags['seed']}: another driver has taken it over, since "
                                       "this one was away for too long; left to it", style="yellow", highlight=False,
                                       markup=False)
        return False

    def _checked(self, job: Job, record: Record, folder: Path) -> Record:
        """The record, or a failure with its reason where nothing may be booked: it is that of another trial, or what a
        finished one leaves is not here."""
        if wrong := other_trial(job.expected, {**record.tags, "fingerprint": record.fingerprint}):
            return failed(job, Failure("bad input", wrong), iteration=record.iteration)
        if record.outcome == "finished" and (missing := self._wait_for_files(record, folder)):
            return failed(job, Failure("disk", missing), iteration=record.iteration)
        return record

    def _wait_for_files(self, record: Record, folder: Path) -> str:
        """What is missing after `patience` seconds: a network file system shows files of other nodes later, and looks
        again when their folder is listed."""
        deadline = time.monotonic() + self.patience
        while missing := undelivered(record, folder):
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
            with suppress(OSError):
                os.listdir(folder)
        return missing


@contextmanager
def bookkeeping(tracker: Tracker, parent: str | None, paths: Paths, board: Board, console: Console,
                pause: float = 30.0, leases: Leases | Unshared | None = None) -> Iterator[Bookkeeper]:
    """A keeper of the books, with the display of the board; `pause` seconds between its lines."""
    with Display(board, console, pause) as display:
        yield Bookkeeper(tracker, parent, paths, board, display, leases)


@contextmanager
def closing_runs(tracker: Tracker) -> Iterator[None]:
    """Close what a killed driver left running, now, and what this one leaves if it is interrupted anywhere. Where even
    that fails, what went wrong first is said, and the next call closes them."""
    tracker.close_orphans()
    try:
        yield
    except BaseException:
        with suppress(Exception):
            tracker.close_orphans()
        raise
    tracker.close_orphans()
