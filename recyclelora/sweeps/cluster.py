"""The Ray cluster: joined or started, and functions that run on its workers."""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import tune

from recyclelora.errors import InputError, Outage, reason_of
from recyclelora.runs.redaction import redact
from recyclelora.sockets import socket_folder
from recyclelora.sweeps.capacity import Share
from recyclelora.trials.device import gpu_fault

# The longest of Ray's, below the folder of its sessions' folder.
_SOCKET = len("/ray/session_2026-01-01_00-00-00_123456_1234567/sockets/plasma_store")

_Result = TypeVar("_Result")


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[dict[str, float]]:
    """Join the Ray cluster at `address`, or start a private one here; yields its resources. Raises InputError when the
    address does not answer, and Outage when a cluster does not start here, or is lost by the time the block ends."""
    for name in ("ray", "ray.tune", "ray.train", "ray.data", "optuna"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the listener hears of every failure, in a line
    if address:
        _knock(address)
    try:
        with failures_told():
            _join(address)
            yield ray.cluster_resources()
    finally:
        ray.shutdown()


@contextlib.contextmanager
def failures_told() -> Iterator[None]:
    """Any error of Ray's, or of Tune's about itself, as an Outage."""
    try:
        yield
    except (ray.exceptions.RayError, tune.TuneError) as error:
        raise Outage(f"the Ray cluster failed ({reason_of(error)})") from error


def _join(address: str | None) -> None:
    local: dict[str, Any] = {} if address else {"include_dashboard": False, "_temp_dir": str(_ray_folder())}
    try:
        with _own_signals():
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
    except Exception as error:  # a slow machine makes it raise a bare one
        if address:
            raise InputError(f"RAY_ADDRESS={redact(address)}: no Ray cluster answers there ({reason_of(error)}); start "
                             "it, or unset RAY_ADDRESS to run on this machine") from None
        raise Outage(f"Ray did not start on this machine ({reason_of(error)})") from None


def _ray_folder() -> Path:
    """Where a private cluster keeps its sessions, with their sockets: where Ray would, unless that is too long."""
    setting = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
    return socket_folder(_SOCKET, preferred=os.environ.get(setting, "/tmp"), setting=setting) / "ray"


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM over when it starts; here it is given back to whoever had it. A terminal that is closed sends
    SIGHUP to all its processes: those of Ray must outlive the driver, which still has its runs to close."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.getsignal(signal.SIGTERM)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # which the processes started now inherit
    try:
        yield
    except SystemExit:  # what Ray makes of a SIGTERM
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGTERM, former)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _knock(address: str) -> None:
    """Ray itself waits for minutes at a door that nobody opens."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # "auto", or a scheme of Ray's own
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise InputError(f"RAY_ADDRESS={redact(address)}: no Ray cluster answers there "
                         f"({error.strerror or error}); start it, or unset RAY_ADDRESS to run on this machine"
                         ) from None


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
