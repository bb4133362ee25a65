"""Shared by the verbs: the console, progress bars, the paths of this call, and the store of its runs."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from recyclelora.errors import InputError
from recyclelora.trials.paths import Paths

# Without markup: names of cells, files and classes may hold brackets.
CONSOLE = Console(soft_wrap=True, markup=False)
# For news and complaints, so that the output of --json stays JSON.
ERRORS = Console(stderr=True, soft_wrap=True, markup=False)
Item = TypeVar("Item")


def watched(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """The items, under a progress bar on the error stream; without a terminal there is no bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True, markup=False)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(items, total=total, description=what)


def paths_of(given: argparse.Namespace) -> Paths:
    """Absolute paths. The command line overrides the environment, and the environment the defaults."""
    results = given.results.resolve()
    cache = given.environment["RECYCLELORA_CACHE"]
    root = getattr(given, "data_root", None) or given.environment["DATA_ROOT"]
    return Paths(results, Path(cache).resolve() if cache else results / "cache",
                  Path(root).resolve() if root else None)


def webhook_of(given: argparse.Namespace) -> str | None:
    """The address that hears of a sweep. Raises InputError for one that is none."""
    from recyclelora.sweeps.webhook import check_webhook

    address = given.environment["RECYCLELORA_NOTIFY"]
    return check_webhook(address) if address else None


def open_existing(given: argparse.Namespace) -> Any:
    """The tracker on existing runs. Raises InputError where there are none."""
    paths, uri = paths_of(given), given.environment["MLFLOW_TRACKING_URI"]
    if uri is None and not (paths.results / "mlflow.db").exists():
        raise InputError(f"{paths.results}: holds no runs yet; run a sweep first, or name another folder (--results)")
    from recyclelora.runs.tracking import Tracker  # takes seconds, so after what can be refused without it

    return Tracker.open(paths.results, uri=uri)
