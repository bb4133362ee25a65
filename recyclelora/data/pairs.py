"""Image and label files that belong together: listing two folders, reading them strictly, hashing them."""

import hashlib
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from recyclelora.data.labels import Image, Label
from recyclelora.errors import InputError

UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, zlib.error, PillowImage.DecompressionBombError)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


class Pair(NamedTuple):
    """One labelled image: `name` is the stem both files share."""

    name: str
    image: Path
    label: Path


def list_pairs(images: Path, labels: Path) -> tuple[Pair, ...]:
    """Every image of one folder with its label (same stem, .png) from the other, by name.

    Looks at names only, so it is cheap on large sets. Raises InputError when a folder is missing or empty, when two
    images share a stem, and when an image has no label or a label no image.
    """
    image_files, label_files = _files_by_stem(images, IMAGE_SUFFIXES), _files_by_stem(labels, (".png",))
    _require_partners(image_files, label_files, "image", "label", labels)
    _require_partners(label_files, image_files, "label", "image", images)
    return tuple(Pair(name, image_files[name], label_files[name]) for name in sorted(image_files))


def _files_by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            if path.stem in files:
                raise InputError(f"{folder} holds both {files[path.stem].name} and {path.name}: keep one of them")
            files[path.stem] = path
    if not files:
        raise InputError(f"{folder} holds no {' or '.join(suffixes)} file")
    return files


def _require_partners(files: dict[str, Path], partners: dict[str, Path], kind: str, other: str, where: Path) -> None:
    alone = sorted(files.keys() - partners.keys())
    if alone:
        more = f" ({len(alone)} such {kind}s)" if len(alone) > 1 else ""
        raise InputError(f"{kind} {files[alone[0]]} has no {other} of the same stem in {where}{more}")


def read_pair(pair: Pair, encoding: Mapping[int, int]) -> tuple[Image, Label]:
    """The image as (H, W, 3) RGB and its label as (H, W) train ids, `encoding` being file id -> train id.

    Raises InputError for a file that cannot be decoded, an image that is not RGB, a label that is not 8-bit and
    single-channel, ids the encoding does not have, and for an image and a label of different size.
    """
    image = decode(pair.image, "image", modes=("RGB",))
    # "P" is a palette over the same 8-bit ids: GTAV ships such labels
    ids = decode(pair.label, "label", modes=("L", "P"))
    if image.shape[:2] != ids.shape:
        sizes = [f"{array.shape[1]}x{array.shape[0]}" for array in (image, ids)]
        raise InputError(f"{pair.image} is {sizes[0]} but its label {pair.label} is {sizes[1]}: sizes must agree")
    return image, _encode(ids, encoding, pair.label)


def decode(path: Path, kind: str, modes: tuple[str, ...]) -> Image:
    """Pixels of a PNG (or, for an "image", JPEG) file as uint8; InputError when unreadable or of another mode."""
    try:
        with PillowImage.open(path, formats=("PNG", "JPEG") if kind == "image" else ("PNG",)) as file:
            mode, pixels = file.mode, np.array(file)
    except UNREADABLE as error:
        raise InputError(f"cannot read {kind} {path}: {_say(error, kind)}") from error
    if mode not in modes:
        need = "an RGB image" if kind == "image" else "an 8-bit single-channel label"
        raise InputError(f"{kind} {path} has mode {mode}: {need} (mode {' or '.join(modes)}) is needed")
    return pixels


def _say(error: Exception, kind: str) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no PNG or JPEG file" if kind == "image" else "it is no PNG file"
    said = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return said.splitlines()[0]


def _encode(ids: Label, encoding: Mapping[int, int], path: Path) -> Label:
    known, lut = np.zeros(256, dtype=bool), np.zeros(256, dtype=np.uint8)
    known[list(encoding)], lut[list(encoding)] = True, list(encoding.values())
    if not known[ids].all():
        foreign = np.unique(ids[~known[ids]]).tolist()
        shown = ", ".join(map(str, foreign[:8])) + (", ..." if len(foreign) > 8 else "")
        raise InputError(f"label {path} has ids {shown}: its encoding has {min(encoding)} to {max(encoding)} only")
    return lut[ids]


def digest_pair(pair: Pair) -> str:
    """sha256 over the bytes of both files, wherever they lie."""
    return hashlib.sha256(b"".join(_file_sha256(path) for path in (pair.image, pair.label))).hexdigest()


def _file_sha256(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
