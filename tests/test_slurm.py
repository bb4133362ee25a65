"""The rendered Slurm jobs on a real Slurm: a small sweep as an array of single nodes, told to stop in between, and on
two nodes that are one Ray cluster."""

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from recyclelora.clusters.profile import read_profile
from recyclelora.documents import dump
from recyclelora.writing import write_text
from tests.conftest import REPO
from tests.machines import shared_folder
from tests.slurm_centre import Centre, lacking, slurm_centre
from tests.tiny_config import TINY

pytestmark = [pytest.mark.slow, pytest.mark.alone]
WHY_NOT = lacking()
needs_slurm = pytest.mark.skipif(bool(WHY_NOT), reason=f"no Slurm here: {WHY_NOT}")

PROFILE = """\
name: test
kinds: [{kind}]
nodes: 2
node: {{cpus: 1, memory_gb: 6}}
hours: 1
paths: {{checkout: {checkout}, environment: {environment}, results: {folder}/results, cache: {cache}}}
ray: {{token_file: {folder}/token}}
slurm: {{partition: all, start_seconds: {patience}}}
"""
SPACE = """\
claim: A small one.
base: config.yaml
method: cells
cells: {rrqr: {}, kaiming: {adapter.init: kaiming}}
seeds: [0, 1]
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with shared_folder() as made:
        yield made


def prepare(folder: Path, cache: Path, kind: str, iterations: int, patience: int = 300) -> None:
    """The space, the token and the rendered files of a site."""
    environment = Path(sys.prefix)
    (folder / "profile.yaml").write_text(PROFILE.format(kind=kind, folder=folder, cache=cache, checkout=REPO,
                                                        patience=patience, environment=environment))
    (folder / "config.yaml").write_text(dump({**TINY, "training.iterations": iterations, "evaluation.every": iterations,
                                              "resources.checkpoint_every": 1}))
    (folder / "space.yaml").write_text(SPACE)
    (folder / "token").touch(mode=0o600)
    (folder / "token").write_text(os.urandom(32).hex())
    for name, text in read_profile(folder / "profile.yaml").render().items():
        write_text(folder / name, text)


def check_whole(folder: Path) -> None:
    """Four finished runs and their sweep's, once each, in the books; and a table."""
    client = MlflowClient(f"sqlite:///{folder}/results/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'recyclelora'")
    runs = client.search_runs([experiment.experiment_id])
    kinds = sorted(run.data.tags["kind"] for run in runs)
    assert kinds == ["sweep", *["trial"] * 4], kinds
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len({run.data.tags["fingerprint"] for run in runs if run.data.tags["kind"] == "trial"}) == 4


def said(folder: Path) -> str:
    return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-6000:]}" for path in sorted(folder.glob("slurm-*.out")))


@needs_slurm
def test_an_array_of_single_nodes_runs_a_sweep_and_goes_on_after_it_was_stopped(folder: Path, cache: Path) -> None:
    prepare(folder, cache, "slurm_array", iterations=30)
    with slurm_centre(folder) as centre:
        for name in ("array.sbatch", "gather.sbatch"):
            centre.run("sbatch", "--test-only", name)
        array, gather = submit(centre, folder)
        checkpoints = until_trains(folder, centre)
        centre.run("scancel", "--batch", "--signal=TERM", f"{array}_1")
        assert centre.wait_for(array, 900) == "COMPLETED", said(folder)
        assert "Restarts=1" in centre.show(f"{array}_1"), said(folder)
        assert len(list((folder / "results" / "trials").glob("*/record.json"))) == 4, "the array runs all of them"
        before = {path: path.stat().st_mtime_ns for path in (folder / "results" / "trials").glob("*/record.json")}
        assert centre.wait_for(gather, 900) == "COMPLETED", said(folder)
        assert before == {path: path.stat().st_mtime_ns for path in before}, "the last job trains nothing again"
    assert checkpoints and "go on" in said(folder)
    check_whole(folder)


def submit(centre: Centre, folder: Path) -> tuple[str, str]:
    told = centre.run("bash", "submit.sh", SPACE=str(folder / "space.yaml"))
    array, gather = re.findall(r"job (\d+)", told)
    return array, gather


def until_trains(folder: Path, centre: Centre, seconds: float = 400) -> list[Path]:
    """Wait until a trial has a checkpoint; returns those that are there."""
    end = time.monotonic() + seconds
    while not (found := [path for path in (folder / "results" / "trials").glob("*/checkpoint*")]):
        assert time.monotonic() < end, said(folder) + centre.logs()
        time.sleep(0.2)
    return found


@needs_slurm
def test_two_nodes_are_one_cluster_for_a_sweep_that_goes_on_after_it_was_stopped(folder: Path, cache: Path) -> None:
    prepare(folder, cache, "slurm", iterations=30)
    with slurm_centre(folder) as centre:
        centre.run("sbatch", "--test-only", "sweep.sbatch")
        job = centre.run("sbatch", "--parsable", "sweep.sbatch", SPACE=str(folder / "space.yaml"))
        until_trains(folder, centre)
        centre.run("scancel", "--batch", "--signal=TERM", job)
        assert centre.wait_for(job, 1200) == "COMPLETED", said(folder) + centre.logs()
        assert "Restarts=1" in centre.show(job), said(folder)
        for node in centre.nodes:
            logs = "/tmp/ray/session_*/logs/worker-*.out"
            found = node.run("sh", "-c", f"grep -l actor_name {logs}", cwd=folder)
            assert found.returncode == 0, f"no trial ran on {node.name}"
    check_whole(folder)


@needs_slurm
def test_a_cluster_that_does_not_come_up_is_a_failed_job(folder: Path, cache: Path) -> None:
    """`ray symmetric-run` itself exits with 0."""
    prepare(folder, cache, "slurm", iterations=6, patience=20)
    text = (folder / "sweep.sbatch").read_text()
    write_text(folder / "sweep.sbatch", text.replace("--num-cpus=1", "--num-cpus=-1"))
    with slurm_centre(folder) as centre:
        job = centre.run("sbatch", "--parsable", "sweep.sbatch", SPACE=str(folder / "space.yaml"))
        assert centre.wait_for(job, 600) == "FAILED", said(folder)
    assert "the sweep did not run: Ray did not start on all nodes" in said(folder)
