"""Files that are there whole or not at all, and locks among processes. Everything that this package writes for others
to read goes through here. Needs the standard library and filelock (which torch needs too), so that the adapters can be
taken with it."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

# Hidden, so that readers pass over it; a name of ours, so that no other file is ever removed.
UNFINISHED = ".unfinished-"


class Busy(Exception):
    """Another process holds the lock."""


@contextmanager
def whole_file(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """An empty file beside `path` for the block to fill. It takes the name `path` when the block ends, and is removed
    when the block raises, which leaves an earlier `path` as it was. The folder is made if there is none.

    The file gets the mode that the umask gives to any new file: safetensors and mkstemp keep theirs private. `durable`:
    content and name are on the disk before this returns, so that they survive a power cut. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{UNFINISHED}{secrets.token_hex(6)}{path.suffix}")
    try:
        unfinished.touch(exist_ok=False)
        mode = unfinished.stat().st_mode
        yield unfinished
        unfinished.chmod(mode)
        if durable:
            sync(unfinished)
        os.replace(unfinished, path)
        if durable and os.name == "posix":  # elsewhere a folder cannot be opened
            sync(path.parent)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` for the block to fill. It takes the place of `path` when the block ends; when the
    block raises it is removed, and an earlier `path` stays as it was. Raises OSError."""
    unfinished, former = (path.with_name(f"{UNFINISHED}{secrets.token_hex(6)}") for _ in range(2))
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        if path.exists():
            os.replace(path, former)
        try:
            os.replace(unfinished, path)
        except OSError:
            if former.exists():
                os.replace(former, path)
            raise
    finally:
        for rest in (unfinished, former):
            shutil.rmtree(rest, ignore_errors=True)


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file as `whole_file` does. Raises OSError."""
    with whole_file(path, durable=durable) as unfinished:
        unfinished.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8 as `whole_file` does, line ends as they are. Raises OSError."""
    write_bytes(path, text.encode())


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left unfinished in `folder` and below. Call it only under a lock that every writer
    to this folder takes. Raises OSError."""
    for rest in [*folder.rglob(f"{UNFINISHED}*")]:
        if rest.is_dir() and not rest.is_symlink():
            shutil.rmtree(rest)
        else:
            rest.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, patience: float | None = None) -> Iterator[None]:
    """Hold the lock file `path` alone, among processes and threads. The folder is made if there is none; the file is
    removed afterwards, and the system frees the lock of a process that dies.

    Waits `patience` seconds (None: for ever) for another holder, then raises Busy. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=-1 if patience is None else patience)
    try:
        lock.acquire()
    except Timeout:
        raise Busy(str(path)) from None
    try:
        yield
    finally:
        with suppress(OSError):  # where an open file cannot be removed it stays, and does no harm
            path.unlink()  # while it is held: who waits for it notices that the file is gone, and takes a new one
        lock.release()


def sync(path: Path) -> None:
    """Have the content of a file, or the names in a folder, on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
