"""Sweeps on several Ray nodes on this machine, which have file systems of their own."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.nodes import Nodes, nodes, own_file_systems

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
DESIGN = """
import sys
from pathlib import Path
from rich.console import Console
from recyclelora.runs.tracking import Tracker
from recyclelora.spaces.space_file import read_space
from recyclelora.sweeps.bookkeeping import bookkeeping
from recyclelora.sweeps.capacity import Share
from recyclelora.sweeps.cluster import cluster
from recyclelora.sweeps.display import Board
from recyclelora.sweeps.planning import plan
from recyclelora.sweeps.ray_tune import run_design
from recyclelora.trials.paths import Paths

folder = Path(sys.argv[1])
paths, space = Paths(folder / "results", folder / "cache", None), read_space(folder / "space.yaml")
tracker, jobs = Tracker.open(paths.results), plan(space, paths)
with (bookkeeping(tracker, None, paths, Board("s", "miou/source", len(jobs)), Console(soft_wrap=True)) as keeper,
      cluster(sys.argv[2])):
    run_design(jobs, keeper, paths, Share(1.0, 0.0, 1), space=space, name="s")
print(*[(job.fingerprint, len(runs), runs[0].status) for job in jobs
        for runs in [tracker._store.tagged("fingerprint", [job.fingerprint])]])
