"""The cluster that a sweep starts for itself on this machine: nobody else reaches it, and nothing of it stays."""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ray._private import ray_constants

from recyclelora.errors import Outage, reason_of
from recyclelora.sockets import socket_folder
from recyclelora.sweeps.ray_process import begin

_PREFIX = "rl-"
# The longest path below the folder for temporary files.
_SOCKET = len(f"/{_PREFIX}12345678/ray/session_2026-01-01_00-00-00_123456_1234567/sockets/plasma_store")


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder for its sessions, sockets and token, which only this user may open (mode 0700) and which goes when
    the block ends. It lies where Ray would have its own, unless that path is too long for sockets. Raises
    InputError."""
    setting = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
    place = socket_folder(_SOCKET, preferred=os.environ.get(setting, "/tmp"), setting=setting)
    made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)  # a process that is still ending may write there


def start(folder: Path) -> None:
    """Start it, with a token of its own whatever the environment says, and with every port open on 127.0.0.1 alone
    (all of them, seen with `ss -ltnp` and Ray 2.60). Its sessions lie in a folder of the private one, since Ray gives
    them mode 0777. Raises Outage where it does not start."""
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": None, "RAY_AUTH_TOKEN_PATH": str(_token_in(folder))}
    try:
        with _loopback():
            begin(variables, address="local", include_dashboard=False, _temp_dir=str(folder / "ray"))
    except Exception as error:  # a slow machine makes it raise a bare one
        raise Outage(f"Ray did not start on this machine ({reason_of(error)})") from None


def _token_in(folder: Path) -> Path:
    """Without a file of our own, Ray would write ~/.ray/auth_token (mode 0644), and every later `ray start` of this
    user would ask for that token."""
    file = folder / "token"
    file.touch(mode=0o600)
    file.write_text(secrets.token_hex(32))
    return file


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """Have Ray take 127.0.0.1 as the address of this machine, as it does on a Mac, and listen there. On Linux it gives
    that up for an address that others reach, `_node_ip_address` or not."""
    former = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = former
