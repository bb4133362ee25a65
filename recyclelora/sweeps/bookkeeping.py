"""What happens to jobs, written down: in MLflow, and on the board."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from recyclelora.errors import Outage, reason_of
from recyclelora.runs.leases import Holder, Leases, Unshared
from recyclelora.runs.tracking import Tracker
from recyclelora.sweeps import control
from recyclelora.sweeps.books import Books
from recyclelora.sweeps.display import Board, Display
from recyclelora.sweeps.jobs import Job, failed
from recyclelora.sweeps.webhook import Webhook
from recyclelora.trials.delivery import other_trial, undelivered
from recyclelora.trials.failures import ERROR, TRACE, Failure
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.trials.trial import Progress

SAME = 3  # trials that fail with one traceback: the error is the program's, and not theirs


class Bookkeeper:
    """Hears of every job, and writes it down: in MLflow, and on the board."""

    patience = 5.0  # seconds, for files
    silence = 1800.0  # seconds without news of any trial, which are told

    def __init__(self, tracker: Tracker, parent: str | None, paths: Paths, board: Board, display: Display,
                 leases: Leases | Unshared | None = None, absence: float = 600.0) -> None:
        """`absence`: for how many seconds the tracking store may not answer while nothing else is left to do."""
        self.tracker, self.parent, self.paths, self.board, self.display = tracker, parent, paths, board, display
        self.books = Books(tracker, parent, paths, self._say)
        self.absence = absence
        self.webhook: Webhook | None = None
        self._looked = 0.0  # when it was last looked whether another terminal asks for something, and ...
        self._heard: float | None = time.monotonic()  # ... when a trial was last heard of; None: the silence was told
        self.leases: Leases | Unshared = leases or Unshared()
        self.elsewhere: dict[str, Job] = {}  # what other drivers run, by fingerprint
        self.holders: dict[str, Holder] = {}
        self.bugs: Counter[str] = Counter()  # trials by the traceback that ended them
        self.former: set[str] = set()  # those whose failure is older than the lease: it is tried again there

    def ready(self) -> bool:
        """Whether a trial may start now: the sweep is not paused, and the store answers. Raises Outage where it has
        not answered for too long, and no trial is running."""
        self.look_around()
        if self.board.paused:
            return False
        if self.books.answers():
            return True
        if not self.board.running:
            self.books.give_up(self.absence)
        return False

    def claim(self, job: Job) -> bool:
        """Whether this driver is to run the job: no other one is running it, or has finished it meanwhile."""
        holder = self.leases.claim(job.fingerprint)
        if holder is not None:
            if job.fingerprint not in self.elsewhere and job.fingerprint in self.tracker.ended([job.fingerprint]):
                self.former.add(job.fingerprint)
            if str(holder) not in map(str, self.holders.values()):
                self._say(f"another driver ({holder}) runs some of these trials, which are left to it")
            self.elsewhere[job.fingerprint], self.holders[job.fingerprint] = job, holder
            return False
        self.elsewhere.pop(job.fingerprint, None)
        if isinstance(self.leases, Leases) and self._settle(job, ("finished",)):
            return False
        return True

    def settle(self) -> None:
        """Wait until the store has all. Raises Outage where it does not answer for too long."""
        self.books.settle(self.absence)

    def _say(self, line: str, style: str = "yellow") -> None:
        self.display.console.print(line, style=style, highlight=False, markup=False)

    def _tell(self, event: str, text: str) -> None:
        if self.webhook is not None:
            self.webhook.send(event, text)

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

    def look_around(self) -> None:
        """To be called often: the store is asked again if it did not answer, another terminal may have asked for
        something, and a long silence is told. Looks once a second."""
        now = time.monotonic()
        if now - self._looked < 1:
            return
        self._looked = now
        if self.books.away is not None:
            self.books.write()
        request = control.asked(self.paths.results, self.board.name)
        if request == control.STOP:
            control.take_back(self.paths.results, self.board.name)
            self._say("another terminal asked for the end of this sweep")
            os.kill(os.getpid(), signal.SIGTERM)
        if self.board.paused != (request == control.PAUSE):
            self.board.paused = request == control.PAUSE
            self._say("paused: running trials go on to their end, no other one starts; "
                      f"`recyclelora resume {self.board.name}` lets it go on" if self.board.paused else "goes on")
        if self.board.running and self._heard is not None and now - self._heard > self.silence:
            self._heard = None
            line = f"no trial has reported for {self.silence / 60:.0f} min"
            self._say(line)
            self._tell("stalled", line)

    def started(self, job: Job) -> None:
        self._heard = time.monotonic()
        self.books.open(job)
        self.board.start(job.fingerprint, f"{job.cell}, seed {job.tags['seed']}")

    def progressed(self, job: Job, progress: Progress) -> None:
        self._heard = time.monotonic()
        if not self._ours(job):
            return
        self.books.add(job, progress.history)
        self.board.progress(job.fingerprint, progress.done, progress.total, progress.metrics.get(self.board.metric))
        self.display.refresh()

    def retried(self, job: Job, failure: Failure) -> None:
        self._say(f"{job.cell}: trying again from its checkpoint after: {failure.reason} ({failure.kind})")

    def refused(self, finding: str) -> None:
        self._say(finding, style="red")

    def crowded(self, news: str) -> None:
        self._say(news)

    def waiting(self, what: str) -> None:
        self.board.wait(what)
        self.display.refresh()

    def ended(self, job: Job, record: Record) -> None:
        self._heard = time.monotonic()
        if not self._ours(job):
            self.books.drop(job)
            return
        record = self._checked(job, record, self.paths.trial(job.fingerprint))
        self.books.close(job, record)
        self.board.end(job.fingerprint, record)
        if record.outcome == "failed":
            line = f"failed: {job.cell}, seed {job.tags['seed']}: {record.reason}"
            self._say(line, style="red")
            self._tell("failed", line)
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
        try:
            if self.leases.held(job.fingerprint):
                return True
        except Exception as error:
            self.books.missed(error)
            return True
        if job.fingerprint not in self.elsewhere:
            self.elsewhere[job.fingerprint] = job
            self.board.running.pop(job.fingerprint, None)
            self._say(f"{job.cell}, seed {job.tags['seed']}: another driver has taken it over, since this one was away "
                      "for too long; left to it")
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
                pause: float = 30.0, leases: Leases | Unshared | None = None,
                notify: str | None = None, absence: float = 600.0) -> Iterator[Bookkeeper]:
    """A keeper of the books, with the display of the board; `pause` seconds between its lines. `notify`: the address of
    a webhook, which also hears of the end. `absence`: see `Bookkeeper`. Raises InputError for an address that is
    none."""
    with Display(board, console, pause) as display:
        keeper = Bookkeeper(tracker, parent, paths, board, display, leases, absence)
        if notify is None:
            yield keeper
            return
        keeper.webhook = webhook = Webhook(notify, board.name, keeper._say)
        try:
            yield keeper
            webhook.send("ended", board.summary())
        except BaseException as error:
            webhook.send("stopped", f"{reason_of(error)}; {board.summary()}")
            raise
        finally:
            webhook.close()


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
