"""Image and label files that belong together: pairing them by name, and reading them strictly."""

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError
from torchvision.io import ImageReadMode, decode_png

from recyclelora.data.folders import IMAGE_SUFFIXES, find_files
from recyclelora.data.labels import IGNORE, Image, Label
from recyclelora.errors import InputError

UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, zlib.error, PillowImage.DecompressionBombError)
ASPECT_TOLERANCE = 0.05  # a label that may be stretched over its image has its ratio of width to height within 5 %
_FOREIGN = 254  # marks ids the encoding does not have; no train id is that high


class Pair(NamedTuple):
    """One labelled image: `name` is what both file names have in common."""

    name: str
    image: Path
    label: Path


class LabelFormat(NamedTuple):
    """How labels are stored: id in the file -> train id, and in which kind of PNG.

    An 8-bit one with a single channel (`wide` False: a palette over the ids is fine, its colours are not looked at),
    or a 16-bit RGB one whose first channel holds the ids (`wide`). `stretch`: a label of another size but the same
    aspect ratio is resized to its image (nearest), not refused.
    """

    ids: Mapping[int, int]
    wide: bool = False
    stretch: bool = False


TRAIN_IDS = LabelFormat({**{train_id: train_id for train_id in range(19)}, IGNORE: IGNORE})  # of Cityscapes


def list_pairs(images: Path, labels: Path) -> tuple[Pair, ...]:
    """Every image of one folder with its label (same stem, .png) from the other, by name.

    Looks at names only, so it is cheap on large sets. Raises InputError when a folder is missing or empty, when two
    images share a stem, and when an image has no label or a label no image.
    """
    return pair_up(find_files(images, IMAGE_SUFFIXES), images, find_files(labels, (".png",)), labels)


def pair_up(images: dict[str, Path], in_folder: Path, labels: dict[str, Path], labels_in: Path) -> tuple[Pair, ...]:
    """Images and labels of the same names. Raises InputError for one without the other, naming the first."""
    _require_partners(images, labels, "image", "label", labels_in)
    _require_partners(labels, images, "label", "image", in_folder)
    return tuple(Pair(name, images[name], labels[name]) for name in sorted(images))


def _require_partners(files: dict[str, Path], partners: dict[str, Path], kind: str, other: str, where: Path) -> None:
    alone = sorted(files.keys() - partners.keys())
    if alone:
        more = f" ({len(alone)} such {kind}s)" if len(alone) > 1 else ""
        raise InputError(f"{kind} {files[alone[0]]} has no {other} of the same stem in {where}{more}")


def read_pair(pair: Pair, stored: LabelFormat) -> tuple[Image, Label]:
    """The image as (H, W, 3) RGB and its label as (H, W) train ids.

    Raises InputError for a file that cannot be decoded, an image that is not RGB, a label of another kind than
    `stored` says, ids it does not have, and for an image and a label of different size.
    """
    image = decode(pair.image, "image", modes=("RGB",))
    # "P" is a palette over the same 8-bit ids: GTAV ships such labels
    ids = _decode_wide(pair.label) if stored.wide else decode(pair.label, "label", modes=("L", "P"))
    if image.shape[:2] != ids.shape:
        ids = _fit(ids, image, pair, stored)
    return image, _encode(ids, stored.ids, pair.label)


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


def _decode_wide(path: Path) -> NDArray[np.uint16]:
    """First channel of a 16-bit RGB PNG. Pillow keeps only the upper byte of such files, torchvision all bits."""
    try:
        content = path.read_bytes()
        with PillowImage.open(path, formats=("PNG",)) as file:
            file.verify()  # checksums: torchvision's decoder reads past a torn end without a word
        pixels = decode_png(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.UNCHANGED)
    except (*UNREADABLE, RuntimeError) as error:
        raise InputError(f"cannot read label {path}: {_say(error, 'label')}") from error
    if pixels.dtype != torch.uint16 or len(pixels) != 3:
        kind = f"{8 * pixels.element_size()}-bit with {len(pixels)} channel{'s' if len(pixels) > 1 else ''}"
        raise InputError(f"label {path} is {kind}: a 16-bit RGB label (ids in the first channel) is needed")
    plane: NDArray[np.uint16] = pixels[0].numpy()
    return plane


def _say(error: Exception, kind: str) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no PNG or JPEG file" if kind == "image" else "it is no PNG file"
    said = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return said.splitlines()[0]


def _fit(ids: NDArray[np.unsignedinteger], image: Image, pair: Pair, stored: LabelFormat) -> Label:
    (height, width), (tall, wide) = image.shape[:2], ids.shape
    if not stored.stretch or abs(width * tall / (height * wide) - 1) > ASPECT_TOLERANCE:
        raise InputError(f"{pair.image} is {width}x{height} but its label {pair.label} is {wide}x{tall}: "
                         "sizes must agree")  # fmt: skip
    return np.array(PillowImage.fromarray(ids).resize((width, height), PillowImage.Resampling.NEAREST))


def _encode(ids: NDArray[np.unsignedinteger], encoding: Mapping[int, int], path: Path) -> Label:
    lut = np.full(np.iinfo(ids.dtype).max + 1, _FOREIGN, dtype=np.uint8)
    lut[list(encoding)] = list(encoding.values())
    label: Label = lut[ids]
    if (label == _FOREIGN).any():
        foreign = np.unique(ids[label == _FOREIGN]).tolist()
        shown = ", ".join(map(str, foreign[:8])) + (", ..." if len(foreign) > 8 else "")
        raise InputError(f"label {path} has ids {shown}: its encoding has {_ranges(sorted(encoding))} only")
    return label


def _ranges(ids: list[int]) -> str:
    """[0, 1, 2, 255] -> "0 to 2, 255"."""
    runs: list[list[int]] = []
    for i in ids:
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
