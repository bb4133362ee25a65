"""`recyclelora sweep`, on the driver: declare, subtract what is done, run the rest, book everything in MLflow."""

import functools
import itertools
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from recyclelora.config import Config, flatten
from recyclelora.costs import probe, sweep_cost
from recyclelora.errors import Absent, InputError
from recyclelora.runs.tracking import PlannedCell, Tracker
from recyclelora.settings import Settings
from recyclelora.spaces.space import Knobs, Planned, Space, cells_of, expand, label_of
from recyclelora.spaces.statement import Statement, dump_statement
from recyclelora.sweeps import budget, sweep
from recyclelora.sweeps.display import Board, Display
from recyclelora.sweeps.sweep import Job
from recyclelora.trials import analysis_files, build
from recyclelora.trials.analysis_files import read_analysis, series_of
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.trials.second_stage import check_start
from recyclelora.trials.trial import Progress, tags_of
from recyclelora.writing import Busy, locked, write_text


class Counts(NamedTuple):
    """How a sweep stands: trials by outcome, and those not run."""

    total: int
    finished: int
    pruned: int
    failed: int
    left: int


def prepare(space: Space, knobs: Knobs, cell: str, seed: int, paths: Paths) -> Job:
    """The job of one cell and seed, fully checked and identified. Raises InputError with file and line."""
    settings = layered(space, knobs, seed, paths)
    config = settings.resolve()
    try:
        build.check(config, paths)
        return job_of(config, paths, cell=cell, knobs=knobs, sweep_name=space.sweep_name)
    except InputError as error:
        raise (settings.locate(error) if error.key else error) from None


def layered(space: Space, knobs: Knobs, seed: int, paths: Paths) -> Settings:
    """The settings of one cell and seed. Where the space comes `after` another, they name the trial of the same cell
    and seed there, which is known by its fingerprint before it has run."""
    settings = space.layered(knobs, seed)
    if space.after is None:
        return settings
    before = layered(space.after, knobs, seed, paths).resolve()
    start = build.identify(before, paths).fingerprint
    return settings.override({"training.start": start}, space.document.where("after"))


def job_of(config: Config, paths: Paths, *, cell: str, knobs: Knobs, sweep_name: str) -> Job:
    identity = build.identify(config, paths)
    tags = tags_of(config, identity, build.open_domains(config, paths)) | commit_tags()
    tags |= {"cell": cell, "sweep": sweep_name}
    flat = flatten(config)
    if config.backbone.weights:
        flat["backbone.weights"] = str(identity.weights.path.resolve())  # a worker has another working directory
    return Job(cell, knobs, identity.fingerprint, flat, tags)


def plan(space: Space, paths: Paths) -> list[Job]:
    """All jobs of a design, in the order in which they are run; none for a search."""
    if space.method == "tpe":
        return []
    return [prepare(space, planned.knobs, planned.cell, planned.config.seed, paths) for planned in expand(space)]


def identify_all(space: Space, trials: Sequence[Planned], paths: Paths) -> tuple[dict[tuple[str, int], str], str]:
    """(cell, seed) -> fingerprint, and "" or why there are none here: data or weights are absent. Raises InputError for
    whatever would be wrong on any machine."""
    try:
        jobs = [prepare(space, trial.knobs, trial.cell, trial.config.seed, paths) for trial in trials]
    except Absent as absent:
        for trial in trials:
            build.count_parameters(trial.config)
        return {}, str(absent)
    names = {(job.cell, int(job.tags["seed"])): job.fingerprint for job in jobs}
    try:
        _check_starts(space, jobs, paths)
    except Absent as absent:
        return names, str(absent)
    return names, ""


def _check_starts(space: Space, jobs: Sequence[Job], paths: Paths) -> None:
    """Raises Absent where a trial goes on from one that has not finished here."""
    for job in jobs:
        try:
            check_start(job.config, paths.trials)
        except Absent as absent:
            stage = f"--at {space.at} goes on from --at {space.after.at}; " if space.after else ""
            raise Absent(f"{space.path}: {stage}{job.cell}, seed {job.tags['seed']}: {absent}") from None


