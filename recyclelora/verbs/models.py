"""`train`: one model, without Ray; and how the other verbs find it."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from recyclelora.config import Config, flatten
from recyclelora.documents import read
from recyclelora.errors import InputError
from recyclelora.runs.results_folder import alone_in
from recyclelora.settings import Settings, from_document, parse_overrides
from recyclelora.trials.build import check
from recyclelora.trials.paths import Paths
from recyclelora.trials.second_stage import check_start
from recyclelora.verbs.console import CONSOLE, paths_of
from recyclelora.verbs.progress import hash_data
from recyclelora.verbs.show import print_config


def train(given: argparse.Namespace) -> int:
    from recyclelora.runs.tracking import Tracker
    from recyclelora.sweeps.bookkeeping import bookkeeping, closing_runs
    from recyclelora.sweeps.display import Board
    from recyclelora.sweeps.planning import job_of
    from recyclelora.trials.trial import run

    paths = paths_of(given)
    settings = from_document(read(given.config)).override(parse_overrides(given.overrides), "command line")
    config = _checked(settings, paths)
    if given.dry_run:
        return print_config(config, settings, as_json=False)
    with alone_in(paths.results):
        hash_data([config], paths)
        job = job_of(config, paths, cell=given.config.stem, knobs={}, sweep_name="")
        del job.tags["sweep"]
        tracker = Tracker.open(paths.results, uri=given.environment["MLFLOW_TRACKING_URI"])
        board = Board(given.config.stem, "miou/source", 1)
        with closing_runs(tracker), bookkeeping(tracker, None, paths, board, CONSOLE, pause=10) as keeper:
            keeper.started(job)
            record = run(config, paths, lambda progress: keeper.progressed(job, progress))
            keeper.ended(job, record)
    if record.outcome == "failed":
        CONSOLE.print(f"failed: {record.reason}", style="red", highlight=False)
        return 1
    _print_scores(record.metrics)
    CONSOLE.print(f"model: {paths.trial(record.fingerprint)}", highlight=False)
    return 0


def _checked(settings: Settings, paths: Paths) -> Config:
    config = settings.resolve()
    try:
        check(config, paths)
        check_start(flatten(config), paths.trials)
    except InputError as error:
        raise (settings.locate(error) if error.key else error) from None
    return config


def _print_scores(metrics: Mapping[str, float]) -> None:
    table = Table("domain", "mIoU %", "chance %")
    for name, value in metrics.items():
        if name.startswith("miou/") and name != "miou/target_mean":
            domain = name.removeprefix("miou/")
            table.add_row(domain, f"{100 * value:.2f}", f"{100 * metrics[f'chance/{domain}']:.2f}")
    if "miou/target_mean" in metrics:
        table.add_row("mean of targets", f"{100 * metrics['miou/target_mean']:.2f}", "")
    CONSOLE.print(table)


def folder_of(given: argparse.Namespace, paths: Paths) -> Path:
    """The folder of the model that was named by folder or fingerprint."""
    folder: Path = given.model if given.model.is_dir() else paths.trial(str(given.model))
    if not folder.is_dir():
        raise InputError(f"{given.model}: neither a folder nor the fingerprint of a trial in {paths.results}")
    return folder


def find_model(given: argparse.Namespace, paths: Paths) -> Any:
    from recyclelora.trials.artifacts import load_model

    return load_model(folder_of(given, paths), paths.cache)
