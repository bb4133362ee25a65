"""`import`: a checkpoint of another code becomes a model that `evaluate` and `predict` take."""

import argparse

from recyclelora.verbs.room import CONSOLE, places_of


def import_model(given: argparse.Namespace) -> int:
    from recyclelora.sweeps.foreign import Given, import_checkpoint

    places = places_of(given)
    out = (given.out or places.results / "imported" / given.file.stem).resolve()  # `.` has no name of its own
    found = import_checkpoint(given.file, out, Given(given.backbone, given.weights, given.alpha, given.crop),
                              places.cache)
    CONSOLE.print(f"layout: {found.layout}, backbone: {found.backbone}", highlight=False)
    for note in found.notes:
        CONSOLE.print(f"- {note}", highlight=False)
    CONSOLE.print(f"model: {out}", highlight=False)
    return 0
