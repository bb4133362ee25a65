"""MLflow's web pages: the command that serves them, and the addresses of runs on them."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

from recyclelora.errors import InputError
from recyclelora.runs.redaction import redact


def on_server(uri: str) -> bool:
    """Whether the store is a server, which serves its own pages."""
    return urlsplit(uri).scheme in ("http", "https")


def command(uri: str, artifacts: Path, host: str, port: int) -> list[str]:
    """Arguments that start the pages on a store that is no server. Raises InputError for a server, for an address that
    holds a password, which does not belong into a process list, and for a `host` that other machines reach: whoever
    reaches MLflow's pages without a login can change and delete runs."""
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise InputError(f"{host}: pages without a login are served on 127.0.0.1 only; reach them through `ssh -L`, or "
                         "run `mlflow server --app-name basic-auth`")
    parts = urlsplit(uri)
    if on_server(uri):
        raise InputError(f"the runs are on a server; its pages are at {redact(uri)}")
    if parts.username or parts.password:
        raise InputError(f"{redact(uri)}: needs a password; put the address into MLFLOW_BACKEND_STORE_URI "
                         "and run `mlflow server`")
    return [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--artifacts-destination",
            artifacts.as_uri(), "--host", host, "--port", str(port), "--workers", "1"]


def address(uri: str, experiment_id: str, run_ids: Sequence[str], port: int) -> str:
    """The page of one run, or the one that compares several. Local pages are those that `command` serves at `port`."""
    base = redact(uri).rstrip("/") if on_server(uri) else f"http://127.0.0.1:{port}"
    if len(run_ids) == 1:
        return f"{base}/#/experiments/{experiment_id}/runs/{run_ids[0]}"
    runs, experiments = (quote(json.dumps(ids, separators=(",", ":"))) for ids in (list(run_ids), [experiment_id]))
    return f"{base}/#/compare-runs?runs={runs}&experiments={experiments}"
