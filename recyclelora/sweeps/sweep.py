"""Ray Tune runs the jobs, Optuna proposes them in a search; the only module that knows either. What happens to a job is
told to a `Listener`; nothing here tracks, prints or decides what still has to be run."""

import contextlib
import json
import logging
import math
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

# Ray reads these when it is imported. Its own loggers, reporters and signal handling would write into the results
# folder, talk over our display, and swallow the first Ctrl-C.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import optuna  # noqa: E402
import ray  # noqa: E402
from optuna.storages import JournalStorage  # noqa: E402
from optuna.storages.journal import JournalFileBackend  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.schedulers import AsyncHyperBandScheduler  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402
from ray.tune.search.optuna import OptunaSearch  # noqa: E402

from recyclelora.documents import Plain  # noqa: E402
from recyclelora.errors import InputError  # noqa: E402
from recyclelora.settings import Settings  # noqa: E402
from recyclelora.sockets import socket_folder  # noqa: E402
from recyclelora.spaces.space import Asha, Knobs, Parameter, Space, suggest  # noqa: E402
from recyclelora.trials.build import Paths  # noqa: E402
from recyclelora.trials.record import Record  # noqa: E402
from recyclelora.trials.trial import Progress, run  # noqa: E402

# The longest of Ray's, below the folder of its sessions' folder.
_SOCKET = len("/ray/session_2026-01-01_00-00-00_123456_1234567/sockets/plasma_store")


class Job(NamedTuple):
    """One trial to be run: its cell of the table and its whole config, flat, as it goes to Ray."""

    cell: str
    knobs: Knobs
    fingerprint: str
    config: dict[str, Plain]
    tags: dict[str, str]


class Share(NamedTuple):
    """What one trial takes of the cluster, and how many fit side by side."""

    cpus: float
    gpus: float
    slots: int


class Listener(Protocol):
    """Who hears of the jobs, on the driver, one call at a time."""

    def started(self, job: Job) -> None: ...
    def progressed(self, job: Job, progress: Progress) -> None: ...
    def retried(self, job: Job, reason: str) -> None: ...
    def ended(self, job: Job, record: Record) -> None: ...


