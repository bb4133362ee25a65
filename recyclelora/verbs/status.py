"""`status`: how many trials of each sweep are finished, pruned, failed and left."""

import argparse
from typing import TYPE_CHECKING, Any

from recyclelora.verbs.arguments import add_json, add_results, add_sweeps

if TYPE_CHECKING:
    from recyclelora.trials.record import Record

HELP = "print how many trials of each sweep are done, failed and left"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweeps(parser)
    add_json(parser)
    add_results(parser)


def run(given: argparse.Namespace) -> int:
    import json
    from collections import Counter

    from rich.table import Table

    from recyclelora.trials.failures import TAG
    from recyclelora.verbs.console import CONSOLE, open_existing
    from recyclelora.verbs.sweep_names import names_of

    tracker = open_existing(given)
    rows, failed = list[dict[str, Any]](), list[tuple[str, "Record"]]()
    for name in names_of(tracker, given.sweeps):
        planned, records = tracker.plan(name), tracker.records(name)
        outcomes = [record.outcome for record in records]
        failures = [record for record in records if record.outcome == "failed"]
        failed += [(name, record) for record in failures]
        total = max(len(planned), len(records))
        rows.append({"sweep": name, "trials": total, "finished": outcomes.count("finished"),
                     "pruned": outcomes.count("pruned"), "failed": len(failures),
                     "failures": Counter(record.tags.get(TAG, "unknown") for record in failures),
                     "left": total - len(records) if planned else None})  # a search has no plan to subtract from
    if given.json:
        print(json.dumps(rows, indent=1))
        return 0
    table = Table(*(rows[0] if rows else ["no sweep yet"]))
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    CONSOLE.print(table)
    for name, record in failed:
        CONSOLE.print(f"{name}: {record.tags.get('cell', record.fingerprint)}, seed {record.tags.get('seed')}: "
                      f"{record.tags.get(TAG, 'unknown')}: {record.reason}", style="red", highlight=False)
    return 0


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {kind}" for kind, count in value.items())
    return "–" if value is None else str(value)
