"""`noise`: run the baseline of an experiment on its seeds alone, and say what difference the design could detect."""

import argparse

from recyclelora.verbs.arguments import add_data_root, add_results, add_space, positive

HELP = "run the baseline of an experiment on its seeds, and say how small a difference could be detected"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_space(parser, help="a YAML file under experiments/ or search_spaces/")
    parser.add_argument("--seeds", type=positive, metavar="K", help="number of seeds [those of the file]")
    add_results(parser)
    add_data_root(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.runs.results_folder import alone_in
    from recyclelora.runs.tracking import Tracker
    from recyclelora.settings import parse_overrides
    from recyclelora.spaces.space_file import read_space
    from recyclelora.sweeps import driver
    from recyclelora.sweeps.options import Options
    from recyclelora.tables.cells import group
    from recyclelora.verbs.console import CONSOLE, paths_of, webhook_of
    from recyclelora.verbs.progress import hash_data
    from recyclelora.verbs.trial_lists import configs_of, print_noise, with_command

    paths, notify = paths_of(given), webhook_of(given)
    whole = read_space(given.space, parse_overrides(given.overrides), given.at)
    space = with_command(driver.baseline_alone(whole, given.seeds), given)
    with alone_in(paths.results):
        tracker = Tracker.open(paths.results, uri=given.environment["MLFLOW_TRACKING_URI"])
        hash_data(configs_of(space), paths)
        counts = driver.run_sweep(space, paths, tracker, CONSOLE, Options(
            given.environment["RAY_ADDRESS"], given.environment["MLFLOW_TRACKING_URI"],
            notify=notify))
    cells = group(space.sweep_name, tracker.plan(space.sweep_name), tracker.records(space.sweep_name))
    print_noise(space, cells)
    return 1 if counts.failed or counts.left else 0
