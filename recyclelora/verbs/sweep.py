"""`sweep`: run the trials of a space or an experiment that no store holds yet, then print its table."""

import argparse

from recyclelora.verbs.arguments import add_cells, add_data_root, add_results, add_space, add_store_wait, part, positive

HELP = "run the missing trials of a space or an experiment, then print its table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_space(parser, help="a YAML file under search_spaces/ or experiments/")
    add_cells(parser, help="run this cell alone (repeatable)")
    parser.add_argument("--slots", type=positive, metavar="N",
                        help="trials side by side; on a cluster that grows, as many as it will hold [as many as fit]")
    parser.add_argument("--part", type=part, metavar="K/N",
                        help="run the K-th of N shares of the trials, each in a results folder of its own")
    parser.add_argument("--dry-run", action="store_true", help="print what would run, and run nothing")
    parser.add_argument("--retries", type=int, default=2, choices=range(11), metavar="N",
                        help="how often a crashed trial is tried again [2]")
    add_store_wait(parser)
    add_results(parser)
    add_data_root(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.runs.results_folder import alone_in
    from recyclelora.runs.tracking import Tracker
    from recyclelora.settings import parse_overrides
    from recyclelora.spaces.space_file import read_space
    from recyclelora.sweeps import driver
    from recyclelora.sweeps.jobs import Part
    from recyclelora.sweeps.options import Options
    from recyclelora.verbs.console import CONSOLE, paths_of, webhook_of
    from recyclelora.verbs.progress import hash_data
    from recyclelora.verbs.sweep_tables import write_tables
    from recyclelora.verbs.trial_lists import check_cells, configs_of, print_trials, with_command

    paths, notify = paths_of(given), webhook_of(given)
    space = with_command(read_space(given.space, parse_overrides(given.overrides), given.at), given)
    only = check_cells(space, given.cell)
    share = Part(*given.part) if given.part else None
    if given.dry_run:
        return print_trials(space, paths, only, share)
    with alone_in(paths.results):
        tracker = Tracker.open(paths.results, uri=given.environment["MLFLOW_TRACKING_URI"])
        hash_data(configs_of(space), paths)
        counts = driver.run_sweep(space, paths, tracker, CONSOLE, Options(
            given.environment["RAY_ADDRESS"], given.environment["MLFLOW_TRACKING_URI"], given.retries, only, share,
            given.slots, notify, given.store_wait))
        if share is None:  # a share alone makes no table
            write_tables(tracker, space.sweep_name, paths)
    if share is None:
        CONSOLE.print(f"\nruns and figures: make ui, or recyclelora ui --results {given.results}", highlight=False)
    if counts.failed or counts.left:
        again = "" if space.method == "tpe" else "; the same command tries them again"
        CONSOLE.print(f"{counts.failed} of {counts.total} trials failed{again}", style="red", highlight=False)
    return 1 if counts.failed or counts.left else 0
