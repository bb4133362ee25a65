"""Image and label files that belong together: pairing them by name, and reading them strictly."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from recyclelora.data.folders import IMAGE_SUFFIXES, find_files
from recyclelora.data.labels import IGNORE, Image, Label
from recyclelora.data.pictures import UNREADABLE, Pixels, describe, open_picture, orientation_of, read_samples, turn
from recyclelora.errors import InputError

ASPECT_TOLERANCE = 0.05  # a label that may be stretched over its image has its ratio of width to height within 5 %
# Of one channel, of any depth: grey of 1, 2, 4, 8 or 16 bits, or a palette over ids (GTAV ships such labels).
LABEL_MODES = ("1", "L", "I;16", "P")
ON_ITS_SIDE = " (files are turned upright by their EXIF orientation, and a label must belong to the upright image)"
Copied = Callable[[Path], Pixels | None]
_FOREIGN = 254  # marks ids the encoding does not have; no train id is that high


class Pair(NamedTuple):
    """One labelled image: `name` is what both file names have in common."""

    name: str
    image: Path
    label: Path


class LabelFormat(NamedTuple):
    """How labels are stored: id in the file -> train id, and in which kind of PNG.

    One with a single channel of 1 to 16 bits, whose samples are the ids (`wide` False: a palette over the ids is fine,
    its colours are not looked at), or a 16-bit RGB one whose first channel holds the ids (`wide`). `stretch`: a label
    of another size but the same aspect ratio is resized to its image (nearest), not refused. `mend`: what to say to
    whoever has a label with ids that are not among these; `{ids}` in it stands for them.
    """

    ids: Mapping[int, int]
    wide: bool = False
    stretch: bool = False
    mend: str = ""


class ForeignIds(InputError):
    """A label has `ids` that the encoding of its set, `stored`, does not have."""

    ids: tuple[int, ...] = ()
    stored: LabelFormat | None = None


def foreign_ids(ids: tuple[int, ...], stored: LabelFormat) -> str:
    """What is wrong with one label or several, and how it is mended."""
    some = ", ".join(map(str, ids[:8]))
    mend = stored.mend.replace("{ids}", some if len(ids) == 1 else f"[{some}]")
    return (f"has ids {some}{', ...' if len(ids) > 8 else ''}: its encoding has {_ranges(sorted(stored.ids))} only"
            f"{mend and '; '}{mend}")


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
        raise InputError(f"{kind} {files[alone[0]]} has no {other} in {where}{more}")


def no_copy(path: Path) -> None:
    """Of a file that has to be decoded."""


def read_pair(pair: Pair, stored: LabelFormat, copied: Copied = no_copy) -> tuple[Image, Label]:
    """The image as (H, W, 3) RGB and its label as (H, W) train ids.

    `copied` gives the pixels of a file that are at hand already (see `copies`), None where it has to be decoded. Raises
    InputError for a file that cannot be decoded, an image that is not RGB, a label of another kind than `stored` says,
    ids it does not have, and for an image and a label of different size.
    """
    return encode_pair(pair, *decode_pair(pair, stored, copied), stored)


def decode_pair(pair: Pair, stored: LabelFormat, copied: Copied = no_copy) -> tuple[Image, Pixels]:
    """The pixels of both files, upright: (H, W, 3) uint8, and ids as they are stored, (H, W) uint8 or uint16."""
    wide = "RGB" if stored.wide else "L"
    mode, image = _known("RGB", copied(pair.image), 3) or _decode(pair.image, "image")
    kind, ids = _known(wide, copied(pair.label), 2) or (
        ("RGB", _decode_wide(pair.label)) if stored.wide else _decode(pair.label, "label"))
    check_modes(pair, mode, kind, stored)
    return image, ids


def _known(mode: str, pixels: Pixels | None, axes: int) -> tuple[str, Pixels] | None:
    return None if pixels is None or pixels.ndim != axes else (mode, pixels)


def encode_pair(pair: Pair, image: Image, ids: Pixels, stored: LabelFormat) -> tuple[Image, Label]:
    """What `decode_pair` gives, the ids as train ids of the image's size. Raises InputError where it cannot be."""
    size, label_size = (image.shape[1], image.shape[0]), (ids.shape[1], ids.shape[0])
    check_sizes(pair, size, label_size, stored)
    if size != label_size:
        ids = np.array(PillowImage.fromarray(ids).resize(size, PillowImage.Resampling.NEAREST))
    return image, _encode(ids, stored, pair.label)


