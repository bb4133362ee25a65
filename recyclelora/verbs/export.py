"""`export`: a trained model in formats of other programs, with a model card."""

import argparse
from pathlib import Path

from recyclelora.errors import InputError
from recyclelora.trials.paths import Paths
from recyclelora.verbs.arguments import add_model, add_results

HELP = "write a trained model for PEFT, timm, torch.export or ONNX, with a model card"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--to", action="append", metavar="FORMAT",
                        help="peft, timm, torch, onnx or all (repeatable) [all]")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder, or an earlier export")
    add_results(parser)


def run(given: argparse.Namespace) -> int:
    from rich.table import Table

    from recyclelora.exchange.export_model import choose_formats, export_model
    from recyclelora.trials.artifacts import weights_of
    from recyclelora.trials.record import read_record
    from recyclelora.verbs.console import CONSOLE, paths_of
    from recyclelora.verbs.model_folders import find_model, folder_of

    paths, asked = paths_of(given), given.to or ["all"]
    choose_formats(asked, {})  # before the model is read: what is wrong whatever it is
    folder, model = folder_of(given, paths), find_model(given, paths)
    record = read_record(folder)
    if record is not None and (record.outcome != "finished" or record.fingerprint != model.fingerprint):
        raise InputError(f"{folder}: its record is of {record.fingerprint}, {record.outcome}; the model is "
                         f"{model.fingerprint}: only a finished trial is exported")
    formats = choose_formats(asked, model.config.adapter.LACKS)
    for name, why in model.config.adapter.LACKS.items():
        if "all" in asked:
            CONSOLE.print(f"{name}: left out: {why.partition(';')[0]}", highlight=False)
    made = export_model(model, weights_of(folder, model.config, paths.cache), record,
                        _tags(given, paths, model.fingerprint), formats, given.out.resolve())
    table = Table("file", "MB")
    for name, size in made.sizes.items():
        table.add_row(name, f"{size / 1e6:.2f}")
    CONSOLE.print(table)
    found = ", ".join(f"{name} {'not compared: its reader is not installed' if value is None else f'{value:.1e}'}"
                      for name, value in made.differences.items())
    CONSOLE.print(f"largest difference from the model, relative to its largest output: {found}", highlight=False)
    CONSOLE.print(f"export: {made.folder}", highlight=False)
    return 0


def _tags(given: argparse.Namespace, paths: Paths, fingerprint: str) -> dict[str, str]:
    """The tags of the model's run in the tracking store; empty where there is no store or no run."""
    from recyclelora.verbs.console import open_existing

    if given.environment["MLFLOW_TRACKING_URI"] is None and not (paths.results / "mlflow.db").exists():
        return {}
    found = open_existing(given).finished([fingerprint])
    return dict(found[fingerprint].tags) if fingerprint in found else {}
