"""What each verb of the command line does: read, call the rooms, print. Each returns its exit code."""

from recyclelora.verbs.backbones import backbones
from recyclelora.verbs.look import data, show, ui, weights
from recyclelora.verbs.models import evaluate, predict, train
from recyclelora.verbs.results import analyse, explain, tables
from recyclelora.verbs.results import write_report as report
from recyclelora.verbs.sweeping import noise, plan, status, sweep

__all__ = ["analyse", "backbones", "data", "evaluate", "explain", "noise", "plan", "predict", "report", "show",
           "status", "sweep", "tables", "train", "ui", "weights"]
