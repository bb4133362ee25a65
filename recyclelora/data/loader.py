"""Training batches: batch i depends on the data, the seed and i alone, so training can stop and go on anywhere."""

import hashlib
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from recyclelora.data.datasets import DomainData, LabelledImages, Sample
from recyclelora.data.labels import IGNORE, LabelSpace, Size
from recyclelora.data.transforms import Recipe, augment, check_recipe, fill
from recyclelora.errors import InputError
from recyclelora.sockets import socket_folder

Batch = tuple[Tensor, Tensor]

_ORDER, _AUGMENTATION = 0, 1  # two independent random streams of one seed
_CPU = torch.device("cpu")
_SOCKET = len("/pymp-12345678/listener-12345678")  # below the folder for temporary files: a worker's, for its batches


class Crops(NamedTuple):
    """A batch as a worker hands it over, in a fifth of the bytes of a finished one: (B, 3, h, w) and (B, h, w) uint8,
    and how much of it each image covers, from the top left; the rest is to be 0 after normalisation."""

    images: Tensor
    labels: Tensor
    covered: list[Size]


class Draw(NamedTuple):
    """Which `sample` of the data stands at `position` in the batch of `iteration`."""

    iteration: int
    position: int
    sample: int


def batches(
    data: LabelledImages,
    recipe: Recipe,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    stop: int,
    workers: int = 0,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device = _CPU,
) -> Generator[Batch, None, None]:
    """Yield the batches of iterations `start` to `stop` - 1, on `device`.

    Images are (B, 3, h, w) float32, normalised; labels (B, h, w) int64 train ids with 255 ignored. Every epoch goes
    through the data in a new random order, and a batch may span two epochs. Worker processes change nothing but the
    speed; they end when the generator is exhausted or closed. `mean` and `std` are for values from 0 to 1. Raises
    InputError at once for scales that are not possible, at the first batch where workers have no place for their
    sockets, and on the way for a sample that cannot be read; RuntimeError when a worker process dies.
    """
    check_recipe(recipe)  # complain here, not in a worker process
    crops = partial(_make, _BatchMaker(data, recipe, seed), draws(len(data), batch_size, seed, start, stop), workers,
                    device.type == "cuda")
    return _finish(crops, mean, std, device)


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


class _BatchMaker(Dataset[Crops | InputError]):
    """Makes whole batches, in this process or in a worker."""

    def __init__(self, data: LabelledImages, recipe: Recipe, seed: int) -> None:
        self.data, self.recipe, self.seed = data, recipe, seed

    def __getitem__(self, batch: list[Draw]) -> Crops | InputError:
        """An InputError is returned: raised in a worker, torch would wrap it in a traceback of many lines."""
        try:
            images, labels = zip(*map(self._augmented, batch), strict=True)
        except InputError as error:
            return error
        covered = [(label.shape[0], label.shape[1]) for label in labels]
        crop = self.recipe.crop
        return Crops(torch.stack([fill(image, crop, 0) for image in images]),
                     torch.stack([fill(label[None], crop, IGNORE)[0] for label in labels]), covered)

    def _augmented(self, draw: Draw) -> Batch:
        sample = self.data[draw.sample]
        rng = _generator(self.seed, _AUGMENTATION, draw.iteration, draw.position)
        return augment(sample.image, sample.label, self.recipe, rng)


def _finish(make: Callable[[], Iterator[Crops | InputError]], mean: Sequence[float], std: Sequence[float],
            device: torch.device) -> Generator[Batch, None, None]:
    """Normalise on the device, as `transforms.normalise` does, without waiting for the device."""
    shift, scale = (torch.tensor([255 * value for value in values], device=device).view(3, 1, 1)
                    for values in (mean, std))
    made, died = make(), ""
    try:
        for crops in made:
            if isinstance(crops, InputError):
                raise crops
            images = crops.images.to(device, non_blocking=True).float().sub_(shift).div_(scale)
            for image, (height, width) in zip(images, crops.covered, strict=True):
                image[:, height:], image[:, :, width:] = 0, 0
            yield images, crops.labels.to(device, non_blocking=True).long()
    except RuntimeError as error:
        died = str(error).partition("\n")[0].strip()
        if not died.startswith("DataLoader worker (pid"):  # torch's words for a process that is gone
            raise
    finally:
        del made  # the last reference: its worker processes end now, not when a traceback lets go of this frame
    if died:  # raised here, where torch's error and the frames it holds are gone
        raise RuntimeError(f"a data loader process died ({died}): most often memory ran out; use fewer "
                           "resources.workers, or give the trial more memory")


def _make(maker: _BatchMaker, plan: Iterator[list[Draw]], workers: int, pinned: bool) -> Iterator[Crops | InputError]:
    if workers == 0:
        return map(maker.__getitem__, plan)
    in_short = partial(_put_sockets_in, socket_folder(_SOCKET))
    # a generator of its own, since DataLoader draws a number from the global one otherwise, and training would differ
    return iter(DataLoader(maker, batch_size=None, sampler=plan, num_workers=workers, collate_fn=_as_is,
                           pin_memory=pinned, generator=torch.Generator(), worker_init_fn=in_short))


def _put_sockets_in(folder: Path, worker: int) -> None:
    """In a worker: where its path is too long for a socket, no batch would ever come, and no error either."""
    tempfile.tempdir = str(folder)


def _as_is(batch: Any) -> Any:  # DataLoader would look into it
    return batch


class Concatenation:
    """Several domains one after the other; sampled uniformly, so each counts by its size. Samples keep their own
    domain, unless a `domain` is given, as which they are all to count; else it is theirs joined by +."""

    def __init__(self, parts: Sequence[DomainData], domain: str = "") -> None:
        self.parts, self._as_one = tuple(parts), bool(domain)
        self.domain = domain or "+".join(part.domain for part in parts)
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
        return sample._replace(domain=self.domain) if self._as_one else sample

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
