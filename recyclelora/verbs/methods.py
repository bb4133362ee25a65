"""`methods`: the adapter methods, with what each trains and what that costs."""

import argparse

from recyclelora.errors import InputError
from recyclelora.verbs.arguments import add_json

HELP = "list the adapter methods: what is trained, parameters at DINOv2-L, whether they merge, source"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", default=[], metavar="METHOD", help="only these [all]")
    add_json(parser)


def run(given: argparse.Namespace) -> int:
    import json

    from rich.table import Table

    from recyclelora.documents import nearest
    from recyclelora.methods import METHODS
    from recyclelora.methods.catalogue_row import describe
    from recyclelora.verbs.console import CONSOLE

    for name in given.names:
        if name not in METHODS:
            raise InputError(f"{name}: unknown method{nearest(name, METHODS)}")
    rows = [describe(name) for name in given.names or METHODS]
    if given.json:
        print(json.dumps([row._asdict() for row in rows], indent=1))
        return 0
    table = Table("adapter.method", "what is trained", "parameters", "merges", "source", box=None, pad_edge=False)
    for row in rows:
        merges = "yes" if row.parameters and not row.keeps else f"no: {row.keeps}" if row.keeps else "nothing to merge"
        table.add_row(row.name, row.words, f"{row.parameters:,}", merges, row.source)
    CONSOLE.print(table)
    CONSOLE.print("parameters: of the adapters, with the method's defaults on DINOv2-L; the head is trained too",
                  highlight=False)
    return 0
