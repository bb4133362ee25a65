"""Many files made once: by several processes, each file whole or not at all, by one program at a time."""

import fcntl
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image as PillowImage

from recyclelora.errors import InputError

Item = TypeVar("Item")
Progress = tuple[int, int]  # done, of how many
_UNFINISHED = ".unfinished-"  # hidden, so that readers pass over them; a name of ours, so that no others are removed


def save_whole(picture: PillowImage.Image, path: Path, **options: Any) -> None:
    """Others see all of the file or nothing."""
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
    try:
        with os.fdopen(descriptor, "wb") as file:
            picture.save(file, **options)
        os.chmod(unfinished, 0o644)  # mkstemp's files are private, data are shared
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise


def in_processes(
    make: Callable[[Item], object], todo: Sequence[Item], total: int, workers: int
) -> Generator[Progress, None, None]:
    """Call `make` for all that is left of `total`, in `workers` processes; yields progress. Raises what it raises."""
    done = total - len(todo)
    yield done, total
    # fresh processes: a copy of this one may hold locks of threads that it does not have
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        for future in as_completed([pool.submit(make, item) for item in todo]):
            future.result()
            done += 1
            yield done, total
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold this folder, without what a process that was killed left unfinished anywhere below it. Raises InputError
    while another process writes here. The lock dies with its process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for torn in folder.rglob(f"{_UNFINISHED}*"):
            torn.unlink()
        yield
    except BlockingIOError:
        raise InputError(f"{folder}: another process is writing these copies; wait for it to end") from None
    finally:
        os.close(descriptor)
