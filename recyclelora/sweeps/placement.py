"""Where Tune may place trials: what one takes, and the nodes that are excluded.

Tune keeps a pickle of what it asks for the resources of a trial, so that the state is this module's: there is one sweep
at a time in a process."""

from typing import Any

import ray
from ray.tune import PlacementGroupFactory

from recyclelora.errors import Outage
from recyclelora.sweeps.cluster import Share

NODE = "ray.io/node-id"  # a label that Ray gives to every node
excluded: set[str] = set()  # ids of nodes
_share = Share(1.0, 0.0, 1)


class Unfit(Exception):
    """No trial may begin on this node."""


def begin(share: Share) -> None:
    """For a new sweep: what a trial takes, on any node."""
    global _share
    _share = share
    excluded.clear()


def request(config: dict[str, Any]) -> PlacementGroupFactory:
    """What is asked for a trial."""
    bundle = {"CPU": _share.cpus, "GPU": _share.gpus} if _share.gpus else {"CPU": _share.cpus}
    if not excluded:
        return PlacementGroupFactory([bundle])
    return PlacementGroupFactory([bundle], bundle_label_selector=[{NODE: f"!in({','.join(sorted(excluded))})"}])


def exclude(node: str) -> None:
    """Have no more trials on this node. Raises Outage where no other one is large enough."""
    excluded.add(node)
    for known in ray.nodes():
        has = known["Resources"]
        if (known["Alive"] and known["NodeID"] not in excluded and has.get("CPU", 0) >= _share.cpus
                and has.get("GPU", 0) >= _share.gpus):
            return
    raise Outage("no node is left on which trials may run")
