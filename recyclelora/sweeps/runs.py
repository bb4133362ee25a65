"""Reading an MLflow run: whether it has ended, which of several counts, and its record."""

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from recyclelora.sweeps.record import Outcome, Record
from recyclelora.sweeps.texts import decode

Run = Any  # mlflow.entities.Run; only `tracking` imports mlflow


class Sweep(NamedTuple):
    """What the store knows of a sweep. `objective` is the metric that a search ranks its trials by."""

    name: str
    run_id: str
    method: str
    objective: str
    goal: str


def to_sweep(run: Run) -> Sweep:
    tags = run.data.tags
    return Sweep(tags["sweep"], run.info.run_id, *(tags.get(key, "") for key in ("method", "objective", "goal")))


def age(run: Run) -> tuple[int, str]:
    """Sorts the oldest first."""
    return run.info.start_time, run.info.run_id


def outcome_of(run: Run) -> Outcome | None:
    """How a run ended; None while it has not (running, or killed and to be resumed)."""
    if run.info.status == "FAILED":
        return "failed"
    if run.info.status != "FINISHED":
        return None
    return "pruned" if run.data.tags.get("outcome") == "pruned" else "finished"


def preference(run: Run) -> tuple[int, int, str]:
    """Sorts first, of the runs with one fingerprint, the one that counts: the oldest finished."""
    return {"finished": 0, "pruned": 1}.get(outcome_of(run) or "", 2), *age(run)


def by_fingerprint(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs by fingerprint, in each list the one that counts first."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.data.tags.get("fingerprint", ""), []).append(run)
    return {fingerprint: sorted(group, key=preference) for fingerprint, group in groups.items() if fingerprint}


def to_record(runs: Sequence[Run]) -> Record | None:
    """The record of the first run, if that has ended. Its tags name it (`run_id`) and the others (`duplicates`)."""
    run, *others = runs
    outcome = outcome_of(run)
    if outcome is None:
        return None
    tags = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
    tags["run_id"] = run.info.run_id
    if others:
        tags["duplicates"] = ", ".join(other.info.run_id for other in others)
    iteration = tags.pop("iteration", "")
    return Record(fingerprint=tags["fingerprint"], outcome=outcome, reason=tags.pop("reason", ""), tags=tags,
                  config={key: decode(value) for key, value in run.data.params.items()},
                  metrics={key: unbounded(value) for key, value in run.data.metrics.items()},
                  iteration=int(iteration) if iteration.isdecimal() else 0)


def unbounded(value: float) -> float:
    """SQL knows no infinity: MLflow stores the largest float in its place."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def same(stored: float | None, value: float) -> bool:
    """Whether the store holds this metric value already."""
    return stored is not None and (unbounded(stored) == value or (math.isnan(stored) and math.isnan(value)))
