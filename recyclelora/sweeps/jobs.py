"""Jobs: trials as they are given to a cluster, and who hears of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from recyclelora.documents import Plain
from recyclelora.runs.planned_cells import PlannedCell
from recyclelora.spaces.space import Knobs
from recyclelora.trials.failures import Failure
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.trials.trial import Progress

_Item = TypeVar("_Item")


class Job(NamedTuple):
    """One trial to be run: its cell of the table and its whole config, flat, as it goes to Ray."""

    cell: str
    knobs: Knobs
    fingerprint: str
    config: dict[str, Plain]
    tags: dict[str, str]

    @property
    def expected(self) -> dict[str, str]:
        """The tags of the trial, its fingerprint among them: what whoever runs it must find there too."""
        return {**self.tags, "fingerprint": self.fingerprint}

    @property
    def planned(self) -> PlannedCell:
        """Its place in the plan of a sweep."""
        return PlannedCell(self.cell, int(self.tags["seed"]), self.fingerprint, self.knobs)


class Part(NamedTuple):
    """One of several shares of a design, counted from 1: each of as many drivers runs another one."""

    which: int
    among: int

    def of(self, trials: Sequence[_Item]) -> list[_Item]:
        """Every n-th one, so that each share has cells and seeds of all kinds."""
        return list(trials[self.which - 1::self.among])


def failed(job: Job, failure: Failure, **more: Any) -> Record:
    """The record of a job that failed."""
    return Record(fingerprint=job.fingerprint, config=job.config, outcome="failed", tags={**job.tags, **failure.tags},
                  reason=failure.reason, **more)


class Listener(Protocol):
    """Who hears of the jobs, on the driver, one call at a time. No job starts unless the listener is `ready`, and one
    that may not be `claim`ed is not run. `look_around` is called several times a second."""

    def look_around(self) -> None: ...
    def ready(self) -> bool: ...
    def claim(self, job: Job) -> bool: ...
    def started(self, job: Job) -> None: ...
    def progressed(self, job: Job, progress: Progress) -> None: ...
    def retried(self, job: Job, failure: Failure) -> None: ...
    def refused(self, finding: str) -> None: ...  # on a node where no trial may run
    def crowded(self, news: str) -> None: ...  # memory was short: fewer trials run side by side from now on
    def waiting(self, what: str) -> None: ...  # for resources, told repeatedly; "": no more
    def ended(self, job: Job, record: Record) -> None: ...


# The flat config, the folders, who hears of progress, and the tags that the trial is expected to have.
RunTrial = Callable[[dict[str, Plain], Paths, Callable[[Progress], None], Mapping[str, str]], Record]
Propose = Callable[[Knobs], tuple[Job, Record | None]]  # knobs -> the job, and its record if it has one already
