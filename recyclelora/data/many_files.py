"""Many files made once: by several processes, each file whole or not at all, by one program at a time."""

import multiprocessing
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image as PillowImage

from recyclelora.errors import InputError
from recyclelora.writing import Busy, locked, remove_unfinished, whole_file

Item = TypeVar("Item")
Progress = tuple[int, int]  # done, of how many


def save_whole(picture: PillowImage.Image, path: Path, **options: Any) -> None:
    """Others see all of the file or nothing."""
    with whole_file(path) as unfinished:
        picture.save(unfinished, **options)


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
    """Hold this folder, without what a process that was killed left unfinished anywhere below it. It may be renamed
    meanwhile: the lock is a file beside it. Raises InputError while another process writes here. The lock dies with its
    process."""
    try:
        with locked(folder.with_name(f".{folder.name}.lock"), patience=0):
            remove_unfinished(folder)
            yield
    except Busy:
        raise InputError(f"{folder}: another process is writing these copies; wait for it to end") from None
