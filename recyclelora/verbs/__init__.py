"""The verbs of the command line. A verb is one file here, named as it is, with three names: HELP (one line),
`add_arguments(parser)` and `run(given)`, which returns the exit code. Every call of the command line imports all these
files, so at their top they import only what is light (argparse, errors, paths); `run` imports what it needs. The other
modules of this folder are what verbs share, or the longer part of one verb."""

import argparse
import keyword
from collections.abc import Iterator
from importlib import import_module
from typing import Protocol, cast

NAMES = ("sweep", "train", "evaluate", "predict", "export", "import", "plan", "noise", "status", "pause", "resume",
         "stop", "reconcile", "tables", "explain", "report", "analyse", "show", "methods", "backbones", "weights",
         "data", "doctor", "render", "submit", "remote", "ui")  # in the order of the help


class Verb(Protocol):
    """What the file of a verb holds."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, given: argparse.Namespace) -> int: ...


def load_verb(name: str) -> Verb:
    """The module of a verb. The file of a verb that is a keyword of Python is named with an underscore: import_.py."""
    module = f"{name}_" if keyword.iskeyword(name) else name
    return cast(Verb, import_module(f"recyclelora.verbs.{module}"))


def load_verbs() -> Iterator[tuple[str, Verb]]:
    for name in NAMES:
        yield name, load_verb(name)
