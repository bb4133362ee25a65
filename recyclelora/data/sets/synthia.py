"""SYNTHIA-RAND-CITYSCAPES: random views of a rendered city, 1280x760; terrain, truck and train do not occur."""

from pathlib import Path

from recyclelora.data.folders import find_files, first_folder
from recyclelora.data.labels import CITYSCAPES19, IGNORE
from recyclelora.data.pairs import TRAIN_IDS, LabelFormat
from recyclelora.data.sets.dataset import UNSCORED, DataSet, Listing, pair_with

RAW_TO_TRAIN = {3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 16: 9, 1: 10, 10: 11, 17: 12, 8: 13, 18: 14,
                19: 15, 20: 16, 12: 17, 11: 18}  # fmt: skip
_IDS = {raw: RAW_TO_TRAIN.get(raw, IGNORE) for raw in range(23)}  # 0 void, 13 parking, 14 road work, 22 lane marking
FORMS = {".png": LabelFormat(_IDS, wide=True), "_labelTrainIds.png": TRAIN_IDS}


def list_synthia(folder: Path, domain: str, split: str) -> Listing:
    images_in = first_folder(folder, "RGB", "RAND_CITYSCAPES/RGB")
    labels_in = first_folder(folder, "GT/LABELS", "RAND_CITYSCAPES/GT/LABELS")
    return pair_with(find_files(images_in, (".png",)), images_in, labels_in, FORMS)


SYNTHIA = DataSet(
    name="SYNTHIA-RAND-CITYSCAPES",
    domains={"synthia": {"train": 9400, "val": 500}},
    folders=("synthia", "RAND_CITYSCAPES", "SYNTHIA_RAND_CITYSCAPES", "SYNTHIA"),
    space=CITYSCAPES19,
    list=list_synthia,
    layout="synthia/RGB/0000000.png ..., synthia/GT/LABELS/0000000.png ... (16-bit, or 0000000_labelTrainIds.png)",
    archives=("*RAND_CITYSCAPES*", "*[Ss][Yy][Nn][Tt][Hh][Ii][Aa]*"),
    size=(760, 1280),
    tested_at=UNSCORED,
    licence="CC BY-NC-SA 3.0",
    reference="Ros et al., CVPR 2016",
    held_out=True,
)