"""


@pytest.fixture
def cluster(tmp_path: Path, cache: Path) -> Nodes:  # type: ignore[misc]
    own_file_systems()
    from recyclelora.documents import dump
    from tests.tiny_config import TINY

    (tmp_path / "config.yaml").write_text(dump(dict(TINY)))
    (tmp_path / "space.yaml").write_text("base: config.yaml\nmethod: grid\nparameters: {training.lr: {values: [1e-3]}}\n")
    (tmp_path / "results").mkdir()
    (tmp_path / "cache").symlink_to(cache)
    with nodes(tmp_path / "ray") as made:
        yield made


def run_python(code: str, cluster: Nodes, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code, *arguments], env={**os.environ, **cluster.environment},
                          capture_output=True, text=True, timeout=900)


@pytest.mark.long
def test_without_a_shared_results_folder_nothing_is_finished(tmp_path: Path, cluster: Nodes) -> None:
    """The node trains the trial to its end, in a folder that the driver never sees."""
    cluster.add(1, {tmp_path / "results": None})
    done = run_python(DESIGN, cluster, str(tmp_path), cluster.address)
    assert done.returncode == 0, done.stderr
    assert "it finished, but" in done.stdout and "RESULTS must be a folder that every node shares" in done.stdout, done.stdout
    assert "0 done" in done.stdout and done.stdout.rstrip().endswith("1, 'FAILED')"), done.stdout


@pytest.mark.long
def test_a_node_with_other_weights_trains_nothing(tmp_path: Path, cluster: Nodes, cache: Path) -> None:
    other = tmp_path / "other"
    other_weights(cache / "weights", other)
    cluster.add(1, {cache / "weights": other})
    done = run_python(DESIGN, cluster, str(tmp_path), cluster.address)
    assert done.returncode == 0, done.stderr
    assert "its worker has another trial" in done.stdout and ": weights " in done.stdout, done.stdout
    assert done.stdout.rstrip().endswith("1, 'FAILED')") and not [*tmp_path.glob("results/trials/*/history.jsonl")]


# checks before the first trial


def call(verb: str, cluster: Nodes, tmp_path: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **cluster.environment, "RECYCLELORA_CACHE": str(tmp_path / "cache"), "COLUMNS": "500"}
    return subprocess.run([sys.executable, "-m", "recyclelora.cli", verb, *words, "--results", str(tmp_path / "results")],
                          cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)


def test_what_differs_on_a_node_is_found_before_a_sweep(tmp_path: Path, cluster: Nodes, cache: Path) -> None:
    """One good node, one without the results folder, one with other weights, one with other code."""
    other_weights(cache / "weights", tmp_path / "other")
    shutil.copytree(ROOT / "recyclelora", tmp_path / "code" / "recyclelora", ignore=shutil.ignore_patterns("__pycache__"))
    with open(tmp_path / "code" / "recyclelora" / "errors.py", "a") as file:
        file.write("# edited\n")
    cluster.add(1)
    good = call("doctor", cluster, tmp_path, "space.yaml")
    assert good.returncode == 0 and "1 nodes of" in good.stdout and "0 findings that stop" in good.stdout, good
    cluster.add(1, {tmp_path / "results": None})
    cluster.add(1, {cache / "weights": tmp_path / "other"})
    cluster.add(1, PYTHONPATH=str(tmp_path / "code"))
    doctor = call("doctor", cluster, tmp_path, "space.yaml")
    stops = sorted(line.partition("): ")[2] for line in doctor.stdout.splitlines() if line.startswith("stop: "))
    assert doctor.returncode == 1 and len(stops) == 3, doctor
    assert stops[0].startswith(f"code: {tmp_path}/code/recyclelora is version") and "weights " in stops[2]
    assert stops[1] == (f"results: {tmp_path}/results is not the driver's folder of that name; RESULTS must be a folder that "
                        "every node shares")
    assert float(doctor.stdout.rstrip().rpartition("; ")[2].removesuffix(" s")) < 120
    sweep = call("sweep", cluster, tmp_path, "space.yaml")
    assert sweep.returncode == 1 and sweep.stdout.count("stop: ") == 3, sweep
    assert "recyclelora: 3 findings before the first trial, nothing was run" in sweep.stderr
    assert not (tmp_path / "results" / "trials").exists() and "Traceback" not in sweep.stdout + sweep.stderr


@pytest.mark.long
def test_a_cluster_without_a_token_is_not_used_unless_that_is_said(tmp_path: Path, cluster: Nodes) -> None:
    cluster.add(1)
    cluster.environment |= {"RAY_AUTH_MODE": "disabled"}
    refused = call("doctor", cluster, tmp_path)
    assert refused.returncode == 1 and "stop: driver: cluster: RAY_ADDRESS=" in refused.stdout, "it asks for one"


def test_a_node_that_joins_later_is_checked_before_its_first_trial(tmp_path: Path, cluster: Nodes) -> None:
    """Two trials lose their node. Of the two nodes that joined meanwhile one does not share the results folder."""
    (tmp_path / "space.yaml").write_text("base: config.yaml\nmethod: grid\nseeds: [0, 1]\nconfig: {training.iterations: 60, "
                                         "evaluation.every: 60, resources.checkpoint_every: 5}\n"
                                         "parameters: {training.lr: {values: [1e-3]}}\n")
    cluster.add(2)
    environment = {**os.environ, **cluster.environment, "RECYCLELORA_CACHE": str(tmp_path / "cache"), "COLUMNS": "500"}
    sweep = subprocess.Popen([sys.executable, "-m", "recyclelora.cli", "sweep", "space.yaml", "--results", "results"],
                             cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while len([*tmp_path.glob("results/trials/*/history.jsonl")]) < 2:
        assert sweep.poll() is None
        time.sleep(0.1)
    cluster.add(1, {tmp_path / "results": None})
    cluster.add(1)
    cluster.remove(1)
    output, _ = sweep.communicate(timeout=900)
    assert sweep.returncode == 0, output
    assert "results: " in output and "is not the driver's folder of that name" in output, output
    assert "2 done" in output and "0 failed" in output


def other_weights(folder: Path, other: Path) -> None:
    """A copy of the weights in a folder, one tensor of which is zero."""
    import hashlib
    import json

    import torch
    from safetensors.torch import load_file, save_file

    other.mkdir()
    tensors = load_file(folder / "dinov2_small.safetensors")
    tensors["cls_token"] = torch.zeros_like(tensors["cls_token"])
    save_file(tensors, other / "dinov2_small.safetensors")
    sha256 = hashlib.sha256((other / "dinov2_small.safetensors").read_bytes()).hexdigest()
    (other / "dinov2_small.json").write_text(json.dumps({"sha256": sha256, "source": "file"}))
