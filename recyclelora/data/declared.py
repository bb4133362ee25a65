"""Data sets that are declared in a file of theirs, DATA_ROOT/NAME/dataset.yaml, and not in Python.

    images: images/{split}/*.png     # below the folder; each * stands for part of a name within one folder
    labels: labels/{split}/*_id.png  # its stars stand for what those of `images` stood for
    splits: {train: 800, val: 100}   # with the official number of images, or a list: [train, val]
    hold_out: true                   # where train is all there is: val is then the last of a permutation of it
    classes:                         # in train id order, each with its colour
      track: [128, 64, 128]
      plants: "#6b8e23"
    groups:                          # how they hold the classes of a space that is known; a class may hold none
      cityscapes19: {track: road, plants: [vegetation, terrain]}
    space: cityscapes19              # instead of classes and groups: the classes of that space
    ids: {track: [1, 2], plants: 7, ignore: others}     # ids in the label files; without it the train ids, 255 ignored
    licence: CC BY 4.0
    reference: Doe et al. 2026
"""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from recyclelora.data.declared_labels import IGNORED, read_ids, read_space
from recyclelora.data.folders import match_stars, unpacked_hint
from recyclelora.data.labels import SPACES, LabelSpace
from recyclelora.data.pairs import LabelFormat, pair_up
from recyclelora.data.sets.dataset import DataSet, Listing
from recyclelora.documents import Document, nearest, read
from recyclelora.errors import InputError

FILE = "dataset.yaml"
KEYS = ("images", "labels", "splits", "hold_out", "classes", "groups", "space", "ids", "licence", "reference")
TAKEN = ("source", "target_mean")  # what runs call their scores on the source, and the mean of those on the targets
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,79}")  # what a config takes for a domain, and no way out of a folder


def declarations(root: Path | None) -> dict[str, Path]:
    """Name -> file of the data sets that are declared below the data root."""
    if root is None or not root.is_dir():
        return {}
    return {path.parent.name: path for path in sorted(root.glob(f"*/{FILE}")) if NAME.fullmatch(path.parent.name)}


def read_set(path: Path) -> DataSet:
    """The data set declared in a file, named as its folder. Raises InputError with file and line."""
    document, name = read(path), path.parent.name
    for key in document.data:
        if key not in KEYS:
            raise InputError(f"{document.where(key)}: {key}: unknown key of a data set{nearest(key, KEYS)}")
    if name in SPACES:
        raise InputError(f"{path}: a label space is called {name}; give the folder another name")
    if name in TAKEN or "+" in name:
        why = "joins the names of sources" if "+" in name else f"the scores of every run are called {name}"
        raise InputError(f"{path}: {'+ ' if '+' in name else ''}{why}; give the folder another name")
    hold_out = document.data.get("hold_out", False)
    if not isinstance(hold_out, bool):
        raise _wrong(document, f"{hold_out!r}: expected true or false", "hold_out")
    splits = _splits(document)
    if hold_out and list(splits) != ["train"]:
        raise _wrong(document, "takes val from train, so that splits must be train alone", "hold_out")
    images, labels = (_pattern(document, key, splits) for key in ("images", "labels"))
    if images.count("*") != labels.count("*"):
        raise _wrong(document, f"has {labels.count('*')} * and images has {images.count('*')}; each * of labels stands "
                     "for what that of images stood for", "labels")
    space = read_space(document, name)
    stored = LabelFormat(read_ids(document, space), mend=f"give them classes under ids in {path}, or ignore them there "
                         f"({IGNORED}: {{ids}})")
    return DataSet(
        name=name, domains={name: splits | ({"val": None} if hold_out else {})}, folders=(name,), space=space,
        list=partial(_list, images, labels, stored), layout=f"{name}/{images}, {name}/{labels}", archives=("*",),
        size=None, licence=_text(document, "licence", "not stated"), reference=_text(document, "reference", ""),
        held_out=hold_out, declared=_digest(space, stored))


def _digest(space: LabelSpace, stored: LabelFormat) -> str:
    """Of what files and their names do not tell: which ids are which classes, and how these are compared."""
    content = [space.classes, space.groups, sorted(stored.ids.items())]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _list(images: str, labels: str, stored: LabelFormat, folder: Path, domain: str, split: str) -> Listing:
    """A name is what the stars stood for, with / between. Raises InputError as `pair_up`, and where nothing matches."""
    found = []
    for pattern in (each.replace("{split}", split) for each in (images, labels)):
        files: dict[str, Path] = {}
        for stars, path in match_stars(folder, pattern):
            if (other := files.setdefault(name := "/".join(stars), path)) != path:
                one, two = (file.relative_to(folder).as_posix() for file in (other, path))
                raise InputError(f"{folder} holds both {one} and {two}, which are one {name} of {pattern}: keep one")
        if not files:
            raise InputError(f"{folder} holds no {pattern}{unpacked_hint(folder / pattern)}")
        found.append((files, folder / pattern))
    return Listing(pair_up(*found[0], *found[1]), stored)


def _pattern(document: Document, key: str, splits: Mapping[str, int | None]) -> str:
    pattern = _text(document, key, "")
    parts = pattern.split("/")
    if not pattern:
        raise _wrong(document, f"is needed, such as {key}/{{split}}/*.png", key)
    if {"", ".", ".."} & set(parts) or "**" in pattern or "\\" in pattern:
        raise _wrong(document, f"{pattern!r}: must lead down from {document.path.parent} by names and single *", key)
    if "*" not in pattern:
        raise _wrong(document, f"{pattern!r}: names one file; a * is needed", key)
    if re.search("[{}]", pattern.replace("{split}", "")):
        raise _wrong(document, f"{pattern!r}: braces are for {{split}} alone", key)
    if len(splits) > 1 and "{split}" not in pattern:
        raise _wrong(document, f"{pattern!r}: has no {{split}}, so that all splits would be one", key)
    return pattern


def _splits(document: Document) -> dict[str, int | None]:
    given = document.data.get("splits")
    named = [(split, None) for split in given] if isinstance(given, list) else [
        *given.items()] if isinstance(given, dict) else []
    splits: dict[str, int | None] = {}
    for split, count in named:
        if not isinstance(split, str) or not NAME.fullmatch(split) or split in splits:
            raise _wrong(document, f"{split!r}: expected plain names, each once, such as train", "splits")
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
            raise _wrong(document, f"{count!r}: expected the number of its images", "splits", split)
        splits[split] = count
    if not splits:
        raise _wrong(document, "expected names, such as [train, val], or names with the official number of images, "
                     "such as {train: 800, val: 100}", "splits")
    return splits


def _text(document: Document, key: str, default: str) -> str:
    value = document.data.get(key, default)
    if not isinstance(value, str) or (key in document.data and not value.strip()):
        raise _wrong(document, f"{value!r}: expected text", key)
    return value


def _wrong(document: Document, message: str, *keys: str) -> InputError:
    return InputError(f"{document.where(*keys)}: {': '.join(keys)}: {message}")
