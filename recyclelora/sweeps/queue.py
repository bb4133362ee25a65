"""The queue from which Tune takes the jobs of a design."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

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
    """Hands out the jobs of a design in their order, each claimed the moment before it starts."""

    def __init__(self, jobs: list[Job], listener: Listener) -> None:
        super().__init__(metric="iteration", mode="max")
        self.jobs, self.listener = jobs, listener

    @halting
    def suggest(self, trial_id: str) -> Any:
        if self.jobs and not self.listener.ready():
            return None  # Tune asks again, after a second at most
        while self.jobs:
            job = self.jobs.pop(0)
            if self.listener.claim(job):
                return payload_of(job)
        return Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        pass

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        pass


def finite(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
