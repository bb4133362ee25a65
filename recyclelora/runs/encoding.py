"""Values as text, as a tracking store is given them."""

import json


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
