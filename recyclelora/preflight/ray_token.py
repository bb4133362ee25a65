"""A cluster that is joined asks for a token: whoever reaches a Ray without one runs code on its machines. The driver's
environment says whether it does, or that its network is closed."""

import os
from pathlib import Path

from recyclelora.errors import InputError
from recyclelora.preflight.finding import Answer, Check, Faults, Question


def token_file() -> Path:
    """Where Ray looks for the token, unless the environment holds the token itself."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def auth_mode() -> str:
    """Whether a driver shows a token to the cluster that it joins: "token", "disabled", or "" where there is none to
    show. Ray takes a token that lies there only where RAY_AUTH_MODE says so; here one that lies there is enough."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return os.environ.get("RAY_AUTH_MODE", "").lower() or ("token" if named or _content()[0] else "")


def unreadable() -> str:
    """The token file and why there is no token in it; "" where there is one, or the environment holds the token."""
    return "" if os.environ.get("RAY_AUTH_TOKEN") else _content()[1]


def token() -> str:
    """The token that a driver shows. Raises InputError where it cannot be read."""
    if unread := unreadable():
        raise InputError(f"the token cannot be read: {unread}; write the cluster's token into it")
    return os.environ.get("RAY_AUTH_TOKEN", "").strip() or _content()[0]


def _content() -> tuple[str, str]:
    """The token in the file, or why there is none."""
    try:
        text = token_file().read_text().strip()
    except (OSError, ValueError) as error:
        return "", f"{token_file()}: {getattr(error, 'strerror', None) or 'is no text'}"
    return text, "" if text else f"{token_file()}: is empty"


def measure(asked: Question) -> Answer:
    """`mode`: that of this machine's drivers. `unread`: why the token file that RAY_AUTH_TOKEN_PATH names cannot be
    read."""
    return {"mode": auth_mode(), "unread": unreadable() if os.environ.get("RAY_AUTH_TOKEN_PATH") else ""}


def judge(asked: Question, here: Answer, there: Answer) -> Faults:
    if there is not here:
        return
    if there["unread"]:
        yield f"RAY_AUTH_TOKEN_PATH: {there['unread']}; write the cluster's token into it", True
    elif not asked.cluster or there["mode"] == "token":
        return
    elif there["mode"] == "disabled":
        yield f"{asked.cluster} asks for none: whoever reaches it runs code there; keep its network closed", False
    else:
        yield (f"{asked.cluster} asks for none: whoever reaches it runs code there; start it with RAY_AUTH_MODE=token, "
               "or say RAY_AUTH_MODE=disabled here where its network is closed"), True


CHECK = Check("token", measure, judge)
