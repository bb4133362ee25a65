"""What the verbs share: the console, where things are, and the store that is there already."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from recyclelora.errors import InputError
from recyclelora.trials.paths import Paths

CONSOLE = Console(soft_wrap=True)
ERRORS = Console(stderr=True, soft_wrap=True)  # for what is no result, so that --json stays JSON
Item = TypeVar("Item")


def watched(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """The items, with a bar on the terminal's error stream while they come; nothing where there is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(items, total=total, description=what)


def paths_of(given: argparse.Namespace) -> Paths:
    """Absolute paths, command line before environment before default."""
    results = given.results.resolve()
    cache = given.environment["RECYCLELORA_CACHE"]
    root = given.data_root or given.environment["DATA_ROOT"]
    return Paths(results, Path(cache).resolve() if cache else results / "cache",
                  Path(root).resolve() if root else None)


def open_existing(given: argparse.Namespace) -> Any:
    """The tracker on the runs that there are. Raises InputError where there are none."""
    paths, uri = paths_of(given), given.environment["MLFLOW_TRACKING_URI"]
    if uri is None and not (paths.results / "mlflow.db").exists():
        raise InputError(f"{paths.results}: holds no runs yet; run a sweep first, or name another folder (--results)")
    from recyclelora.runs.tracking import Tracker  # takes seconds, so after what can be refused without it

    return Tracker.open(paths.results, uri=uri)
