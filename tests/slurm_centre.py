"""A Slurm centre on two machines of this one: the controller and the nodes are real ones, of Debian's packages."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import machines
from tests.machines import NETWORK, SEARCH_PATH, Machine, two_machines

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol", "munged")

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
NodeName=n1 NodeAddr={network}.1 CPUs=1 RealMemory=8000
NodeName=n2 NodeAddr={network}.2 CPUs=1 RealMemory=8000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def lacking() -> str:
    """Why there can be no centre here; "" where there can."""
    return machines.lacking(*PROGRAMS)


class Centre:
    """A running centre. `run` is what a user types on its first node."""

    def __init__(self, folder: Path, nodes: list[Machine]) -> None:
        self.folder, self.nodes = folder, nodes

    def run(self, *words: str, **environment: str) -> str:
        done = self.nodes[0].run(*words, cwd=self.folder, **environment, SLURM_CONF=f"{self.folder}/slurm.conf")
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def show(self, job: str) -> str:
        return self.run("scontrol", "--oneliner", "show", "job", job)

    def wait_for(self, job: str, seconds: float) -> str:
        """The last state of a job, or of all parts of an array, once it is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            states = {word.partition("=")[2] for word in self.show(job).split() if word.startswith("JobState=")}
            if not states & {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED"}:
                return ",".join(sorted(states))
            time.sleep(1)
        raise AssertionError(f"{self.show(job)}\n{self.logs()}")

    def logs(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-4000:]}"
                         for path in sorted(self.folder.glob("*.log")))


@contextmanager
def slurm_centre(folder: Path) -> Iterator[Centre]:
    """A centre of two nodes with one CPU and 8 GB each. Its files are in `folder`."""
    (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, network=NETWORK))
    for name in ("state", "spool.n1", "spool.n2"):
        (folder / name).mkdir()
    daemons = [f"slurmctld -D -c & slurmd -D -N {name} &" if name == "n1" else f"slurmd -D -N {name} &" for name in ("n1", "n2")]
    with _munge(folder), two_machines(folder, [each + " true" for each in daemons],
                                      SLURM_CONF=f"{folder}/slurm.conf") as nodes:
        centre = Centre(folder, nodes)
        _until(lambda: centre.run("sinfo", "--noheader", "--format=%D %t") == "2 idle", 60, centre)
        yield centre


@contextmanager
def _munge(folder: Path) -> Iterator[None]:
    """The daemon that vouches for users. Its socket is a file, which the machines share."""
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    daemon = subprocess.Popen(["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
                               f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munge.log",
                               f"--seed-file={folder}/munge.seed"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env={**os.environ, "PATH": SEARCH_PATH}, start_new_session=True)
    try:
        end = time.monotonic() + 20
        while not (folder / "munge.socket").exists():
            assert time.monotonic() < end and daemon.poll() is None, "munged does not start"
            time.sleep(0.1)
        yield
    finally:
        daemon.terminate()
        daemon.wait(30)


def _until(done: Callable[[], bool], seconds: float, centre: Centre) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if done():
                return
        except (AssertionError, OSError, ValueError):
            assert time.monotonic() < end, centre.logs()
        assert time.monotonic() < end, centre.logs()
        time.sleep(0.2)
