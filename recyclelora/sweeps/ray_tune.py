"""Ray Tune runs the jobs of a design or of a search. What happens to a job is told to a `Listener`; nothing here
tracks, prints or decides what still has to be run."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler
from ray.tune.search import Searcher

from recyclelora.documents import Plain
from recyclelora.errors import InputError
from recyclelora.settings import Settings
from recyclelora.spaces.space import Asha, Space
from recyclelora.sweeps import placement
from recyclelora.sweeps.cluster import Share
from recyclelora.sweeps.halt import Halt
from recyclelora.sweeps.jobs import Job, Listener, Propose, RunTrial
from recyclelora.sweeps.optuna_search import Search
from recyclelora.sweeps.placement import Unfit
from recyclelora.sweeps.preflight import Gate
from recyclelora.sweeps.queue import JobQueue, finite, job_in
from recyclelora.sweeps.relay import Relay
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.trials.trial import Progress, run


def run_design(jobs: Sequence[Job], listener: Listener, paths: Paths, share: Share, *, space: Space, name: str,
               retries: int = 2, trial: RunTrial | None = None, gate: Gate | None = None) -> None:
    """Run every job, on nodes that the `gate` lets through. ASHA stops one early only where the space asks for it."""
    _tune(JobQueue(list(jobs), listener.claim), len(jobs), listener, paths, share, space=space, name=name,
          retries=retries, trial=trial or run_flat, gate=gate)


def run_search(propose: Propose, count: int, listener: Listener, paths: Paths, share: Share, *, space: Space,
               name: str, study: Path, retries: int = 2, trial: RunTrial | None = None,
               gate: Gate | None = None) -> None:
    """Run `count` jobs proposed by TPE. The study lives in the file `study` (Optuna's journal), and goes on from there:
    a point that was under way when the driver died is proposed again first."""
    searcher = Search(space, propose, listener.claim, count, study, name)
    _tune(searcher, count, listener, paths, share, space=space, name=name, retries=retries, trial=trial or run_flat,
          gate=gate)


def run_flat(config: dict[str, Plain], paths: Paths, report: Callable[[Progress], None],
             expected: Mapping[str, str]) -> Record:
    """Run a trial from its flat config (on a worker). Raises InputError where it is another one there."""
    return run(Settings(dict(config)).resolve(), paths, report, expected)


def _tune(searcher: Searcher, count: int, listener: Listener, paths: Paths, share: Share, *, space: Space, name: str,
          retries: int, trial: RunTrial, gate: Gate | None) -> None:
    scheduler = None
    if space.asha:
        iterations = space.resolve({}, space.seeds[0]).training.iterations
        scheduler = _asha(space.asha, space.metric, space.goal, iterations)
    trainable = tune.with_parameters(_work, paths=tuple(paths), trial=trial, gate=gate)
    placement.begin(share)
    tuner = tune.Tuner(
        tune.with_resources(trainable, placement.request),
        tune_config=tune.TuneConfig(search_alg=searcher, scheduler=scheduler, num_samples=count, reuse_actors=True,
                                    max_concurrent_trials=share.slots, trial_dirname_creator=_folder_of,
                                    trial_name_creator=_folder_of),
        run_config=tune.RunConfig(name=name, storage_path=str(paths.results / "ray"), verbose=0,
                                  callbacks=[Relay(listener)],
                                  failure_config=tune.FailureConfig(max_failures=retries)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tuner.fit()
        except Halt as halt:
            raise halt.error from None


def _work(config: dict[str, Any], paths: tuple[Any, ...], trial: RunTrial, gate: Gate | None) -> None:
    """On a worker: run the trial, and report its progress and, at the end, its record. Raises Unfit on a node where no
    trial may begin."""
    job = job_in(config)
    if gate is not None:
        node, found = gate.findings()
        if found:
            tune.report({"unfit": [node, *map(str, found)]})
            raise Unfit(str(found[0]))

    def report(progress: Progress) -> None:
        # The last report carries no score: ASHA must not stop a trial that only has to be evaluated.
        scores = finite(progress.metrics) if progress.done < progress.total else {}
        tune.report({**scores, "iteration": progress.done, "progress": list(progress)})

    try:
        record = trial(job.config, Paths(*paths), report, job.expected)
    except InputError as error:  # bad data does not get better by trying again
        record = Record(fingerprint=job.fingerprint, config=job.config, outcome="failed", tags=job.tags,
                        reason=str(error))
    tune.report({**finite(record.metrics), "iteration": record.iteration, "record": asdict(record)})


def _folder_of(trial: Any) -> str:
    return str(trial.config["fingerprint"])


def _asha(asha: Asha, metric: str, goal: str, iterations: int) -> AsyncHyperBandScheduler:
    return AsyncHyperBandScheduler(time_attr="iteration", metric=metric, mode=goal[:3], max_t=iterations + 1,
                                   grace_period=asha.min_iter, reduction_factor=asha.eta)
