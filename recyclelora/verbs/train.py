"""`train`: train and evaluate one config, without Ray."""

import argparse
from pathlib import Path

from recyclelora.verbs.arguments import add_data_root, add_overrides, add_results, add_store_wait

HELP = "train and evaluate one config, without Ray"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="a YAML file of settings, such as experiments/bases/scenes.yaml")
    add_overrides(parser, "the config")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved config, and run nothing")
    add_store_wait(parser)
    add_results(parser)
    add_data_root(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.documents import read
    from recyclelora.errors import Outage
    from recyclelora.runs.results_folder import alone_in
    from recyclelora.runs.tracking import Tracker
    from recyclelora.settings import from_document, parse_overrides
    from recyclelora.sweeps.bookkeeping import bookkeeping, closing_runs
    from recyclelora.sweeps.display import Board
    from recyclelora.sweeps.planning import job_of
    from recyclelora.trials import trial
    from recyclelora.verbs.console import CONSOLE, paths_of
    from recyclelora.verbs.preview_tables import print_config
    from recyclelora.verbs.progress import hash_data
    from recyclelora.verbs.single_trial import print_scores, resolve_checked

    paths = paths_of(given)
    settings = from_document(read(given.config)).override(parse_overrides(given.overrides), "command line")
    config = resolve_checked(settings, paths)
    if given.dry_run:
        return print_config(config, settings, as_json=False)
    with alone_in(paths.results):
        hash_data([config], paths)
        job = job_of(config, paths, cell=given.config.stem, knobs={}, sweep_name="")
        del job.tags["sweep"]
        tracker = Tracker.open(paths.results, uri=given.environment["MLFLOW_TRACKING_URI"])
        board = Board(given.config.stem, "miou/source", 1)
        with (closing_runs(tracker), tracker.leasing() as leases,
              bookkeeping(tracker, None, paths, board, CONSOLE, pause=10, leases=leases,
                          absence=given.store_wait) as keeper):
            if holder := leases.claim(job.fingerprint):
                raise Outage(f"another driver ({holder}) runs this trial; wait for it")
            keeper.started(job)
            record = trial.run(config, paths, lambda progress: keeper.progressed(job, progress))
            keeper.ended(job, record)
            keeper.settle()
    if record.outcome == "failed":
        CONSOLE.print(f"failed: {record.reason}", style="red", highlight=False)
        return 1
    print_scores(record.metrics)
    CONSOLE.print(f"model: {paths.trial(record.fingerprint)}", highlight=False)
    return 0
