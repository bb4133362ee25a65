"""A Ray cluster of several nodes on this machine, started as on a real one, by `ray start`. A node may have file systems
of its own in place of folders of the others (Linux, as root), and its own environment."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

RAY = Path(sys.executable).with_name("ray")


class Nodes:
    """`environment` is what a driver needs to join: the address and the token. `jobs`: the address of the job server, if
    there is one."""

    def __init__(self, folder: Path, *, jobs: bool = False) -> None:
        (folder / "home").mkdir(parents=True)
        self.address, self.jobs = (f"127.0.0.1:{port}" for port in _free_ports(2))
        server = [f"--dashboard-port={self.jobs.partition(':')[2]}", "--dashboard-host=127.0.0.1"] if jobs else []
        self.environment = {"RAY_ADDRESS": self.address, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),
                            "HOME": str(folder / "home")}
        self.session = Path(f"/tmp/rl-{secrets.token_hex(4)}")  # short: sockets lie in it
        self.folder, self.started = folder, list["subprocess.Popen[bytes]"]()
        self._start(["--head", f"--port={self.address.partition(':')[2]}", "--num-cpus=0", f"--include-dashboard={jobs}", *server,
                     f"--temp-dir={self.session}"], {}, "")

    def add(self, cpus: int = 1, hidden: Mapping[Path, Path | None] | None = None, gpus: int = 0, **environment: str) -> None:
        """A node that is said to have so many CPUs and GPUs. Each of the `hidden` folders is another one there: the one it is mapped to, or an
        empty one."""
        mounts = [f"mount --bind '{other}' '{folder}'" if other else f"mount -t tmpfs -o mode=777 tmpfs '{folder}'"
                  for folder, other in (hidden or {}).items()]
        self._start([f"--address={self.address}", f"--num-cpus={cpus}", f"--num-gpus={gpus}"], environment, " && ".join(mounts))

    def _start(self, options: list[str], environment: Mapping[str, str], mounts: str) -> None:
        command = [str(RAY), "start", "--block", "--node-ip-address=127.0.0.1", "--object-store-memory=80000000", *options]
        if mounts:
            command = ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh", *command]
        log = (self.folder / f"node-{len(self.started)}.log").open("wb")
        self.started.append(subprocess.Popen(command, env={**os.environ, **self.environment, **environment}, stdout=log,
                                             stderr=log, start_new_session=True))
        self._wait_for(self.started[-1], self.folder / f"node-{len(self.started) - 1}.log")

    def _wait_for(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        deadline = time.monotonic() + 180
        while b"Ray runtime started" not in log.read_bytes():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    def remove(self, place: int) -> None:
        """End a node at once; 0 is the head."""
        os.killpg(self.started[place].pid, signal.SIGKILL)
        self.started[place].wait()

    def end(self) -> None:
        for number, seconds in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 20.0)):
            for process in self.started:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            deadline = time.monotonic() + seconds
            for process in self.started:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        shutil.rmtree(self.session, ignore_errors=True)


@contextlib.contextmanager
def nodes(folder: Path, *, jobs: bool = False) -> Iterator[Nodes]:
    """A head without CPUs, to which nodes can be added; with a job server on request (needs ray[default])."""
    made = Nodes(folder, jobs=jobs)
    try:
        yield made
    finally:
        made.end()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        asked = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in asked:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in asked]


def own_file_systems() -> None:
    """Skips a test that needs nodes with file systems of their own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or subprocess.run(
            ["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("only root can give a process file systems of its own")
