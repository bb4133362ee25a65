"""What each verb of the command line does: read, call the rooms, print. Each returns its exit code."""

from recyclelora.verbs.look import data, show, ui, weights
from recyclelora.verbs.models import evaluate, predict, train
from recyclelora.verbs.results import tables
from recyclelora.verbs.sweeping import status, sweep

__all__ = ["data", "evaluate", "predict", "show", "status", "sweep", "tables", "train", "ui", "weights"]
