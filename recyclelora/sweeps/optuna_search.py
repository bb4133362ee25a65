"""Optuna proposes the jobs of a search, one at a time; its study outlives the driver."""

import json
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from ray.tune.search.optuna import OptunaSearch

from recyclelora.documents import Plain
from recyclelora.spaces.space import Knobs, Parameter, Space, suggest
from recyclelora.sweeps.halt import halting
from recyclelora.sweeps.jobs import Job, Listener, Propose
from recyclelora.sweeps.queue import JobQueue, finite

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", module="optuna")


class Search(JobQueue):
    """OptunaSearch (TPE, define-by-run), with each proposal resolved to a job. A proposal that has been run before is
    answered from its record and does not count, and so does one that another driver runs."""

    def __init__(self, space: Space, propose: Propose, listener: Listener, count: int, study: Path,
                 name: str) -> None:
        super().__init__([], listener)
        self._metric, self._mode = space.metric, space.goal[:3]
        self.space, self.propose, self.left = space, propose, count
        study.parent.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(study)))
        known = _revive(storage, name, space.goal)
        self.optuna = OptunaSearch(self._ask, metric=space.metric, mode=space.goal[:3], study_name=name,
                                   storage=storage, sampler=optuna.samplers.TPESampler(
                                       seed=space.search_seed + known, multivariate=False))
        self.chosen: Knobs = {}
        self.numbers: dict[str, str] = {}  # Tune's trial -> Optuna's

    def _ask(self, trial: Any) -> None:
        self.chosen = suggest(self.space, lambda parameter: _choose(trial, parameter))

    def next_job(self, trial_id: str) -> Job | None:
        for attempt in range(30 if self.left else 0):
            number = f"{trial_id}-{attempt}"
            self.optuna.suggest(number)
            job, record = self.propose(dict(self.chosen))
            twin = job.fingerprint in self.out.values()
            if record is None and not twin and self.listener.claim(job):
                self.left -= 1
                self.numbers[trial_id] = number
                return job
            failed = record is None or record.outcome == "failed"
            self.optuna.on_trial_complete(number, finite(record.metrics) if record else {}, error=failed)
        return None  # 30 proposals in a row were known

    def has_more(self) -> bool:
        return self.left > 0

    @halting
    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if self.metric in result:
            self.optuna.on_trial_result(self.numbers[trial_id], {**result, "training_iteration": result["iteration"]})

    @halting
    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        outcome = (result or {}).get("record/outcome")  # Tune flattens the last result
        # without its metric Optuna counts a trial as pruned, and uses the last value it reported
        value = {self.metric: result[self.metric]} if result and outcome == "finished" else {}
        super().on_trial_complete(trial_id, result, error)
        self.optuna.on_trial_complete(self.numbers[trial_id], value, error=error or outcome == "failed")


def _revive(storage: JournalStorage, name: str, goal: str) -> int:
    """Queue again what a killed driver left running in the study; returns how many trials the study knows."""
    study = optuna.create_study(storage=storage, study_name=name, direction=goal, load_if_exists=True)
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return len(study.get_trials(deepcopy=False))


def _choose(trial: Any, parameter: Parameter) -> Plain:
    key, low, high = parameter.key, parameter.low, parameter.high
    match parameter.distribution:
        case None:
            texts = [json.dumps(value) for value in parameter.values]  # a choice may be a list, which Optuna refuses
            return json.loads(trial.suggest_categorical(key, texts))  # type: ignore[no-any-return]
        case "uniform" | "log_uniform" as distribution:
            return trial.suggest_float(key, low, high, log=distribution == "log_uniform")  # type: ignore[no-any-return]
        case _ as distribution:
            return trial.suggest_int(key, int(low), int(high), log="log" in distribution)  # type: ignore[no-any-return]


def importances(study: Path, name: str, seed: int = 0) -> dict[str, float]:
    """Knob -> its share of the variance of a search's objective, the largest first: fANOVA (Hutter et al. 2014) over
    the finished trials, of the knobs that all of them have. Empty where they are too few or all alike."""
    try:
        loaded = optuna.load_study(study_name=name, storage=JournalStorage(JournalFileBackend(str(study))))
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
        shares = optuna.importance.get_param_importances(loaded, evaluator=evaluator)
        return {knob: float(share) for knob, share in shares.items()}
    except (ValueError, RuntimeError, KeyError):  # what Optuna says of one trial, of no variance, of no study
        return {}
