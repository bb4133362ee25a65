"""`tables`, `explain`, `report`, `analyse`: what the tracked runs say."""

import argparse
from collections.abc import Iterable
from typing import Any

from recyclelora.sweeps.build import Places
from recyclelora.tables import tables as tabulate
from recyclelora.verbs.room import CONSOLE, open_existing, places_of


def tables(given: argparse.Namespace) -> int:
    tracker = open_existing(given)
    write_tables(tracker, given.sweeps or [sweep.name for sweep in tracker.sweeps()], places_of(given))
    return 0


def write_tables(tracker: Any, names: Iterable[str], places: Places) -> None:
    for name in names:
        table = tabulate.build(tracker.sweep(name), tracker.plan(name), tracker.records(name))
        CONSOLE.print(tabulate.terminal(table))
        for path in tabulate.write(table, places.results / "tables", name):
            CONSOLE.print(f"  {path}", highlight=False)
