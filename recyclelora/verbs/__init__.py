"""What each verb of the command line does: read, call the rooms, print. Each returns its exit code."""

from recyclelora.verbs.backbones import backbones
from recyclelora.verbs.data import data
from recyclelora.verbs.exports import export
from recyclelora.verbs.imports import import_model
from recyclelora.verbs.look import ui, weights
from recyclelora.verbs.models import train
from recyclelora.verbs.predicting import predict
from recyclelora.verbs.results import analyse, explain, tables
from recyclelora.verbs.results import write_report as report
from recyclelora.verbs.scoring import evaluate
from recyclelora.verbs.show import show
from recyclelora.verbs.sweeping import noise, plan, status, sweep

__all__ = ["analyse", "backbones", "data", "evaluate", "explain", "export", "import_model", "noise", "plan", "predict",
           "report", "show", "status", "sweep", "tables", "train", "ui", "weights"]
