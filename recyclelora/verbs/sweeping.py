"""`sweep`, `plan`, `noise`, `status`: spaces and experiments, before, while and after they run."""

import argparse
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.table import Table

from recyclelora.config import Config
from recyclelora.costs import sweep_cost
from recyclelora.documents import nearest
from recyclelora.errors import InputError
from recyclelora.runs.plan import PlannedCell
from recyclelora.runs.results_folder import alone_in
from recyclelora.settings import parse_overrides
from recyclelora.spaces.space import Planned, Space, cells_of, expand
from recyclelora.spaces.space_file import read_space
from recyclelora.sweeps import budget
from recyclelora.tables import formats, power
from recyclelora.tables.cells import Cell, group
from recyclelora.tables.results import runs_of
from recyclelora.trials.build import count_parameters
from recyclelora.trials.paths import Paths
from recyclelora.verbs.console import CONSOLE, open_existing, paths_of
from recyclelora.verbs.progress import hash_data
from recyclelora.verbs.results import names_of, write_tables


def sweep(given: argparse.Namespace) -> int:
    from recyclelora.runs.tracking import Tracker
    from recyclelora.sweeps import driver

    paths = paths_of(given)
    space = _told(read_space(given.space, parse_overrides(given.overrides), given.at), given)
    only = check_cells(space, given.cell)
    if given.dry_run:
        return _print_trials(space, paths, only)
    with alone_in(paths.results):
        tracker = Tracker.open(paths.results, uri=given.environment["MLFLOW_TRACKING_URI"])
        hash_data(_configs(space), paths)
        counts = driver.run_sweep(space, paths, tracker, CONSOLE, address=given.environment["RAY_ADDRESS"],
                                  retries=given.retries, only=only)
        write_tables(tracker, space.sweep_name, paths)
    CONSOLE.print(f"\nruns and figures: make ui, or recyclelora ui --results {given.results}", highlight=False)
    if counts.failed or counts.left:
        again = "" if space.method == "tpe" else "; the same command tries them again"
        CONSOLE.print(f"{counts.failed} of {counts.total} trials failed{again}", style="red", highlight=False)
    return 1 if counts.failed or counts.left else 0


def _configs(space: Space) -> Iterator[Config]:
    """Those of all trials; of a search the one that its proposals begin from."""
    if space.method == "tpe":
        yield space.resolve({}, space.seeds[0])
        return
    yield from (trial.config for trial in expand(space))


def check_cells(space: Space, asked: Sequence[str]) -> tuple[str, ...]:
    """The cells that were named on the command line. Raises InputError for one that the space does not have."""
    known = [] if space.method == "tpe" else [label for label, _ in cells_of(space)]
    for label in asked:
        if label not in known:
            hint = nearest(label, known) if known else "; a search has none"
            raise InputError(f"command line: --cell: no cell of {space.path} is called {label!r}{hint}")
    return tuple(asked)


def tell_stage(space: Space) -> None:
    """Say that trials go on from others, which have to be run first."""
    if space.after is not None:
        CONSOLE.print(f"Each trial goes on from that of its cell and seed at --at {space.after.at}, which comes first.",
                      highlight=False)


def _told(space: Space, given: argparse.Namespace) -> Space:
    """The space with the command that runs it, which its page repeats."""
    seeds = ["--seeds", str(given.seeds)] if getattr(given, "seeds", None) else []
    at = ["--at", given.at] if given.at else []
    cells = [word for label in getattr(given, "cell", []) for word in ("--cell", label)]
    words = [given.verb, str(given.space), *at, *cells, *seeds, *given.overrides]
    return replace(space, statement=replace(space.statement, command=f"recyclelora {shlex.join(words)}"))


def _print_trials(space: Space, paths: Paths, only: Sequence[str] = ()) -> int:
    """Every trial by its fingerprint; where it cannot have one here, since data or weights are absent, without."""
    from recyclelora.sweeps import planning

    if space.method == "tpe":
        hash_data(_configs(space), paths)
        planning.prepare(space, {}, "", space.seeds[0], paths)
        CONSOLE.print(f"a search: {space.run_cap} trials proposed by TPE over {len(space.parameters)} knobs")
        return 0
    trials = [trial for trial in expand(space) if not only or trial.cell in only]
    hash_data((trial.config for trial in trials), paths)
    names, reason = planning.identify_all(space, trials, paths)
    for trial in trials:
        CONSOLE.print(f"{names.get((trial.cell, trial.config.seed), '-' * 16)}  {trial.cell}, seed {trial.config.seed}",
                      highlight=False)
    cells = len({trial.cell for trial in trials})
    CONSOLE.print(f"{len(trials)} trials: {cells} cells x {len(space.seeds)} seeds. Nothing was run.", highlight=False)
    tell_stage(space)
    if reason:
        CONSOLE.print(f"It cannot run here: {reason}", style="yellow", highlight=False)
    return 0


