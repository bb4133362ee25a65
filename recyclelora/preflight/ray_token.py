"""A cluster that is joined asks for a token: whoever reaches a Ray without one runs code on its machines. The driver's
environment says whether it does, or that its network is closed."""

import os
from pathlib import Path

from recyclelora.preflight.finding import Answer, Check, Faults, Question


def token_file() -> Path:
    """Where Ray looks for the token, unless the environment holds the token itself."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def measure(asked: Question) -> Answer:
    """`mode`: RAY_AUTH_MODE; `file`: a token file that is there, though perhaps not used; `unread`: why the one that
    RAY_AUTH_TOKEN_PATH names cannot be read."""
    named, file = os.environ.get("RAY_AUTH_TOKEN_PATH", ""), token_file()
    unread = ""
    try:
        if not file.read_text().strip():
            unread = "is empty"
    except OSError as error:
        unread = str(error.strerror)
    return {"mode": os.environ.get("RAY_AUTH_MODE", ""), "file": "" if unread else str(file),
            "unread": f"{named} {unread}" if named and unread and "RAY_AUTH_TOKEN" not in os.environ else ""}


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
        start = f"; {there['file']} holds one, which RAY_AUTH_MODE=token uses" if there["file"] else ""
        yield (f"{asked.cluster} asks for none: whoever reaches it runs code there; start it and this with "
               f"RAY_AUTH_MODE=token, or say RAY_AUTH_MODE=disabled where its network is closed{start}"), True


CHECK = Check("token", measure, judge)
