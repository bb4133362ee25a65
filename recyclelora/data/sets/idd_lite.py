"""IDD-Lite: small images of roads in India, 320x227, in seven classes of its own."""

from pathlib import Path

from recyclelora.data.folders import find_files, first_folder
from recyclelora.data.labels import IDDLITE7, IGNORE
from recyclelora.data.pairs import LabelFormat
from recyclelora.data.sets.dataset import DataSet, Listing, pair_with

LITE = LabelFormat({**{train_id: train_id for train_id in range(7)}, 255: IGNORE})


def list_iddlite(folder: Path, domain: str, split: str) -> Listing:
    base = first_folder(folder, "leftImg8bit", "idd20k_lite/leftImg8bit").parent
    images_in, labels_in = base / "leftImg8bit" / split, base / "gtFine" / split
    images = find_files(images_in, ("_image.jpg",), deep=True, with_folder=True)
    return pair_with(images, images_in, labels_in, {"_label.png": LITE}, but=("_inst",), deep=True,
                     with_folder=True)  # fmt: skip


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
