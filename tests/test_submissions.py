"""Sweeps as jobs of a real job server: submitted, left, followed by a second submit, stopped, and submitted again."""

import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recyclelora.cli import BAD_INPUT, main
from recyclelora.clusters.profile import read_profile
from recyclelora.clusters.submission import entrypoint
from recyclelora.documents import dump
from recyclelora.spaces.space_file import read_space
from recyclelora.verbs.job_servers import digest_of
from tests.nodes import Nodes, nodes
from tests.tiny_config import TINY

PROFILE = """
name: here
kinds: [ray_up_local]
nodes: 1
node: {{cpus: 1}}
paths: {{checkout: "{folder}", environment: "{folder}/environment", results: "{folder}/results", cache: "{cache}"}}
ray: {{token_file: ~/.ray/auth_token, jobs: "{jobs}"}}
machines: {{head: 127.0.0.1, workers: [], user: me}}
"""
SPACE = "base: config.yaml\nmethod: grid\nconfig: {training.iterations: %d}\nparameters: {training.lr: {values: [1e-3]}}\n"
SERVER = ("aiohttp_cors", "grpc", "opencensus", "prometheus_client", "smart_open", "virtualenv", "colorful")  # of ray[default]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The checkout of the cluster."""
    folder = tmp_path / "checkout"
    (folder / "environment" / "bin").mkdir(parents=True)
    program = folder / "environment" / "bin" / "recyclelora"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m recyclelora.cli "$@"\n')
    program.chmod(0o755)
    (folder / "config.yaml").write_text(dump(dict(TINY)))
    (folder / "space.yaml").write_text(SPACE % 4)
    write_profile(folder, "http://127.0.0.1:1")
    return folder


def write_profile(folder: Path, jobs: str, cache: Path | None = None) -> None:
    (folder / "profile.yaml").write_text(PROFILE.format(folder=folder, cache=cache or folder / "cache", jobs=jobs))


def test_the_job_runs_the_sweep_with_the_words_that_it_was_given(checkout: Path) -> None:
    odd = "it's `odd` $HOME"
    (checkout / "environment" / "bin" / "recyclelora").write_text("#!/bin/sh\npwd\nprintf '%s\\n' \"$@\"\n")
    command = entrypoint(read_profile(checkout / "profile.yaml").site, "my space.yaml", ["--cell", odd])
    done = subprocess.run(command, shell=True, capture_output=True, text=True)  # as the job server runs it
    assert done.stdout.splitlines() == [str(checkout), "sweep", "my space.yaml", "--results", f"{checkout}/results", "--slots", "1",
                                        "resources.cpus=1", "resources.gpus=0", "--cell", odd], done


def test_a_digest_goes_by_the_trials(checkout: Path) -> None:
    file = checkout / "space.yaml"
    digests = [digest_of(read_space(file))]
    file.write_text("# a comment\n" + file.read_text() + "seeds: [0]\n")
    digests.append(digest_of(read_space(file)))
    file.write_text(file.read_text().replace("seeds: [0]", "seeds: [0, 1]"))
    digests.append(digest_of(read_space(file)))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(("words", "said"), [
    (["submit", "profile.yaml", "space.yaml"], "ray.jobs: no job server answers at http://127.0.0.1:1; start the cluster's head with"),
    (["remote", "status", "profile.yaml"], "ray.jobs: no job server answers at http://127.0.0.1:1;"),
    (["remote", "status", "nowhere"], "nowhere: is no profile of a cluster; give a profile.yaml, or its folder in cluster/"),
    (["remote", "stop", ""], ".: is no profile of a cluster; give a profile.yaml"),
    (["submit", "profile.yaml", "../space.yaml"], "../space.yaml: is not in this folder"),
    (["submit", "none", "space.yaml"], "cluster/none/profile.yaml: ray.jobs: is missing; it is the address of the cluster's job server")])
