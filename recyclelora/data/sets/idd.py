"""IDD and IDD-Lite: roads of India. IDD is read in the 19 classes of Cityscapes, IDD-Lite in its own seven."""

from pathlib import Path

from recyclelora.data.folders import find_files, first_folder
from recyclelora.data.labels import CITYSCAPES19, IDDLITE7, IGNORE
from recyclelora.data.pairs import TRAIN_IDS, LabelFormat
from recyclelora.data.sets.dataset import DataSet, Listing, pair_with
from recyclelora.errors import InputError

# level 3 id -> train id. Level 3 groups what Cityscapes keeps apart; a group goes with its commonest member that is a
# class there: 3 is non-drivable fallback (which the authors' csTrainId calls terrain) and rail track, 4 person and
# animal, 20 pole and group of poles, 25 sky and fallback background. 12 (caravan, trailer, train, other vehicles) is
# ignored.
LEVEL3_TO_TRAIN = {0: 0, 2: 1, 3: 9, 4: 11, 5: 12, 6: 17, 7: 18, 9: 13, 10: 14, 11: 15, 14: 3, 15: 4, 18: 7, 19: 6,
                   20: 5, 22: 2, 24: 8, 25: 10}  # fmt: skip
LEVEL3 = LabelFormat({level3: LEVEL3_TO_TRAIN.get(level3, IGNORE) for level3 in (*range(26), 255)})
POLYGONS, DRAWN = "_gtFine_polygons.json", "_gtFine_labelcsTrainIds.png"
FORMS = {DRAWN: TRAIN_IDS, "_gtFine_labellevel3Ids.png": LEVEL3}

LITE = LabelFormat({**{train_id: train_id for train_id in range(7)}, 255: IGNORE})


def list_idd(folder: Path, domain: str, split: str) -> Listing:
    """All drives of one split. The download has polygons: `data/polygons.py` or its authors' script makes label files
    of them."""
    images_in, labels_in = folder / "leftImg8bit" / split, folder / "gtFine" / split
    images = find_files(images_in, ("_leftImg8bit.png", "_leftImg8bit.jpg"), deep=True, with_folder=True)
    if not has_labels(folder, split) and any(labels_in.glob(f"*/*{POLYGONS}")):
        raise InputError(f"{labels_in} holds polygons and no label files: `recyclelora data prepare idd` draws them")
    return pair_with(images, images_in, labels_in, FORMS, deep=True, with_folder=True)


def has_labels(folder: Path, split: str) -> bool:
    return any(any((folder / "gtFine" / split).glob(f"*/*{ending}")) for ending in FORMS)


def list_iddlite(folder: Path, domain: str, split: str) -> Listing:
    base = first_folder(folder, "leftImg8bit", "idd20k_lite/leftImg8bit").parent
    images_in, labels_in = base / "leftImg8bit" / split, base / "gtFine" / split
    images = find_files(images_in, ("_image.jpg",), deep=True, with_folder=True)
    return pair_with(images, images_in, labels_in, {"_label.png": LITE}, but=("_inst",), deep=True,
                     with_folder=True)  # fmt: skip


IDD = DataSet(
    name="IDD",
    domains={"idd": {"train": None, "val": None}},  # the labels of test are not public
    folders=("idd", "IDD", "IDD_Segmentation", "idd20kII"),
    space=CITYSCAPES19,
    list=list_idd,
    layout="idd/leftImg8bit/{train,val}/<drive>/*_leftImg8bit.png, idd/gtFine/{train,val}/<drive>/"
           "*_gtFine_labelcsTrainIds.png (or _gtFine_labellevel3Ids.png), made from the polygons by `recyclelora data "
           "prepare idd`, or by createLabels.py of AutoNUE/public-code with --id-type csTrainId",
    archives=("*[Ii][Dd][Dd]*",),
    size=None,
    licence="own licence, research use, registration",
    reference="Varma et al., WACV 2019",
)  # fmt: skip

IDD_LITE = DataSet(
    name="IDD-Lite",
    domains={"idd-lite": {"train": 1403, "val": 204}},  # 404 test images without labels
    folders=("idd20k_lite", "idd-lite", "idd_lite"),
    space=IDDLITE7,
    list=list_iddlite,
    layout="idd20k_lite/leftImg8bit/{train,val}/<drive>/*_image.jpg, "
           "idd20k_lite/gtFine/{train,val}/<drive>/*_label.png (ids 0 to 6, 255)",
    archives=("*[Ll]ite*",),
    size=(227, 320),
    licence="own licence, research use, registration",
    reference="Mishra et al., NCVPRIPG 2019",
)  # fmt: skip
