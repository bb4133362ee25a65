"""Sweeps on several Ray nodes on this machine, which have file systems of their own."""

import os
import subprocess
import sys
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
from recyclelora.sweeps.cluster import Share, cluster
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


def test_without_a_shared_results_folder_nothing_is_finished(tmp_path: Path, cluster: Nodes) -> None:
    """The node trains the trial to its end, in a folder that the driver never sees."""
    cluster.add(1, {tmp_path / "results": None})
    done = run_python(DESIGN, cluster, str(tmp_path), cluster.address)
    assert done.returncode == 0, done.stderr
    assert "it finished, but" in done.stdout and "RESULTS must be a folder that every node shares" in done.stdout, done.stdout
    assert "0 done" in done.stdout and done.stdout.rstrip().endswith("1, 'FAILED')"), done.stdout


def test_a_node_with_other_weights_trains_nothing(tmp_path: Path, cluster: Nodes, cache: Path) -> None:
    other = tmp_path / "other"
    other_weights(cache / "weights", other)
    cluster.add(1, {cache / "weights": other})
    done = run_python(DESIGN, cluster, str(tmp_path), cluster.address)
    assert done.returncode == 0, done.stderr
    assert "its worker has another trial" in done.stdout and ": weights " in done.stdout, done.stdout
    assert done.stdout.rstrip().endswith("1, 'FAILED')") and not [*tmp_path.glob("results/trials/*/history.jsonl")]


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
