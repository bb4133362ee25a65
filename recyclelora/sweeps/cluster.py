"""The Ray cluster: joined or started, and functions that run on its workers."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray
from ray import tune

from recyclelora.errors import InputError, Outage, reason_of
from recyclelora.sweeps.capacity import Share
from recyclelora.sweeps.joining import join
from recyclelora.sweeps.private_cluster import private_folder, start
from recyclelora.sweeps.ray_process import end
from recyclelora.trials.device import gpu_fault

_Result = TypeVar("_Result")


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Join the Ray cluster at `address`, or start a private one here. Raises InputError when the address does not
    answer, and Outage when a cluster does not start here, or is lost by the time the block ends."""
    for name in ("ray", "ray.tune", "ray.train", "ray.data", "optuna"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the listener hears of every failure, in a line
    with contextlib.nullcontext() if address else private_folder() as folder:
        try:
            with failures_told():
                if folder is None:
                    join(str(address))
                else:
                    start(folder)
                yield
        finally:
            end()


@contextlib.contextmanager
def failures_told() -> Iterator[None]:
    """Any error of Ray's, or of Tune's about itself, as an Outage."""
    try:
        yield
    except (ray.exceptions.RayError, tune.TuneError) as error:
        raise Outage(f"the Ray cluster failed ({reason_of(error)})") from error


def run_on_cluster(function: Callable[..., _Result], arguments: Sequence[tuple[Any, ...]],
                   share: Share) -> list[_Result | str]:
    """Call a function with each tuple of arguments, on workers with a trial's share of the cluster, as many side by
    side as trials would be. Results in their order; a str says why there is none: the function failed, or its worker
    or its node died. Raises the InputError that the function raises."""
    # max_calls: a fresh process each, or the memory that one call leaves behind would count as the next one's
    task = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_calls=1, max_retries=0)(_with_its_gpu)
    return [_result(reference) for reference in [task.remote(function, *given) for given in arguments]]


def _with_its_gpu(function: Callable[..., _Result], *given: Any) -> _Result:
    """Raises Outage where it was given a GPU that cannot be used: the CPU would tell of another machine."""
    if fault := gpu_fault() if ray.get_gpu_ids() else "":
        raise Outage(fault)
    return function(*given)


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
