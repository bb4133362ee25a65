"""`recyclelora sweep`, on the driver: declare, subtract what is done, run the rest, book everything in MLflow."""

import itertools
import json
import time
from collections import Counter
from dataclasses import replace
from typing import NamedTuple

from rich.console import Console

from recyclelora.errors import InputError
from recyclelora.runs.leases import Leases, Unshared
from recyclelora.runs.tracking import Tracker
from recyclelora.settings import Settings
from recyclelora.spaces.design import Knobs, label_of
from recyclelora.spaces.space import Space, cells_of
from recyclelora.spaces.statement import Statement, dump_statement
from recyclelora.sweeps import ray_tune
from recyclelora.sweeps.bookkeeping import Bookkeeper, bookkeeping, closing_runs
from recyclelora.sweeps.books import reconcile
from recyclelora.sweeps.cluster import cluster
from recyclelora.sweeps.control import running_as
from recyclelora.sweeps.display import Board
from recyclelora.sweeps.jobs import Job
from recyclelora.sweeps.options import Options
from recyclelora.sweeps.optuna_search import importances
from recyclelora.sweeps.planning import check_starts, plan, prepare, share_for, unseen, within_budget
from recyclelora.sweeps.preflight import checked, question_of
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.writing import write_text

IMPORTANCES = "importances.json"  # of a search's knobs, in its parent run


class Counts(NamedTuple):
    """How a sweep stands: trials by outcome, and those not run."""

    total: int
    finished: int
    pruned: int
    failed: int
    left: int


def baseline_alone(space: Space, seeds: int | None) -> Space:
    """The same experiment with its baseline as its only cell (its first cell where it names none), on so many seeds:
    the noise that every difference has to be seen through. Its runs serve the experiment as well."""
    if space.method == "tpe":
        raise InputError(f"{space.path}: a search has no baseline to repeat; give an experiment")
    cells = dict(cells_of(space))
    label = space.statement.baseline or next(iter(cells))
    more = (seed for seed in itertools.count() if seed not in space.seeds)
    chosen = space.seeds if seeds is None else tuple(itertools.islice(itertools.chain(space.seeds, more), seeds))
    if len(chosen) < 2:
        raise InputError(f"{space.document.where('seeds')}: one seed has no noise to see; give 2 or more (--seeds 5)")
    return replace(space, name=f"{space.name}-noise", method="cells", parameters=(), components={}, baselines={},
                   cells={label: cells[label]}, seeds=chosen, budget=None,
                   statement=Statement(claim=f"The noise of {label} over seeds.", at=space.at, design="cells"))


def run_sweep(space: Space, paths: Paths, tracker: Tracker, console: Console, options: Options | None = None) -> Counts:
    """Run what no store holds yet; safe to kill and call again. Trials that the options leave out stay planned.
    Raises KeyboardInterrupt when interrupted, with all runs closed and everything in place to go on. Raises
    InputError."""
    options = options or Options()
    if options.part and space.method == "tpe":
        raise InputError(f"{space.path}: a search goes by what it has seen, and cannot be run in parts; "
                         "leave out --part")
    every = plan(space, paths)
    with closing_runs(tracker), tracker.leasing() as leases, running_as(paths.results, space.sweep_name):
        if missed := reconcile(tracker, leases, paths.trials):
            console.print(f"{missed} trials that the store had missed are booked", highlight=False)
        jobs = within_budget(space, every, paths, options.address, options.slots)
        if len(jobs) < len(every):
            console.print(f"{space.sweep_name}: {len(every) - len(jobs)} of {len(every)} trials are beyond its budget",
                          highlight=False)
        jobs = [job for job in jobs if not options.only or job.cell in options.only]
        cells = [job.planned for job in (*jobs, *unseen(every, jobs))]
        parent = tracker.sweep_run(space.sweep_name, cells, method=space.method, space=space.document.text,
                                   objective=space.metric, goal=space.goal, statement=dump_statement(space.statement),
                                   file=space.path.resolve())
        if space.method == "tpe":
            return _search(space, paths, tracker, leases, console, parent, options)
        jobs = options.part.of(jobs) if options.part else jobs
        done = tracker.finished([job.fingerprint for job in jobs])
        left = [job for job in jobs if not _settled(done.get(job.fingerprint), space)]
        check_starts(space, left, paths)
        board = Board(space.sweep_name, space.metric, len(jobs), space.goal, already=len(jobs) - len(left))
        if left:
            with (bookkeeping(tracker, parent, paths, board, console, leases=leases, notify=options.notify,
                              absence=options.store_wait) as keeper,
                  cluster(options.address)):
                configs = [Settings(dict(job.config)).resolve() for job in left]
                share = share_for(configs, options.address, options.slots)
                asked = question_of(configs, left, paths, options, share.gpus)
                with checked(asked, console) as gate:
                    while left:
                        ray_tune.run_design(left, keeper, paths, share, space=space, name=space.sweep_name,
                                            retries=options.retries, gate=gate)
                        left = wait_for_others(keeper, console)
                keeper.settle()
        tracker.close_sweep(parent, complete=not board.failed)
        return _count(board)


