"""`import`: a checkpoint of another code becomes a model that `evaluate` and `predict` take."""

import argparse

from recyclelora.verbs.console import CONSOLE, paths_of


def import_model(given: argparse.Namespace) -> int:
    from recyclelora.exchange.import_checkpoint import Given, import_checkpoint

    paths = paths_of(given)
    out = (given.out or paths.results / "imported" / given.file.stem).resolve()  # `.` has no name of its own
    found = import_checkpoint(given.file, out, Given(given.backbone, given.weights, given.alpha, given.crop),
                              paths.cache)
    CONSOLE.print(f"layout: {found.layout}, backbone: {found.backbone}", highlight=False)
    for note in found.notes:
        CONSOLE.print(f"- {note}", highlight=False)
    CONSOLE.print(f"model: {out}", highlight=False)
    return 0
