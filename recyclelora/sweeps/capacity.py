"""What one trial takes of a cluster, and how many trials its nodes hold. Nodes are judged one by one: a trial runs on
one of them, and on one GPU."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import ray

from recyclelora.errors import InputError

Node = Mapping[str, float]  # its resources, as Ray names them


class Share(NamedTuple):
    """What one trial takes, and how many run side by side. `follows`: as many as the nodes hold at any moment, and one
    more, which waits and so asks an autoscaler for another node; `slots` is then how many they held at first."""

    cpus: float
    gpus: float
    slots: int
    follows: bool = False


def working_nodes() -> dict[str, Node]:
    """The nodes that can run trials, by their id; none where no Ray is running."""
    known = ray.nodes() if ray.is_initialized() else []
    return {node["NodeID"]: node["Resources"] for node in known if node["Alive"] and node["Resources"].get("CPU")}


def trials_on(node: Node, cpus: float, gpus: float) -> int:
    """How many trials a node holds side by side. One trial has its share of a single GPU."""
    by_cpus = int(node.get("CPU", 0) / cpus + 1e-9)
    return min(by_cpus, int(node.get("GPU", 0)) * int(1 / gpus + 1e-9)) if gpus else by_cpus


def share_of(nodes: Iterable[Node], cpus: float, gpus: float, slots: int | None = None, *,
             joined: bool = False) -> Share:
    """What a trial takes, and how many run side by side.

    On a private cluster as many as fit, at most `slots`; GPUs are asked for only where it has some. A cluster that was
    `joined` may grow: what the config says is asked for, whatever its nodes have now; `slots` is taken as said, and
    without it the number follows the nodes. Raises InputError where a trial fits on none of the nodes. Nodes that may
    yet come are waited for: all if there is none, and those with GPUs if none has one."""
    nodes = list(nodes)
    if joined and slots:
        return Share(cpus, gpus, slots)
    if not joined and not any(node.get("GPU") for node in nodes):
        gpus = 0.0
    fit = sum(trials_on(node, cpus, gpus) for node in nodes)
    with_gpus = [node for node in nodes if not gpus or node.get("GPU", 0) >= 1]
    if not fit and with_gpus:
        raise InputError(_misfit(with_gpus, cpus, gpus, joined), key="resources.cpus")
    return Share(cpus, gpus, max(1, fit), True) if joined else Share(cpus, gpus, min(fit, slots or fit))


def _misfit(nodes: Iterable[Node], cpus: float, gpus: float, joined: bool) -> str:
    most = max(node.get("CPU", 0) for node in nodes)
    return (f"resources.cpus: {cpus:g} for each trial, but the largest node {'with a GPU ' if gpus else ''}has {most:g}"
            f"{'; --slots N waits for larger ones' if joined else ''}")


def amount(cpus: float, gpus: float) -> str:
    """A share in words: `1 GPU and 4 CPUs`."""
    return " and ".join(f"{number:g} {name}{'' if number <= 1 else 's'}"
                        for number, name in ((gpus, "GPU"), (cpus, "CPU")) if number)
