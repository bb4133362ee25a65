"""Training batches: batch i depends on the data, the seed and i alone, so training can stop and go on anywhere."""

import hashlib
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from recyclelora.data.datasets import DomainData, LabelledImages, Sample
from recyclelora.data.labels import LabelSpace
from recyclelora.data.transforms import Size, augment, normalise, shortest_edges
from recyclelora.errors import InputError

Batch = tuple[Tensor, Tensor]

_ORDER, _AUGMENTATION = 0, 1  # two independent random streams of one seed


class Draw(NamedTuple):
    """Which `sample` of the data stands at `position` in the batch of `iteration`."""

    iteration: int
    position: int
    sample: int


def batches(
    data: LabelledImages,
    *,
    crop: Size,
    scales: tuple[float, float] = (0.5, 2.0),
    batch_size: int,
    seed: int,
    start: int = 0,
    stop: int,
    workers: int = 0,
    mean: Sequence[float],
    std: Sequence[float],
) -> Generator[Batch, None, None]:
    """Yield the batches of iterations `start` to `stop` - 1.

    Images are (B, 3, h, w) float32, normalised; labels (B, h, w) int64 train ids with 255 ignored. Every epoch goes
    through the data in a new random order, and a batch may span two epochs. Worker processes change nothing but the
    speed; they end when the generator is exhausted or closed. `mean` and `std` are for values from 0 to 1. Raises
    InputError at once for scales that are not possible, and on the way for a sample that cannot be read.
    """
    shortest_edges(min(crop), scales)  # complain here, not in a worker process
    make = _BatchMaker(data, crop, scales, seed, tuple(mean), tuple(std))
    return _iterate(make, draws(len(data), batch_size, seed, start, stop), workers)


def draws(num_samples: int, batch_size: int, seed: int, start: int, stop: int) -> Iterator[list[Draw]]:
    """The samples of each batch, from iteration `start` on, without walking through those before it."""
    epoch, order = -1, np.empty(0, dtype=np.int64)
    for iteration in range(start, stop):
        batch = []
        for position in range(batch_size):
            now, place = divmod(iteration * batch_size + position, num_samples)
            if now != epoch:
                epoch, order = now, _generator(seed, _ORDER, now).permutation(num_samples)
            batch.append(Draw(iteration, position, int(order[place])))
        yield batch


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


class _BatchMaker(Dataset[Batch | InputError]):
    """Makes whole batches, in this process or in a worker."""

    def __init__(
        self,
        data: LabelledImages,
        crop: Size,
        scales: tuple[float, float],
        seed: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        self.data, self.crop, self.scales, self.seed, self.mean, self.std = data, crop, scales, seed, mean, std

    def __getitem__(self, batch: list[Draw]) -> Batch | InputError:
        """An InputError is returned: raised in a worker, torch would wrap it in a traceback of many lines."""
        try:
            images, labels = zip(*map(self._augmented, batch), strict=True)
        except InputError as error:
            return error
        return normalise(torch.stack(images), self.mean, self.std), torch.stack(labels).long()

    def _augmented(self, draw: Draw) -> Batch:
        sample = self.data[draw.sample]
        rng = _generator(self.seed, _AUGMENTATION, draw.iteration, draw.position)
        return augment(sample.image, sample.label, crop=self.crop, scales=self.scales, rng=rng)


def _iterate(make: _BatchMaker, plan: Iterator[list[Draw]], workers: int) -> Generator[Batch, None, None]:
    made = map(make.__getitem__, plan) if workers == 0 else _make_in_workers(make, plan, workers)
    try:
        for batch in made:
            if isinstance(batch, InputError):
                raise batch
            yield batch
    finally:
        del made  # the last reference: its worker processes end now, not when a traceback lets go of this frame


def _make_in_workers(make: _BatchMaker, plan: Iterator[list[Draw]], workers: int) -> Iterator[Batch | InputError]:
    # a generator of its own, since DataLoader draws a number from the global one otherwise, and training would differ
    return iter(
        DataLoader(
            make, batch_size=None, sampler=plan, num_workers=workers, collate_fn=_as_is, generator=torch.Generator()
        )
    )


def _as_is(batch: Any) -> Any:  # DataLoader would turn the tuple into a list
    return batch


class Concatenation:
    """Several domains one after the other; sampled uniformly, so each counts by its size. Samples keep their own
    domain, unless they are all to count as one, `domain`."""

    def __init__(self, parts: Sequence[DomainData], domain: str = "") -> None:
        self.parts, self.domain = tuple(parts), domain
        self._ends = np.cumsum([len(part) for part in self.parts])

    @property
    def space(self) -> LabelSpace:
        return self.parts[0].space

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        index = range(len(self))[index]
        part = int(np.searchsorted(self._ends, index, side="right"))
        sample = self.parts[part][index - int(self._ends[part])]  # negative: counted from the end of the part
        return sample._replace(domain=self.domain) if self.domain else sample

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def fingerprint(self) -> str:
        return hashlib.sha256("\n".join(part.fingerprint() for part in self.parts).encode()).hexdigest()


def concat(sources: Sequence[DomainData], domain: str = "") -> Concatenation:
    """Multi-source data, of one `domain` where one is named. Raises InputError when there is no source or their label
    spaces differ."""
    if not sources:
        raise InputError("there is no source domain: name at least one")
    for source in sources[1:]:
        if source.space != sources[0].space:
            described = [f"{data.domain} ({data.space.name})" for data in (sources[0], source)]
            raise InputError(f"source domains {' and '.join(described)} have different label spaces: choose one space")
    return Concatenation(sources, domain)
