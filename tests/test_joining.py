"""The way into a Ray cluster: one message for each fault, and a private one that nobody else reaches and that leaves
nothing behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recyclelora.errors import InputError
from recyclelora.preflight.ray_token import auth_mode
from recyclelora.sweeps.cluster import cluster
from recyclelora.sweeps.joining import reason_of_refusal
from tests.nodes import nodes

PRIVATE = """
import json, os, stat
import ray
from pathlib import Path
from recyclelora.preflight.open_ports import _listening, _servers
from recyclelora.sweeps.cluster import cluster

def tokens():
    return {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")}


before = tokens()
with cluster(None):
    temp = Path(ray._private.worker._global_node.get_temp_dir_path())
    mode = ray.get(ray.remote(lambda: os.environ["RAY_AUTH_MODE"]).remote())
    own = {process.pid for kind in ray._private.worker._global_node.all_processes.values() for entry in kind
           for process in [entry.process]}
    inodes = dict(_listening())
    own |= {int(child) for each in own for child in Path(f"/proc/{each}/task/{each}/children").read_text().split()}
    held = {os.readlink(file) for each in [*own, os.getpid()] for file in Path(f"/proc/{each}/fd").iterdir()
            if file.is_symlink()}
    print(json.dumps({"mode": mode, "folder": stat.S_IMODE(temp.parent.stat().st_mode), "temp": str(temp),
                      "token": stat.S_IMODE((temp.parent / "token").stat().st_mode), "processes": len(own),
                      "open": [port for inode, port in inodes.items() if f"socket:[{inode}]" in held],
                      "environment": tokens() == before}))
"""
JOINING = """
import os, sys
from pathlib import Path
import ray
from recyclelora.errors import InputError
from recyclelora.sweeps.cluster import cluster

address, token = sys.argv[1:]
def join(**environment):
    os.environ.update(environment)
    try:
        with cluster(address):
            print("joined", len(ray.nodes()), "node, RAY_AUTH_MODE is", os.environ.get("RAY_AUTH_MODE"))
    except InputError as error:
        print(error)
    for name in environment:
        del os.environ[name]

join()
join(RAY_AUTH_MODE="disabled")
join(RAY_AUTH_MODE="token")
join(RAY_AUTH_TOKEN="wrong")
file = Path.home() / ".ray" / "auth_token"
file.parent.mkdir()
file.write_text(token + "\\n")
join()
"""


def refusal(address: str) -> str:
    with pytest.raises(InputError) as raised, cluster(address):
        pass
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(("address", "said"), [
    ("ray://head:10001", "the client that ray:// needs (ray[client]) is not installed, and no sweep runs through it; give HOST:PORT"),
    ("http://127.0.0.1:8265", "that is a server of jobs or another web page, which no driver joins; give HOST:PORT"),
    ("head", "is no address of a cluster; expected HOST:PORT of its head"),
    ("local", "is no address of a cluster"), ("head:port", "is no address of a cluster"), ("head:99999", "is no address"),
    ("127.0.0.1:1", "nothing listens there (Connection refused); start the cluster, or unset RAY_ADDRESS")])
def test_an_address_that_is_none_is_told_at_once(address: str, said: str) -> None:
    assert refusal(address).startswith(f"RAY_ADDRESS={address}: {said}")


@pytest.mark.parametrize(("content", "said"), [(None, "No such file or directory"), ("", "is empty"), (b"\xff\xfe\x00", "is no text")])
def test_a_token_file_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | bytes | None,
                                                  said: str) -> None:
    """Before Ray looks at it."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    assert refusal("127.0.0.1:1") == (f"RAY_ADDRESS=127.0.0.1:1: the token cannot be read: {file}: {said}; write the cluster's "
                                      "token into it")


def test_a_token_that_lies_where_ray_looks_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert auth_mode() == ""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("t0ken")
    assert auth_mode() == "token"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert auth_mode() == "disabled"
    monkeypatch.delenv("RAY_AUTH_MODE")
    (tmp_path / ".ray" / "auth_token").write_text("\n")
    assert auth_mode() == ""
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t0ken")
    assert auth_mode() == "token"


@pytest.mark.parametrize(("ray_version", "python"), [("2.59.0", None), (None, "3.12.1"), ("2.59.0", "3.12.1")])
def test_other_versions_are_told_from_what_ray_says(ray_version: str | None, python: str | None) -> None:
    """The text is that of Ray's own check, not one that was written down."""
    import platform

    import ray
    from ray._private.utils import check_version_info

    there = {"ray_version": ray_version or ray.__version__, "python_version": python or platform.python_version()}
    with pytest.raises(RuntimeError) as raised:
        check_version_info(there, "node 10.0.0.1")
    assert reason_of_refusal(raised.value) == (
        f"the versions differ: the cluster has Ray {there['ray_version']} and Python {there['python_version']}, this "
        f"environment has Ray {ray.__version__} and Python {platform.python_version()}; use the same on both sides")


@pytest.mark.slow
def test_a_cluster_with_a_token_lets_in_who_has_it(tmp_path: Path) -> None:
    """No token, one that is kept back, none where one is promised, a wrong one, and the right one in the home: one
    driver after the other, none of which remembers what the last one had."""
    with nodes(tmp_path) as there:
        token, home = there.environment["RAY_AUTH_TOKEN"], Path(there.environment["HOME"])
        done = subprocess.run([sys.executable, "-c", JOINING, there.address, token], env={**os.environ, "HOME": str(home)},
                              capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, ""), done
    missing, kept_back, unread, wrong, right = done.stdout.splitlines()
    begin = f"RAY_ADDRESS={there.address}: "
    assert missing.startswith(f"{begin}the cluster asks for a token, and none was found; put it into ~/.ray/auth_token, or")
    assert kept_back.startswith(f"{begin}the cluster asks for a token, and RAY_AUTH_MODE=disabled keeps it back; put")
    assert unread.startswith(f"{begin}the token cannot be read: {home}/.ray/auth_token: No such file or directory; write")
    assert wrong.startswith(f"{begin}the cluster refused the token; put its own into ~/.ray/auth_token, or name")
    assert right == "joined 1 node, RAY_AUTH_MODE is None"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs /proc")
def test_a_private_cluster_is_nobody_elses_and_leaves_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "RAY_AUTH_TOKEN": "of another cluster"}
    done = subprocess.run([sys.executable, "-c", PRIVATE], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["mode"], told["folder"], told["token"]) == ("token", 0o700, 0o600)
    assert told["open"] == [] and told["processes"] >= 3, "no port is open on all interfaces"
    assert told["environment"], "what is started later sees nothing of the private token"
    assert not (home / ".ray").exists() and not Path(told["temp"]).parent.exists()
