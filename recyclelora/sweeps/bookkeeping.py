"""What happens to jobs, written down: in MLflow, and on the board."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from recyclelora.runs.tracking import Tracker
from recyclelora.sweeps.display import Board, Display
from recyclelora.sweeps.jobs import Job
from recyclelora.trials import analysis_files
from recyclelora.trials.analysis_files import read_analysis, series_of
from recyclelora.trials.delivery import other_trial, undelivered
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.trials.trial import Progress

ARTIFACTS = ("config.yaml", "adapter.safetensors", "head.safetensors", "confusions.safetensors", "panels",
             *analysis_files.FILES)


class Bookkeeper:
    """Hears of every job, and writes it down: in MLflow, and on the board."""

    patience = 5.0  # seconds

    def __init__(self, tracker: Tracker, parent: str | None, paths: Paths, board: Board, display: Display) -> None:
        self.tracker, self.parent, self.paths, self.board, self.display = tracker, parent, paths, board, display
        self.runs: dict[str, str] = {}

    def started(self, job: Job) -> None:
        self.runs[job.fingerprint] = self.tracker.trial_run(job.fingerprint, sweep_run_id=self.parent,
                                                            config=job.config, tags=job.tags)
        self.board.start(job.fingerprint, f"{job.cell}, seed {job.tags['seed']}")

    def progressed(self, job: Job, progress: Progress) -> None:
        for iteration, metrics in progress.history:
            self.tracker.log_step(self.runs[job.fingerprint], iteration, metrics)
        self.board.progress(job.fingerprint, progress.done, progress.total, progress.metrics.get(self.board.metric))
        self.display.refresh()

    def retried(self, job: Job, reason: str) -> None:
        self.display.console.print(f"{job.cell}: trying again from its checkpoint after: {reason}", style="yellow",
                                   highlight=False, markup=False)

    def ended(self, job: Job, record: Record) -> None:
        folder = self.paths.trial(job.fingerprint)
        record = self._checked(job, record, folder)
        artifacts = {name: path for name in ARTIFACTS if (path := folder / name).exists()}
        found = read_analysis(folder)
        series = series_of(found) if found else {}
        self.tracker.finish(self.runs.pop(job.fingerprint), record, artifacts, series)
        self.board.end(job.fingerprint, record)
        if record.outcome == "failed":
            self.display.console.print(f"failed: {job.cell}, seed {job.tags['seed']}: {record.reason}", style="red",
                                       highlight=False, markup=False)
        self.display.refresh(ended=True)

    def _checked(self, job: Job, record: Record, folder: Path) -> Record:
        """The record, or a failure with its reason where nothing may be booked: it is that of another trial, or what a
        finished one leaves is not here."""
        reason = other_trial(job.expected, {**record.tags, "fingerprint": record.fingerprint})
        if not reason and record.outcome == "finished":
            reason = self._wait_for_files(record, folder)
        return record if not reason else Record(fingerprint=job.fingerprint, config=job.config, outcome="failed",
                                                tags=job.tags, reason=reason, iteration=record.iteration)

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
                pause: float = 30.0) -> Iterator[Bookkeeper]:
    """A keeper of the books, with the display of the board; `pause` seconds between its lines."""
    with Display(board, console, pause) as display:
        yield Bookkeeper(tracker, parent, paths, board, display)


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
