"""How long a start takes on a data set of 25,000 images: finding the files, and the fingerprint, cold and warm.

    python -m tests.benchmark_listing [images]
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from recyclelora.data.datasets import open_domain
from tests import trees

T = TypeVar("T")


def timed(what: str, work: Callable[[], T]) -> T:
    wall, busy = time.perf_counter(), time.process_time()
    result = work()
    print(f"{what:44s} {time.perf_counter() - wall:7.2f} s, {time.process_time() - busy:7.2f} s of a core")
    return result


def write_many(root: Path, images: int) -> None:
    """GTAV's layout; every file is a copy of one of twelve small ones."""
    folder = trees.write_gtav(root, n=12)
    when = time.time() - 60
    for i in range(13, images + 1):
        for kind in ("images", "labels"):
            shutil.copyfile(folder / kind / f"{i % 12 + 1:05d}.png", folder / kind / f"{i:05d}.png")
    for path in folder.rglob("*.png"):
        os.utime(path, (when, when))


def main(images: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        timed(f"(writing {images} images and labels)", lambda: write_many(root, images))
        for turn in ("first", "second"):
            data = timed(f"listing and pairing, {turn} time",
                         lambda: open_domain("gtav", "train", root=root, cache=root / "cache"))
            assert len(data) == images
            timed(f"fingerprint, {'every file hashed' if turn == 'first' else 'every file known'}", data.fingerprint)
        part = timed("listing a subset of 12,403", lambda: open_domain("gtav", "train", root=root, cache=root / "cache",
                                                                       limit=min(images, 12403)))
        timed("fingerprint of the subset, known", part.fingerprint)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 25000)
