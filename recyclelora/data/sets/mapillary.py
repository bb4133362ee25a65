"""Mapillary Vistas 1.2: streets of all continents in sizes of many cameras, 66 ids of which 19 classes are made.

The compared methods are scored on half-size copies of the val images and labels; `data/prepare.py` makes them once.
"""

from pathlib import Path

from recyclelora.data.folders import find_files, first_folder
from recyclelora.data.labels import CITYSCAPES19, IGNORE
from recyclelora.data.pairs import TRAIN_IDS, LabelFormat
from recyclelora.data.sets.dataset import DataSet, Listing, pair_with
from recyclelora.errors import InputError

TRAIN_TO_RAW = {0: (7, 8, 10, 13, 14, 23, 24), 1: (2, 9, 11, 15), 2: (17,), 3: (6,), 4: (3,), 5: (44, 45, 47), 6: (48,),
                7: (46, 49, 50), 8: (30,), 9: (29,), 10: (27,), 11: (19,), 12: (20, 21, 22), 13: (55,), 14: (61,),
                15: (54,), 16: (58,), 17: (57,), 18: (52,)}  # fmt: skip
RAW_IDS = LabelFormat({**dict.fromkeys(range(66), IGNORE),
                       **{raw: train_id for train_id, raws in TRAIN_TO_RAW.items() for raw in raws}})  # fmt: skip
FOLDER = {"train": "training", "val": "validation"}
HALF = "half"  # the folder of the half-size copies, below the folder of the set


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
    return pair_with(images, images_in, official, {".png": RAW_IDS})


def _list_half(folder: Path) -> Listing:
    images_in, labels_in = folder / HALF / "val_img", folder / HALF / "val_label"
    if not images_in.is_dir():
        raise InputError(f"there is no folder {images_in}: `recyclelora data prepare mapillary` makes these half-size "
                         "copies, on which mapillary is scored (mapillary-full is scored at full size)")  # fmt: skip
    return pair_with(find_files(images_in, (".jpg",)), images_in, labels_in, {".png": TRAIN_IDS})


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
    licence="CC BY-NC-SA 4.0 (research edition)",
    reference="Neuhold et al., ICCV 2017",
)  # fmt: skip
