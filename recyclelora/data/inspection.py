"""Every sample of a split, read once: what it holds, and whatever is wrong with any of them."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recyclelora.data.datasets import DomainData
from recyclelora.data.faults import Fault, fault
from recyclelora.data.labels import Size
from recyclelora.data.pictures import is_turned
from recyclelora.errors import InputError

AHEAD = 4  # samples per thread that are read before they are asked for: memory stays small on a large set


class Finding(NamedTuple):
    """One sample: (height, width) of image and label, pixels per train id, int64 (256,), and whether EXIF had either
    file turned; or why there are none."""

    name: str
    size: Size | None = None
    pixels: NDArray[np.int64] | None = None
    turned: bool = False
    problem: Fault | None = None


@dataclass
class Census:
    """What has been found so far: images by (height, width), pixels per train id and images that hold it, those
    turned upright by EXIF, problems."""

    images: int = 0
    sizes: Counter[Size] = field(default_factory=Counter)
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    holding: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    turned: int = 0
    problems: list[Fault] = field(default_factory=list)

    def count(self, finding: Finding) -> None:
        self.images += 1
        if finding.problem is not None:
            self.problems.append(finding.problem)
        if finding.size is None or finding.pixels is None:
            return
        self.turned += finding.turned
        self.sizes[finding.size] += 1
        self.pixels += finding.pixels
        self.holding += finding.pixels > 0


def inspect(data: DomainData, workers: int) -> Iterator[Finding]:
    """Read every sample, `workers` at a time, and yield what was found as it is found. Decoding lets go of the
    interpreter's lock, so that threads are enough."""
    places = iter(range(len(data)))
    pool = ThreadPoolExecutor(workers)
    waiting: set[Future[Finding]] = {pool.submit(_look, data, place) for place in islice(places, workers * AHEAD)}
    try:
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= {pool.submit(_look, data, place) for place in islice(places, len(done))}
            yield from (future.result() for future in done)
    finally:
        pool.shutdown(cancel_futures=True)


def _look(data: DomainData, place: int) -> Finding:
    files = data.pairs[place][1:] if data.pairs else ()
    try:
        sample = data[place]
    except InputError as error:
        return Finding(data.names[place], problem=fault(error, data.names[place], *files))
    height, width = sample.label.shape
    turned = any(map(is_turned, files))
    return Finding(sample.name, (height, width), np.bincount(sample.label.ravel(), minlength=256), turned)
