"""The MLflow server answers a real call of its API. The driver needs it; a worker does not, since only the driver
writes to it, but may in a later version or for your own tools."""

import os

from recyclelora.preflight.finding import Answer, Check, Faults, Question
from recyclelora.runs.mlflow_urls import on_server
from recyclelora.runs.reachability import ask
from recyclelora.runs.redaction import redact

UNKNOWN = "HTTP 401"  # the server asks who calls: it answers, and workers are given no password


def measure(asked: Question) -> Answer:
    own = os.environ.get("MLFLOW_TRACKING_URI", "")  # which may hold a password
    uri = own if redact(own) == asked.store else asked.store if on_server(asked.store) else ""
    return {"refusal": ask(uri, os.environ) if uri else ""}


def judge(asked: Question, here: Answer, there: Answer) -> Faults:
    refusal = there["refusal"]
    if refusal and (there is here or not refusal.startswith(UNKNOWN)):
        yield f"{asked.store} does not serve it ({refusal})", there is here


CHECK = Check("MLflow", measure, judge)
