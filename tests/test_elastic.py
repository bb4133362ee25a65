"""Sweeps on a cluster that changes: nodes that join, nodes that are missing, and GPUs that are none."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from recyclelora.errors import InputError, Outage
from recyclelora.sweeps import placement
from recyclelora.sweeps.capacity import Share, share_of, trials_on
from recyclelora.trials.device import gpu_fault
from tests.nodes import nodes

ROOT = Path(__file__).resolve().parent.parent


# what fits on each node


def test_trials_fit_on_single_nodes_and_single_gpus() -> None:
    assert trials_on({"CPU": 3.0}, 2.0, 0.0) == 1 and trials_on({"CPU": 0.3}, 0.1, 0.0) == 3
    assert trials_on({"CPU": 16.0, "GPU": 2.0}, 1.0, 0.4) == 4, "two on each; a fifth would need a part of both"
    assert trials_on({"CPU": 3.0, "GPU": 4.0}, 1.0, 1.0) == 3 and trials_on({"CPU": 8.0}, 1.0, 1.0) == 0


def test_shares_of_a_private_cluster() -> None:
    assert share_of([{"CPU": 2.0}], 1.0, 0.5) == Share(1.0, 0.0, 2), "a laptop without a GPU trains on its CPUs"
    assert share_of([{"CPU": 16.0, "GPU": 2.0}], 1.0, 0.5) == Share(1.0, 0.5, 4)
    assert share_of([{"CPU": 2.0, "GPU": 1.0}], 1.0, 0.0) == Share(1.0, 0.0, 2)
    assert share_of([{"CPU": 8.0, "GPU": 8.0}], 1.0, 1.0, 3) == Share(1.0, 1.0, 3)
    assert share_of([{"CPU": 2.0}], 1.0, 1.0, 3) == Share(1.0, 0.0, 2)
    with pytest.raises(InputError, match="^resources.cpus: 4 for each trial, but the largest node has 2$"):
        share_of([{"CPU": 2.0}], 4.0, 0.0)


def test_shares_of_a_cluster_that_is_joined() -> None:
    two = [{"CPU": 2.0}, {"CPU": 1.0}]
    assert share_of(two, 1.0, 0.0, joined=True) == Share(1.0, 0.0, 3, True)
    assert share_of(two, 2.0, 0.0, joined=True) == Share(2.0, 0.0, 1, True), "3 CPUs hold one trial of 2, not one and a half"
    with pytest.raises(InputError, match="^resources.cpus: 3 for each trial, but the largest node has 2; --slots N waits for"):
        share_of(two, 3.0, 0.0, joined=True)
    assert share_of(two, 3.0, 0.0, 5, joined=True) == Share(3.0, 0.0, 5), "as said: larger nodes may come"
    assert share_of([], 4.0, 0.0, joined=True) == Share(4.0, 0.0, 1, True), "all nodes are still to come"


def test_gpus_are_asked_for_as_the_config_says_where_a_cluster_is_joined() -> None:
    assert share_of([{"CPU": 4.0}], 1.0, 1.0, joined=True) == Share(1.0, 1.0, 1, True), "they may come"
    assert share_of([{"CPU": 4.0}], 1.0, 0.0, joined=True) == Share(1.0, 0.0, 4, True)
    mixed = [{"CPU": 16.0}, {"CPU": 2.0, "GPU": 1.0}]
    assert share_of(mixed, 1.0, 0.5, joined=True) == Share(1.0, 0.5, 2, True)
    with pytest.raises(InputError, match="resources.cpus: 4 for each trial, but the largest node with a GPU has 2"):
        share_of(mixed, 4.0, 1.0, joined=True)


# how many may be under way, and what they wait for


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> dict[str, Mapping[str, float]]:
    """Its working nodes, which a test may change."""
    known: dict[str, Mapping[str, float]] = {}
    monkeypatch.setattr(placement, "working_nodes", lambda: dict(known))
    monkeypatch.setattr(placement, "LOOK", -1.0)
    return known


def test_room_follows_the_nodes(cluster: dict[str, Mapping[str, float]]) -> None:
    placement.begin(Share(1.0, 0.0, 2, True))
    cluster["a"] = {"CPU": 2.0}
    assert placement.room() == 3, "one more than fits, which asks for another node"
    cluster["b"] = {"CPU": 1.0}
    assert placement.room() == 4
    placement.exclude("b")
    assert placement.room() == 3
    with pytest.raises(Outage, match="no node is left"):
        placement.exclude("a")
    placement.begin(Share(1.0, 0.0, 2, True))
    cluster.clear()
    assert placement.room() == 1, "it waits for the first node"
    placement.begin(Share(1.0, 0.0, 7))
    assert placement.room() == 7, "as many as --slots says"


def test_what_trials_wait_for(cluster: dict[str, Mapping[str, float]]) -> None:
    placement.begin(Share(4.0, 1.0, 1, True))
    assert placement.lack(0, 0) == "" and placement.lack(1, 0) == "waiting for a node with 1 GPU and 4 CPUs"
    cluster["a"] = {"CPU": 8.0}
    assert placement.lack(1, 0) == "waiting for a node with 1 GPU and 4 CPUs (resources.gpus=0 trains on CPUs)"
    cluster["b"] = {"CPU": 8.0, "GPU": 1.0}
    assert placement.lack(1, 0) == "waiting for 1 GPU and 4 CPUs to be free on a node", "somebody else has them"
    assert placement.lack(1, 1) == "", "one more than fits"
    placement.begin(Share(4.0, 0.5, 8))
    assert placement.lack(6, 2) == "6 trials waiting for nodes with 0.5 GPU and 4 CPUs"


def test_fewer_trials_share_a_gpu_after_it_was_full(cluster: dict[str, Mapping[str, float]]) -> None:
    cluster["a"] = {"CPU": 64.0, "GPU": 2.0}
    placement.begin(Share(4.0, 0.25, 8, True))
    full = "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"
    assert placement.widen({"CPU": 4.0, "GPU": 0.25}, full) == \
        "out of memory where 4 trials share a GPU; from now on at most 2, with 0.5 GPU and 4 CPUs for each"
    assert placement.request({}).required_resources == {"CPU": 4.0, "GPU": 0.5} and placement.room() == 5
    assert placement.widen({"CPU": 4.0, "GPU": 0.25}, full) == "", "it had the smaller share"
    assert "from now on at most 1" in str(placement.widen({"CPU": 4.0, "GPU": 0.5}, full))
    assert placement.widen({"CPU": 4.0, "GPU": 1.0}, full) is None, "it was alone"
    placement.begin(Share(4.0, 1 / 6, 12))
    placement.widen({"CPU": 4.0, "GPU": 1 / 6}, full)
    assert placement.request({}).required_resources["GPU"] == 0.3333 and placement.room() == 6


def test_fewer_trials_share_a_node_after_its_memory_was_full(cluster: dict[str, Mapping[str, float]]) -> None:
    cluster |= {"a": {"CPU": 8.0, "GPU": 1.0}, "b": {"CPU": 2.0}}
    placement.begin(Share(1.0, 0.25, 4, True))
    killed = "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory."
    assert placement.widen({"CPU": 1.0, "GPU": 0.25}, killed) == \
        "out of memory where 8 trials share a node; from now on at most 4, with 0.25 GPU and 2 CPUs for each"
    placement.begin(Share(1.0, 0.0, 1))
    assert placement.widen({"CPU": 1.0}, killed) is None, "--slots 1: it was alone"


def test_without_a_gpu_none_can_be_used() -> None:
    import torch

    if torch.cuda.is_available():
        assert gpu_fault() == ""
    else:
        assert gpu_fault().startswith("a trial was given a GPU, but torch ")


# on real nodes

SLOW = """
import os, sys, time

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "recyclelora.sweeps.ray_tune":
            with open(os.environ["STARTS"], "a") as file:
                file.write("x")
            time.sleep(5)