RunTrial = Callable[[dict[str, Plain], Paths, Callable[[Progress], None]], Record]
_Result = TypeVar("_Result")
Propose = Callable[[Knobs], tuple[Job, Record | None]]  # knobs -> the job, and its record if it has one already


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[dict[str, float]]:
    """Join the Ray cluster at `address`, or start a private one here; yields its resources. Raises InputError when the
    address does not answer."""
    for name in ("ray", "ray.tune", "ray.train", "ray.data", "optuna"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the listener hears of every failure, in a line
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")
    if address:
        _knock(address)
    local: dict[str, Any] = {} if address else {"include_dashboard": False, "_temp_dir": str(_ray_folder())}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise InputError(f"RAY_ADDRESS={address}: no Ray cluster answers there ({type(error).__name__}); start it, or "
                         "unset RAY_ADDRESS to run on this machine") from None
    try:
        yield ray.cluster_resources()
    finally:
        ray.shutdown()


def _ray_folder() -> Path:
    """Where a private cluster keeps its sessions, with their sockets: where Ray would, unless that is too long."""
    setting = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
    return socket_folder(_SOCKET, preferred=os.environ.get(setting, "/tmp"), setting=setting) / "ray"


def _knock(address: str) -> None:
    """Ray itself waits for minutes at a door that nobody opens."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # "auto", or a scheme of Ray's own
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise InputError(f"RAY_ADDRESS={address}: no Ray cluster answers there ({error.strerror or error}); start "
                         "it, or unset RAY_ADDRESS to run on this machine") from None


def share_of(resources: dict[str, float], cpus: float, gpus: float) -> Share:
    """GPUs are asked for only where there are some. Raises InputError for a trial that would never fit."""
    has_gpus = resources.get("GPU", 0) > 0
    gpus = gpus if has_gpus else 0.0
    if cpus > resources.get("CPU", 0):
        raise InputError(f"resources.cpus: {cpus:g} for each trial, but the cluster has {resources.get('CPU', 0):g}",
                         key="resources.cpus")
    slots = int(resources["CPU"] / cpus + 1e-9)
    return Share(cpus, gpus, max(1, min(slots, int(resources["GPU"] / gpus + 1e-9)) if gpus else slots))


def run_design(jobs: Sequence[Job], listener: Listener, paths: Paths, share: Share, *, space: Space, name: str,
               retries: int = 2, trial: RunTrial | None = None) -> None:
    """Run every job. ASHA stops one early only where the space asks for it."""
    _tune(_Queue(list(jobs)), len(jobs), listener, paths, share, space=space, name=name, retries=retries,
          trial=trial or run_flat)


def run_search(propose: Propose, count: int, listener: Listener, paths: Paths, share: Share, *, space: Space,
               name: str, study: Path, retries: int = 2, trial: RunTrial | None = None) -> None:
    """Run `count` jobs proposed by TPE. The study lives in the file `study` (Optuna's journal), and goes on from there:
    a point that was under way when the driver died is proposed again first."""
    _tune(_Search(space, propose, count, study, name), count, listener, paths, share, space=space, name=name,
          retries=retries, trial=trial or run_flat)


def run_on_cluster(function: Callable[..., _Result], arguments: Sequence[tuple[Any, ...]],
                   share: Share) -> list[_Result | str]:
    """Call a function with each tuple of arguments, on workers with a trial's share of the cluster, as many side by
    side as trials would be. Results in their order; a str says why a worker died. Raises what the function raises."""
    # max_calls: a fresh process each, or the memory that one call leaves behind would count as the next one's
    task = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_calls=1, max_retries=0)(function)
    return [_result(reference) for reference in [task.remote(*given) for given in arguments]]


def _result(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
        return f"the worker died ({type(error).__name__}: killed, or out of memory)"


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


def run_flat(config: dict[str, Plain], paths: Paths, report: Callable[[Progress], None]) -> Record:
    """Run a trial from its flat config (on a worker)."""
    return run(Settings(dict(config)).resolve(), paths, report)


def _tune(searcher: Searcher, count: int, listener: Listener, paths: Paths, share: Share, *, space: Space, name: str,
          retries: int, trial: RunTrial) -> None:
    scheduler = None
    if space.asha:
        iterations = space.resolve({}, space.seeds[0]).training.iterations
        scheduler = _asha(space.asha, space.metric, space.goal, iterations)
    trainable = tune.with_parameters(_work, paths=tuple(paths), trial=trial)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": share.cpus, "gpu": share.gpus}),
        tune_config=tune.TuneConfig(search_alg=searcher, scheduler=scheduler, num_samples=count, reuse_actors=True,
                                    max_concurrent_trials=share.slots, trial_dirname_creator=_folder_of,
                                    trial_name_creator=_folder_of),
        run_config=tune.RunConfig(name=name, storage_path=str(paths.results / "ray"), verbose=0,
                                  callbacks=[_Relay(listener)],
                                  failure_config=tune.FailureConfig(max_failures=retries)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner.fit()


def _work(config: dict[str, Any], paths: tuple[Any, ...], trial: RunTrial) -> None:
    """On a worker: run the trial, and report its progress and, at the end, its record."""
    def report(progress: Progress) -> None:
        # The last report carries no score: ASHA must not stop a trial that only has to be evaluated.
        scores = _finite(progress.metrics) if progress.done < progress.total else {}
        tune.report({**scores, "iteration": progress.done, "progress": list(progress)})

    try:
        record = trial(config["config"], Paths(*paths), report)
    except InputError as error:  # bad data does not get better by trying again
        record = Record(fingerprint=config["fingerprint"], config=config["config"], outcome="failed",
                        tags=config["tags"], reason=str(error))
    tune.report({**_finite(record.metrics), "iteration": record.iteration, "record": asdict(record)})


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _folder_of(trial: Any) -> str:
    return str(trial.config["fingerprint"])


def _asha(asha: Asha, metric: str, goal: str, iterations: int) -> AsyncHyperBandScheduler:
    return AsyncHyperBandScheduler(time_attr="iteration", metric=metric, mode=goal[:3], max_t=iterations + 1,
                                   grace_period=min(asha.min_iter, iterations), reduction_factor=asha.eta)


def _payload(job: Job) -> dict[str, Any]:
    # flat knobs beside the whole config, so that Ray's own tools show the same names as everything else
    return {**job.knobs, **job._asdict()}


class _Unpickled:
    """Tune pickles what it is given, for its own way of restoring. Ours is the tracked runs; a pickle is left empty."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Queue(_Unpickled, Searcher):
    """Hands out the jobs of a design in their order."""

    def __init__(self, jobs: list[Job]) -> None:
        super().__init__(metric="iteration", mode="max")
        self.jobs = jobs

    def suggest(self, trial_id: str) -> Any:
        return _payload(self.jobs.pop(0)) if self.jobs else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        pass

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        pass


class _Search(_Queue):
    """OptunaSearch (TPE, define-by-run), with each proposal resolved to a job. A proposal that has been run before is
    answered from its record and does not count."""

    def __init__(self, space: Space, propose: Propose, count: int, study: Path, name: str) -> None:
        super().__init__([])
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
        self.running: dict[str, str] = {}  # Tune's trial -> fingerprint

    def _ask(self, trial: Any) -> None:
        self.chosen = suggest(self.space, lambda parameter: _choose(trial, parameter))

    def suggest(self, trial_id: str) -> Any:
        for attempt in range(30):
            if self.left == 0:
                return Searcher.FINISHED
            number = f"{trial_id}-{attempt}"
            self.optuna.suggest(number)
            job, record = self.propose(dict(self.chosen))
            twin = job.fingerprint in self.running.values()
            if record is None and not twin:
                self.left -= 1
                self.numbers[trial_id], self.running[trial_id] = number, job.fingerprint
                return _payload(job)
            failed = record is None or record.outcome == "failed"
            self.optuna.on_trial_complete(number, _finite(record.metrics) if record else {}, error=failed)
        # 30 proposals in a row were known: wait for what is running, and without that there is nothing new to find
        return None if self.running else Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if self.metric in result:
            self.optuna.on_trial_result(self.numbers[trial_id], {**result, "training_iteration": result["iteration"]})

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        outcome = (result or {}).get("record/outcome")  # Tune flattens the last result
        # without its metric Optuna counts a trial as pruned, and uses the last value it reported
        value = {self.metric: result[self.metric]} if result and outcome == "finished" else {}
        self.running.pop(trial_id, None)
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


class _Relay(_Unpickled, tune.Callback):
    """Tells the listener, in its own terms, what Tune says of a trial."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.listener.started(_job(trial))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any],
                        **info: Any) -> None:
        if "progress" in result:
            self.listener.progressed(_job(trial), Progress(*result["progress"]))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.listener.retried(_job(trial), _reason(trial))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        job, last = _job(trial), trial.last_result or {}
        if "record" in last:
            self.listener.ended(job, Record(**last["record"]))
            return
        done = int(last.get("iteration", 0))
        metrics = last["progress"][2] if "progress" in last else {}
        self.listener.ended(job, Record(fingerprint=job.fingerprint, config=job.config, outcome="pruned", tags=job.tags,
                                        metrics=metrics, reason=f"stopped early at iteration {done}", iteration=done))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        job = _job(trial)
        self.listener.ended(job, Record(fingerprint=job.fingerprint, config=job.config, outcome="failed", tags=job.tags,
                                        reason=_reason(trial)))


def _job(trial: Any) -> Job:
    return Job(**{name: trial.config[name] for name in Job._fields})


def _reason(trial: Any) -> str:
    """The last line of what went wrong; the whole of it stays in the trial's error file."""
    try:
        lines = [line.strip() for line in Path(trial.error_file).read_text().splitlines() if line.strip()]
        return lines[-1][:500]
    except (TypeError, OSError, IndexError):
        return "the worker died without a word (killed, or out of memory)"
