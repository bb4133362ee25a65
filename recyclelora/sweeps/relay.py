"""What Tune says of its trials, told to a listener as what happens to jobs."""

from collections import Counter
from pathlib import Path
from typing import Any

from ray import tune

from recyclelora.sweeps import placement
from recyclelora.sweeps.halt import halting
from recyclelora.sweeps.jobs import Listener, failed
from recyclelora.sweeps.queue import Unpickled, job_in
from recyclelora.trials.failures import KINDS, Failure, kind_of_death
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.trials.trial import Progress
from recyclelora.trials.watch import stood_at


class Relay(Unpickled, tune.Callback):
    """Tells the listener, in its own terms, what Tune says of a trial."""

    def __init__(self, listener: Listener, paths: Paths) -> None:
        self.listener, self.paths = listener, paths
        self.told: dict[str, Failure] = {}  # by workers that lived to tell, by Tune's id of the trial
        self.tries: Counter[tuple[str, str]] = Counter()  # failures of one trial and kind

    @halting
    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.listener.look_around()

    @halting
    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.listener.started(job_in(trial.config))

    @halting
    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any],
                        **info: Any) -> None:
        if "unfit" in result:
            node, *found = result["unfit"]
            for finding in found:
                self.listener.refused(finding)
            placement.exclude(node)
            trial.max_failures += 1  # the trial did nothing wrong
        if "failure" in result:
            failure = self.told[trial.trial_id] = Failure(*result["failure"])
            if not self._made_room(trial, failure):
                self._limit(trial, failure.kind)
        if "progress" in result:
            self.listener.progressed(job_in(trial.config), Progress(*result["progress"]))

    @halting
    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        failure = self._failure(trial)
        trial.update_resources(placement.request(trial.config))
        self.listener.retried(job_in(trial.config), failure)

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
        self.listener.ended(job, failed(job, self._failure(trial)))

    def _made_room(self, trial: Any, failure: Failure) -> bool:
        """Whether a trial that found no memory finds more when it is tried again, since it has fewer beside it. Such a
        try does not count: the trial alone may fit."""
        if failure.kind != "out of memory":
            return False
        news = placement.widen(trial.placement_group_factory.required_resources, failure.reason)
        if news:
            self.listener.crowded(news)
        trial.max_failures += news is not None
        return news is not None

    def _limit(self, trial: Any, kind: str, *, decided: bool = False) -> None:
        """Let Tune try no more where this kind of failure has been tried often enough: it compares the number of
        failures with their maximum. `decided`: it has done so for this one, so that the next one is the last."""
        self.tries[trial.trial_id, kind] += 1
        if self.tries[trial.trial_id, kind] + decided > KINDS[kind].tries:
            trial.max_failures = min(trial.max_failures, trial.num_failures)

    def _failure(self, trial: Any) -> Failure:
        """What ended a try: as its worker told it, or as what is left of it shows."""
        if trial.trial_id in self.told:
            return self.told.pop(trial.trial_id)
        if place := stood_at(self.paths.trial(job_in(trial.config).fingerprint)):
            self._limit(trial, "hung", decided=True)
            return Failure("hung", f"no report for too long; it stood at {place}")
        text, reason = _last_words(trial)
        failure = Failure(kind_of_death(text), reason)
        self._made_room(trial, failure)
        return failure


def _last_words(trial: Any) -> tuple[str, str]:
    """What Ray wrote of the failure, and its last line."""
    try:
        text = Path(trial.error_file).read_text("utf-8", "replace")
        return text, [line.strip() for line in text.splitlines() if line.strip()][-1][:500]
    except (TypeError, OSError, IndexError):
        return "", "the worker died without a word (killed, or out of memory)"
