"""`reconcile`: book the trials that the tracking store missed."""

import argparse

from recyclelora.verbs.arguments import add_results

HELP = "book trials that have ended and that the tracking store missed, since it did not answer; a sweep begins with it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.runs.results_folder import alone_in
    from recyclelora.sweeps.bookkeeping import closing_runs
    from recyclelora.sweeps.books import reconcile
    from recyclelora.verbs.console import CONSOLE, open_existing, paths_of

    paths = paths_of(given)
    with alone_in(paths.results):
        tracker = open_existing(given)
        with closing_runs(tracker), tracker.leasing() as leases:
            booked = reconcile(tracker, leases, paths.trials)
    CONSOLE.print(f"{booked} trials booked", highlight=False)
    return 0
