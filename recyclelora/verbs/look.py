"""`weights`, `ui`: looking at what is there, before and after."""

import argparse
import subprocess

from recyclelora.errors import InputError
from recyclelora.models.backbones import BACKBONES
from recyclelora.models.weights import resolve_weights
from recyclelora.verbs.console import CONSOLE, open_existing, paths_of


def weights(given: argparse.Namespace) -> int:
    if given.backbone not in BACKBONES:
        raise InputError(f"{given.backbone}: unknown backbone; known: {', '.join(BACKBONES)}")
    found = resolve_weights(given.backbone, file=given.file, cache=paths_of(given).cache,
                            say=lambda text: CONSOLE.print(text, highlight=False))
    CONSOLE.print(f"{found.path}\nsha256 {found.sha256}\nfrom {found.source}", highlight=False)
    return 0


def ui(given: argparse.Namespace) -> int:
    command = open_existing(given).ui_command(port=given.port)
    CONSOLE.print(f"http://127.0.0.1:{given.port} (Ctrl-C ends it)", highlight=False)
    return subprocess.run(command, cwd=paths_of(given).results).returncode
