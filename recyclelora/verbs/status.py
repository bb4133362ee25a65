"""`status`: how many trials of each sweep are finished, pruned, failed and left."""

import argparse

from recyclelora.verbs.arguments import add_json, add_results, add_sweeps

HELP = "print how many trials of each sweep are done, failed and left"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweeps(parser)
    add_json(parser)
    add_results(parser)


def run(given: argparse.Namespace) -> int:
    import json

    from rich.table import Table

    from recyclelora.verbs.console import CONSOLE, open_existing
    from recyclelora.verbs.sweep_names import names_of

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
