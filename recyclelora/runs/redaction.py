"""Addresses of stores and the secrets in them: what may be shown, and texts without them."""

import base64
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from recyclelora.errors import InputError

HIDDEN = "***"
SHORTEST = 4  # characters; a shorter word is part of too many others to be looked for on its own
ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_BACKEND_STORE_URI", "RAY_ADDRESS", "HTTP_PROXY",
             "HTTPS_PROXY", "http_proxy", "https_proxy")
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_FLASK_SERVER_SECRET_KEY", "RAY_AUTH_TOKEN",
           "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING",
           "HF_TOKEN")
FILES = ("RAY_AUTH_TOKEN_PATH",)  # that hold a secret
TELLING = re.compile("pass|pwd|token|key|secret|sig|auth|cred", re.IGNORECASE)  # names of secret parts of a query


def check_address(uri: str) -> str:
    """The address of a tracking store, if it can be read as one. Raises InputError."""
    try:
        parts = urlsplit(uri.strip())
        if parts.scheme and (parts.port or True):  # reading the port checks it
            return uri.strip()
    except ValueError:
        pass
    raise InputError("MLFLOW_TRACKING_URI: not an address; expected one such as http://127.0.0.1:5000") from None


def redact(uri: str) -> str:
    """An address without user, password and query, fit to be shown."""
    scheme, slashes, rest = uri.partition("://") if "://" in uri else ("", "", uri)
    place, _, query = rest.partition("?")
    return f"{scheme}{slashes}{HIDDEN if '@' in query else place.rpartition('@')[2]}"


def hide(text: str, uri: str) -> str:
    """The text without the address's user, password and query."""
    return hide_all(text, secrets_in(uri))


def hide_all(text: str, secrets: Mapping[str, str]) -> str:
    """The text with each of the secrets replaced by what may be shown for it."""
    for secret in sorted(secrets, key=len, reverse=True):  # a whole address before its parts
        text = text.replace(secret, secrets[secret])
    return text


def secrets_in(uri: str) -> dict[str, str]:
    """What is secret in an address -> what is shown in its place: the address as a whole, its user and password
    together, the password alone (the user, where there is none: a token), the query and what looks secret in it; as
    they are written and decoded."""
    place, _, query = uri.partition("://")[2].partition("?")
    login = place.rpartition("@")[0]
    user, _, password = login.partition(":")
    values = [value for key, value in parse_qsl(query) if TELLING.search(key)]
    found = _hidden([password or user, query, *values])
    if login:
        plain = unquote(login)
        found |= {f"{login}@": "", f"{plain}@": "", base64.b64encode(plain.encode()).decode(): HIDDEN}
    return found | ({uri: redact(uri)} if found else {})


def secrets_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The secrets that the environment holds -> what is shown in their place."""
    found: dict[str, str] = {}
    for name in ADDRESSES:
        found |= secrets_in(environment.get(name, ""))
    found |= _hidden([*(environment.get(name, "") for name in SECRETS),
                      *(_content(environment.get(name)) for name in FILES)])
    user, password = (environment.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD"))
    return found | (_hidden([base64.b64encode(f"{user}:{password}".encode()).decode()]) if password else {})


def _hidden(secrets: Iterable[str]) -> dict[str, str]:
    """Each secret as it is written, decoded and encoded for an address."""
    plain = {secret.strip(): unquote(secret).strip() for secret in secrets}
    spellings = {*plain.keys(), *plain.values(), *(quote(secret, safe="") for secret in plain.values())}
    return {secret: HIDDEN for secret in spellings if len(secret) >= SHORTEST}


def _content(path: str | None) -> str:
    try:
        return Path(path).read_text("utf-8") if path else ""
    except (OSError, ValueError):
        return ""