def time_trials(configs: Sequence[Config], paths: Paths, address: str | None,
                steps: int = 20) -> tuple[sweep_cost.Timings, int]:
    """Timed steps of each kind of these trials on the cluster, and how many trials fit side by side."""
    needs = [config.resources for config in configs]
    with sweep.cluster(address) as resources:
        share = sweep.share_of(resources, max(need.cpus for need in needs), max(need.gpus for need in needs))
        timings = probe.time_classes(configs, paths, lambda function, arguments: sweep.run_on_cluster(
            function, arguments, share), share.slots, steps=steps)
        return timings, share.slots


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


def run_sweep(space: Space, paths: Paths, tracker: Tracker, console: Console, *, address: str | None = None,
              retries: int = 2, only: Sequence[str] = ()) -> Counts:
    """Run what no store holds yet; safe to kill and call again. `only` names the cells that are run now; the others
    stay planned. Raises KeyboardInterrupt when interrupted, with all runs closed and everything in place to go on."""
    every = plan(space, paths)
    with alone_in(paths.results), closing_runs(tracker):
        jobs = _within_budget(space, every, paths, address)
        if len(jobs) < len(every):
            console.print(f"{space.sweep_name}: {len(every) - len(jobs)} of {len(every)} trials are beyond its budget",
                          highlight=False)
        jobs = [job for job in jobs if not only or job.cell in only]
        cells = [PlannedCell(job.cell, int(job.tags["seed"]), job.fingerprint, job.knobs)
                 for job in (*jobs, *_unseen(every, jobs))]
        parent = tracker.sweep_run(space.sweep_name, cells, method=space.method, space=space.document.text,
                                   objective=space.metric, goal=space.goal, statement=dump_statement(space.statement))
        if space.method == "tpe":
            return _search(space, paths, tracker, console, parent, address, retries)
        done = tracker.finished([job.fingerprint for job in jobs])
        left = [job for job in jobs if not _settled(done.get(job.fingerprint), space)]
        _check_starts(space, left, paths)
        board = Board(space.sweep_name, space.metric, len(jobs), space.goal, already=len(jobs) - len(left))
        if left:
            with _bookkeeping(tracker, parent, paths, board, console) as keeper, sweep.cluster(address) as resources:
                sweep.run_design(left, keeper, paths, _share(resources, left), space=space, name=space.sweep_name,
                                 retries=retries)
        tracker.close_sweep(parent, complete=not board.failed)
        return _count(board)


def _within_budget(space: Space, jobs: list[Job], paths: Paths, address: str | None) -> list[Job]:
    """The jobs that the space's budget covers, those that decide its claim first. Hours are counted from timed steps,
    so that another day they may cover others."""
    if space.budget is None:
        return jobs
    trials = budget.by_information(list(expand(space)), space.statement)
    made = None
    if space.budget.unit == "hours":
        configs = [trial.config for trial in trials]
        made = sweep_cost.estimate(configs, *time_trials(configs, paths, address))
    kept, _ = budget.within(trials, space.budget, space.statement, made)
    wanted = {(trial.cell, trial.config.seed): place for place, trial in enumerate(kept)}
    chosen = [job for job in jobs if (job.cell, int(job.tags["seed"])) in wanted]
    return sorted(chosen, key=lambda job: wanted[job.cell, int(job.tags["seed"])])


def _unseen(every: Sequence[Job], jobs: Sequence[Job]) -> list[Job]:
    """The trials of cells that the budget leaves out altogether: the table shows them as not run. Of the other cells it
    plans as many seeds as are run, which is what can be judged."""
    kept = {job.cell for job in jobs}
    return [job for job in every if job.cell not in kept]


def _search(space: Space, paths: Paths, tracker: Tracker, console: Console, parent: str, address: str | None,
            retries: int) -> Counts:
    before = tracker.records(space.sweep_name)
    known = {record.fingerprint: record for record in before}
    missing = max(0, (space.run_cap or 0) - len(before))
    board = Board(space.sweep_name, space.metric, space.run_cap or 0, space.goal, already=len(before))

    def propose(knobs: Knobs) -> tuple[Job, Record | None]:
        job = prepare(space, knobs, label_of(knobs), space.seeds[0], paths)
        return job, known.get(job.fingerprint) or tracker.finished([job.fingerprint]).get(job.fingerprint)

    study = paths.results / "studies" / f"{space.sweep_name}.journal"
    if missing:
        with _bookkeeping(tracker, parent, paths, board, console) as keeper, sweep.cluster(address) as resources:
            needs = space.settings.resolve().resources  # no knob of a search
            share = sweep.share_of(resources, needs.cpus, needs.gpus)
            sweep.run_search(propose, missing, keeper, paths, share, space=space, name=space.name, study=study,
                             retries=retries)
    found = sweep.importances(study, space.name)
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


