"""The rendered files of workstations at work: real `ray up` over real ssh to two machines, with a token."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recyclelora.clusters.profile import read_profile
from recyclelora.writing import write_text
from tests.conftest import REPO
from tests.machines import NETWORK, lacking, shared_folder, two_machines

pytestmark = [pytest.mark.slow, pytest.mark.alone]
WHY_NOT = lacking("sshd", "ssh", "ssh-keygen", "rsync", "pgrep")

PROFILE = """\
name: pair
kinds: [ray_up_local]
nodes: 2
node: {{cpus: 1, memory_gb: 8}}
paths: {{checkout: {folder}/checkout, environment: {environment}, results: {folder}/results}}
ray: {{token_file: ~/.ray/auth_token}}
machines: {{head: {network}.1, workers: [{network}.2], user: root, key: {folder}/key}}
"""
ASK = "import ray; ray.init(address='{network}.1:6379'); print(sorted(node['NodeManagerAddress'] for node in ray.nodes() if node['Alive']))"


@pytest.fixture
def folder() -> Iterator[Path]:
    with shared_folder() as made:
        yield made


def serve_ssh(folder: Path) -> str:
    """The command that answers ssh; who has the key comes in."""
    for name in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "key.pub", folder / "authorized")
    (folder / "sshd.conf").write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\nPidFile none\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nSetEnv PYTHONPATH={}\n".format(REPO))
    return f"mkdir -p /run/sshd; {shutil.which('sshd', path='/usr/sbin:/usr/bin')} -D -f {folder}/sshd.conf & true"


@pytest.mark.skipif(bool(WHY_NOT), reason=f"no machines here: {WHY_NOT}")
def test_ray_up_makes_one_cluster_of_two_machines_and_leaves_it_alone_the_second_time(folder: Path) -> None:
    environment = Path(sys.prefix)
    (folder / "profile.yaml").write_text(PROFILE.format(folder=folder, environment=environment, network=NETWORK))
    for name, text in read_profile(folder / "profile.yaml").render().items():
        write_text(folder / name, text)
    (folder / "checkout").mkdir()
    ssh = serve_ssh(folder)
    path = f"{environment}/bin:{os.environ['PATH']}"
    with two_machines(folder, [ssh, ssh]) as (first, second):
        def typed(command: str) -> "subprocess.CompletedProcess[str]":
            done = first.run("bash", "-c", command, cwd=folder, seconds=600, PATH=path, RAY_AUTH_MODE="token")
            assert done.returncode == 0, f"{command}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
            return done

        typed("umask 077; ray get-auth-token --generate >/dev/null; stat -c %a ~/.ray/auth_token | grep -qx 600")
        typed("ray up --yes --no-config-cache ray-up.yaml")
        nodes, end = "", time.monotonic() + 300
        while nodes != str([first.address, second.address]) and time.monotonic() < end:
            nodes = typed(f"python -c \"{ASK.format(network=NETWORK)}\"").stdout.strip()
            time.sleep(2)
        logs = typed("tail -n 40 /tmp/ray/session_latest/logs/monitor.*").stdout
        assert nodes == str([first.address, second.address]), logs
        refused = first.run("python", "-c", ASK.format(network=NETWORK), cwd=folder, PATH=path, RAY_AUTH_MODE="disabled", seconds=300)
        assert refused.returncode != 0, "nobody gets in without the token"
        before = raylets(first)
        typed("ray up --yes --no-config-cache ray-up.yaml")
        assert raylets(first) == before, "a cluster that runs is left as it is"
        for machine in (first, second):
            typed(f"ssh -i key -o StrictHostKeyChecking=no root@{machine.address} {environment}/bin/ray stop")
            assert not raylets(machine)


def raylets(machine: object) -> list[str]:
    found = machine.run("pgrep", "-f", "[r]aylet/raylet", cwd=Path("/"))  # type: ignore[attr-defined]
    return list(found.stdout.split())