def test_what_is_wrong_with_a_job_server_is_one_line(checkout: Path, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("HOME", str(checkout))
    (checkout / "cluster" / "none").mkdir(parents=True)
    text = (checkout / "profile.yaml").read_text()
    (checkout / "cluster" / "none" / "profile.yaml").write_text(text.replace(', jobs: "http://127.0.0.1:1"', ""))
    assert main(words) == BAD_INPUT
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and "Traceback" not in error


class Laptop:
    """The command line on another machine than the head, with a checkout of its own."""

    def __init__(self, folder: Path, there: Nodes) -> None:
        self.folder = folder
        self.environment = {**os.environ, "HOME": there.environment["HOME"], "RAY_AUTH_TOKEN": there.environment["RAY_AUTH_TOKEN"],
                            "COLUMNS": "300"}

    def start(self, *words: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen([sys.executable, "-u", "-m", "recyclelora.cli", *words], cwd=self.folder, text=True,
                                env={**self.environment, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, *words: str, **environment: str) -> tuple[int, str]:
        process = self.start(*words, **environment)
        output, _ = process.communicate(timeout=600)
        return process.returncode, output

    def until(self, process: "subprocess.Popen[str]", said: str) -> str:
        """The line that says it."""
        assert process.stdout is not None
        for line in process.stdout:
            if said in line:
                return line
        raise AssertionError(f"ended without {said!r}")


@pytest.mark.slow
@pytest.mark.alone
def test_a_sweep_is_submitted_left_followed_stopped_and_goes_on(checkout: Path, tmp_path: Path, cache: Path) -> None:
    if absent := [name for name in SERVER if importlib.util.find_spec(name) is None]:
        pytest.skip(f"a job server needs ray[default]: {', '.join(absent)} is not installed")
    with nodes(tmp_path / "ray", jobs=True) as there:
        there.add(1)
        laptop = tmp_path / "laptop"
        laptop.mkdir()
        write_profile(checkout, f"http://{there.jobs}", cache)
        for name in ("profile.yaml", "config.yaml", "space.yaml"):
            shutil.copy(checkout / name, laptop)
        here, submit = Laptop(laptop, there), ("submit", "profile.yaml", "space.yaml")
        refused = here.run(*submit, RAY_AUTH_TOKEN="wrong")
        assert refused == (2, f"recyclelora: ray.jobs: the job server at http://{there.jobs} refused the token; put the cluster's "
                              "into ~/.ray/auth_token, or name its file in RAY_AUTH_TOKEN_PATH\n")

        (checkout / "space.yaml").write_text(SPACE % 3000)  # as if it took long
        first = here.start(*submit)
        name = here.until(first, ": submitted to").partition(":")[0]
        assert name == f"space-{digest_of(read_space(laptop / 'space.yaml'))}"
        while not [*checkout.glob("results/trials/*/history.jsonl")]:
            assert first.poll() is None
            time.sleep(0.1)
        first.send_signal(signal.SIGINT)
        output, _ = first.communicate(timeout=300)
        assert first.returncode == 130 and "to stop it: recyclelora remote stop profile.yaml space.yaml" in output, output
        assert "back to it: recyclelora remote logs profile.yaml space.yaml" in output and "Traceback" not in output

        second = here.start(*submit)
        assert here.until(second, "runs already at").startswith(f"{name}:")
        assert here.run("remote", "stop", "profile.yaml", "space.yaml") == (
            0, f"{name}: is told to stop; the same submit goes on from there\n")
        output, _ = second.communicate(timeout=300)
        assert second.returncode == 1 and f"{name}: STOPPED" in output, output

        (checkout / "space.yaml").write_text(SPACE % 4)
        code, output = here.run(*submit)
        assert code == 0 and f"{name}-2: submitted to" in output and f"{name}-2: SUCCEEDED" in output, output
        assert "1 trials: 1 finished" in output, output
        code, output = here.run("remote", "status", "profile.yaml")
        assert code == 0 and (output.count("STOPPED"), output.count("SUCCEEDED"), output.count(name)) == (1, 1, 2), output