def _share(resources: dict[str, float], jobs: Sequence[Job]) -> sweep.Share:
    def most(key: str) -> float:
        return max(float(job.config[f"resources.{key}"]) for job in jobs)  # type: ignore[arg-type]

    return sweep.share_of(resources, most("cpus"), most("gpus"))


def _count(board: Board) -> Counts:
    return Counts(board.total, board.done + board.already, board.pruned, len(board.failed),
                  board.left + len(board.running))


class Bookkeeper:
    """Hears of every job, and writes it down: in MLflow, and on the board."""

    def __init__(self, tracker: Tracker, parent: str | None, paths: Paths, board: Board, display: Display) -> None:
        self.tracker, self.parent, self.paths, self.board, self.display = tracker, parent, paths, board, display
        self.runs: dict[str, str] = {}

    def started(self, job: Job) -> None:
        self.runs[job.fingerprint] = self.tracker.trial_run(job.fingerprint, sweep_run_id=self.parent,
                                                            config=job.config, tags=job.tags)
        self.board.start(job.fingerprint, f"{job.cell}, seed {job.tags['seed']}")

    def progressed(self, job: Job, progress: Progress) -> None:
        for iteration, metrics in progress.history:
            self.tracker.log_step(self.runs[job.fingerprint], iteration, metrics)
        self.board.progress(job.fingerprint, progress.done, progress.total, progress.metrics.get(self.board.metric))
        self.display.refresh()

    def retried(self, job: Job, reason: str) -> None:
        self.display.console.print(f"{job.cell}: trying again from its checkpoint after: {reason}", style="yellow")

    def ended(self, job: Job, record: Record) -> None:
        folder = self.paths.trial(job.fingerprint)
        artifacts = {name: path for name in ARTIFACTS if (path := folder / name).exists()}
        found = read_analysis(folder)
        series = series_of(found) if found else {}
        self.tracker.finish(self.runs.pop(job.fingerprint), record, artifacts, series)
        self.board.end(job.fingerprint, record)
        if record.outcome == "failed":
            self.display.console.print(f"failed: {job.cell}, seed {job.tags['seed']}: {record.reason}", style="red",
                                       highlight=False)
        self.display.refresh(ended=True)


IMPORTANCES = "importances.json"  # of a search's knobs, in its parent run
ARTIFACTS = ("config.yaml", "adapter.safetensors", "head.safetensors", "confusions.safetensors", "panels",
             *analysis_files.FILES)


@contextmanager
def _bookkeeping(tracker: Tracker, parent: str | None, paths: Paths, board: Board,
                 console: Console) -> Iterator[Bookkeeper]:
    with Display(board, console) as display:
        keeper = Bookkeeper(tracker, parent, paths, board, display)
        yield keeper


@contextmanager
def closing_runs(tracker: Tracker) -> Iterator[None]:
    """Close what a killed driver left running, now, and what this one leaves if it is interrupted anywhere."""
    tracker.close_orphans()
    try:
        yield
    finally:
        tracker.close_orphans()


@contextmanager
def alone_in(results: Path) -> Iterator[None]:
    """One sweep at a time in a results folder. The lock dies with its process, however that ends."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(results / "sweep.lock", patience=0))
        except OSError as error:
            raise InputError(f"{results}: cannot be written ({error.strerror}); "
                             "choose another with --results") from None
        except Busy:
            raise InputError(f"{results}: another sweep is running here; "
                             "wait for it, or use another folder") from None
        yield


@functools.cache
def commit_tags() -> dict[str, str]:
    """The commit of the code that runs, and whether the tree differs from it."""
    here = Path(__file__).parent
    try:
        commit, status, new = (
            subprocess.run(["git", *command], cwd=here, capture_output=True, text=True, check=True).stdout
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"),
                            ("ls-files", "--others", "--exclude-standard", "*.py")))  # of the package alone
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "dirty": "unknown"}
    return {"commit": commit.strip()[:12], "dirty": str(bool(status.strip() or new.strip())).lower()}
