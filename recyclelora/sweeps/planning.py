"""The jobs of a space: every trial checked and identified before anything runs."""

from collections.abc import Sequence

from recyclelora.config import Config, flatten
from recyclelora.costs import probe, sweep_cost
from recyclelora.errors import Absent, InputError
from recyclelora.settings import Settings
from recyclelora.spaces.space import Knobs, Planned, Space, expand
from recyclelora.sweeps import budget
from recyclelora.sweeps.capacity import Share, share_of, working_nodes
from recyclelora.sweeps.cluster import cluster, run_on_cluster
from recyclelora.sweeps.commit import commit_tags
from recyclelora.sweeps.jobs import Job
from recyclelora.trials import build
from recyclelora.trials.paths import Paths
from recyclelora.trials.second_stage import check_start
from recyclelora.trials.trial import tags_of


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
        check_starts(space, jobs, paths)
    except Absent as absent:
        return names, str(absent)
    return names, ""


def check_starts(space: Space, jobs: Sequence[Job], paths: Paths) -> None:
    """Raises Absent where a trial goes on from one that has not finished here."""
    for job in jobs:
        try:
            check_start(job.config, paths.trials)
        except Absent as absent:
            stage = f"--at {space.at} goes on from --at {space.after.at}; " if space.after else ""
            raise Absent(f"{space.path}: {stage}{job.cell}, seed {job.tags['seed']}: {absent}") from None


def time_trials(configs: Sequence[Config], paths: Paths, address: str | None, steps: int = 20,
                slots: int | None = None) -> tuple[sweep_cost.Timings, int]:
    """Timed steps of each kind of these trials on the cluster, and how many trials fit side by side."""
    with cluster(address):
        share = share_for(configs, address, slots)
        timings = probe.time_classes(configs, paths, lambda function, arguments: run_on_cluster(
            function, arguments, share), share.slots, steps=steps)
        return timings, share.slots


def share_for(configs: Sequence[Config], address: str | None, slots: int | None) -> Share:
    """What a trial takes of the cluster that is running, by the most that any of them asks for. Raises InputError (see
    `share_of`)."""
    needs = [config.resources for config in configs]
    return share_of(working_nodes().values(), max(need.cpus for need in needs), max(need.gpus for need in needs), slots,
                    joined=address is not None)


def within_budget(space: Space, jobs: list[Job], paths: Paths, address: str | None,
                  slots: int | None = None) -> list[Job]:
    """The jobs that the space's budget covers, those that decide its claim first. Hours are counted from timed steps,
    so that another day they may cover others."""
    if space.budget is None:
        return jobs
    trials = budget.by_information(list(expand(space)), space.statement)
    made = None
    if space.budget.unit == "hours":
        configs = [trial.config for trial in trials]
        made = sweep_cost.estimate(configs, *time_trials(configs, paths, address, slots=slots))
    kept, _ = budget.within(trials, space.budget, space.statement, made)
    wanted = {(trial.cell, trial.config.seed): place for place, trial in enumerate(kept)}
    chosen = [job for job in jobs if (job.cell, int(job.tags["seed"])) in wanted]
    return sorted(chosen, key=lambda job: wanted[job.cell, int(job.tags["seed"])])


def unseen(every: Sequence[Job], jobs: Sequence[Job]) -> list[Job]:
    """The trials of cells that the budget leaves out altogether: the table shows them as not run. Of the other cells it
    plans as many seeds as are run, which is what can be judged."""
    kept = {job.cell for job in jobs}
    return [job for job in every if job.cell not in kept]
