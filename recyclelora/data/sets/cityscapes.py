"""Cityscapes (fine annotations): street scenes of German cities by day, 2048x1024."""

from pathlib import Path

from recyclelora.data.folders import find_files, first_folder
from recyclelora.data.labels import CITYSCAPES19, IGNORE
from recyclelora.data.pairs import TRAIN_IDS, LabelFormat
from recyclelora.data.sets.dataset import DataSet, Listing, pair_with

# raw id -> train id of the 19 classes that are scored; GTAV uses the same raw ids
RAW_TO_TRAIN = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13,
                27: 14, 28: 15, 31: 16, 32: 17, 33: 18}  # fmt: skip
RAW_IDS = LabelFormat({raw: RAW_TO_TRAIN.get(raw, IGNORE) for raw in range(34)})
FORMS = {"_gtFine_labelIds.png": RAW_IDS, "_gtFine_labelTrainIds.png": TRAIN_IDS}


def list_cityscapes(folder: Path, domain: str, split: str) -> Listing:
    """The images of all cities of one split; a name is city, sequence and frame."""
    images_in = first_folder(folder, "leftImg8bit", "leftImg8bit_trainvaltest/leftImg8bit") / split
    labels_in = first_folder(folder, "gtFine", "gtFine_trainvaltest/gtFine") / split
    images = find_files(images_in, ("_leftImg8bit.png",), deep=True)
    return pair_with(images, images_in, labels_in, FORMS, deep=True)


CITYSCAPES = DataSet(
    name="Cityscapes",
    domains={"cityscapes": {"train": 2975, "val": 500}},  # the labels of test are not public
    folders=("cityscapes", "Cityscapes"),
    space=CITYSCAPES19,
    list=list_cityscapes,
    layout="cityscapes/leftImg8bit/{train,val}/<city>/*_leftImg8bit.png, "
           "cityscapes/gtFine/{train,val}/<city>/*_gtFine_labelIds.png (or _gtFine_labelTrainIds.png)",
    archives=("leftImg8bit*", "gtFine*", "*[Cc]ityscapes*"),
    size=(1024, 2048),
    tested_at={"full": (1024, 2048), "half": (512, 1024), "full-1024": (1024, 2048)},
    licence="non-commercial research, registration",
    reference="Cordts et al., CVPR 2016",
)  # fmt: skip
