"""What Tune says of its trials, told to a listener as what happens to jobs."""

from pathlib import Path
from typing import Any

from ray import tune

from recyclelora.sweeps import placement
from recyclelora.sweeps.halt import halting
from recyclelora.sweeps.jobs import Listener
from recyclelora.sweeps.queue import Unpickled, job_in
from recyclelora.trials.record import Record
from recyclelora.trials.trial import Progress


class Relay(Unpickled, tune.Callback):
    """Tells the listener, in its own terms, what Tune says of a trial."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    @halting
    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.listener.started(job_in(trial.config))

    @halting
    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any],
                        **info: Any) -> None:
        if "unfit" in result:
            node, *found = result["unfit"]
            placement.exclude(node)
            trial.max_failures += 1  # the trial did nothing wrong
            for finding in found:
                self.listener.refused(finding)
        if "progress" in result:
            self.listener.progressed(job_in(trial.config), Progress(*result["progress"]))

    @halting
    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if placement.excluded:
            trial.update_resources(placement.request(trial.config))
        self.listener.retried(job_in(trial.config), _reason(trial))

    @halting
    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        job, last = job_in(trial.config), trial.last_result or {}
        if "record" in last:
            self.listener.ended(job, Record(**last["record"]))
            return
        done = int(last.get("iteration", 0))
        metrics = last["progress"][2] if "progress" in last else {}
        self.listener.ended(job, Record(fingerprint=job.fingerprint, config=job.config, outcome="pruned", tags=job.tags,
                                        metrics=metrics, reason=f"stopped early at iteration {done}", iteration=done))

    @halting
    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        job = job_in(trial.config)
        self.listener.ended(job, Record(fingerprint=job.fingerprint, config=job.config, outcome="failed", tags=job.tags,
                                        reason=_reason(trial)))


def _reason(trial: Any) -> str:
    """The last line of what went wrong; the whole of it stays in the trial's error file."""
    try:
        text = Path(trial.error_file).read_text("utf-8", "replace")
        return [line.strip() for line in text.splitlines() if line.strip()][-1][:500]
    except (TypeError, OSError, IndexError):
        return "the worker died without a word (killed, or out of memory)"
