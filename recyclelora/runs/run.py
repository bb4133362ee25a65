"""Runs as a store holds them: whether a run has ended, which of several runs of a trial counts, and its record."""

import math
import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from recyclelora.runs.encoding import decode
from recyclelora.trials.record import Outcome, Record

LARGEST = sys.float_info.max
LAYERS = "layer/"  # begins the metrics that hold one value per layer, with the layer's index as their step


class Run(NamedTuple):
    """One run in MLflow. `params` and `metrics` (the latest value of each) are empty where only tags were read."""

    run_id: str
    name: str
    status: str
    start_time: int  # ms since 1970
    files: str  # address of its artifacts
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]


class Sweep(NamedTuple):
    """What the store knows of a sweep. `objective` is the metric that a search ranks its trials by."""

    name: str
    run_id: str
    method: str
    objective: str
    goal: str


class DeletedRun(NamedTuple):
    """A run of a sweep that somebody deleted in MLflow's pages; its trial may have been run again since."""

    fingerprint: str
    run_id: str
    cell: str
    seed: int | None  # None: its tags do not tell


class Decoded(dict[str, object]):
    """Param values by their text. Each text is decoded once: thousands of runs repeat the same few."""

    def __missing__(self, text: str) -> object:
        value = decode(text)
        if not isinstance(value, (list, dict)):  # those can be changed, so no two records share one
            self[text] = value
        return value


def to_sweep(run: Run) -> Sweep:
    return Sweep(run.tags["sweep"], run.run_id, *(run.tags.get(key, "") for key in ("method", "objective", "goal")))


def to_deleted(run: Run, sweep: str) -> DeletedRun:
    seed = run.tags.get("seed", "")
    return DeletedRun(run.tags.get("fingerprint", ""), run.run_id, run.tags[f"sweep.{sweep}"],
                      int(seed) if seed.isdecimal() else None)


def age(run: Run) -> tuple[int, str]:
    """Sort key: the oldest run first."""
    return run.start_time, run.run_id


def outcome_of(run: Run) -> Outcome | None:
    """The outcome of a run; None for one that has not ended (it is running, or was killed and can be resumed)."""
    if run.status == "FAILED":
        return "failed"
    if run.status != "FINISHED":
        return None
    return "pruned" if run.tags.get("outcome") == "pruned" else "finished"


def preference(run: Run) -> tuple[int, int, str]:
    """Sort key: of the runs with one fingerprint, the one that counts comes first, which is the oldest finished one."""
    return {"finished": 0, "pruned": 1}.get(outcome_of(run) or "", 2), *age(run)


def by_fingerprint(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs by fingerprint; the first of each list is the one that counts."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.tags.get("fingerprint", ""), []).append(run)
    return {fingerprint: sorted(group, key=preference) for fingerprint, group in groups.items() if fingerprint}


def to_record(run: Run, outcome: Outcome, others: Sequence[Run] = (), decoded: Decoded | None = None) -> Record:
    """The record of a run that ended so. Its tags name it (`run_id`) and the other runs of its trial (`duplicates`).
    Values per layer are not part of it."""
    decoded = Decoded() if decoded is None else decoded
    tags = {key: value for key, value in run.tags.items() if not key.startswith("mlflow.")}
    tags["run_id"] = run.run_id
    if others:
        tags["duplicates"] = ", ".join(other.run_id for other in others)
    iteration = tags.pop("iteration", "")
    return Record(fingerprint=tags["fingerprint"], outcome=outcome, reason=tags.pop("reason", ""), tags=tags,
                  config={key: decoded[value] for key, value in run.params.items()},
                  metrics={key: value if -LARGEST < value < LARGEST else unbounded(value)
                           for key, value in run.metrics.items() if not key.startswith(LAYERS)},
                  iteration=int(iteration) if iteration.isdecimal() else 0)


def unbounded(value: float) -> float:
    """The value that MLflow was given: it stores the largest float for infinity, which SQL does not have."""
    return math.copysign(math.inf, value) if abs(value) == LARGEST else value


def same(stored: float | None, value: float) -> bool:
    """Whether the store holds this metric value already."""
    return stored is not None and (unbounded(stored) == value or (math.isnan(stored) and math.isnan(value)))
