"""GTAV ("Playing for Data"): frames of a computer game, 1914x1052, labelled with the raw ids of Cityscapes."""

from pathlib import Path

from recyclelora.data.folders import find_files
from recyclelora.data.labels import CITYSCAPES19, IGNORE
from recyclelora.data.pairs import TRAIN_IDS, LabelFormat
from recyclelora.data.sets.cityscapes import RAW_TO_TRAIN
from recyclelora.data.sets.dataset import UNSCORED, DataSet, Listing, pair_with

# 34 is the licence plate, which Cityscapes counts as -1 and draws into no label file. Some labels are said to differ
# from their images in size: they are resized, in effect what the pipelines do that scale image and label each by itself
_IDS = {raw: RAW_TO_TRAIN.get(raw, IGNORE) for raw in range(35)}
FORMS = {".png": LabelFormat(_IDS, stretch=True), "_labelTrainIds.png": TRAIN_IDS._replace(stretch=True)}


def list_gtav(folder: Path, domain: str, split: str) -> Listing:
    """All images: the split file of the authors is not followed, since the compared methods draw from all of them."""
    images = find_files(folder / "images", (".png",))
    return pair_with(images, folder / "images", folder / "labels", FORMS)


GTAV = DataSet(
    name="GTAV",
    domains={"gtav": {"train": 24966, "val": 500}},
    folders=("gtav", "gta", "gta5", "GTAV", "GTA5"),
    space=CITYSCAPES19,
    list=list_gtav,
    layout="gtav/images/00001.png ..., gtav/labels/00001.png ... (palette PNGs, or 00001_labelTrainIds.png)",
    archives=("[01][0-9]_images*", "[01][0-9]_labels*", "*[Gg][Tt][Aa]*"),
    size=(1052, 1914),
    tested_at=UNSCORED,
    licence="research and education",
    reference="Richter et al., ECCV 2016",
    held_out=True,
)
