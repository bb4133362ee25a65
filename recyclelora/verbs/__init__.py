"""What each verb of the command line does: read, call the rooms, print. Each returns its exit code."""

import argparse
from collections.abc import Callable
from importlib import import_module

# verb -> the module and the function in it. Only that one is imported: `data` and `status` should not wait for timm
WHERE = {
    "analyse": "results.analyse", "backbones": "backbones.backbones", "data": "data.data",
    "evaluate": "scoring.evaluate", "explain": "results.explain", "export": "exports.export",
    "import": "imports.import_model", "noise": "sweeping.noise", "plan": "sweeping.plan",
    "predict": "predicting.predict", "report": "results.write_report", "show": "show.show",
    "status": "sweeping.status", "sweep": "sweeping.sweep", "tables": "results.tables", "train": "models.train",
    "ui": "look.ui", "weights": "look.weights",
}


def find_verb(name: str) -> Callable[[argparse.Namespace], int]:
    module, _, function = WHERE[name].partition(".")
    found: Callable[[argparse.Namespace], int] = getattr(import_module(f"recyclelora.verbs.{module}"), function)
    return found
