"""Mapillary Vistas 1.2: streets of all continents in sizes of many cameras, 66 ids of which 19 classes are made.

The compared methods are scored on half-size copies of the val images and labels, which are made here once, as the
authors' scripts make them: both sides halved (rounded down), images by Pillow's bicubic filter into JPEG files of its
default quality, labels as train ids by nearest pixel into PNG files.
"""

import os
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from pathlib import Path

from PIL import Image as PillowImage

from recyclelora.data.folders import find_files, first_folder
from recyclelora.data.labels import CITYSCAPES19, IGNORE
from recyclelora.data.many_files import Progress, alone_in, in_processes, save_whole
from recyclelora.data.pairs import TRAIN_IDS, LabelFormat, Pair, read_pair
from recyclelora.data.sets.dataset import DataSet, Listing, Preparation, pair_with
from recyclelora.errors import InputError

TRAIN_TO_RAW = {0: (7, 8, 10, 13, 14, 23, 24), 1: (2, 9, 11, 15), 2: (17,), 3: (6,), 4: (3,), 5: (44, 45, 47), 6: (48,),
                7: (46, 49, 50), 8: (30,), 9: (29,), 10: (27,), 11: (19,), 12: (20, 21, 22), 13: (55,), 14: (61,),
                15: (54,), 16: (58,), 17: (57,), 18: (52,)}  # fmt: skip
RAW_IDS = LabelFormat({**dict.fromkeys(range(66), IGNORE),
                       **{raw: train_id for train_id, raws in TRAIN_TO_RAW.items() for raw in raws}},
                      mend="ids above 65 are those of version 2.0, and the labels of 1.2 are needed")  # fmt: skip
FOLDER = {"train": "training", "val": "validation"}
HALF = "half"  # the folder of the half-size copies, below the folder of the set
IMAGES, LABELS = "val_img", "val_label"  # below it
QUALITY = 75  # of their JPEG files: part of the protocol


def list_mapillary(folder: Path, domain: str, split: str) -> Listing:
    """Train at full size; val from the half-size copies, or at full size for the domain mapillary-full."""
    if domain == "mapillary" and split == "val":
        return _list_half(folder)
    return list_full(folder, split)


def list_full(folder: Path, split: str) -> Listing:
    """The official files, or the train ids that the converter of the compared methods makes of the labels."""
    images_in = folder / FOLDER[split] / "images"
    images = find_files(images_in, (".jpg",))
    official = first_folder(folder, f"{FOLDER[split]}/labels", f"{FOLDER[split]}/v1.2/labels")
    converted = folder / "cityscapes_trainIdLabel" / split / "label"
    if converted.is_dir() and not official.is_dir():
        return pair_with(images, images_in, converted, {".png": TRAIN_IDS})
    newer = folder / FOLDER[split] / "v2.0"
    if newer.is_dir() and not official.is_dir():
        raise InputError(f"{newer} holds the labels of version 2.0, and there is no {official}: the labels of version "
                         "1.2 are needed, of which the 19 classes are made; unpack "
                         f"{FOLDER[split]}/v1.2 too, which the download of 2.0 holds")  # fmt: skip
    return pair_with(images, images_in, official, {".png": RAW_IDS})


def _list_half(folder: Path) -> Listing:
    images_in, labels_in = folder / HALF / IMAGES, folder / HALF / LABELS
    if not images_in.is_dir():
        raise InputError(f"there is no folder {images_in}: `recyclelora data prepare mapillary` makes these half-size "
                         "copies, on which mapillary is scored (mapillary-full is scored at full size)")  # fmt: skip
    return pair_with(find_files(images_in, (".jpg",)), images_in, labels_in, {".png": TRAIN_IDS})


def prepare(folder: Path, splits: Sequence[str], workers: int) -> Iterator[Preparation]:
    if "val" in splits:
        yield Preparation("half-size copies", prepare_mapillary(folder, workers=workers),
                          f"half-size images and labels are in {folder / HALF}")


def prepare_mapillary(folder: Path, *, workers: int) -> Generator[Progress, None, None]:
    """Write `folder`/half/{val_img,val_label} from the official val files of `folder`; yields progress.

    The copies grow in half.part and get their name when all are there, so that what is read is never a part. Called
    again after an interruption it goes on where it stopped; called when all is done it does nothing. `workers`
    processes share the work. Raises InputError for a pair that cannot be read, for a folder that cannot be written,
    and while another process prepares the same folder.
    """
    pairs, stored = list_full(folder, "val")
    whole, part = folder / HALF, folder / f"{HALF}.part"
    images, labels = part / IMAGES, part / LABELS
    try:
        with alone_in(part):
            if whole.is_dir():
                yield len(pairs), len(pairs)
                return
            for place in (images, labels):
                place.mkdir(parents=True, exist_ok=True)
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


MAPILLARY = DataSet(
    name="Mapillary Vistas 1.2",
    domains={"mapillary": {"train": 18000, "val": 2000}, "mapillary-full": {"train": 18000, "val": 2000}},
    folders=("mapillary", "mapillary_vistas", "Mapillary", "mapillary-vistas-dataset_public_v1.2",
             "mapillary-vistas-dataset_public_v1.1", "mapillary-vistas-dataset_public_v2.0"),
    space=CITYSCAPES19,
    list=list_mapillary,
    layout="mapillary/{training,validation}/images/*.jpg, mapillary/{training,validation}/labels/*.png (or "
           "v1.2/labels), and mapillary/half/{val_img,val_label} made by `recyclelora data prepare mapillary`",
    archives=("*[Mm]apillary*",),
    size=None,
    tested_at={"full": (1024, 2048), "half": (512, 1024), "full-1024": (1024, 2048)},
    licence="CC BY-NC-SA 4.0 (research edition)",
    reference="Neuhold et al., ICCV 2017",
    prepare=prepare,
)  # fmt: skip
