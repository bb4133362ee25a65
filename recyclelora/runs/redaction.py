"""Addresses of stores and the secrets in them: what may be shown, and texts without them."""

import base64
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from recyclelora.errors import InputError

HIDDEN = "***"
SHORTEST = 4  # characters; a shorter word is part of too many others to be looked for on its own
SHORTEST_GUESS = 8  # of what only a variable's name lets suspect: `USE_TOKEN=true` must not hide every "true"
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_FLASK_SERVER_SECRET_KEY", "RAY_AUTH_TOKEN",
           "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING",
           "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
FILES = ("RAY_AUTH_TOKEN_PATH",)  # that hold a secret
SUSPECT = re.compile("(TOKEN|PASSWORD|PASSWD|SECRET|SECRET_KEY|ACCESS_KEY|API_KEY|CONNECTION_STRING|"
                     "RECYCLELORA_NOTIFY)$", re.IGNORECASE)
PROXY = re.compile("_PROXY$", re.IGNORECASE)  # an address that may lack its scheme
TELLING = re.compile("pass|pwd|token|key|secret|sig|auth|cred", re.IGNORECASE)  # names of secret parts of a query
SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*:/+")
STYLE = r"(?:\x1b\[[0-9;]*m)*"  # a change of colour, which may stand in the middle of a word


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
    scheme, rest = _split(uri)
    place, authority = rest.partition("?")[0], _authority(rest)
    unclear = "@" in rest[len(authority):]  # which may be a password that holds a slash or a question mark
    return f"{scheme}{HIDDEN if unclear else place.rpartition('@')[2]}"


def hide(text: str, uri: str) -> str:
    """The text without the address's user, password and query."""
    return hide_all(text, secrets_in(uri))


def hide_all(text: str, secrets: Mapping[str, str]) -> str:
    """The text with each of the secrets replaced by what may be shown for it, in colours or not."""
    for secret in sorted(secrets, key=len, reverse=True):  # a whole address before its parts
        text = text.replace(secret, secrets[secret])
        if "\x1b" in text:
            text = re.sub(STYLE.join(map(re.escape, secret)), lambda _, shown=secrets[secret]: shown, text)  # type: ignore[misc]
    return text


def begun(text: str, secrets: Iterable[str]) -> int:
    """How many characters at the end of `text` may be the beginning of a secret."""
    counts = (count for secret in secrets for count in range(1, len(secret)) if text.endswith(secret[:count]))
    return max(counts, default=0)


def secrets_in(uri: str) -> dict[str, str]:
    """What is secret in an address -> what is shown in its place: the address as a whole, its user and password
    together, the password alone (the user, where there is none: a token), the query and what looks secret in it; as
    they are written and decoded. Where a sign such as a slash leaves open what the password is, every reading."""
    rest = _split(uri)[1]
    query = rest.partition("?")[2]
    logins = {part.rpartition("@")[0] for part in (_authority(rest), rest.partition("?")[0], rest)} - {""}
    values = [value for key, value in parse_qsl(query) if TELLING.search(key)]
    found = _hidden([*(_password(login) for login in logins), query, *values])
    for login in logins:
        plain = unquote(login)
        found |= {f"{login}@": "", f"{plain}@": "", base64.b64encode(plain.encode()).decode(): HIDDEN}
    return found | ({uri: redact(uri)} if found else {})


def secrets_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The secrets that the environment holds -> what is shown in their place."""
    found: dict[str, str] = {}
    for name, value in environment.items():
        if PROXY.search(name) or "://" in value:
            found |= secrets_in(value)
        if name in SECRETS or SUSPECT.search(name) and len(value) >= SHORTEST_GUESS:
            found |= _hidden([value])
        if name in FILES:
            found |= _hidden([_content(value)])
    user, password = (environment.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD"))
    return found | (_hidden([base64.b64encode(f"{user}:{password}".encode()).decode()]) if password else {})


def _split(uri: str) -> tuple[str, str]:
    """The scheme with its slashes, however many were typed, and the rest."""
    scheme = SCHEME.match(uri)
    return (scheme[0], uri[scheme.end():]) if scheme else ("", uri)


def _authority(rest: str) -> str:
    return re.split("[/?#]", rest, maxsplit=1)[0]


def _password(login: str) -> str:
    user, _, password = login.partition(":")
    return password or user


def _hidden(secrets: Iterable[str]) -> dict[str, str]:
    """Each secret as it is written, decoded and encoded for an address."""
    plain = {secret.strip(): unquote(secret).strip() for secret in secrets}
    spellings = {*plain.keys(), *plain.values(), *(quote(secret, safe="") for secret in plain.values())}
    return {secret: HIDDEN for secret in spellings if len(secret) >= SHORTEST}


def _content(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, ValueError):
        return ""