sys.meta_path.insert(0, Slow())
"""


def start(folder: Path, environment: Mapping[str, str], *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-m", "tests.elastic_sweep", str(folder), *words], cwd=ROOT, text=True,
                            env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def wait_for(text: str, sweep: "subprocess.Popen[str]") -> list[str]:
    assert sweep.stdout
    lines = list[str]()
    for line in sweep.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"{text!r} is not in\n{''.join(lines)}")


@pytest.mark.slow
def test_what_joins_a_cluster_in_mid_sweep(tmp_path: Path) -> None:
    """A node on which an actor takes longer to start than a trial to run: while it does, the first node ends short
    trials. Then, in a second sweep, the GPU that was waited for, which only seems to be one."""
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(SLOW)
    with nodes(tmp_path / "ray") as made:
        made.add(1)
        sweep = start(tmp_path / "sweep", made.environment, "24", "0.1", "1", "0")
        while not (places := tmp_path / "sweep" / "places").exists():
            assert sweep.poll() is None, sweep.communicate()
            time.sleep(0.1)
        made.add(1, PYTHONPATH=os.pathsep.join([str(tmp_path / "slow"), str(ROOT)]), STARTS=str(tmp_path / "starts"))
        output, _ = sweep.communicate(timeout=600)
        ran = [line.split() for line in places.read_text().splitlines()]
        assert "24 done" in output and sorted(int(seed) for seed, *_ in ran) == [*range(24)], output
        assert len({node for _, node, *_ in ran}) == 2, "the new node is used"
        assert (tmp_path / "starts").read_text() == "x", "the actor that was starting there was not killed"
        assert len({process for _, _, process, _ in ran}) == 2, "each actor runs one trial after the other"

        sweep = start(tmp_path / "other", made.environment, "2", "0.1", "1", "1")
        wait_for("waiting for a node with 1 GPU and 1 CPU (resources.gpus=0 trains on CPUs) for ", sweep)
        made.add(1, gpus=1)
        output, _ = sweep.communicate(timeout=600)
    assert "gpu: a trial was given a GPU, but torch" in output and "Outage: no node is left on which trials may run" in output
    assert not (tmp_path / "other" / "places").exists() and "Traceback" not in output
