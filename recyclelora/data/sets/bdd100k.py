"""BDD100K, its 10k images with semantic labels: streets of the USA at any time and weather, 1280x720."""

from pathlib import Path

from recyclelora.data.folders import find_files, first_folder
from recyclelora.data.labels import CITYSCAPES19
from recyclelora.data.pairs import TRAIN_IDS
from recyclelora.data.sets.dataset import DataSet, Listing, pair_with

FORMS = {".png": TRAIN_IDS, "_train_id.png": TRAIN_IDS}  # the second in the first release, below seg/


def list_bdd100k(folder: Path, domain: str, split: str) -> Listing:
    within = first_folder(folder, "images", "seg", "bdd100k/images", "bdd100k/seg")
    base = within.parent
    images_in = first_folder(base, "images/10k", "seg/images") / split
    labels_in = first_folder(base, "labels/sem_seg/masks", "seg/labels") / split
    return pair_with(find_files(images_in, (".jpg",)), images_in, labels_in, FORMS)


BDD100K = DataSet(
    name="BDD100K",
    domains={"bdd100k": {"train": 7000, "val": 1000}},  # the labels of test are not public
    folders=("bdd100k", "bdd", "BDD100K"),
    space=CITYSCAPES19,
    list=list_bdd100k,
    layout="bdd100k/images/10k/{train,val}/*.jpg, bdd100k/labels/sem_seg/masks/{train,val}/*.png (same stems)",
    archives=("*bdd100k*", "10k_images*"),
    size=(720, 1280),
    tested_at={"full": (720, 1280), "half": (720, 1280), "full-1024": (1024, 2048)},
    licence="own licence, non-commercial use free, registration",
    reference="Yu et al., CVPR 2020",
)
