"""`report`: one HTML page for each experiment, with its figures and tables beside it."""

import argparse
from pathlib import Path

from recyclelora.verbs.arguments import add_results, add_sweeps

HELP = "write the HTML page of each experiment: verdict, tables, figures, provenance"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweeps(parser)
    parser.add_argument("--out", type=Path, default=None, help="folder of the pages [RESULTS/reports]")
    parser.add_argument("--no-pictures", action="store_true",
                        help="leave out images of the data, whose licence may not let you pass them on")
    add_results(parser)


def run(given: argparse.Namespace) -> int:
    """Write a page for each sweep, with its figures and tables beside it; the page is also logged to the sweep's
    run."""
    from recyclelora.tables.evidence import fetch
    from recyclelora.verbs.console import CONSOLE, open_existing, paths_of
    from recyclelora.verbs.report_pages import write_page
    from recyclelora.verbs.sweep_names import each_of, names_of

    store, paths = open_existing(given), paths_of(given)
    out = given.out or paths.results / "reports"

    def write(name: str) -> None:
        evidence = fetch(store, name)
        if not evidence.plan:
            CONSOLE.print(f"{name}: a search has a table, and no claim to report on", highlight=False)
            return
        for path in write_page(store, evidence, out, pictures=not given.no_pictures):
            CONSOLE.print(path, highlight=False)

    return each_of(names_of(store, given.sweeps), write)
