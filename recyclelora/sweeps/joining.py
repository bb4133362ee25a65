"""The way into a cluster that runs already, and what is said where there is none."""

import contextlib
import os
import platform
import re
import socket
import sys
from collections.abc import Iterator

import ray

from recyclelora.errors import InputError, chain_of, reason_of
from recyclelora.preflight.ray_token import auth_mode, unreadable
from recyclelora.runs.redaction import redact
from recyclelora.sweeps.ray_process import begin

TRIES = "2"  # of Ray, a second each where the token is refused; its own are 20
_TRIES = "RAY_gcs_server_port_wait_time_s"
_SUBMIT = "submit the sweep instead: make sweep CLUSTER=profile.yaml"
_VERSIONS = re.compile(r"Version mismatch: .*?Ray: (\S+)\s+Python: (\S+)", re.DOTALL)
_REFUSED = re.compile(r"AuthenticationError|InvalidAuthToken|authentication token")


def join(address: str) -> None:
    """Join the cluster at `address`, with the token that lies where Ray looks for one. Raises InputError, which says
    which it is: no address for a driver, no readable token, nothing that listens, a token that is refused, or other
    versions."""
    _check_form(address)
    mode = auth_mode()
    if unread := unreadable() if mode == "token" else "":
        raise _error(address, f"the token cannot be read: {unread}; write the cluster's token into it")
    _knock(address)
    variables = {_TRIES: os.environ.get(_TRIES, TRIES), **({"RAY_AUTH_MODE": mode} if mode else {})}
    try:
        with _without_warnings():
            begin(variables, address=address)
    except Exception as error:
        raise _error(address, reason_of_refusal(error)) from None


def reason_of_refusal(error: BaseException) -> str:
    """Why Ray did not join, from what it raised, and what would be right."""
    text = "\n".join(f"{type(each).__name__}: {each}" for each in chain_of(error))
    if versions := _VERSIONS.search(text):
        return (f"the versions differ: the cluster has Ray {versions[1]} and Python {versions[2]}, this environment "
                f"has Ray {ray.__version__} and Python {platform.python_version()}; use the same on both sides")
    if _REFUSED.search(text) and auth_mode() == "token":
        return ("the cluster refused the token; put its own into ~/.ray/auth_token, or name the file in "
                "RAY_AUTH_TOKEN_PATH")
    if _REFUSED.search(text):
        why = "RAY_AUTH_MODE=disabled keeps it back" if auth_mode() else "none was found"
        return (f"the cluster asks for a token, and {why}; put it into ~/.ray/auth_token, or name its file in "
                "RAY_AUTH_TOKEN_PATH, without RAY_AUTH_MODE=disabled")
    return f"no Ray cluster answers there ({reason_of(error)}); start it, or unset RAY_ADDRESS to run on this machine"


def _error(address: str, reason: str) -> InputError:
    return InputError(f"RAY_ADDRESS={redact(address)}: {reason}")


def _check_form(address: str) -> None:
    scheme, divider, rest = address.rpartition("://")
    host, _, port = rest.rpartition(":")
    if divider and scheme == "ray":
        raise _error(address, "the client that ray:// needs (ray[client]) is not installed, and no sweep runs through "
                              f"it; give HOST:PORT of the head on a machine that reaches it, such as head:6379, or "
                              f"{_SUBMIT}")
    if divider:
        raise _error(address, "that is a server of jobs or another web page, which no driver joins; give HOST:PORT of "
                              f"the head, such as head:6379, or {_SUBMIT}")
    if address != "auto" and not (host and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536):
        raise _error(address, "is no address of a cluster; expected HOST:PORT of its head, such as head:6379, or auto; "
                              "unset RAY_ADDRESS to run on this machine")


def _knock(address: str) -> None:
    """Ray itself waits for minutes at a door that nobody opens."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise _error(address, f"nothing listens there ({error.strerror or error}); start the cluster, or unset "
                              "RAY_ADDRESS to run on this machine") from None


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Ray's library writes warnings straight to the standard error of the process; the exception says the same."""
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, AttributeError):  # there is none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
