"""`sweep`, `plan`, `noise`, `status`: spaces and experiments, before, while and after they run."""

import argparse
import json

from rich.table import Table

from recyclelora.settings import parse_overrides
from recyclelora.sweeps.build import Places
from recyclelora.sweeps.space import Space
from recyclelora.sweeps.spacefile import read_space
from recyclelora.verbs.results import write_tables
from recyclelora.verbs.room import CONSOLE, open_existing, places_of


def sweep(given: argparse.Namespace) -> int:
    from recyclelora.sweeps import driver
    from recyclelora.sweeps.tracking import Tracker

    places = places_of(given)
    space = read_space(given.space, parse_overrides(given.overrides), given.at)
    if given.dry_run:
        return _print_plan(space, places)
    tracker = Tracker.open(places.results, uri=given.environment["MLFLOW_TRACKING_URI"])
    counts = driver.run_sweep(space, places, tracker, CONSOLE, address=given.environment["RAY_ADDRESS"],
                              retries=given.retries)
    write_tables(tracker, [space.sweep_name], places)
    CONSOLE.print(f"\nruns and figures: make ui, or recyclelora ui --results {given.results}", highlight=False)
    if counts.failed or counts.left:
        again = "" if space.method == "tpe" else "; the same command tries them again"
        CONSOLE.print(f"{counts.failed} of {counts.total} trials failed{again}", style="red", highlight=False)
    return 1 if counts.failed or counts.left else 0


def _print_plan(space: Space, places: Places) -> int:
    from recyclelora.sweeps import driver

    jobs = driver.plan(space, places)
    for job in jobs:
        CONSOLE.print(f"{job.fingerprint}  {job.cell}, seed {job.tags['seed']}", highlight=False)
    if space.method == "tpe":
        CONSOLE.print(f"a search: {space.run_cap} trials proposed by TPE over {len(space.parameters)} knobs")
    cells = len({job.cell for job in jobs})
    CONSOLE.print(f"{len(jobs)} trials: {cells} cells x {len(space.seeds)} seeds. Nothing was run.", highlight=False)
    return 0


def status(given: argparse.Namespace) -> int:
    tracker = open_existing(given)
    rows = []
    for name in given.sweeps or [sweep.name for sweep in tracker.sweeps()]:
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
