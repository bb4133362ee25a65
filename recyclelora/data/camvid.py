"""CamVid, 480x360, in the split and the 11-class encoding of the SegNet tutorial: where its files are, what they mean.

Video of Cambridge (Brostow et al. 2008). The file name starts with the sequence, and the sequence says the time of
day, so CamVid holds a real domain shift: 0001TP was recorded at dusk, the others by day.
"""

from pathlib import Path

from recyclelora.data.labels import IGNORE
from recyclelora.data.pairs import Pair, list_pairs
from recyclelora.errors import Absent, InputError

DAY, DUSK = ("0006R0", "0016E5", "Seq05VD"), ("0001TP",)
SEQUENCES = {"camvid": DAY + DUSK, "camvid-day": DAY, "camvid-dusk": DUSK}
SPLITS = {
    "camvid": ("train", "val", "test"),
    "camvid-day": ("train", "val", "test"),
    "camvid-dusk": ("train", "test"),  # all 101 val images were recorded by day
}
ENCODING = {**{train_id: train_id for train_id in range(11)}, 11: IGNORE}  # id in the file -> train id of CAMVID11


def list_camvid(root: Path | None, domain: str, split: str) -> tuple[Pair, ...]:
    """The labelled images of one split under `root`/camvid, only those of the domain's sequences.

    Layout: `<split>/*.jpg` or `.png`, and `<split>annot/*.png` with the same stems. Raises InputError when there is
    no root, when the folders are missing or do not pair, and for a file of no known sequence.
    """
    if root is None:
        raise Absent(f"{domain} needs the data root: set DATA_ROOT or --data-root to the folder that holds camvid/")
    folder = root / "camvid"
    if not folder.is_dir():
        raise Absent(f"{domain} needs {folder}, which does not exist: DATA_ROOT or --data-root must hold camvid/")
    pairs = list_pairs(folder / split, folder / f"{split}annot")
    for pair in pairs:
        if not pair.name.startswith(SEQUENCES["camvid"]):
            raise InputError(f"{pair.image} belongs to no sequence of CamVid ({', '.join(SEQUENCES['camvid'])})")
    chosen = tuple(pair for pair in pairs if pair.name.startswith(SEQUENCES[domain]))
    if not chosen:
        raise InputError(f"{folder / split} holds no image of {domain} ({', '.join(SEQUENCES[domain])})")
    return chosen
