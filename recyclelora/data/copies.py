"""Copies of PNG files that decode several times as fast: made once, read ever after, with the same pixels.

Decoding a large PNG takes three quarters of the time that a training sample costs. A copy is a TIFF file compressed
with Zstandard (images after horizontal differencing), about as large as the PNG, in the cache folder. It says what it
was made of: size and time of last change of the PNG, and its last bytes, where the PNG has checksums over its pixels
(zlib's Adler-32) and over what is stored, and by which rules the PNG was read. The data set
stays the truth: a copy that is of another state of its file, or that cannot be read, counts for nothing.
"""

import os
import shutil
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image as PillowImage

from recyclelora.data.many_files import Progress, alone_in, in_processes, save_whole
from recyclelora.data.pairs import LabelFormat, Pair, decode_pair, encode_pair
from recyclelora.data.pictures import UNREADABLE, Pixels
from recyclelora.errors import InputError

Found = TypeVar("Found")
_RULES = 2  # of `pictures`: to be raised when they come to other pixels of the same file
_MADE_OF, _PREDICTOR = 270, 317  # TIFF's tags for a description and for what is done before compression
_HORIZONTAL = 2  # each value less the one to its left
_END = 32  # bytes: Adler-32 and the CRC of the last piece of pixels, 8 bytes, before the last chunk, 12 bytes
SPARE = 1.2  # copies are up to so many times as large as their originals (ours: 1.03)


def read_copy(path: Path, *, folder: Path, copies: Path) -> Pixels | None:
    """The pixels of a file of the set in `folder`, from its copy below `copies`; None where that has none of it."""
    return _look(path, folder, copies, np.array)


def is_copied(path: Path, folder: Path, copies: Path) -> bool:
    """Whether `read_copy` would find one."""
    return _look(path, folder, copies, lambda file: True) or False


def _look(path: Path, folder: Path, copies: Path, take: Callable[[PillowImage.Image], Found]) -> Found | None:
    """What `take` takes of the copy of a file; None where there is none of what the file is now."""
    try:
        with PillowImage.open(_place(path, folder, copies), formats=("TIFF",)) as file:
            return take(file) if file.tag_v2.get(_MADE_OF) == _state(path) else None  # type: ignore[attr-defined]
    except UNREADABLE:
        return None


def make_copies(
    pairs: Sequence[Pair], stored: LabelFormat, *, folder: Path, copies: Path, workers: int
) -> Generator[Progress, None, None]:
    """Copy the PNG files of these pairs in `workers` processes; yields progress. Called again it makes what is missing.

    Raises InputError for a pair that `read_pair` refuses, where the disk is too small or cannot be written, and while
    another process makes the copies of the same set.
    """
    try:
        copies.mkdir(parents=True, exist_ok=True)
        with alone_in(copies):
            todo = [(pair, lacking) for pair in pairs if (lacking := _lacking(pair, folder, copies))]
            _check_room([path for _, lacking in todo for path in lacking], copies)
            copy = partial(_copy, stored=stored, folder=folder, copies=copies)
            yield from in_processes(copy, todo, len(pairs), workers)
    except OSError as error:
        raise InputError(f"cannot write {error.filename or copies}: {error.strerror}") from error


def _lacking(pair: Pair, folder: Path, copies: Path) -> list[Path]:
    slow = [path for path in (pair.image, pair.label) if _is_slow(path, folder)]
    return [path for path in slow if not is_copied(path, folder, copies)]


def _check_room(paths: Sequence[Path], copies: Path) -> None:
    need = SPARE * sum(os.stat(path).st_size for path in paths)
    free = shutil.disk_usage(copies).free
    if need > free:
        raise InputError(f"{copies}: the copies need up to {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
                         "choose another cache folder (RECYCLELORA_CACHE)")  # fmt: skip


def _copy(lacking: tuple[Pair, list[Path]], *, stored: LabelFormat, folder: Path, copies: Path) -> None:
    """Copy those files of a pair."""
    pair, paths = lacking
    states = {path: _state(path) for path in paths}  # before: what is replaced meanwhile is another
    image, ids = decode_pair(pair, stored)
    encode_pair(pair, image, ids, stored)  # only what is sound is copied
    pixels = {pair.image: (image, {_PREDICTOR: _HORIZONTAL}), pair.label: (ids, {})}
    for path in paths:
        place, (values, tags) = _place(path, folder, copies), pixels[path]
        place.parent.mkdir(parents=True, exist_ok=True)
        save_whole(PillowImage.fromarray(values), place, format="TIFF", compression="zstd",
                   tiffinfo={_MADE_OF: states[path], **tags})  # fmt: skip


def _is_slow(path: Path, folder: Path) -> bool:
    """A JPEG decodes ten times as fast, and its pixels would need ten times the room. What a declaration points to
    outside the set has no place among the copies."""
    return path.suffix.lower() == ".png" and path.is_relative_to(folder)


def _place(path: Path, folder: Path, copies: Path) -> Path:
    return copies / path.relative_to(folder).parent / f"{path.name}.tif"


def _state(path: Path) -> str:
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        file.seek(max(0, status.st_size - _END))
        return f"{_RULES} {status.st_size} {status.st_mtime_ns} {file.read(_END).hex()}"
