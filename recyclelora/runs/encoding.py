"""Values and addresses as text: what a tracking store is given, and what may be shown of an address."""

import json
from urllib.parse import urlsplit

from recyclelora.errors import InputError


def encode(value: object) -> str:
    """A plain config value as text that `decode` reads back. Text is unchanged, unless it would be read as another
    value or a database would not keep it."""
    if not isinstance(value, str):
        return json.dumps(value)
    return value if value and decode(value) == value and value == clean(value) else json.dumps(value)


def decode(text: str) -> object:
    """The config value that `encode` wrote."""
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value


def clean(value: object, length: int | None = None) -> str:
    """Text that every database takes: no NUL, no half of a surrogate pair, not longer than its column."""
    return str(value).replace("\0", "").encode("utf-8", "replace").decode("utf-8")[:length]


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
    return f"{scheme}{slashes}{'***' if '@' in query else place.rpartition('@')[2]}"


def hide(text: str, uri: str) -> str:
    """The text without the address's user, password and query."""
    parts = urlsplit(uri)
    text = text.replace(uri, redact(uri))
    for secret in (parts.password, parts.username, parts.query):
        text = text.replace(secret, "***") if secret else text
    return text
