"""Ray Tune runs the jobs of a design or of a search. What happens to a job is told to a `Listener`; nothing here
tracks, prints or decides what still has to be run."""

import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from recyclelora.documents import Plain
from recyclelora.settings import Settings
from recyclelora.spaces.space import Asha, Space
from recyclelora.sweeps import placement
from recyclelora.sweeps.actors import InTurn, StoppingEarly
from recyclelora.sweeps.capacity import Share
from recyclelora.sweeps.halt import Halt
from recyclelora.sweeps.jobs import Job, Listener, Propose, RunTrial, failed
from recyclelora.sweeps.optuna_search import Search
from recyclelora.sweeps.placement import Unfit
from recyclelora.sweeps.preflight import Gate, findings_here
from recyclelora.sweeps.queue import JobQueue, finite, job_in
from recyclelora.sweeps.relay import Relay
from recyclelora.trials.failures import ERROR, KINDS, TooLong, failure_of
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.trials.trial import Progress, run
from recyclelora.trials.watch import watching
from recyclelora.writing import write_text


def run_design(jobs: Sequence[Job], listener: Listener, paths: Paths, share: Share, *, space: Space, name: str,
               retries: int = 2, trial: RunTrial | None = None, gate: Gate | None = None) -> None:
    """Run every job, on nodes that the `gate` lets through. ASHA stops one early only where the space asks for it."""
    _tune(JobQueue(list(jobs), listener), len(jobs), listener, paths, share, space=space, name=name,
          retries=retries, trial=trial or run_flat, gate=gate)


def run_search(propose: Propose, count: int, listener: Listener, paths: Paths, share: Share, *, space: Space,
               name: str, study: Path, retries: int = 2, trial: RunTrial | None = None,
               gate: Gate | None = None) -> None:
    """Run `count` jobs proposed by TPE. The study lives in the file `study` (Optuna's journal), and goes on from there:
    a point that was under way when the driver died is proposed again first."""
    searcher = Search(space, propose, listener, count, study, name)
    _tune(searcher, count, listener, paths, share, space=space, name=name, retries=retries, trial=trial or run_flat,
          gate=gate)


def run_flat(config: dict[str, Plain], paths: Paths, report: Callable[[Progress], None],
             expected: Mapping[str, str]) -> Record:
    """Run a trial from its flat config (on a worker). Raises InputError where it is another one there."""
    return run(Settings(dict(config)).resolve(), paths, report, expected)


def _tune(searcher: Searcher, count: int, listener: Listener, paths: Paths, share: Share, *, space: Space, name: str,
          retries: int, trial: RunTrial, gate: Gate | None) -> None:
    scheduler = InTurn(listener.waiting)
    if space.asha:
        iterations = space.resolve({}, space.seeds[0]).training.iterations
        scheduler = _asha(listener, space.asha, space.metric, space.goal, iterations)
    trainable = tune.with_parameters(_work, paths=tuple(paths), trial=trial, gate=gate)
    placement.begin(share)
    tuner = tune.Tuner(
        tune.with_resources(trainable, placement.request),
        tune_config=tune.TuneConfig(search_alg=searcher, scheduler=scheduler, num_samples=count, reuse_actors=True,
                                    trial_dirname_creator=_folder_of, trial_name_creator=_folder_of),
        run_config=tune.RunConfig(name=name, storage_path=str(paths.results / "ray"), verbose=0,
                                  callbacks=[Relay(listener, paths)],
                                  failure_config=tune.FailureConfig(max_failures=retries)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tuner.fit()
        except Halt as halt:
            raise halt.error from None


def _work(config: dict[str, Any], paths: tuple[Any, ...], trial: RunTrial, gate: Gate | None) -> None:
    """On a worker: run the trial, and report its progress and, at the end, its record. Raises Unfit on a node where no
    trial may begin, or where the GPU that it was given cannot be used."""
    job, places = job_in(config), Paths(*paths)
    node, found = findings_here(gate)
    if found:
        tune.report({"unfit": [node, *map(str, found)]})
        raise Unfit(str(found[0]))

    started, limit = time.monotonic(), _seconds(job, "time_limit", 3600)

    def report(progress: Progress) -> None:
        if progress.done == progress.total:
            watch.rest()  # the last evaluation reports nothing
        else:
            watch.heard()
        if limit and time.monotonic() - started > limit and progress.done < progress.total:
            raise TooLong(f"at iteration {progress.done} of {progress.total} after more than resources.time_limit "
                          f"({limit / 3600:g} h)")
        # The last report carries no score: ASHA must not stop a trial that only has to be evaluated.
        scores = finite(progress.metrics) if progress.done < progress.total else {}
        tune.report({**scores, "iteration": progress.done, "progress": list(progress)})

    try:
        with watching(places.trial(job.fingerprint), _seconds(job, "hung_after", 1)) as watch:
            record = trial(job.config, places, report, job.expected)
    except Exception as error:
        failure = failure_of(error)
        if KINDS[failure.kind].tries:
            _keep(error, places.trial(job.fingerprint))
            tune.report({"failure": list(failure)})
            raise
        record = failed(job, failure)  # which does not get better by trying again
    tune.report({**finite(record.metrics), "iteration": record.iteration, "record": asdict(record)})


def _seconds(job: Job, key: str, unit: float) -> float | None:
    value = job.config.get(f"resources.{key}")
    return float(value) * unit if value is not None else None  # type: ignore[arg-type]


def _keep(error: Exception, folder: Path) -> None:
    """The whole traceback, beside what the trial has left."""
    with suppress(OSError):
        write_text(folder / ERROR, "".join(traceback.format_exception(error)))


def _folder_of(trial: Any) -> str:
    return str(trial.config["fingerprint"])


def _asha(listener: Listener, asha: Asha, metric: str, goal: str, iterations: int) -> StoppingEarly:
    return StoppingEarly(listener.waiting, time_attr="iteration", metric=metric, mode=goal[:3], max_t=iterations + 1,
                         grace_period=asha.min_iter, reduction_factor=asha.eta)
