"""Machines on this one: each with processes, a network, a host name, a /tmp and a home of its own (Linux namespaces), so
that what runs there sees a machine that is not the other one, and `ray stop` ends what it should and nothing else. The
rest of the file system is common to all, as a shared disk would be. Needs root."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import CACHE, REPO

NEEDED = ("ip", "unshare", "nsenter", "mount", "hostname")
NETWORK = "10.213.7"  # a cable between the two, and to nothing else
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder that all machines see. Not below /tmp, which each has its own of."""
    made = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="shared-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def lacking(*programs: str) -> str:
    """Why there can be no machines here, or none that run these programs; "" where there can."""
    absent = [name for name in (*NEEDED, *programs) if not shutil.which(name, path=SEARCH_PATH)]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if os.geteuid() != 0:
        return "needs root, for namespaces"
    tried = subprocess.run(["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "--mount-proc", "true"],
                           capture_output=True, text=True)
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


class Machine:
    """A running machine. `process` is outside of it; its child, the first process inside, is what all others end with."""

    def __init__(self, name: str, address: str, process: "subprocess.Popen[bytes]") -> None:
        self.name, self.address, self.process = name, address, process

    def run(self, *words: str, cwd: Path, seconds: float = 120, **environment: str) -> "subprocess.CompletedProcess[str]":
        """What somebody types there."""
        (inside,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return subprocess.run(["nsenter", f"--target={inside}", "--mount", "--uts", "--net", "--pid", f"--wd={cwd}", *words],
                              env={**os.environ, "PATH": SEARCH_PATH} | environment, capture_output=True, text=True,
                              timeout=seconds)


@contextmanager
def two_machines(folder: Path, commands: Sequence[str], **environment: str) -> Iterator[list[Machine]]:
    """Machines n1 and n2, each with a shell command that runs as long as it does. `folder` holds their logs; it must not
    lie below /tmp or the home. When the block ends, so do all processes there, and no others."""
    tag, machines = f"rl{os.getpid() % 100000}", list[Machine]()
    names = [f"n{i}" for i in (1, 2)]
    (folder / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{NETWORK}.{i} n{i}\n" for i in (1, 2)))
    try:
        _wire(tag, names)
        for i, (name, command) in enumerate(zip(names, commands, strict=True), 1):
            with (folder / f"{name}.log").open("wb") as output:
                process = subprocess.Popen(
                    ["nsenter", f"--net=/run/netns/{tag}{name}", "unshare", "--pid", "--mount", "--uts", "--fork",
                     "--mount-proc", "--kill-child", "sh", "-c", f"{_own(folder, name)}; {command}; touch {folder}/{name}.up; wait"],
                    env={**os.environ, "PATH": SEARCH_PATH} | environment, stdout=output, stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL, start_new_session=True)
            machines.append(Machine(name, f"{NETWORK}.{i}", process))
        end = time.monotonic() + 60
        while not all((folder / f"{name}.up").exists() for name in names):
            assert time.monotonic() < end, "the machines do not come up"
            time.sleep(0.1)
        yield machines
    finally:
        for machine in machines:  # unshare heeds no gentler signal while it waits
            machine.process.kill()
            machine.process.wait()
        for name in names:
            subprocess.run(["ip", "netns", "delete", f"{tag}{name}"], capture_output=True)


def _own(folder: Path, name: str) -> str:
    """A host name, an empty /tmp and an empty home; but where Python or this checkout lies in one of them, it is kept."""
    empty = (Path("/tmp"), Path.home())
    kept = {path.resolve() for path in (Path(sys.base_prefix), Path(sys.prefix), REPO, *map(Path, filter(None, [CACHE])))}
    kept = {path for path in kept if any(path.is_relative_to(each) for each in empty) and not kept & set(path.parents)}
    held = {path: f"/mnt/{number}" for number, path in enumerate(sorted(kept))}
    return "; ".join([f"hostname {name}", "mount -t tmpfs tmpfs /mnt",
                      *(f"mkdir {place} && mount --bind {path} {place}" for path, place in held.items()),
                      *(f"mount -t tmpfs tmpfs {path}" for path in empty),
                      *(f"mkdir -p {path} && mount --move {place} {path}" for path, place in held.items()),
                      f"mount --bind {folder}/hosts /etc/hosts"])


def _wire(tag: str, names: Sequence[str]) -> None:
    one, two = (f"{tag}{name}" for name in names)
    for space in (one, two):
        _ip("netns", "add", space)
        _ip("-n", space, "link", "set", "lo", "up")
    _ip("link", "add", "eth0", "netns", one, "type", "veth", "peer", "name", "eth0", "netns", two)
    for i, space in enumerate((one, two), 1):
        _ip("-n", space, "addr", "add", f"{NETWORK}.{i}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, env={**os.environ, "PATH": SEARCH_PATH})
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
