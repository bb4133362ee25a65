"""The Ray cluster: joined or started, what a trial takes of it, and functions that run on its workers."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import ray
from ray import tune

from recyclelora.errors import InputError, Outage, reason_of
from recyclelora.sweeps.joining import join
from recyclelora.sweeps.private_cluster import private_folder, start
from recyclelora.sweeps.ray_process import end

_Result = TypeVar("_Result")


class Share(NamedTuple):
    """What one trial takes of the cluster, and how many fit side by side."""

    cpus: float
    gpus: float
    slots: int


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[dict[str, float]]:
    """Join the Ray cluster at `address`, or start a private one here; yields its resources. Raises InputError when the
    address does not answer, and Outage when a cluster does not start here, or is lost by the time the block ends."""
    for name in ("ray", "ray.tune", "ray.train", "ray.data", "optuna"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the listener hears of every failure, in a line
    with contextlib.nullcontext() if address else private_folder() as folder:
        try:
            with failures_told():
                if folder is None:
                    join(str(address))
                else:
                    start(folder)
                yield ray.cluster_resources()
        finally:
            end()


@contextlib.contextmanager
def failures_told() -> Iterator[None]:
    """Any error of Ray's, or of Tune's about itself, as an Outage."""
    try:
        yield
    except (ray.exceptions.RayError, tune.TuneError) as error:
        raise Outage(f"the Ray cluster failed ({reason_of(error)})") from error


def share_of(resources: dict[str, float], cpus: float, gpus: float, slots: int | None = None, *,
             joined: bool = False) -> Share:
    """What a trial takes, and how many run side by side: as many as fit, at most `slots`. GPUs are asked for only where
    there are some. A cluster that was `joined` may grow: there `slots` is taken as said, and the GPUs are asked for
    even if no node has one yet. Raises InputError for a trial that would never fit."""
    if joined and slots:
        return Share(cpus, gpus, slots)
    has_gpus = resources.get("GPU", 0) > 0
    gpus = gpus if has_gpus else 0.0
    if cpus > resources.get("CPU", 0):
        raise InputError(f"resources.cpus: {cpus:g} for each trial, but the cluster has {resources.get('CPU', 0):g}",
                         key="resources.cpus")
    fit = int(resources["CPU"] / cpus + 1e-9)
    fit = min(fit, int(resources["GPU"] / gpus + 1e-9)) if gpus else fit
    return Share(cpus, gpus, max(1, min(fit, slots or fit)))


def run_on_cluster(function: Callable[..., _Result], arguments: Sequence[tuple[Any, ...]],
                   share: Share) -> list[_Result | str]:
    """Call a function with each tuple of arguments, on workers with a trial's share of the cluster, as many side by
    side as trials would be. Results in their order; a str says why there is none: the function failed, or its worker
    or its node died. Raises the InputError that the function raises."""
    # max_calls: a fresh process each, or the memory that one call leaves behind would count as the next one's
    task = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_calls=1, max_retries=0)(function)
    return [_result(reference) for reference in [task.remote(*given) for given in arguments]]


def _result(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
        return f"the worker died ({type(error).__name__}: killed, or out of memory)"
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, InputError):
            raise cause from None
        return f"it failed on the cluster ({reason_of(error)})"
