"""How verbs find a model: by the folder of its trial, or by its fingerprint."""

import argparse
from pathlib import Path
from typing import Any

from recyclelora.errors import InputError
from recyclelora.trials.paths import Paths


def folder_of(given: argparse.Namespace, paths: Paths) -> Path:
    """The folder of the model that was named by folder or fingerprint. Raises InputError where there is none."""
    folder: Path = given.model if given.model.is_dir() else paths.trial(str(given.model))
    if not folder.is_dir():
        raise InputError(f"{given.model}: neither a folder nor the fingerprint of a trial in {paths.results}")
    return folder


def find_model(given: argparse.Namespace, paths: Paths) -> Any:
    """Load that model."""
    from recyclelora.trials.artifacts import load_model

    return load_model(folder_of(given, paths), paths.cache)
