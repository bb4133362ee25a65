"""`show`, `weights`, `ui`: looking at what is there, before and after."""

import argparse
import json
import subprocess

from rich.table import Table

from recyclelora.config import Config, flatten
from recyclelora.documents import read
from recyclelora.errors import InputError
from recyclelora.models.backbones import BACKBONES
from recyclelora.models.weights import resolve_weights
from recyclelora.settings import Settings, from_document, parse_overrides
from recyclelora.sweeps.space import Space, expand
from recyclelora.sweeps.spacefile import read_space
from recyclelora.verbs.room import CONSOLE, open_existing, places_of


def show(given: argparse.Namespace) -> int:
    document = read(given.file)
    if "parameters" in document.data or "method" in document.data:
        return _print_space(read_space(given.file, parse_overrides(given.overrides), given.at), as_json=given.json)
    settings = from_document(document).override(parse_overrides(given.overrides), "command line")
    return print_config(settings.resolve(), settings, as_json=given.json)


def print_config(config: Config, settings: Settings, *, as_json: bool) -> int:
    flat = flatten(config)
    if as_json:
        print(json.dumps({"config": flat, "origins": settings.origins}, indent=1))
        return 0
    table = Table("setting", "value", "from")
    for key, value in flat.items():
        table.add_row(key, json.dumps(value), settings.origins.get(key, "default"))
    CONSOLE.print(table)
    return 0


def _print_space(space: Space, *, as_json: bool) -> int:
    trials = [] if space.method == "tpe" else list(expand(space))
    if as_json:
        print(json.dumps([{"cell": trial.cell, "knobs": trial.knobs, "config": flatten(trial.config)}
                          for trial in trials], indent=1))
        return 0
    CONSOLE.print(f"{space.name}: {space.claim}", highlight=False)
    for trial in trials:
        CONSOLE.print(f"  {trial.cell}, seed {trial.config.seed}", highlight=False)
    return print_config(space.resolve({}, space.seeds[0]), space.settings, as_json=False)


def weights(given: argparse.Namespace) -> int:
    if given.backbone not in BACKBONES:
        raise InputError(f"{given.backbone}: unknown backbone; known: {', '.join(BACKBONES)}")
    found = resolve_weights(given.backbone, file=given.file, cache=places_of(given).cache,
                            say=lambda text: CONSOLE.print(text, highlight=False))
    CONSOLE.print(f"{found.path}\nsha256 {found.sha256}\nfrom {found.source}", highlight=False)
    return 0


def ui(given: argparse.Namespace) -> int:
    command = open_existing(given).ui_command(port=given.port)
    CONSOLE.print(f"http://127.0.0.1:{given.port} (Ctrl-C ends it)", highlight=False)
    return subprocess.run(command, cwd=places_of(given).results).returncode
