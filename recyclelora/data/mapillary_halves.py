"""Half-size copies of Mapillary's val split, which the compared methods are scored on: made once, read ever after.

As the authors' scripts make them: both sides halved (rounded down), images by Pillow's bicubic filter into JPEG files
of its default quality, labels as train ids by nearest pixel into PNG files.
"""

import os
from collections.abc import Generator
from functools import partial
from pathlib import Path

from PIL import Image as PillowImage

from recyclelora.data.many_files import Progress, alone_in, in_processes, save_whole
from recyclelora.data.pairs import LabelFormat, Pair, read_pair
from recyclelora.data.sets.mapillary import HALF, list_full
from recyclelora.errors import InputError

QUALITY = 75  # of the JPEG files: part of the protocol


def prepare_mapillary(folder: Path, *, workers: int) -> Generator[Progress, None, None]:
    """Write `folder`/half/{val_img,val_label} from the official val files of `folder`; yields progress.

    The copies grow in half.part and get their name when all are there, so that what is read is never a part. Called
    again after an interruption it goes on where it stopped; called when all is done it does nothing. `workers`
    processes share the work. Raises InputError for a pair that cannot be read, for a folder that cannot be written,
    and while another process prepares the same folder.
    """
    pairs, stored = list_full(folder, "val")
    whole, part = folder / HALF, folder / f"{HALF}.part"
    if whole.is_dir():
        yield len(pairs), len(pairs)
        return
    images, labels = part / "val_img", part / "val_label"
    try:
        for place in (images, labels):
            place.mkdir(parents=True, exist_ok=True)
        with alone_in(part):
            todo = [p for p in pairs if not (_image_of(p, images).exists() and _label_of(p, labels).exists())]
            halve = partial(_halve, stored=stored, images=images, labels=labels)
            yield from in_processes(halve, todo, len(pairs), workers)
        os.rename(part, whole)
    except OSError as error:
        raise InputError(f"cannot write {error.filename or part}: {error.strerror}") from error


def _halve(pair: Pair, *, stored: LabelFormat, images: Path, labels: Path) -> None:
    image, label = read_pair(pair, stored)
    size = (image.shape[1] // 2, image.shape[0] // 2)
    small = PillowImage.fromarray(image).resize(size, PillowImage.Resampling.BICUBIC)
    save_whole(small, _image_of(pair, images), format="JPEG", quality=QUALITY)
    small = PillowImage.fromarray(label).resize(size, PillowImage.Resampling.NEAREST)
    save_whole(small, _label_of(pair, labels), format="PNG")


def _image_of(pair: Pair, images: Path) -> Path:
    return images / f"{pair.name}.jpg"


def _label_of(pair: Pair, labels: Path) -> Path:
    return labels / f"{pair.name}.png"
