"""UrbanSyn: rendered street scenes in the manner of Cityscapes, 2048x1024, labelled with its train ids."""

from pathlib import Path

from recyclelora.data.folders import find_files
from recyclelora.data.labels import CITYSCAPES19, IGNORE
from recyclelora.data.pairs import TRAIN_IDS, pair_up
from recyclelora.data.sets.dataset import UNSCORED, DataSet, Listing

STORED = TRAIN_IDS._replace(ids={**TRAIN_IDS.ids, 19: IGNORE})  # 19: unlabelled


def list_urbansyn(folder: Path, domain: str, split: str) -> Listing:
    """A name is the number: the official prefixes of images (rgb_) and labels (ss_) are taken off where they are."""
    images = _without_prefix(find_files(folder / "rgb", (".png",)))
    labels = _without_prefix(find_files(folder / "ss", (".png",)))
    return Listing(pair_up(images, folder / "rgb", labels, folder / "ss"), STORED)


def _without_prefix(files: dict[str, Path]) -> dict[str, Path]:
    return {name.removeprefix("rgb_").removeprefix("ss_"): path for name, path in files.items()}


URBANSYN = DataSet(
    name="UrbanSyn",
    domains={"urbansyn": {"train": 7539, "val": 500}},
    folders=("urbansyn", "UrbanSyn"),
    space=CITYSCAPES19,
    list=list_urbansyn,
    layout="urbansyn/rgb/rgb_0001.png ..., urbansyn/ss/ss_0001.png ... (or the same stem in both)",
    archives=("*[Uu]rban[Ss]yn*", "rgb.zip", "ss.zip"),
    size=(1024, 2048),
    tested_at=UNSCORED,
    licence="CC BY-SA 4.0",
    reference="Gomez et al., arXiv 2312.12176",
    held_out=True,
)
