"""The trials of a space on the terminal: a list, a table of cells, the budget, and the noise of those that are done."""

import argparse
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.table import Table

from recyclelora.config import Config
from recyclelora.costs import sweep_cost
from recyclelora.documents import nearest
from recyclelora.errors import InputError
from recyclelora.spaces.space import Planned, Space, cells_of, expand
from recyclelora.sweeps import budget
from recyclelora.sweeps.jobs import Part
from recyclelora.tables import formats, power
from recyclelora.tables.cells import Cell
from recyclelora.tables.results_table import runs_of
from recyclelora.trials.build import count_parameters
from recyclelora.trials.paths import Paths
from recyclelora.verbs.console import CONSOLE
from recyclelora.verbs.progress import hash_data


def configs_of(space: Space) -> Iterator[Config]:
    """The configs of all trials; for a search, the config that its proposals start from."""
    if space.method == "tpe":
        yield space.resolve({}, space.seeds[0])
        return
    yield from (trial.config for trial in expand(space))


def check_cells(space: Space, asked: Sequence[str]) -> tuple[str, ...]:
    """The cells named on the command line. Raises InputError for one that the space does not have."""
    known = [] if space.method == "tpe" else [label for label, _ in cells_of(space)]
    for label in asked:
        if label not in known:
            hint = nearest(label, known) if known else "; a search has none"
            raise InputError(f"command line: --cell: no cell of {space.path} is called {label!r}{hint}")
    return tuple(asked)


def print_stage(space: Space) -> None:
    """Say that trials start from others, which have to be run first."""
    if space.after is not None:
        CONSOLE.print(f"Each trial starts from the trial of its cell and seed at --at {space.after.at}; "
                      "run that base first.", highlight=False)


def with_command(space: Space, given: argparse.Namespace) -> Space:
    """The space, with the command that runs it, to be printed on its page."""
    seeds = ["--seeds", str(given.seeds)] if getattr(given, "seeds", None) else []
    at = ["--at", given.at] if given.at else []
    cells = [word for label in getattr(given, "cell", []) for word in ("--cell", label)]
    words = [given.verb, str(given.space), *at, *cells, *seeds, *given.overrides]
    return replace(space, statement=replace(space.statement, command=f"recyclelora {shlex.join(words)}"))


def print_trials(space: Space, paths: Paths, only: Sequence[str] = (), part: Part | None = None) -> int:
    """Print every trial with its fingerprint, or with dashes where data or weights are absent and it can have none."""
    from recyclelora.sweeps import planning

    if space.method == "tpe":
        hash_data(configs_of(space), paths)
        planning.prepare(space, {}, "", space.seeds[0], paths)
        CONSOLE.print(f"a search: {space.run_cap} trials proposed by TPE over {len(space.parameters)} knobs")
        return 0
    trials = [trial for trial in expand(space) if not only or trial.cell in only]
    trials = part.of(trials) if part else trials
    hash_data((trial.config for trial in trials), paths)
    names, reason = planning.identify_all(space, trials, paths)
    for trial in trials:
        CONSOLE.print(f"{names.get((trial.cell, trial.config.seed), '-' * 16)}  {trial.cell}, seed {trial.config.seed}",
                      highlight=False)
    cells = len({trial.cell for trial in trials})
    which = f"share {part.which} of {part.among}" if part else f"{cells} cells x {len(space.seeds)} seeds"
    CONSOLE.print(f"{len(trials)} trials: {which}. Nothing was run.", highlight=False)
    print_stage(space)
    if reason:
        CONSOLE.print(f"It cannot run here: {reason}", style="yellow", highlight=False)
    return 0


def print_cells(space: Space, trials: Sequence[Planned], left: Sequence[Planned]) -> None:
    table = Table("cell", "adapter params", "seeds", "done", "to run", title=space.sweep_name, title_justify="left")
    for cell in dict.fromkeys(trial.cell for trial in trials):
        own = [trial for trial in trials if trial.cell == cell]
        todo = sum(trial.cell == cell for trial in left)
        table.add_row(cell, f"{count_parameters(own[0].config)['adapter']:,}", str(len(own)), str(len(own) - todo),
                      str(todo))
    CONSOLE.print(table)
    CONSOLE.print(f"{len(trials)} trials, {len(trials) - len(left)} done already, {len(left)} to run", highlight=False)


def print_budget(space: Space, trials: Sequence[Planned], made: sweep_cost.Estimate | None) -> None:
    if space.budget is None:
        return
    kept, beyond = budget.within(trials, space.budget, space.statement, made)
    CONSOLE.print(f"Budget of {space.budget.amount:g} {space.budget.unit}: {len(kept)} trials are run, those that "
                  f"decide the claim first; {len(beyond)} are left out", highlight=False)


def print_noise(space: Space, cells: Sequence[Cell]) -> None:
    """Print the smallest difference that the design could detect, by the noise of the trials that are done."""
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
