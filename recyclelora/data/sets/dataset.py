"""What the program knows of a downloaded data set: its domains, where its files are and how its labels are stored."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from recyclelora.data.folders import match_files, nothing_found
from recyclelora.data.labels import LabelSpace, Size
from recyclelora.data.many_files import Progress
from recyclelora.data.pairs import LabelFormat, Pair, pair_up

PROTOCOLS = ("full", "half", "full-1024")  # of publications; see `evaluation_sizes`
UNSCORED = dict.fromkeys(PROTOCOLS)  # for `tested_at` of a set that no publication scores: its images as they are
Splits = Mapping[str, int | None]  # split -> its official number of images, None where no source was found for one


class Listing(NamedTuple):
    """The labelled images found, and how their labels are stored."""

    pairs: tuple[Pair, ...]
    stored: LabelFormat


class Preparation(NamedTuple):
    """Something that is made of a downloaded set once: `what` it is, the `progress` of its making, which is done as it
    is walked through, and what has been `made`, to be told after the number."""

    what: str
    progress: Iterator[Progress]
    made: str


def nothing(folder: Path, splits: Sequence[str], workers: int) -> Iterator[Preparation]:
    """Of a set that is read as it was downloaded."""
    return iter(())


class DataSet(NamedTuple):
    """One data set as people download it.

    `list(folder, domain, split)` finds the files below `folder`, the first of `folders` that the data root has; it
    looks at names only and raises InputError for what is missing. `held_out`: the set has no official val split, and
    its val is the last images of the fixed permutation of train (see `datasets.open_domain`), so that `list` is asked
    for train alone. `size` is (height, width), None where sizes differ; for `tested_at` see
    `evaluation_sizes`. `prepare(folder, splits, workers)` says what
    has to be made of some splits before they can be read, each made by that many processes; what is made already is
    passed over.
    """

    name: str
    domains: Mapping[str, Splits]
    folders: tuple[str, ...]
    space: LabelSpace
    list: Callable[[Path, str, str], Listing]
    layout: str  # to be shown: where the files are expected
    archives: tuple[str, ...]  # patterns of the names of its downloads
    size: tuple[int, int] | None
    licence: str
    reference: str
    tested_at: Mapping[str, Size | None] = {}  # protocol of a publication -> (height, width), None for as they are
    held_out: bool = False
    prepare: Callable[[Path, Sequence[str], int], Iterator[Preparation]] = nothing
    declared: str = ""  # a hash of what a declaration says of the labels; "" for a set that the program knows itself


def pair_with(
    images: dict[str, Path],
    in_folder: Path,
    labels_in: Path,
    forms: Mapping[str, LabelFormat],
    *,
    but: tuple[str, ...] = (),
    deep: bool = False,
    with_folder: bool = False,
) -> Listing:
    """Pair images with the labels of the first form (file ending -> format) that the folder has a file of.

    The official form comes first, so that copies converted for another program change neither what is read nor the
    fingerprint. A file belongs to the longest ending it has; names that end with one of `but` are no labels.
    """
    for ending, stored in forms.items():
        longer = tuple(e.removesuffix(ending) for e in forms if e != ending and e.endswith(ending))
        labels = match_files(labels_in, (ending,), but=(*but, *longer), deep=deep, with_folder=with_folder)
        if labels:
            return Listing(pair_up(images, in_folder, labels, labels_in), stored)
    raise nothing_found(labels_in, tuple(forms))
