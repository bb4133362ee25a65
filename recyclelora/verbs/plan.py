"""`plan`: the trials of a space or an experiment, which of them are done, and what the others will cost."""

import argparse

from recyclelora.verbs.arguments import add_cells, add_data_root, add_results, add_space, positive

HELP = "list the trials of a space or an experiment: which are done, and what the others will cost"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_space(parser, help="a YAML file under experiments/ or search_spaces/")
    add_cells(parser, help="count this cell alone (repeatable)")
    parser.add_argument("--steps", type=positive, default=20, metavar="N", help="number of training steps to time [20]")
    parser.add_argument("--no-timing", action="store_true", help="count the trials, and time nothing")
    add_results(parser)
    add_data_root(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.costs import sweep_cost
    from recyclelora.runs.planned_cells import PlannedCell
    from recyclelora.runs.tracking import Tracker
    from recyclelora.settings import parse_overrides
    from recyclelora.spaces.space import expand
    from recyclelora.spaces.space_file import read_space
    from recyclelora.sweeps import budget, planning
    from recyclelora.tables.cells import group
    from recyclelora.verbs.console import CONSOLE, paths_of
    from recyclelora.verbs.progress import hash_data
    from recyclelora.verbs.trial_lists import (
        check_cells,
        print_budget,
        print_cells,
        print_noise,
        print_stage,
        print_trials,
    )

    paths = paths_of(given)
    space = read_space(given.space, parse_overrides(given.overrides), given.at)
    if space.method == "tpe":
        return print_trials(space, paths)
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
    print_cells(space, trials, left)
    print_stage(space)
    if reason:
        CONSOLE.print(f"It cannot run here: {reason}", style="yellow", highlight=False)
        return 0
    if left and not given.no_timing:
        configs = [trial.config for trial in trials]
        timings, slots = planning.time_trials(configs, paths, given.environment["RAY_ADDRESS"], given.steps)
        for line in sweep_cost.describe(sweep_cost.estimate([trial.config for trial in left], timings, slots)):
            CONSOLE.print(line, highlight=False, markup=False)
        print_budget(space, trials, sweep_cost.estimate(configs, timings, slots))
    elif space.budget and space.budget.unit == "trials":
        print_budget(space, trials, None)
    if known:
        print_noise(space, group(space.sweep_name, [
            PlannedCell(trial.cell, trial.config.seed, names[trial.cell, trial.config.seed], trial.knobs)
            for trial in trials], known.values()))
    return 0
