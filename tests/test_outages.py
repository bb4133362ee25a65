"""What goes away while a sweep runs: room on the disk, a tracking server. One line says it, no run stays open, and the
same command goes on."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from recyclelora.cli import BAD_INPUT, SOME_FAILED, main
from recyclelora.documents import dump
from recyclelora.runs.tracking import Tracker
from tests.test_driver import Sweep
from tests.test_tracking import reserved_port, serving
from tests.tiny_config import TINY

pytestmark = pytest.mark.slow

SECRET = "s3cret-w0rd"
MEBIBYTE = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 60 MiB of its own as results folder."""
    folder = tmp_path / "results"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can make a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.long
@pytest.mark.parametrize("room", [1, 4, 12])
def test_a_full_disk_is_one_line_and_the_sweep_goes_on_when_there_is_room(tmp_path: Path, disk: Path, cache: Path,
                                                                          room: int) -> None:
    sweep = Sweep(tmp_path, cache)
    free = os.statvfs(disk)
    (disk / "fill").write_bytes(bytes(free.f_bavail * free.f_bsize - room * MEBIBYTE))
    code, output = sweep.finish()
    assert code in (SOME_FAILED, BAD_INPUT) and "Traceback" not in output, output
    told = [line for line in output.splitlines() if line.startswith("recyclelora: ")]
    failed = [line for line in output.splitlines() if line.startswith("failed: ")]
    assert len(told) <= 1 and len(failed) <= 3, output  # a line for each trial; the tables are printed below them
    assert any(said in output for said in ("disk is full", "No space left", "disk I/O error", "MB are free for")), output
    (disk / "fill").unlink()
    code, output = sweep.finish()
    assert code == 0 and {run.info.status for run in sweep.runs()} == {"FINISHED"}, output


@pytest.fixture
def freeze() -> Iterator[Callable[[Path], None]]:
    """Makes a file or folder one that nobody can change, not even root."""
    frozen: list[Path] = []

    def make(path: Path) -> None:
        if shutil.which("chattr") is None or subprocess.run(["chattr", "+i", str(path)], capture_output=True).returncode:
            pytest.skip("this file system has no such mark")
        frozen.append(path)

    yield make
    for path in frozen:
        subprocess.run(["chattr", "-i", str(path)], check=True)


@pytest.mark.parametrize(("what", "code", "said"), [
    (".", BAD_INPUT, r"cannot be written \(Operation not permitted\)"),
    ("mlflow.db", SOME_FAILED,  # the second where SQLite still holds the file open for writing
     r"the tracking store failed \(OperationalError: (attempt to write a readonly database|disk I/O error)\)")])
def test_results_that_nobody_can_change_are_one_line(tmp_path: Path, cache: Path, freeze: Callable[[Path], None], what: str,
                                                     code: int, said: str, capfd: pytest.CaptureFixture[str],
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECYCLELORA_CACHE", str(cache))
    (tmp_path / "config.yaml").write_text(dump(dict(TINY)))
    Tracker.open(tmp_path / "results")
    freeze(tmp_path / "results" / what)
    assert main(["train", str(tmp_path / "config.yaml"), "--results", str(tmp_path / "results")]) == code
    error = capfd.readouterr().err
    assert re.search(said, error) and error.count("\n") == 1, error


def test_a_server_that_vanishes_is_one_line_without_its_password_and_hears_of_the_trial_later(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "config.yaml").write_text(dump({**TINY, "training.iterations": 60, "evaluation.every": 60}))
    with reserved_port() as port:
        command = [sys.executable, "-m", "recyclelora.cli"]
        environment = {**os.environ, "RECYCLELORA_CACHE": str(cache), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
                       "MLFLOW_TRACKING_URI": f"http://ann:{SECRET}@127.0.0.1:{port}"}
        with serving(tmp_path, port):
            train = subprocess.Popen([*command, "train", "config.yaml", "--store-wait", "1"], cwd=tmp_path, env=environment,
                                     text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            while not list(tmp_path.glob("results/trials/*/history.jsonl")):
                assert train.poll() is None
                time.sleep(0.1)
        output, error = train.communicate(timeout=600)
        assert train.returncode == SOME_FAILED, error
        assert error.startswith("recyclelora: the tracking store has not answered for ") and error.count("\n") == 1, error
        assert output.count("does not answer") == 1
        with serving(tmp_path, port):
            later = subprocess.run([*command, "reconcile"], cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert (later.returncode, later.stdout) == (0, "1 trials booked\n"), later.stderr
            client = MlflowClient(environment["MLFLOW_TRACKING_URI"])
            [run] = client.search_runs([client.get_experiment_by_name("recyclelora").experiment_id])
            steps = [point.step for point in client.get_metric_history(run.info.run_id, "loss/total")]
            assert run.info.status == "FINISHED" and run.data.metrics["miou/source"] > 0
            assert steps == sorted(set(steps)) and steps[-1] == 60
    texts = output + error + later.stdout + later.stderr
    assert SECRET not in texts and "Traceback" not in texts
    shutil.rmtree(tmp_path / "store")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
