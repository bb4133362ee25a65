"""Runs written to the tracking store. What it misses while it does not answer is kept, and written once it does."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from recyclelora.errors import Outage, is_away, reason_of
from recyclelora.runs.leases import Leases, Unshared
from recyclelora.runs.tracking import Tracker
from recyclelora.runs.unbooked import Unbooked, leave_note, notes_in, remove_note
from recyclelora.sweeps.jobs import Job
from recyclelora.trials import analysis_files
from recyclelora.trials.analysis_files import read_analysis, series_of
from recyclelora.trials.delivery import undelivered
from recyclelora.trials.history import HISTORY, Entry, read_history
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record, read_record

ARTIFACTS = ("config.yaml", "adapter.safetensors", "head.safetensors", "confusions.safetensors", "panels",
             *analysis_files.FILES)


@dataclass
class Page:
    """A trial whose run is not closed yet: `steps` are not written, since `written` (a clock's seconds)."""

    job: Job
    run: str | None = None
    steps: list[Entry] = field(default_factory=list)
    written: float = 0.0
    record: Record | None = None


class Books:
    """The open runs of a driver. `say` takes a line for the user. Errors that waiting does not mend are raised."""

    pause = 10.0  # seconds between two calls that log steps of one trial
    retry = 10.0  # seconds before a store that did not answer is asked again

    def __init__(self, tracker: Tracker, parent: str | None, paths: Paths, say: Callable[[str], None]) -> None:
        self.tracker, self.parent, self.paths, self.say = tracker, parent, paths, say
        self.pages: dict[str, Page] = {}
        self.away: float | None = None  # since when the store does not answer
        self._asked = 0.0

    def open(self, job: Job) -> None:
        """A trial starts, or starts again."""
        self._note(job)
        self.pages[job.fingerprint] = Page(job)
        self.write()

    def add(self, job: Job, steps: Sequence[Entry]) -> None:
        """A call of MLflow takes as long for many steps as for one: they wait for each other."""
        self.pages[job.fingerprint].steps += steps
        self.write()

    def close(self, job: Job, record: Record) -> None:
        """A trial has ended."""
        self.pages[job.fingerprint].record = record
        if self.away is not None:
            self._note(job, record)
        self.write()

    def drop(self, job: Job) -> None:
        """Another driver writes for this trial."""
        self.pages.pop(job.fingerprint, None)

    def write(self) -> None:
        """Write what is due. A store that does not answer is asked again after `retry` seconds."""
        now = time.monotonic()
        if self.away is not None and now - self._asked < self.retry:
            return
        try:
            for page in [*self.pages.values()]:
                if page.run is None or page.record or (page.steps and now - page.written > self.pause):
                    self._write(page)
            if self.away is not None:
                self.tracker.ping()  # there may have been nothing to write
        except Exception as error:
            self.missed(error)
            return
        if self.away is not None:
            self.say(f"the tracking store answers again after {now - self.away:.0f} s; what it missed is written")
            self.away = None

    def answers(self) -> bool:
        """Whether the store answers now, by a real call."""
        if self.away is None:
            try:
                self.tracker.ping()
            except Exception as error:
                self.missed(error)
        return self.away is None

    def missed(self, error: Exception) -> None:
        """Take an error of the store for a pause of it. Raises the error where waiting does not mend it."""
        if not is_away(error):
            raise error
        self._asked = time.monotonic()
        if self.away is None:
            self.away = self._asked
            self.say(f"the tracking store does not answer ({reason_of(error)}); the trials go on, and what it misses "
                     f"is kept in {self.paths.trials}")
            for page in self.pages.values():
                if page.record:
                    self._note(page.job, page.record)

    def settle(self, patience: float) -> None:
        """Wait until all is written. Raises Outage after so many seconds in which the store did not answer."""
        self.write()
        while self.away is not None:
            self.give_up(patience)
            time.sleep(min(1.0, self.retry))
            self.write()

    def give_up(self, patience: float) -> None:
        """Raises Outage where the store has not answered for so many seconds."""
        if self.away is not None and time.monotonic() - self.away > patience:
            ended = sum(page.record is not None for page in self.pages.values())
            raise Outage(f"the tracking store has not answered for {time.monotonic() - self.away:.0f} s; {ended} "
                         f"trials that have ended are kept in {self.paths.trials}, and `recyclelora reconcile` "
                         "books them")

    def _write(self, page: Page) -> None:
        job = page.job
        if page.run is None:
            page.run = self.tracker.trial_run(job.fingerprint, sweep_run_id=self.parent, config=job.config,
                                              tags=job.tags)
        if page.steps:
            self.tracker.log_steps(page.run, page.steps)
            page.steps = []
        page.written = time.monotonic()
        if page.record is not None:
            close_run(self.tracker, page.run, page.record, self.paths.trial(job.fingerprint))
            del self.pages[job.fingerprint]

    def _note(self, job: Job, record: Record | None = None) -> None:
        folder = self.paths.trial(job.fingerprint)
        leave_note(folder, Unbooked(self.tracker.address, self.parent, job.config, job.expected, record))


def close_run(tracker: Tracker, run: str, record: Record, folder: Path) -> None:
    """Book a trial that has ended, with what it left in its folder."""
    found = read_analysis(folder)
    artifacts = {name: path for name in ARTIFACTS if (path := folder / name).exists()}
    tracker.finish(run, record, artifacts, series_of(found) if found else {})
    remove_note(folder)


def reconcile(tracker: Tracker, leases: Leases | Unshared, trials: Path) -> int:
    """Book the trials that have ended and that this store has missed: it did not answer, or their driver was killed.
    Steps that it has are not written again. Returns how many there were. Trials that another driver runs are left."""
    booked = 0
    for folder, note in notes_in(trials):
        record = note.record or _delivered(folder)
        if record is None or note.store != tracker.address or leases.claim(folder.name) is not None:
            continue
        run = tracker.trial_run(folder.name, sweep_run_id=note.parent, config=note.config, tags=note.tags)
        tracker.log_steps(run, read_history(folder / HISTORY))
        close_run(tracker, run, record, folder)
        booked += 1
    return booked


def _delivered(folder: Path) -> Record | None:
    """The record on file, where the trial has finished and all its files are there."""
    record = read_record(folder)
    if record is None or record.fingerprint != folder.name or undelivered(record, folder):
        return None
    return record