def plan(given: argparse.Namespace) -> int:
    from recyclelora.runs.tracking import Tracker
    from recyclelora.sweeps import planning

    paths = paths_of(given)
    space = read_space(given.space, parse_overrides(given.overrides), given.at)
    if space.method == "tpe":
        return _print_trials(space, paths)
    only = check_cells(space, given.cell)
    trials = budget.by_information(list(expand(space)), space.statement) if space.budget else list(expand(space))
    trials = [trial for trial in trials if not only or trial.cell in only]
    hash_data((trial.config for trial in trials), paths)
    names, reason = planning.identify_all(space, trials, paths)
    known = {}
    if (paths.results / "mlflow.db").exists() or given.environment["MLFLOW_TRACKING_URI"]:
        tracker = Tracker.open(paths.results, uri=given.environment["MLFLOW_TRACKING_URI"])
        known = tracker.finished(list(names.values()))
    left = [trial for trial in trials if names.get((trial.cell, trial.config.seed)) not in known]
    _print_cells(space, trials, left)
    tell_stage(space)
    if reason:
        CONSOLE.print(f"It cannot run here: {reason}", style="yellow", highlight=False)
        return 0
    if left and not given.no_timing:
        configs = [trial.config for trial in trials]
        timings, slots = planning.time_trials(configs, paths, given.environment["RAY_ADDRESS"], given.steps)
        for line in sweep_cost.describe(sweep_cost.estimate([trial.config for trial in left], timings, slots)):
            CONSOLE.print(line, highlight=False, markup=False)
        _print_budget(space, trials, sweep_cost.estimate(configs, timings, slots))
    elif space.budget and space.budget.unit == "trials":
        _print_budget(space, trials, None)
    if known:
        _print_noise(space, group(space.sweep_name, [
            PlannedCell(trial.cell, trial.config.seed, names[trial.cell, trial.config.seed], trial.knobs)
            for trial in trials], known.values()))
    return 0


def _print_cells(space: Space, trials: Sequence[Planned], left: Sequence[Planned]) -> None:
    table = Table("cell", "adapter params", "seeds", "done", "to run", title=space.sweep_name, title_justify="left")
    for cell in dict.fromkeys(trial.cell for trial in trials):
        own = [trial for trial in trials if trial.cell == cell]
        todo = sum(trial.cell == cell for trial in left)
        table.add_row(cell, f"{count_parameters(own[0].config)['adapter']:,}", str(len(own)), str(len(own) - todo),
                      str(todo))
    CONSOLE.print(table)
    CONSOLE.print(f"{len(trials)} trials, {len(trials) - len(left)} done already, {len(left)} to run", highlight=False)


def _print_budget(space: Space, trials: Sequence[Planned], made: sweep_cost.Estimate | None) -> None:
    if space.budget is None:
        return
    kept, beyond = budget.within(trials, space.budget, space.statement, made)
    CONSOLE.print(f"Budget of {space.budget.amount:g} {space.budget.unit}: {len(kept)} trials are run, those that "
                  f"decide the claim first; {len(beyond)} are left out", highlight=False)


def _print_noise(space: Space, cells: Sequence[Cell]) -> None:
    """What the design could detect, from the noise of what is there already."""
    metric = "miou/target_mean"
    ready = sorted((cell for cell in cells if len(cell.values(metric)) > 1), key=lambda cell: -len(cell.values(metric)))
    if not ready:
        return
    first = next((cell for cell in ready if cell.label == space.statement.baseline), ready[0])
    other = next((cell for cell in ready if cell.label != first.label), None)
    sheet = power.noise_floor(
        first.values(metric), sorted({3, 5, 8, 10, 20, len(space.seeds)} - {1, 2}), cell=first.label,
        other=other.values(metric) if other else None, against=other.label if other else "another",
        name=f"{space.sweep_name}.noise", runs=runs_of(first))
    CONSOLE.print(formats.terminal(sheet))


def noise(given: argparse.Namespace) -> int:
    """Run the baseline on its seeds alone, and say what the design could detect with so many."""
    from recyclelora.runs.tracking import Tracker
    from recyclelora.sweeps import driver

    paths = paths_of(given)
    whole = read_space(given.space, parse_overrides(given.overrides), given.at)
    space = _told(driver.baseline_alone(whole, given.seeds), given)
    with alone_in(paths.results):
        tracker = Tracker.open(paths.results, uri=given.environment["MLFLOW_TRACKING_URI"])
        hash_data(_configs(space), paths)
        counts = driver.run_sweep(space, paths, tracker, CONSOLE, address=given.environment["RAY_ADDRESS"])
    cells = group(space.sweep_name, tracker.plan(space.sweep_name), tracker.records(space.sweep_name))
    _print_noise(space, cells)
    return 1 if counts.failed or counts.left else 0


def status(given: argparse.Namespace) -> int:
    tracker = open_existing(given)
    rows = []
    for name in names_of(tracker, given.sweeps):
        planned, records = tracker.plan(name), tracker.records(name)
        outcomes = [record.outcome for record in records]
        total = max(len(planned), len(records))
        rows.append({"sweep": name, "trials": total, "finished": outcomes.count("finished"),
                     "pruned": outcomes.count("pruned"), "failed": outcomes.count("failed"),
                     "left": total - len(records) if planned else None})  # a search has no plan to subtract from
    if given.json:
        print(json.dumps(rows, indent=1))
        return 0
    table = Table(*(rows[0] if rows else ["no sweep yet"]))
    for row in rows:
        table.add_row(*("–" if value is None else str(value) for value in row.values()))
    CONSOLE.print(table)
    return 0
