"""Whether a tracking store answers a real call of its API. A health page is no proof: MLflow serves it to clients to
whom it refuses everything else."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from recyclelora.runs.mlflow_urls import on_server
from recyclelora.runs.redaction import hide
from recyclelora.runs.store import connect

SEARCH = "/api/2.0/mlflow/experiments/search"


def ask(uri: str, environment: Mapping[str, str], patience: float = 10.0) -> str:
    """"" where the store answers within `patience` seconds, or why it does not. `environment` may hold MLflow's user,
    password or token."""
    if not on_server(uri):
        return "" if connect(uri) is not None else "no database of MLflow's answers there"
    try:
        request, trust = _request(uri, environment), _trust(environment)
        with urllib.request.urlopen(request, timeout=patience, context=trust) as answer:
            json.loads(answer.read())
        return ""
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}: {hide(_first_line(error), uri)}"
    except (OSError, ValueError) as error:
        return hide(str(getattr(error, "reason", error)), uri)


def _request(uri: str, environment: Mapping[str, str]) -> urllib.request.Request:
    parts = urlsplit(uri)
    place = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/") + SEARCH, query="")
    made = urllib.request.Request(place.geturl(), data=b'{"max_results": 1}',
                                  headers={"Content-Type": "application/json"})
    user = unquote(parts.username or "") or environment.get("MLFLOW_TRACKING_USERNAME", "")
    password = unquote(parts.password or "") or environment.get("MLFLOW_TRACKING_PASSWORD", "")
    token = environment.get("MLFLOW_TRACKING_TOKEN", "")
    if user:
        made.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
    elif token:
        made.add_header("Authorization", f"Bearer {token}")
    return made


def _trust(environment: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None)
    if environment.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _first_line(error: urllib.error.HTTPError) -> str:
    text = error.read(2000).decode("utf-8", "replace").strip()
    return (text.splitlines() or [error.reason])[0][:200]
