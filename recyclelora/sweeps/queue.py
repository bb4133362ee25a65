"""The queue from which Tune takes the jobs of a design."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from recyclelora.sweeps import placement
from recyclelora.sweeps.halt import halting
from recyclelora.sweeps.jobs import Job, Listener


def payload_of(job: Job) -> dict[str, Any]:
    # flat knobs beside the whole config, so that Ray's own tools show the same names as everything else
    return {**job.knobs, **job._asdict()}


def job_in(payload: Mapping[str, Any]) -> Job:
    """The job that `payload_of` packed."""
    return Job(**{name: payload[name] for name in Job._fields})


class Unpickled:
    """Tune pickles what it is given, for its own way of restoring. Ours is the tracked runs; a pickle is left empty."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class JobQueue(Unpickled, Searcher):
    """Hands out the jobs of a design in their order, each claimed the moment before it starts, or before it waits for
    a node. How many are out at a time is asked of `room` each time: Tune's own limit never changes while it runs."""

    def __init__(self, jobs: list[Job], listener: Listener, room: Callable[[], int] = placement.room) -> None:
        super().__init__(metric="iteration", mode="max")
        self.jobs, self.listener, self.room = jobs, listener, room
        self.out: dict[str, str] = {}  # Tune's trial -> fingerprint

    @halting
    def suggest(self, trial_id: str) -> Any:
        """The payload of a job; None while no other one may be out, upon which Tune asks again, after a second at
        most; FINISHED when there are no more, or no new ones to find."""
        if len(self.out) >= self.room() or (self.has_more() and not self.listener.ready()):
            return None
        job = self.next_job(trial_id)
        if job is None:
            return None if self.has_more() and self.out else Searcher.FINISHED
        self.out[trial_id] = job.fingerprint
        return payload_of(job)

    def next_job(self, trial_id: str) -> Job | None:
        """The next one that may be run; None where there is none now."""
        while self.jobs:
            job = self.jobs.pop(0)
            if self.listener.claim(job):
                return job
        return None

    def has_more(self) -> bool:
        """Whether there are jobs that have not been handed out."""
        return bool(self.jobs)

    @halting
    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.out.pop(trial_id, None)

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        pass


def finite(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
