"""Where Tune may place trials: what one takes, how many may be under way, and the nodes that are excluded.

Tune keeps a pickle of what it asks for the resources of a trial, so that the state is this module's: there is one sweep
at a time in a process."""

import math
import re
import time
from collections.abc import Mapping
from typing import Any

from ray.tune import PlacementGroupFactory

from recyclelora.errors import Outage
from recyclelora.sweeps.capacity import Node, Share, amount, trials_on, working_nodes

NODE = "ray.io/node-id"  # a label that Ray gives to every node
LOOK = 1.0  # seconds between two looks at the nodes of the cluster
excluded: set[str] = set()  # ids of nodes
_share = Share(1.0, 0.0, 1)
_seen: tuple[float, dict[str, Node]] = (-math.inf, {})

_OF_A_GPU = re.compile(r"CUDA|torch\.OutOfMemoryError|\bCUBLAS|\bHIP\b")


class Unfit(Exception):
    """No trial may begin on this node."""


def begin(share: Share) -> None:
    """For a new sweep: what a trial takes, on any node."""
    global _share, _seen
    _share, _seen = share, (-math.inf, {})
    excluded.clear()


def request(config: Mapping[str, Any]) -> PlacementGroupFactory:
    """What is asked for a trial."""
    bundle = {"CPU": _share.cpus, "GPU": _share.gpus} if _share.gpus else {"CPU": _share.cpus}
    if not excluded:
        return PlacementGroupFactory([bundle])
    return PlacementGroupFactory([bundle], bundle_label_selector=[{NODE: f"!in({','.join(sorted(excluded))})"}])


def room() -> int:
    """How many trials may be under way now, with those that wait for a node. At least one, or Tune would stop."""
    fit = sum(_fits().values())
    return max(1, fit + 1 if _share.follows else _share.slots)


def exclude(node: str) -> None:
    """Have no more trials on this node. Raises Outage where no other one is large enough."""
    global _seen
    excluded.add(node)
    _seen = (-math.inf, {})
    if not any(_fits().values()):
        raise Outage("no node is left on which trials may run")


def lack(waiting: int, under_way: int) -> str:
    """What so many trials wait for, in words; "" where they only wait for their turn: in a cluster whose nodes are full
    one more trial waits than fits, to ask for another node."""
    if not waiting or (under_way and _share.follows):
        return ""
    what, nodes = amount(_share.cpus, _share.gpus), _nodes().values()
    if any(_fits().values()) and not under_way:
        return f"waiting for {what} to be free on a node"
    whom = f"{waiting} trials waiting for nodes" if waiting > 1 else "waiting for a node"
    only_cpus = _share.gpus and nodes and not any(node.get("GPU") for node in nodes)
    return f"{whom} with {what}{' (resources.gpus=0 trains on CPUs)' if only_cpus else ''}"


def widen(had: Mapping[str, float], reason: str) -> str | None:
    """After a trial with the share `had` found no memory: let fewer trials run side by side from now on, half as many.
    Returns that in words, "" where fewer do already, and None where it ran alone."""
    global _share
    of_gpu = bool(_share.gpus) and _OF_A_GPU.search(reason) is not None
    name, now = ("GPU", _share.gpus) if of_gpu else ("CPU", _share.cpus)
    if had.get(name, 0.0) < now:
        return ""
    size = 1.0 if of_gpu else max((node.get("CPU", 0.0) for node in _nodes().values()), default=0.0)
    beside = int(size / now + 1e-9) if _share.follows else min(int(size / now + 1e-9), _share.slots)
    if beside < 2:
        return None
    fewer = beside // 2
    wider = math.floor(1e4 * size / fewer) / 1e4  # Ray counts in ten-thousandths
    _share = _share._replace(slots=math.ceil(_share.slots * fewer / beside))
    _share = _share._replace(gpus=wider) if of_gpu else _share._replace(cpus=wider)
    return (f"out of memory where {beside} trials share a {'GPU' if of_gpu else 'node'}; from now on at most {fewer}, "
            f"with {amount(_share.cpus, _share.gpus)} for each")


def _nodes() -> dict[str, Node]:
    """Those on which trials may run."""
    global _seen
    if time.monotonic() - _seen[0] > LOOK:
        _seen = (time.monotonic(), {name: node for name, node in working_nodes().items() if name not in excluded})
    return _seen[1]


def _fits() -> dict[str, int]:
    """How many trials each of them holds."""
    return {name: trials_on(node, _share.cpus, _share.gpus) for name, node in _nodes().items()}