def check_modes(pair: Pair, image: str, label: str, stored: LabelFormat) -> None:
    """Raises InputError unless both files have the Pillow mode they should have."""
    if label == "RGB" and image in LABEL_MODES and not stored.wide:
        raise InputError(f"image {pair.image} has mode {image} and label {pair.label} mode RGB: "
                         "the folders of images and labels look swapped")  # fmt: skip
    _require_mode(pair.image, "image", image, ("RGB",))
    _require_mode(pair.label, "label", label, ("RGB",) if stored.wide else LABEL_MODES)


def check_sizes(pair: Pair, image: tuple[int, int], label: tuple[int, int], stored: LabelFormat) -> None:
    """Raises InputError unless the sizes (width, height) agree, or the label may be stretched over the image."""
    if image == label:
        return
    if not stored.stretch or abs(image[0] * label[1] / (image[1] * label[0]) - 1) > ASPECT_TOLERANCE:
        raise InputError(f"{pair.image} is {image[0]}x{image[1]} but its label {pair.label} is {label[0]}x{label[1]}: "
                         f"sizes must agree{ON_ITS_SIDE if image == label[::-1] else ''}")  # fmt: skip


def decode(path: Path, kind: str, modes: tuple[str, ...]) -> Image:
    """Pixels of a PNG (or, for an "image", JPEG) file as uint8; InputError when unreadable or of another mode."""
    mode, pixels = _decode(path, kind)
    _require_mode(path, kind, mode, modes)
    return pixels


def _decode(path: Path, kind: str) -> tuple[str, Pixels]:
    try:
        with open_picture(path, ("PNG", "JPEG") if kind == "image" else ("PNG",)) as file:
            pixels = np.array(file) if kind == "image" else read_samples(file)
            return file.mode, turn(pixels, orientation_of(file))
    except UNREADABLE as error:
        raise InputError(f"cannot read {kind} {path}: {describe(error, kind)}") from error


def _require_mode(path: Path, kind: str, mode: str, modes: tuple[str, ...]) -> None:
    if mode not in modes:
        need = "an RGB image" if kind == "image" else "a single-channel label"
        raise InputError(f"{kind} {path} has mode {mode}: {need} (mode {' or '.join(modes)}) is needed")


def _decode_wide(path: Path) -> NDArray[np.uint16]:
    """First channel of a 16-bit RGB PNG, upright."""
    try:
        high, low = (_decode_plane(path, order) for order in ("RGB;16B", "RGB;16L"))
    except UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read label {path}: {describe(error, 'label')}") from error
    return high * np.uint16(256) + low


def _decode_plane(path: Path, order: str) -> Label:
    """The upper byte of each 16-bit value is all that Pillow keeps of such files. Told that the bytes lie the other way
    round, it keeps the lower one."""
    with open_picture(path, ("PNG",)) as file:
        (tile,) = file.tile  # type: ignore[attr-defined]
        if tile.args != "RGB;16B":
            raise InputError(f"label {path} is stored as {tile.args}: a 16-bit RGB PNG (RGB;16B), with the ids in its "
                             "first channel, is needed")  # fmt: skip
        file.tile = [tile._replace(args=order)]  # type: ignore[attr-defined]
        return turn(np.array(file)[..., 0], orientation_of(file))


def _encode(ids: NDArray[np.unsignedinteger], stored: LabelFormat, path: Path) -> Label:
    lut = np.full(np.iinfo(ids.dtype).max + 1, _FOREIGN, dtype=np.uint8)
    lut[list(stored.ids)] = list(stored.ids.values())
    # bytes are translated several times as fast as an array is indexed
    found = bytearray(ids).translate(lut.tobytes()) if ids.dtype == np.uint8 else bytearray(lut[ids])
    if _FOREIGN in found:
        foreign = tuple(np.unique(ids[lut[ids] == _FOREIGN]).tolist())
        error = ForeignIds(f"label {path} {foreign_ids(foreign, stored)}")
        error.ids, error.stored = foreign, stored  # not given to the constructor, so that it can be pickled
        raise error
    return np.frombuffer(found, np.uint8).reshape(ids.shape)


def _ranges(ids: list[int]) -> str:
    """[0, 1, 2, 255] -> "0 to 2, 255"."""
    runs: list[list[int]] = []
    for i in ids:
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
