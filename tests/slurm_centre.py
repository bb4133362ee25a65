"""A Slurm centre on one machine: a controller and nodes, real ones of Debian's packages. Each node has processes, a
network, a host name and a /tmp of its own (Linux namespaces), so that what runs on it sees a machine that is not the
other one, and `ray stop` ends what it should and nothing else. Needs root. The first node has the controller too."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

NEEDED = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol", "munged", "ip", "unshare", "nsenter", "mount", "hostname")
NETWORK = "10.213.7"  # between the nodes only

CONFIGURATION = """\
ClusterName=test
SlurmctldHost=n1({network}.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
KillWait=60
SlurmdParameters=config_overrides
SchedulerParameters=sched_min_interval=500000
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdSpoolDir={folder}/spool.%n
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def lacking() -> str:
    """Why there can be no centre here; "" where there can."""
    absent = [name for name in NEEDED if not shutil.which(name, path=_search_path())]
    if absent:
        return f"not installed: {', '.join(absent)} (slurmctld, slurmd, slurm-client, munge, iproute2)"
    if os.geteuid() != 0:
        return "needs root, for namespaces"
    tried = subprocess.run(["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "--mount-proc", "true"],
                           capture_output=True, text=True)
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


class Centre:
    """A running centre. `run` is what a user types on its first node."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = folder, names
        self.started: list[subprocess.Popen[bytes]] = []
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": _search_path()}

    def start(self, command: Sequence[str], log: str) -> "subprocess.Popen[bytes]":
        with (self.folder / log).open("wb") as output:
            process = subprocess.Popen(command, env=self.environment, stdout=output, stderr=subprocess.STDOUT,
                                       stdin=subprocess.DEVNULL, start_new_session=True)
        self.started.append(process)
        return process

    def run(self, *words: str, cwd: Path | None = None, check: bool = True, **environment: str) -> str:
        (inside,) = Path(f"/proc/{self.first.pid}/task/{self.first.pid}/children").read_text().split()
        done = subprocess.run(["nsenter", f"--target={inside}", "--mount", "--uts", "--net", "--pid", f"--wd={cwd or self.folder}",
                               *words], env=self.environment | environment, capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout.strip() if check else done.stdout + done.stderr

    @property
    def first(self) -> "subprocess.Popen[bytes]":
        return self.started[1]  # after munged

    def wait_for(self, job: str, seconds: float) -> str:
        """The last state of a job, or of all parts of an array, once it is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            told = self.run("scontrol", "--oneliner", "show", "job", job)
            states = {word.partition("=")[2] for word in told.split() if word.startswith("JobState=")}
            if not states & {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED"}:
                return ",".join(sorted(states))
            time.sleep(1)
        raise AssertionError(f"{told}\n{self.logs()}")

    def state_of(self, job: str) -> str:
        told = self.run("scontrol", "--oneliner", "show", "job", job)
        return next(word.partition("=")[2] for word in told.split() if word.startswith("JobState="))

    def logs(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-4000:]}"
                         for path in sorted(self.folder.glob("*.log")))


@contextmanager
def slurm_centre(folder: Path, *, nodes: int = 2, cpus: int = 1, memory_mb: int = 8000) -> Iterator[Centre]:
    """A centre whose files are in `folder`, which all nodes see; it must not lie below /tmp. When the block ends, so do
    the processes that were started, and with them all in their namespaces, and nothing else."""
    names = [f"n{i}" for i in range(1, nodes + 1)]
    centre, tag = Centre(folder, names), f"rl{os.getpid() % 100000}"
    rows = [f"NodeName={name} NodeAddr={NETWORK}.{i} CPUs={cpus} RealMemory={memory_mb} State=UNKNOWN"
            for i, name in enumerate(names, 1)]
    (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, network=NETWORK, nodes="\n".join(rows)))
    (folder / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{NETWORK}.{i} {name}\n" for i, name in enumerate(names, 1)))
    for name in ("state", *(f"spool.{name}" for name in names)):
        (folder / name).mkdir()
    try:
        _wire(tag, names)
        _start_munge(centre)
        for name in names:
            centre.start(["nsenter", f"--net=/run/netns/{tag}{name}", "unshare", "--pid", "--mount", "--uts", "--fork",
                          "--mount-proc", "--kill-child", "sh", "-c", _machine(folder, name)], f"machine.{name}.log")
        _wait_for_nodes(centre, len(names))
        yield centre
    finally:
        for process in centre.started:  # with the first process of a node, which is its child, all others there end
            process.kill()
            process.wait()
        for name in names:
            subprocess.run(["ip", "netns", "delete", f"{tag}{name}"], capture_output=True)


def _machine(folder: Path, name: str) -> str:
    """What the first process of a node does. Its end is the end of all others there."""
    controller = "slurmctld -D -c & sleep 1; " if name == "n1" else "sleep 1; "
    return (f"hostname {name}; mount -t tmpfs tmpfs /tmp; mount --bind {folder}/hosts /etc/hosts; {controller}"
            f"slurmd -D -N {name} & wait")


def _wire(tag: str, names: Sequence[str]) -> None:
    """A network of the nodes: a switch in the namespace of the first, one cable to each of the others."""
    first = f"{tag}{names[0]}"
    for name in names:
        _ip("netns", "add", f"{tag}{name}")
        _ip("-n", f"{tag}{name}", "link", "set", "lo", "up")
    if len(names) == 2:
        _ip("link", "add", "eth0", "netns", first, "type", "veth", "peer", "name", "eth0", "netns", f"{tag}{names[1]}")
    for i, name in enumerate(names[:2], 1):
        _ip("-n", f"{tag}{name}", "addr", "add", f"{NETWORK}.{i}/24", "dev", "eth0")
        _ip("-n", f"{tag}{name}", "link", "set", "eth0", "up")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


def _start_munge(centre: Centre) -> None:
    key = centre.folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    centre.start(["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={centre.folder}/munge.socket",
                  f"--pid-file={centre.folder}/munged.pid", f"--log-file={centre.folder}/munge.log",
                  f"--seed-file={centre.folder}/munge.seed"], "munged.log")
    _until((centre.folder / "munge.socket").exists, 20, centre)


def _wait_for_nodes(centre: Centre, count: int) -> None:
    def idle() -> bool:
        with suppress(ValueError, OSError):
            return centre.run("sinfo", "--noheader", "--format=%D %t", check=False).strip() == f"{count} idle"
        return False

    _until(idle, 60, centre)


def _until(done: object, seconds: float, centre: Centre) -> None:
    end = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        assert time.monotonic() < end, centre.logs()
        time.sleep(0.2)


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
