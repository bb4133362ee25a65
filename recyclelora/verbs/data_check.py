"""The list of all domains, and the check that what is on disk of one is whole and sound."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from recyclelora import scenes
from recyclelora.data.contact_sheet import Row, draw_sheet
from recyclelora.data.datasets import DOMAINS, DomainData, check_split, count_of, find_folder, find_set, open_domain
from recyclelora.data.declared import declarations
from recyclelora.data.faults import Fault, fault, summarise
from recyclelora.data.inspection import Census, inspect
from recyclelora.data.labels import CITYSCAPES19, IGNORE, Size
from recyclelora.data.many_files import save_whole
from recyclelora.data.sets.dataset import DataSet
from recyclelora.errors import InputError
from recyclelora.trials.paths import Paths
from recyclelora.verbs.console import CONSOLE, ERRORS, paths_of, watched
from recyclelora.verbs.progress import fingerprint_of

OWN = "Apache-2.0"  # of what is rendered here, as of the code
SHOWN, MOST_SIZES = 8, 3  # samples on a contact sheet, sizes that are listed before they are only counted
WORKERS = max(1, min(16, os.cpu_count() or 1))


class Part(NamedTuple):
    """One split of a domain as found on disk; `fingerprint` is empty where a file could not be read."""

    data: DomainData
    official: int | None
    census: Census
    fingerprint: str


def list_domains(paths: Paths, *, as_json: bool) -> int:
    rows = [_describe(domain, paths) for domain in {**DOMAINS, **declarations(paths.data_root)}]
    if as_json:
        print(json.dumps(rows, indent=1))
        return 0
    splits = list(dict.fromkeys(split for row in rows for split in row["splits"]))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("domain", no_wrap=True)
    for split in splits:
        table.add_column(split, justify="right")
    table.add_column("labels")
    table.add_column("here")
    for row in rows:
        counts = (_count(row["splits"], row["found"], split) for split in splits)
        table.add_row(row["domain"], *counts, row["space"], row["here"])
    CONSOLE.print(table)
    root = f"in {paths.data_root}" if paths.data_root else "nowhere: set DATA_ROOT or --data-root"
    licences: dict[str, list[str]] = {}
    for row in rows:
        licences.setdefault(row["licence"], []).append(row["domain"])
    for licence, domains in licences.items():
        CONSOLE.print(f"{licence or 'licence unknown'}: {', '.join(domains)}", highlight=False, markup=False)
    CONSOLE.print("Official numbers of images, after those that are here where these are others. Looked for "
                  f"{root}. `recyclelora data check DOMAIN` reads all of one.", highlight=False)
    return 0


def _count(official: dict[str, int | None], found: dict[str, int], split: str) -> str:
    """Images of a split: `10 of 500`, `500`, `?` where nobody knows, and nothing for a split that there is not."""
    if split not in official:
        return ""
    known = official[split]
    if split in found:
        return count_of(found[split], known)
    return "?" if known is None else f"{known:,}"


def _describe(domain: str, paths: Paths) -> dict[str, Any]:
    try:
        known = find_set(domain, paths.data_root)
    except InputError as error:
        return {"domain": domain, "splits": {}, "found": {}, "space": "", "licence": "", "here": f"wrong: {error}"}
    if known is None:
        return {"domain": domain, "splits": dict(scenes.SPLITS), "found": {}, "space": CITYSCAPES19.name,
                "licence": OWN, "here": "rendered"}
    found = {}
    try:
        folder = find_folder(known, domain, paths.data_root)
        here = f"{folder.relative_to(paths.data_root or folder).as_posix()}/"
        found = {split: _found(domain, split, paths) for split in known.domains[domain]}
    except InputError:
        here = "no"
    return {"domain": domain, "splits": dict(known.domains[domain]), "found": found, "space": known.space.name,
            "licence": known.licence, "here": here}


def _found(domain: str, split: str, paths: Paths) -> int:
    """How many images of a split are here, by their names; 0 where it cannot be opened."""
    try:
        return len(open_domain(domain, split, root=paths.data_root, cache=paths.cache))
    except InputError:
        return 0


def check_domains(domains: Sequence[str], given: argparse.Namespace) -> int:
    """Read every sample of some domains, of one split or all; 1 where anything is wrong with any, all of which is
    listed. What one domain alone could not be checked for is a fault among several, which does not keep the others."""
    paths = paths_of(given)
    if given.sheet and len(domains) > 1:
        raise InputError(f"command line: --sheet draws one domain, found {', '.join(domains)}")
    found = [_find(domain, given.split, paths) for domain in domains]  # all are refused before any is read
    checked = []
    for domain, known in zip(domains, found, strict=True):
        parts, problems = _read(domain, known, given, paths, alone=len(domains) == 1)
        if given.sheet:
            _draw(parts, given.sheet)
        if not given.json:
            _tell(domain, known, parts, problems)
        checked.append({"domain": domain, "licence": known.licence if known else OWN,
                        "problems": [each.message for each in problems], "summary": summarise(problems),
                        "splits": {part.data.split: _as_json(part) for part in parts}})
    if given.json:
        print(json.dumps(checked if len(checked) > 1 else checked[0], indent=1))
    return 1 if any(each["problems"] for each in checked) else 0


def _find(domain: str, split: str | None, paths: Paths) -> DataSet | None:
    """The set of a domain that is here and has this split; None for scenes. Raises InputError."""
    known = find_set(domain, paths.data_root)
    if split:
        check_split(domain, split, tuple(known.domains[domain] if known else scenes.SPLITS))
    if known:
        find_folder(known, domain, paths.data_root)
    return known


def _read(domain: str, known: DataSet | None, given: argparse.Namespace, paths: Paths, *,
          alone: bool) -> tuple[list[Part], list[Fault]]:
    """What is there of a domain, and what is wrong with it. Raises InputError for one that is `alone` and has no split
    that could be opened."""
    official = dict(known.domains[domain] if known else scenes.SPLITS)
    parts, problems, closed = list[Part](), list[Fault](), list[InputError]()
    for split in [given.split] if given.split else official:
        try:
            opened = _open(domain, split, given.images, paths)
        except InputError as error:
            closed.append(error)
            problems.append(fault(InputError(f"{split}: {error}"), split))
        else:
            parts.append(_examine(opened, official[split], problems, paths))
    if alone and not parts:
        said = list(dict.fromkeys(map(str, closed)))
        raise closed[0] if len(said) == 1 else InputError("; ".join(each.message for each in problems))
    return parts, problems


def _tell(domain: str, known: DataSet | None, parts: list[Part], problems: list[Fault]) -> None:
    if parts:
        _print(domain, parts, known.size if known else None)
    else:
        CONSOLE.print(domain, highlight=False, markup=False)
    for part in parts:
        if part.census.turned:
            CONSOLE.print(f"{part.data.split}: {part.census.turned:,} samples have EXIF orientations and are read "
                          "upright, as viewers show them: their labels must belong to the upright images",
                          style="yellow", highlight=False, markup=False)
    for problem in summarise(problems):
        CONSOLE.print(problem, style="red", highlight=False, markup=False)
    faults = f"{len(problems):,} fault{'s' if len(problems) > 1 else ''}"
    CONSOLE.print(faults if problems else _sound(parts), highlight=False)


def _sound(parts: list[Part]) -> str:
    """What a check without a fault amounts to: little, where it read little. A val that is held out of train counts
    once, with train."""
    counted = [part for part in parts if not part.data.held_out or part.data.split == "train"] or parts
    read = sum(len(part.data) for part in counted)
    official = sum(part.official or len(part.data) for part in counted)
    if read < official:
        return f"what was read is sound: {read:,} of {official:,} official images"
    return "all readable and sound"


def _open(domain: str, split: str, limit: int | None, paths: Paths) -> DomainData:
    """The files themselves, whatever copies of them there are."""
    whole = open_domain(domain, split, root=paths.data_root, cache=paths.cache, originals=True)
    if limit is None or limit >= len(whole):
        return whole
    return open_domain(domain, split, root=paths.data_root, cache=paths.cache, originals=True, limit=limit)


def _examine(opened: DomainData, official: int | None, problems: list[Fault], paths: Paths) -> Part:
    census = Census()
    for finding in watched(inspect(opened, WORKERS), len(opened), f"{opened.domain} {opened.split}"):
        census.count(finding)
    found, fingerprint = sorted(census.problems, key=lambda each: each.message), ""
    if not found:
        try:
            fingerprint = fingerprint_of(opened, paths)
        except InputError as error:
            found.append(fault(error, opened.split))
    problems += found
    return Part(opened, official, census, fingerprint)


def _print(domain: str, parts: Sequence[Part], size: Size | None) -> None:
    table = Table("split", "images", "official", "sizes", "fingerprint", title=domain, box=SIMPLE_HEAD, pad_edge=False)
    for part in parts:
        images = count_of(part.census.images, part.official)
        official = "not known" if part.official is None else f"{part.official:,}"
        sizes = [f"{width}x{height}" + (f" ({count})" if len(part.census.sizes) > 1 else "")
                 for (height, width), count in part.census.sizes.most_common(MOST_SIZES)]
        more = len(part.census.sizes) - MOST_SIZES
        listed = ", ".join([*sizes, *([f"{more} others"] if more > 0 else [])])
        other = size is not None and part.census.sizes and set(part.census.sizes) != {size}
        table.add_row(part.data.split, images, official,
                      listed + (f"; official: {size[1]}x{size[0]}" if other and size else ""),
                      part.fingerprint[:12] or "none: faults")
    CONSOLE.print(table)
    histogram = Table("class", title=parts[0].data.space.name, box=SIMPLE_HEAD, pad_edge=False)
    for part in parts:
        histogram.add_column(f"{part.data.split} %", justify="right")
        histogram.add_column("images", justify="right")
    for train_id, name in [*enumerate(parts[0].data.space.classes), (IGNORE, "ignored")]:
        shares = [(100 * part.census.pixels[train_id] / max(1, part.census.pixels.sum()), part.census.holding[train_id])
                  for part in parts]
        histogram.add_row(name, *(text for share, images in shares for text in (f"{share:.2f}", f"{images:,}")))
    CONSOLE.print(histogram)


def _as_json(part: Part) -> dict[str, Any]:
    names = {**dict(enumerate(part.data.space.classes)), IGNORE: "ignored"}
    return {"images": part.census.images, "official": part.official, "label_space": part.data.space.name,
            "fingerprint": part.fingerprint,
            "turned": part.census.turned,
            "sizes": {f"{width}x{height}": count for (height, width), count in part.census.sizes.most_common()},
            "pixels": {name: int(part.census.pixels[train_id]) for train_id, name in names.items()},
            "images_holding": {name: int(part.census.holding[train_id]) for train_id, name in names.items()}}


def _draw(parts: Sequence[Part], path: Path) -> None:
    """Samples from all over each split, passing over those that cannot be read."""
    rows = []
    each = -(-SHOWN // max(1, len(parts)))
    for part in parts:
        for place in np.linspace(0, len(part.data) - 1, min(each, len(part.data))).round().astype(int).tolist():
            try:
                sample = part.data[place]
            except InputError:
                continue
            rows.append(Row(f"{sample.domain} {part.data.split}: {sample.name}", sample.image, sample.label))
    if not rows:
        raise InputError(f"{path}: nothing to draw: none of the samples tried can be read")
    try:
        if not path.absolute().parent.is_dir():
            raise FileNotFoundError(2, "there is no such folder")
        save_whole(draw_sheet(rows, parts[0].data.space), path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})") from None
    ERRORS.print(path, highlight=False)
