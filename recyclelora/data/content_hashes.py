"""What the files of a data set hold, as hashes. Content is hashed once and remembered in the cache folder; later only
the sizes and times of files are looked at, as `git` and `make` do.

An index file has a line per file: sha256, size, time of last change (ns), width, height (as stored), mode, EXIF
orientation, name below the set's folder. A file is known again where name, size and time agree, so a copy that kept its
times need not be hashed again.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from recyclelora.data.pairs import LabelFormat, Pair, check_modes, check_sizes
from recyclelora.data.pictures import UNREADABLE, UPRIGHT, describe, open_picture, orientation_of, turned_size
from recyclelora.errors import InputError
from recyclelora.writing import locked

_THREADS, _CHUNK = 8, 128  # pairs to a task, after each of which the index is written
_SETTLED_NS = 2_000_000_000  # a file changed this recently may change again and keep its time: it is not remembered
# What marks the end of the picture; anything may follow it. MPO: a JPEG with another one behind it, as cameras write.
_ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "MPO": b"\xff\xd9"}
_THUMBNAIL = 65536  # bytes at the head of a JPEG file that may hold a small picture, with an end of its own

Key = tuple[str, str, str]  # name, size, time


class Facts(NamedTuple):
    """Hash of a file's content; size as stored, Pillow's mode and EXIF orientation of the picture in it."""

    sha256: str
    width: int
    height: int
    mode: str
    orientation: int

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright picture."""
        return turned_size((self.width, self.height), self.orientation)


def digest_pairs(pairs: Sequence[Pair], stored: LabelFormat, folder: Path, index: Path) -> Iterator[str]:
    """For each pair the sha256 over the sha256 of both files, wherever they lie; `index` remembers what was hashed.

    Every file is seen here before anything is trained on it, so this is where those that would fail then are refused:
    InputError for a file that is unreadable, cut off or of another mode, and for sizes that do not agree.
    """
    known = _read_index(index)
    digest = partial(_digest_chunk, stored=stored, base=f"{folder}{os.sep}", known=known)
    pool = ThreadPoolExecutor(_THREADS)  # hashing and reading let go of the interpreter's lock
    try:
        for digests, lines in pool.map(digest, (pairs[i : i + _CHUNK] for i in range(0, len(pairs), _CHUNK))):
            _append(index, lines)
            yield from digests
    finally:
        pool.shutdown(cancel_futures=True)


def _digest_chunk(
    pairs: Sequence[Pair], *, stored: LabelFormat, base: str, known: Mapping[Key, Facts]
) -> tuple[list[str], list[str]]:
    """The digests, and the lines that the index lacks."""
    digests: list[str] = []
    lines: list[str] = []
    for pair in pairs:
        image = _look_up(pair.image, "image", base, known, lines)
        label = _look_up(pair.label, "label", base, known, lines)
        check_modes(pair, image.mode, label.mode, stored)
        check_sizes(pair, image.size, label.size, stored)
        digests.append(_digest(image, label))
    return digests, lines


def _digest(image: Facts, label: Facts) -> str:
    """Of the content of a pair and, where EXIF turns it, of how: read without turning it is another sample."""
    turned = (image.orientation, label.orientation)
    said = b"" if turned == (UPRIGHT, UPRIGHT) else f"turned {turned}".encode()
    return hashlib.sha256(bytes.fromhex(image.sha256) + bytes.fromhex(label.sha256) + said).hexdigest()


def _look_up(path: Path, kind: str, base: str, known: Mapping[Key, Facts], lines: list[str]) -> Facts:
    try:
        status = os.stat(path)
        name = os.fspath(path).removeprefix(base)
        facts = known.get((name, str(status.st_size), str(status.st_mtime_ns)))
        if facts is not None:
            return facts
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {kind} {path}: {error.strerror}") from error
    facts = _examine(content, path, kind)
    if len(content) == status.st_size and time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
        lines.append(f"{facts.sha256} {status.st_size} {status.st_mtime_ns} {facts.width} {facts.height} {facts.mode} "
                     f"{facts.orientation} {name}\n")  # fmt: skip
    return facts


def _examine(content: bytes, path: Path, kind: str) -> Facts:
    try:
        with open_picture(content, ("PNG", "JPEG") if kind == "image" else ("PNG",)) as picture:
            (width, height), mode, format = picture.size, picture.mode, picture.format
            orientation = orientation_of(picture)
    except UNREADABLE as error:
        raise InputError(f"cannot read {kind} {path}: {describe(error, kind)}") from error
    if _ENDS[format or ""] not in content[_THUMBNAIL if len(content) > 2 * _THUMBNAIL else 0 :]:
        raise InputError(f"cannot read {kind} {path}: it is cut off; download or unpack it again")
    return Facts(hashlib.sha256(content).hexdigest(), width, height, mode, orientation)


def _read_index(index: Path) -> dict[Key, Facts]:
    """Lines that are not whole (a machine went down) are passed over."""
    try:
        text = index.read_text(errors="replace")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"cannot read cache {index}: {error.strerror}") from error
    known: dict[Key, Facts] = {}
    for line in text.split("\n")[:-1]:
        try:
            sha256, size, changed, width, height, mode, orientation, name = line.split(" ", 7)
            if len(bytes.fromhex(sha256)) == 32:
                known[name, size, changed] = Facts(sha256, int(width), int(height), mode, int(orientation))
        except ValueError:
            continue
    return known


def _append(index: Path, lines: list[str]) -> None:
    if not lines:
        return
    try:
        # several trials may find the same set unknown
        with locked(index.with_suffix(".lock")), open(index, "a") as file:
            file.write("".join(lines))
    except OSError as error:
        raise InputError(f"cannot write cache {index}: {error.strerror}; choose another cache folder") from error
