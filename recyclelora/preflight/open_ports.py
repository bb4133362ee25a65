"""Servers that this user runs, and that listen on all interfaces of the machine: Ray's without a token, MLflow's. A Ray
always does, so that the token decides. One on a node of the cluster stops a sweep, unless the driver's environment says
that the network is closed."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from recyclelora.preflight.finding import Answer, Check, Faults, Question

TABLES, LISTENING, ANYWHERE = ("/proc/net/tcp", "/proc/net/tcp6"), "0A", {"0" * 8, "0" * 32}
SERVERS = {"Ray": re.compile(r"(^|/)(gcs_server|raylet)$|dashboard/dashboard\.py$"), "MLflow": re.compile(r"mlflow")}


def measure(asked: Question) -> Answer:
    """`mode`: RAY_AUTH_MODE. `open`: [name, port, whether a token is asked for] of each server, none where the system
    has no /proc."""
    waiting = dict(_listening())
    found = {(name, port, secured) for name, secured, sockets in (_servers() if waiting else ())
             for inode, port in waiting.items() if inode in sockets}
    return {"mode": os.environ.get("RAY_AUTH_MODE", ""), "open": sorted(found)}


def _listening() -> Iterator[tuple[str, int]]:
    """Inode and port of each socket that waits for connections from anywhere."""
    for table in TABLES:
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                address, _, port = fields[1].partition(":")
                if fields[3] == LISTENING and address in ANYWHERE:
                    yield fields[9], int(port, 16)


def _servers() -> Iterator[tuple[str, bool, set[str]]]:
    """Name, whether it asks for a token, and the inodes of its sockets."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_text(errors="replace").split("\0")
            name = next((name for name, sign in SERVERS.items() if any(map(sign.search, words[:3]))), None)
            if name and (name == "Ray" or "server" in words):
                yield name, b"RAY_AUTH_MODE=token\0" in (process / "environ").read_bytes(), set(_sockets(process))


def _sockets(process: Path) -> Iterator[str]:
    for file in (process / "fd").iterdir():
        with suppress(OSError):
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(file))
            if found:
                yield found[1]


def judge(asked: Question, here: Answer, there: Answer) -> Faults:
    for server in SERVERS:
        ports = sorted({port for name, port, secured in there["open"] if name == server and not secured})
        if ports:
            listed = f"listens on all interfaces (port{'s' if len(ports) > 1 else ''} {', '.join(map(str, ports))})"
            if server == "Ray":
                stops = bool(asked.cluster) and there is not here and here["mode"] != "disabled"
                yield f"a Ray that was not started with RAY_AUTH_MODE=token {listed}, and runs what it is sent", stops
            else:
                yield f"an MLflow server {listed}; start it with --host 127.0.0.1, or let only your nodes in", False


CHECK = Check("open ports", measure, judge)
