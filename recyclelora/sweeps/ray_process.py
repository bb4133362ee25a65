"""`ray.init`, and what it leaves behind in this process: environment variables that it alone is to see, its handling of
signals, and the token, which it reads once and keeps."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import ray
from ray._private import worker

_print = worker.print_to_stdstream


def begin(variables: Mapping[str, str | None], **options: Any) -> None:
    """Start or join a cluster by `ray.init(**options)`. The `variables` (None: not set) are in the environment
    meanwhile, so that Ray and the processes which it starts see them, and processes that are started later do not."""
    # It prints what its processes report of dead workers, `log_to_driver` or not; a sweep says that in its own words.
    worker.print_to_stdstream = lambda *given, **named: None
    with _own_signals(), _set(variables):
        _read_settings_again()
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)


def end() -> None:
    """Leave the cluster, which ends with it if it was started here. Does nothing where there is none."""
    ray.shutdown()
    worker.print_to_stdstream = _print
    _read_settings_again()


def _read_settings_again() -> None:
    """Ray reads RAY_AUTH_MODE when it is imported, and the token when it is first needed (2.60)."""
    if not ray.is_initialized():
        ray._raylet.Config.initialize("")
        ray._raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def _set(variables: Mapping[str, str | None]) -> Iterator[None]:
    former = {name: os.environ.get(name) for name in variables}
    try:
        _put(variables)
        yield
    finally:
        _put(former)


def _put(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


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
