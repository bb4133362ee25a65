"""Why trials fail: the kinds of failures, which of them another try may mend, and when two are the same one."""

import errno
import hashlib
import re
import traceback
from typing import NamedTuple

from recyclelora.errors import InputError, chain_of, is_of_store, reason_of


class Kind(NamedTuple):
    """A kind of failure. `tries`: how often at most another try, from the last checkpoint, may end otherwise."""

    name: str
    tries: int
    means: str


class TooLong(Exception):
    """A trial has taken longer than it may."""


ANY = 1000  # tries: as many as a sweep allows
KINDS = {kind.name: kind for kind in (
    Kind("bad input", 0, "the trial's data, weights or settings are refused"),
    Kind("diverged", 0, "a loss or a gradient is no number any more"),
    Kind("too long", 0, "it has taken more than resources.time_limit"),
    Kind("out of memory", 1, "the GPU or the machine has no memory left for it"),
    Kind("hung", 1, "it has not reported for many times its usual interval"),
    Kind("bug", 1, "an error of the program"),
    Kind("lost", ANY, "its process or its node died"),
    Kind("disk", ANY, "a file could not be read or written"),
    Kind("store", ANY, "the tracking store did not answer"),
)}
ERROR = "error.txt"  # in the folder of a trial: the traceback of its last failure
TAG, TRACE = "failure", "failure_trace"  # of the run: the kind, and a digest that is the same for the same bug

_MEMORY = re.compile(r"\b(OutOfMemoryError|MemoryError|CUBLAS_STATUS_ALLOC_FAILED)\b|CUDA out of memory|"
                     r"running low on memory|DefaultCPUAllocator: can't allocate memory")
_LOST = re.compile(r"\b(ActorDiedError|ActorUnavailableError|NodeDiedError|WorkerCrashedError|ObjectLostError|"
                   r"OwnerDiedError|LocalRayletDiedError|RaySystemError|RpcError)\b")
_TRANSIENT = {errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EMFILE,
              errno.ENFILE, errno.EROFS, errno.EACCES, errno.ENOENT}


class Failure(NamedTuple):
    """One failure: its kind, what is told of it in a line, and what is the same for the same bug (`trace_of`)."""

    kind: str
    reason: str
    trace: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """Of the run."""
        return {TAG: self.kind, **({TRACE: self.trace} if self.trace else {})}


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception is."""
    kind = kind_of(error)
    return Failure(kind, str(error) if kind in ("bad input", "too long") else reason_of(error),
                   trace_of(error) if kind == "bug" else "")


def kind_of(error: BaseException) -> str:
    """The kind of an exception that ended a trial, by the exception or one that caused it."""
    for each in chain_of(error):
        if isinstance(each, InputError):
            return "bad input"
        if isinstance(each, TooLong):
            return "too long"
        if isinstance(each, MemoryError) or _MEMORY.search(f"{type(each).__name__}: {each}"):
            return "out of memory"
        if is_of_store(each):
            return "store"
        if isinstance(each, OSError) and each.errno in _TRANSIENT:
            return "disk"
    return "bug"


def kind_of_death(text: str) -> str:
    """The kind of the failure of a worker that could not tell it itself, by what Ray wrote of it: "lost" where no
    exception of Python's is in it, since then the process or its node died."""
    if _MEMORY.search(text):
        return "out of memory"
    return "bug" if "Traceback (most recent call last)" in text and not _LOST.search(text) else "lost"


def trace_of(error: BaseException) -> str:
    """Eight hex digits, the same for two exceptions of one type that were raised in one place by one path."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename}:{frame.lineno}:{frame.name}" for frame in frames]
    return hashlib.sha256("\n".join([type(error).__qualname__, *places]).encode()).hexdigest()[:8]
