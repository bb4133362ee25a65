"""`explain`: where a number of a table comes from, run by run."""

import argparse

from recyclelora.verbs.arguments import add_results

HELP = "list the runs behind a number in a table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", help="name of a table, such as initialisation-scenes.differences")
    parser.add_argument("row", help="label of a row, or the beginning of one")
    parser.add_argument("column", help="heading or key of a column")
    add_results(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.tables import provenance
    from recyclelora.tables.evidence import fetch
    from recyclelora.verbs.console import CONSOLE, open_existing
    from recyclelora.verbs.sweep_tables import confusions_of

    store = open_existing(given)
    known = {sweep.name for sweep in store.sweeps()}
    name = next((part for part in (given.table, given.table.rpartition(".")[0]) if part in known), given.table)
    evidence = fetch(store, name)
    sheets = evidence.sheets(confusions_of(store, evidence))
    found = provenance.explain(sheets, evidence.sweep, evidence.plan, evidence.records, evidence.statement,
                               given.table, given.row, given.column, store.runs_url)
    for text in provenance.lines(found):
        CONSOLE.print(text, highlight=False, markup=False)
    return 0
