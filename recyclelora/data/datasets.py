"""Open one split of one domain: a sequence of labelled images that knows its domain, label space and fingerprint."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from recyclelora.data import scenes
from recyclelora.data.camvid import ENCODING, SPLITS, list_camvid
from recyclelora.data.labels import CAMVID11, CITYSCAPES19, Image, Label, LabelSpace
from recyclelora.data.pairs import Pair, digest_pair, read_pair
from recyclelora.data.scene_cache import read_scene
from recyclelora.errors import Absent, InputError

TO_COME = ("gtav", "synthia", "urbansyn", "cityscapes", "bdd100k", "mapillary", "acdc")  # the paper's, unread so far
# domain -> its splits
DOMAINS: dict[str, tuple[str, ...]] = {f"scenes-{name}": tuple(scenes.SPLITS) for name in scenes.DOMAINS} | SPLITS


class Sample(NamedTuple):
    """One labelled image: (H, W, 3) RGB, (H, W) train ids of its label space with 255 ignored."""

    image: Image
    label: Label
    domain: str
    name: str


class LabelledImages(Protocol):
    """What training and evaluation need of data: one domain, or several one after the other."""

    @property
    def space(self) -> LabelSpace: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...
    def __iter__(self) -> Iterator[Sample]: ...
    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class DomainData:
    """One split of one domain. `read(i)` gives image and label of `names[i]`, `digest(i)` a hash of their content."""

    domain: str
    split: str
    space: LabelSpace
    names: tuple[str, ...]
    read: Callable[[int], tuple[Image, Label]]
    digest: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """Raises InputError when the file behind this sample cannot be read or breaks the encoding."""
        index = range(len(self))[index]  # negative from the end, IndexError past it
        return Sample(*self.read(index), self.domain, self.names[index])

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def fingerprint(self) -> str:
        """sha256 over domain, split, label space, names and content; the folder the files lie in is no part of it."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.domain}\n{self.split}\n{self.space.name}\n".encode())
        for index, name in enumerate(self.names):
            digest.update(f"{name} {self.digest(index)}\n".encode())
        return digest.hexdigest()


def open_domain(domain: str, split: str, *, root: Path | None, cache: Path, limit: int | None = None) -> DomainData:
    """One split of a domain of DOMAINS, or `limit` samples of it.

    A limit takes the first samples of a fixed permutation and keeps them in the order of the whole split: a smaller
    limit is a subset of a larger one, and the largest is the whole split. `root` holds the downloaded sets; scenes
    need none, they are rendered on first use into `cache`. Only file names are looked at here; contents are checked
    when a sample is read. Raises InputError for an unknown domain or split, a limit that cannot be met, and for
    missing or unpaired files.
    """
    _check_names(domain, split)
    if domain in SPLITS:
        pairs = list_camvid(root, domain, split)
        chosen = tuple(pairs[i] for i in _choose(len(pairs), limit, f"{domain} {split}"))
        names = tuple(pair.name for pair in chosen)
        return DomainData(domain, split, CAMVID11, names, partial(_read_file, chosen), partial(_digest_file, chosen))
    indices = _choose(scenes.SPLITS[split], limit, f"{domain} {split}")
    names = tuple(f"{index:05d}" for index in indices)
    read = partial(_read_scene, cache, domain.removeprefix("scenes-"), split, indices)
    return DomainData(domain, split, CITYSCAPES19, names, read, _digest_scene)


def _check_names(domain: str, split: str) -> None:
    if domain in TO_COME:
        raise Absent(f"domain {domain!r} has no reader yet; readable: {', '.join(DOMAINS)}")
    if domain not in DOMAINS:
        raise InputError(f"there is no domain {domain!r}{_nearest(domain, DOMAINS)}; known: {', '.join(DOMAINS)}")
    if split not in DOMAINS[domain]:
        splits = DOMAINS[domain]
        raise InputError(f"domain {domain} has no split {split!r}{_nearest(split, splits)}; it has {', '.join(splits)}")


def _nearest(name: str, known: Iterable[str]) -> str:
    matches = get_close_matches(name, known, n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def _choose(available: int, limit: int | None, what: str) -> list[int]:
    if limit is None:
        return list(range(available))
    if not 1 <= limit <= available:
        raise InputError(f"limit {limit} is not possible for {what}: it has {available} samples (1 to {available})")
    # the legacy generator: NumPy promises its stream for ever, and a subset must not change with an upgrade
    return sorted(np.random.RandomState(0).permutation(available)[:limit].tolist())


def _read_file(pairs: Sequence[Pair], index: int) -> tuple[Image, Label]:
    return read_pair(pairs[index], ENCODING)


def _digest_file(pairs: Sequence[Pair], index: int) -> str:
    return digest_pair(pairs[index])


def _read_scene(cache: Path, name: str, split: str, indices: Sequence[int], index: int) -> tuple[Image, Label]:
    return read_scene(cache, name, split, indices[index])


def _digest_scene(index: int) -> str:
    return f"scenes v{scenes.VERSION}"  # with domain, split and name, which are hashed too, this decides every pixel
