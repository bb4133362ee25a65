"""ACDC: Swiss streets in fog, at night, in rain and in snow, 1920x1080. Each condition is a domain, `acdc` all four."""

from pathlib import Path

from recyclelora.data.folders import find_files, first_folder
from recyclelora.data.labels import CITYSCAPES19
from recyclelora.data.pairs import TRAIN_IDS, Pair
from recyclelora.data.sets.cityscapes import RAW_IDS
from recyclelora.data.sets.dataset import DataSet, Listing, pair_with
from recyclelora.errors import InputError

CONDITIONS = ("fog", "night", "rain", "snow")
FORMS = {"_gt_labelTrainIds.png": TRAIN_IDS, "_gt_labelIds.png": RAW_IDS}


def list_acdc(folder: Path, domain: str, split: str) -> Listing:
    """The images of one condition, or of all; a name is condition, sequence and frame."""
    conditions = CONDITIONS if domain == "acdc" else (domain.removeprefix("acdc-"),)
    pairs: list[Pair] = []
    forms = set()
    for condition in conditions:
        images_in = first_folder(folder, "rgb_anon", "rgb_anon_trainvaltest/rgb_anon") / condition / split
        labels_in = first_folder(folder, "gt", "gt_trainval/gt") / condition / split
        images = find_files(images_in, ("_rgb_anon.png",), deep=True)
        found = pair_with(images, images_in, labels_in, FORMS, deep=True)
        pairs += [pair._replace(name=f"{condition}_{pair.name}") for pair in found.pairs]
        forms.add(found.stored is TRAIN_IDS)
    if len(forms) > 1:
        raise InputError(f"{folder}: some conditions have _gt_labelTrainIds.png files, others none; unpack all of gt")
    return Listing(tuple(pairs), found.stored)


ACDC = DataSet(
    name="ACDC",
    domains={name: {"train": None, "val": None}  # the labels of test are not public
             for name in (*(f"acdc-{condition}" for condition in CONDITIONS), "acdc")},
    folders=("acdc", "ACDC"),
    space=CITYSCAPES19,
    list=list_acdc,
    layout="acdc/rgb_anon/{fog,night,rain,snow}/{train,val}/<sequence>/*_rgb_anon.png, "
           "acdc/gt/{fog,...}/{train,val}/<sequence>/*_gt_labelTrainIds.png",
    archives=("rgb_anon*", "gt_trainval*", "*[Aa][Cc][Dd][Cc]*"),
    size=(1080, 1920),
    tested_at={"full": (540, 960), "half": (540, 960), "full-1024": (1080, 1920)},
    licence="non-commercial research, registration",
    reference="Sakaridis et al., ICCV 2021",
)  # fmt: skip