def wait_for_others(keeper: Bookkeeper, console: Console, pause: float = 5.0) -> list[Job]:
    """Wait until other drivers have ended the trials that they run, and this one was to run too; returns those that it
    may run after all, because their driver has died."""
    told = set[str]()
    while keeper.elsewhere:
        keeper.look_around()
        if free := keeper.revisit():
            return free
        holders = Counter(str(keeper.holders[name]) for name in keeper.elsewhere if name in keeper.holders)
        for holder, count in holders.items():
            if holder not in told:
                verb = "trials are" if count > 1 else "trial is"
                console.print(f"{count} {verb} run by another driver ({holder}); waiting for it", style="yellow",
                              highlight=False, markup=False)
            told.add(holder)
        if keeper.elsewhere:
            time.sleep(pause)
    return []


def _search(space: Space, paths: Paths, tracker: Tracker, leases: Leases | Unshared, console: Console, parent: str,
            options: Options) -> Counts:
    before = tracker.records(space.sweep_name)
    known = {record.fingerprint: record for record in before}
    missing = max(0, (space.run_cap or 0) - len(before))
    board = Board(space.sweep_name, space.metric, space.run_cap or 0, space.goal, already=len(before))

    def propose(knobs: Knobs) -> tuple[Job, Record | None]:
        job = prepare(space, knobs, label_of(knobs), space.seeds[0], paths)
        return job, known.get(job.fingerprint) or tracker.finished([job.fingerprint]).get(job.fingerprint)

    study = paths.results / "studies" / f"{space.sweep_name}.journal"
    if missing:
        with (bookkeeping(tracker, parent, paths, board, console, leases=leases, notify=options.notify,
                          absence=options.store_wait) as keeper,
              cluster(options.address)):
            config = space.settings.resolve()  # resources are no knob of a search
            share = share_for([config], options.address, options.slots)
            first = prepare(space, {}, "", space.seeds[0], paths)
            asked = question_of([config], [first], paths, options, share.gpus)
            with checked(asked, console) as gate:
                ray_tune.run_search(propose, missing, keeper, paths, share, space=space, name=space.name, study=study,
                                    retries=options.retries, gate=gate)
            keeper.settle()
            if keeper.elsewhere:
                console.print(f"{len(keeper.elsewhere)} of the points proposed are run by another driver; left to it",
                              style="yellow", highlight=False)
    found = importances(study, space.name)
    if found:
        kept = study.with_suffix(".importances.json")
        write_text(kept, json.dumps(found, indent=1))
        tracker.log_artifact(parent, IMPORTANCES, kept)
    tracker.close_sweep(parent)
    if board.left:
        console.print(f"{space.sweep_name}: the space holds no more new points", highlight=False)
    return _count(board)._replace(left=0)


def _settled(record: Record | None, space: Space) -> bool:
    """A finished trial is settled; one stopped early only for a sweep that stops trials early itself."""
    if record is None:
        return False
    return record.outcome == "finished" or (record.outcome == "pruned" and space.asha is not None)


def _count(board: Board) -> Counts:
    return Counts(board.total, board.done + board.already, board.pruned, len(board.failed),
                  board.left + len(board.running))
