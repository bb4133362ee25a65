"""A real small sweep through the command line: killed, gone on with, repeated, extended; what MLflow then holds."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from recyclelora.documents import dump
from tests.tiny_config import TINY

pytestmark = pytest.mark.slow

SPACE = """\
claim: A small one.
base: config.yaml
method: grid
parameters:
  adapter.init: {values: [rrqr, kaiming]}
baselines:
  frozen backbone: {adapter.method: frozen}
seeds: [0]
"""


def _heed_interrupts() -> None:
    """A shell starts what it puts into the background deaf to Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Sweep:
    """One sweep in one results folder, run in processes of its own."""

    module = "recyclelora.cli"

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.results = folder, folder / "results"
        self.environment = {**os.environ, "RECYCLELORA_CACHE": str(cache), "SWEEP_OF": str(folder)}
        (folder / "config.yaml").write_text(dump({**TINY, "training.iterations": 40, "evaluation.every": 20,
                                                  "resources.checkpoint_every": 2}))
        (folder / "space.yaml").write_text(SPACE)

    def start(self, *, alone: bool = False, **environment: str) -> "subprocess.Popen[str]":
        """`alone`: in a session of its own, so that its whole group can be sent a signal."""
        command = [sys.executable, "-m", self.module, "sweep", "space.yaml", "--results", "results"]
        return subprocess.Popen(command, cwd=self.folder, env=self.environment | environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=_heed_interrupts,
                                start_new_session=alone)

    def finish(self, **environment: str) -> tuple[int, str]:
        process = self.start(**environment)
        output, _ = process.communicate(timeout=1800)
        return process.returncode, output

    def iterations(self) -> dict[str, int]:
        """Trial -> last iteration in its history."""
        found = {}
        for path in self.results.glob("trials/*/history.jsonl"):
            lines = path.read_text().splitlines()
            found[path.parent.name] = json.loads(lines[-1])[0] if lines and lines[-1].endswith("]") else 0
        return found

    def wait_for_steps(self, steps: int, process: "subprocess.Popen[str]") -> None:
        """Until it has done so many more than when it began, which are few of all that it has to do."""
        before, deadline = sum(self.iterations().values()), time.monotonic() + 900
        while sum(self.iterations().values()) < before + steps:
            assert process.poll() is None and time.monotonic() < deadline, "the sweep never came so far"
            time.sleep(0.05)

    def wait_for_ray(self, process: "subprocess.Popen[str]") -> None:
        """Until the first of Ray's own processes is there, seconds before `ray.init` is through."""
        while not any("gcs_server" in command for command in self.processes()):
            assert process.poll() is None, "it ended before Ray began"
            time.sleep(0.02)

    def wait_for_the_last(self) -> None:
        """Until nothing that it started lives: a killed driver's workers may train on for a moment."""
        deadline = time.monotonic() + 600
        while living := self.processes():
            assert time.monotonic() < deadline, f"left behind: {living}"
            time.sleep(0.05)

    def processes(self) -> list[str]:
        return list(self.commands().values())

    def commands(self) -> dict[int, str]:
        """The number of each living process -> its command line."""
        mark, found = f"SWEEP_OF={self.folder}\0".encode(), {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                if mark in (process / "environ").read_bytes():
                    found[int(process.name)] = (process / "cmdline").read_text(errors="replace").replace("\0", " ")
        return found

    def runs(self) -> list[Run]:
        client = MlflowClient(f"sqlite:///{self.results}/mlflow.db")
        found = client.search_runs([client.get_experiment_by_name("recyclelora").experiment_id])
        assert found.token is None or not found.token
        return list(found)

    def trials(self) -> list[Run]:
        return [run for run in self.runs() if run.data.tags["kind"] == "trial"]

    def history(self, run: Run, metric: str) -> list[int]:
        client = MlflowClient(f"sqlite:///{self.results}/mlflow.db")
        return [point.step for point in client.get_metric_history(run.info.run_id, metric)]


def check_store(sweep: Sweep, trials: int) -> None:
    """One finished run per fingerprint, one parent, nothing running, every step once."""
    assert Counter(run.info.status for run in sweep.runs()) == {"FINISHED": trials + 1}
    assert len({run.data.tags["fingerprint"] for run in sweep.trials()}) == trials == len(sweep.trials())
    parent = next(run for run in sweep.runs() if run.data.tags["kind"] == "sweep")
    for run in sweep.trials():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert sweep.history(run, "loss/total") == list(range(1, 41)), "the whole curve, each step once"
        assert {"sweep", "cell", "seed", "protocol", "selection", "commit", "dirty", "outcome"} <= set(run.data.tags)
        assert run.data.params["evaluation.selection"] == "last"
        assert {"miou/source", "miou/target_mean", "miou/scenes-night", "time/train"} <= set(run.data.metrics)
        files = {item.path for item in MlflowClient(f"sqlite:///{sweep.results}/mlflow.db").list_artifacts(run.info.run_id)}
        assert {"config.yaml", "head.safetensors", "confusions.safetensors", "panels"} <= files


def test_a_killed_sweep_goes_on_and_a_second_one_does_nothing(tmp_path: Path, cache: Path) -> None:
    sweep = Sweep(tmp_path, cache)
    for kill in (signal.SIGKILL, signal.SIGINT):
        process = sweep.start()
        sweep.wait_for_steps(8, process)
        process.send_signal(kill)
        output, _ = process.communicate(timeout=600)
        if kill == signal.SIGINT:
            assert process.returncode == 130, output
            assert "run the same command to go on" in output and "Traceback" not in output
            assert "RUNNING" not in {run.info.status for run in sweep.runs()}
        sweep.wait_for_the_last()
    assert 16 <= sum(sweep.iterations().values()) < 3 * 40, "some is there, and some is left"

    code, output = sweep.finish()
    assert code == 0, output
    check_store(sweep, trials=3)
    assert "init=rrqr" in output and "frozen backbone" in output and "chance" in output
    table = (sweep.results / "tables" / "space.md").read_bytes()
    history = {path: path.stat().st_mtime_ns for path in sweep.results.glob("trials/*/history.jsonl")}

    code, output = sweep.finish(RAY_ADDRESS="127.0.0.1:1")
    assert code == 0 and "init=rrqr" in output, "a second sweep asks no cluster, and prints the table"
    assert {path: path.stat().st_mtime_ns for path in sweep.results.glob("trials/*/history.jsonl")} == history
    assert (sweep.results / "tables" / "space.md").read_bytes() == table, "same store, same bytes"
    check_store(sweep, trials=3)

    (tmp_path / "space.yaml").write_text(SPACE.replace("[rrqr, kaiming]", "[rrqr, kaiming, svd]"))
    code, output = sweep.finish()
    assert code == 0
    check_store(sweep, trials=4)
    unchanged = {path: path.stat().st_mtime_ns for path in history}
    assert unchanged == history, "only the new cell was trained"
    assert not [path for path in tmp_path.iterdir() if path.name not in ("config.yaml", "space.yaml", "results")]


@pytest.mark.parametrize(("moment", "number", "whole"), [
    ("steps", signal.SIGTERM, False), ("steps", signal.SIGINT, True), ("ray", signal.SIGHUP, True),
    *(pytest.param(*more, marks=pytest.mark.long) for more in (
        ("steps", signal.SIGTERM, True), ("steps", signal.SIGHUP, True), ("ray", signal.SIGTERM, False),
        ("ray", signal.SIGINT, False)))])
def test_a_signal_ends_a_sweep_with_its_runs_closed_and_nothing_left(tmp_path: Path, cache: Path, moment: str,
                                                                     number: signal.Signals, whole: bool) -> None:
    """Sent to the driver, as `kill` does, or to all its processes, as a terminal, a scheduler or a service does."""
    sweep = Sweep(tmp_path, cache)
    process = sweep.start(alone=True)
    sweep.wait_for_ray(process) if moment == "ray" else sweep.wait_for_steps(4, process)
    os.killpg(process.pid, number) if whole else process.send_signal(number)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 130, output
    assert output.rstrip().splitlines()[-1] == "recyclelora: interrupted; run the same command to go on"
    assert "Traceback" not in output and "stack" not in output.lower()
    assert {run.info.status for run in sweep.runs()} == {"KILLED"}
    sweep.wait_for_the_last()


def test_a_failed_trial_is_said_and_the_others_are_done(tmp_path: Path, cache: Path) -> None:
    sweep = Sweep(tmp_path, cache)
    (tmp_path / "space.yaml").write_text(
        "base: config.yaml\nmethod: grid\nconfig: {training.iterations: 4, evaluation.every: 4, training.clip: null}\n"
        "parameters:\n  training.lr: {values: [1e-3, 1e30]}\n")
    code, output = sweep.finish()
    assert code == 1 and "1 of 2 trials failed" in output and "diverged at iteration" in output
    statuses = {run.data.tags["cell"]: run for run in sweep.trials()}
    assert statuses["lr=0.001"].info.status == "FINISHED" and statuses["lr=1e+30"].info.status == "FAILED"
    assert "diverged" in statuses["lr=1e+30"].data.tags["reason"]
