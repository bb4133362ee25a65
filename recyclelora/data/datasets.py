"""Open one split of one domain: a sequence of labelled images that knows its domain, label space and fingerprint."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from recyclelora import scenes
from recyclelora.data.content_hashes import digest_pairs
from recyclelora.data.copies import read_copy
from recyclelora.data.declared import FILE, NAME, declarations, read_set
from recyclelora.data.folders import unpacked_hint
from recyclelora.data.labels import CITYSCAPES19, Image, Label, LabelSpace
from recyclelora.data.pairs import Copied, LabelFormat, Pair, no_copy, read_pair
from recyclelora.data.scene_cache import read_scene
from recyclelora.data.sets import BY_DOMAIN
from recyclelora.data.sets.dataset import DataSet
from recyclelora.errors import Absent, InputError

RENDERED = "scenes-"  # begins the names of domains that need no files
# domain -> its splits
DOMAINS: dict[str, tuple[str, ...]] = {
    **{f"{RENDERED}{name}": tuple(scenes.SPLITS) for name in scenes.DOMAINS},
    **{domain: tuple(known.domains[domain]) for domain, known in BY_DOMAIN.items()},
}
HELD_OUT = 500  # images of the val split of a set that has no official one, or a tenth of the set if that is fewer


class Sample(NamedTuple):
    """One labelled image: (H, W, 3) RGB, (H, W) train ids of its label space with 255 ignored."""

    image: Image
    label: Label
    domain: str
    name: str


class LabelledImages(Protocol):
    """What training and evaluation need of data: one domain, or several one after the other."""

    @property
    def domain(self) -> str: ...
    @property
    def space(self) -> LabelSpace: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...
    def __iter__(self) -> Iterator[Sample]: ...
    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class DomainData:
    """One split of one domain. `read(i)` gives image and label of `names[i]`; `digests()` a hash of
    the content of each, in the same order."""

    domain: str
    split: str
    space: LabelSpace
    names: tuple[str, ...]
    read: Callable[[int], tuple[Image, Label]]
    digests: Callable[[], Iterable[str]]
    official: int | None = None  # images of the whole split as published or declared; None where that is not known
    pairs: tuple[Pair, ...] = ()  # the files behind the samples; none of scenes
    declared: str = ""  # see DataSet
    held_out: bool = False  # its val is part of its train
    _fingerprint: str | None = field(default=None, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """Raises InputError when the file behind this sample cannot be read or breaks the encoding."""
        index = range(len(self))[index]  # negative from the end, IndexError past it
        return Sample(*self.read(index), self.domain, self.names[index])

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def fingerprint(self, watch: Callable[[Iterable[str]], Iterable[str]] = iter) -> str:
        """sha256 over domain, split, label space with what was declared of it, names and content; the folder the files
        lie in is no part of it. `watch` sees the hash of each sample as it comes, the first time.

        Raises InputError for files that `contents.digest_pairs` refuses.
        """
        if self._fingerprint is None:
            object.__setattr__(self, "_fingerprint", self._hash(watch))
        assert self._fingerprint is not None
        return self._fingerprint

    def _hash(self, watch: Callable[[Iterable[str]], Iterable[str]]) -> str:
        digest = hashlib.sha256(f"{self.domain}\n{self.split}\n{self.space.name}\n".encode())
        if self.declared:
            digest.update(f"declared {self.declared}\n".encode())
        for name, content in zip(self.names, watch(self.digests()), strict=True):
            digest.update(f"{name} {content}\n".encode())
        return digest.hexdigest()


def count_of(images: int, official: int | None) -> str:
    """A number of images to be shown: `10 of 500` where it is a part of the split as it is published, or `500`."""
    return f"{images:,}" if official in (None, images) else f"{images:,} of {official:,}"


def open_domain(
    domain: str, split: str, *, root: Path | None, cache: Path, limit: int | None = None, originals: bool = False
) -> DomainData:
    """One split of a domain of DOMAINS or of one that `root` declares (see `declared`), or `limit` samples of it.

    A limit takes the first samples of a fixed permutation and keeps them in the order of the whole split: a smaller
    limit is a subset of a larger one, and the largest is the whole split. A set without an official val split has as
    val the last HELD_OUT of that permutation of its train split: train and val share no image as long as a limit
    leaves those out, and val is in-sample where all images are trained on. `root` holds the downloaded sets; scenes
    need none, they are rendered on first use into `cache`. Only file names are looked at here; contents are checked
    when a sample is read: from the copies that `data prepare` made, where there are some and not the `originals` are
    asked for. Raises InputError for an unknown domain (as `find_set`) or split, a limit that cannot be met, and for
    missing or unpaired files.
    """
    known = find_set(domain, root)
    check_split(domain, split, tuple(known.domains[domain]) if known else DOMAINS[domain])
    if known:
        return _open_files(known, domain, split, root, cache, limit, originals)
    indices = _choose(scenes.SPLITS[split], limit, f"{domain} {split}")
    names = tuple(f"{index:05d}" for index in indices)
    read = partial(_read_scene, cache, domain.removeprefix(RENDERED), split, indices)
    return DomainData(domain, split, CITYSCAPES19, names, read, partial(_digest_scenes, len(indices)),
                      official=scenes.SPLITS[split])


def _open_files(
    known: DataSet, domain: str, split: str, root: Path | None, cache: Path, limit: int | None, originals: bool
) -> DomainData:
    folder = find_folder(known, domain, root)
    pairs, stored = known.list(folder, domain, "train") if known.held_out else known.list(folder, domain, split)
    if known.held_out and split == "val":
        pairs = _hold_out(pairs)
    chosen = tuple(pairs[i] for i in _choose(len(pairs), limit, f"{domain} {split}"))
    copied = partial(read_copy, folder=folder, copies=copies_of(known, cache)) if not originals else no_copy
    digests = partial(digest_pairs, chosen, stored, folder, cache / "contents" / f"{known.folders[0]}.txt")
    return DomainData(domain, split, known.space, tuple(pair.name for pair in chosen),
                      partial(_read_file, chosen, stored, copied), digests, known.domains[domain][split], chosen,
                      known.declared, known.held_out)  # fmt: skip


def find_folder(known: DataSet, domain: str, root: Path | None) -> Path:
    """The folder of a set below the data root. Raises Absent, saying what is there instead, when there is none."""
    if root is None:
        raise Absent(f"{domain} needs the data root: set DATA_ROOT or --data-root to the folder that holds "
                     f"{known.folders[0]}/")  # fmt: skip
    for name in known.folders:
        if (root / name).is_dir():
            return root / name
    missing = root / known.folders[0]
    hint = unpacked_hint(missing, known.archives)
    raise Absent(f"{domain} needs {missing}, which does not exist: DATA_ROOT or --data-root must hold "
                 f"{known.layout}{hint}")  # fmt: skip


def _hold_out(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    count = max(1, min(HELD_OUT, len(pairs) // 10))
    return tuple(pairs[i] for i in sorted(_permutation(len(pairs))[-count:]))


def find_set(domain: str, root: Path | None) -> DataSet | None:
    """The data set of a domain, known or declared below `root`; None for rendered scenes. Raises InputError for a
    domain that there is not, and Absent for one that may be declared on another machine: its name is like none that is
    known, or there is no root to know it from."""
    if domain in DOMAINS:
        return BY_DOMAIN.get(domain)
    declared = declarations(root)
    if domain in declared:
        return read_set(declared[domain])
    known, place = [*DOMAINS, *declared], root or "DATA_ROOT"
    near, others = _nearest(domain, known), f"known: {', '.join(known)}"
    if not NAME.fullmatch(domain) or domain.startswith(RENDERED) or (root is not None and near):
        raise InputError(f"there is no domain {domain!r}{near}; {others}; others are declared in {place}/NAME/{FILE}")
    raise Absent(f"there is no domain {domain!r} here: either {place}/{domain}/{FILE}, which would declare it, is "
                 f"missing{'' if root else ' (set DATA_ROOT or --data-root)'}, or the name is wrong{near}; {others}")


def check_split(domain: str, split: str, splits: Sequence[str]) -> None:
    """Raises InputError for a split that the domain does not have."""
    if split not in splits:
        raise InputError(f"domain {domain} has no split {split!r}{_nearest(split, splits)}; it has {', '.join(splits)}")


def _nearest(name: str, known: Iterable[str]) -> str:
    matches = get_close_matches(name, known, n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def _choose(available: int, limit: int | None, what: str) -> list[int]:
    if limit is None:
        return list(range(available))
    if not 1 <= limit <= available:
        raise InputError(f"limit {limit} is not possible for {what}: it has {available} samples (1 to {available})")
    return sorted(_permutation(available)[:limit])


def _permutation(count: int) -> list[int]:
    # the legacy generator: NumPy promises its stream for ever, and a subset must not change with an upgrade
    order: list[int] = np.random.RandomState(0).permutation(count).tolist()
    return order


def copies_of(known: DataSet, cache: Path) -> Path:
    """The folder of the copies of a set that decode quickly."""
    return cache / "copies" / known.folders[0]


def _read_file(pairs: Sequence[Pair], stored: LabelFormat, copied: Copied, index: int) -> tuple[Image, Label]:
    return read_pair(pairs[index], stored, copied)


def _read_scene(cache: Path, name: str, split: str, indices: Sequence[int], index: int) -> tuple[Image, Label]:
    return read_scene(cache, name, split, indices[index])


def _digest_scenes(count: int) -> list[str]:
    # with domain, split and name, which are hashed too, this decides every pixel
    return [f"scenes v{scenes.VERSION}"] * count
