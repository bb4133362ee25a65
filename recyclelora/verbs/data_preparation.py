"""`data prepare`: copies and labels that are made once from a data set, and read from then on."""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from recyclelora.data.copies import is_copied, make_copies
from recyclelora.data.datasets import check_split, copies_of, find_folder, find_set
from recyclelora.data.many_files import Progress
from recyclelora.data.sets.dataset import DataSet, Listing
from recyclelora.errors import InputError
from recyclelora.trials.paths import Paths
from recyclelora.verbs.console import CONSOLE, paths_of, watched

OF_CHECK = ("images", "sheet", "json")
WORKERS = os.cpu_count() or 1
LARGE = 500_000  # bytes of a PNG file whose decoding is most of what a training sample costs


def prepare_data(domain: str, given: argparse.Namespace) -> int:
    """What the set itself says has to be made of it, and copies of its PNG files that decode quickly."""
    paths = paths_of(given)
    for option in OF_CHECK:
        if getattr(given, option):
            raise InputError(f"command line: --{option} belongs to `data check`; `data prepare` takes --split alone")
    known = find_set(domain, paths.data_root)
    if known is None:
        raise InputError(f"{domain} is rendered: there is nothing to prepare")
    if given.split:
        check_split(domain, given.split, tuple(known.domains[domain]))
    folder = find_folder(known, domain, paths.data_root)
    splits = [given.split] if given.split else list(known.domains[domain])
    for what, progress, made in known.prepare(folder, splits, WORKERS):
        total = _make(progress, f"{domain}: {what}")
        CONSOLE.print(f"{total:,} {made}", highlight=False, markup=False)
    _copy(known, folder, domain, ["train"] if known.held_out else splits, copies_of(known, paths.cache))
    return 0


def _copy(known: DataSet, folder: Path, domain: str, splits: Sequence[str], copies: Path) -> None:
    for split, (pairs, stored) in _listings(known, folder, domain, splits).items():
        making = make_copies(pairs, stored, folder=folder, copies=copies, workers=WORKERS)
        total = _make(making, f"copies of {domain} {split}")
        CONSOLE.print(f"{domain} {split}: {total:,} images and labels; those in PNG files will be read from the copies "
                      f"in {copies}", highlight=False)  # fmt: skip


def is_slow(domain: str, paths: Paths) -> bool:
    """Whether its training images are large PNG files here, and the first has no copy."""
    try:
        known = find_set(domain, paths.data_root)
        if known is None:
            return False
        folder = find_folder(known, domain, paths.data_root)
        first = known.list(folder, domain, "train").pairs[0].image
        large = first.suffix.lower() == ".png" and first.stat().st_size > LARGE
        return large and not is_copied(first, folder, copies_of(known, paths.cache))
    except (InputError, OSError):  # what is not here, or wrong, is told elsewhere
        return False


def _listings(known: DataSet, folder: Path, domain: str, splits: Sequence[str]) -> dict[str, Listing]:
    """Split -> its files, of those that are here. Raises InputError where none is."""
    found, problems = dict[str, Listing](), list[InputError]()
    for split in splits:
        try:
            found[split] = known.list(folder, domain, split)
        except InputError as problem:
            problems.append(problem)
    if not found:
        raise problems[0]
    for missing in problems:
        CONSOLE.print(f"passed over: {missing}", style="yellow", highlight=False, markup=False)
    return found


def _make(news: Iterator[Progress], what: str) -> int:
    """Walk through the progress, under a bar; returns how many there are."""
    done, total = next(news)
    for _ in watched(news, total - done, what):
        pass
    return total
