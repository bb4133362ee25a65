"""IDD: roads of India, read in the 19 classes of Cityscapes.

Its download has polygons. The label files are drawn from them here once, beside them, as the authors' script draws them
(createLabels.py of AutoNUE/public-code with --id-type csTrainId): polygons in the order of the file, each over those
before it, on a ground that is ignored; what is marked as deleted is left out.
"""

import json
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage
from PIL import ImageDraw

from recyclelora.data.folders import find_files, holds
from recyclelora.data.labels import CITYSCAPES19, IGNORE
from recyclelora.data.many_files import Progress, alone_in, in_processes, save_whole
from recyclelora.data.pairs import TRAIN_IDS, LabelFormat
from recyclelora.data.sets.dataset import DataSet, Listing, Preparation, pair_with
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

# IDD's name of an object -> train id. Classes go by the name they have in Cityscapes, but for the ground beside roads,
# which the authors count as terrain. The others are ignored.
OTHERS = ("parking", "drivable fallback", "rail track", "animal", "autorickshaw", "caravan", "trailer",
          "vehicle fallback", "curb", "guard rail", "billboard", "polegroup", "obs-str-bar-fallback", "bridge",
          "tunnel", "fallback background", "unlabeled", "ego vehicle", "rectification border", "out of roi",
          "license plate")
IDS = {**dict.fromkeys(OTHERS, IGNORE), "non-drivable fallback": CITYSCAPES19.classes.index("terrain"),
       **{name: train_id for train_id, name in enumerate(CITYSCAPES19.classes) if name != "terrain"}}


def list_idd(folder: Path, domain: str, split: str) -> Listing:
    """All drives of one split."""
    images_in, labels_in = folder / "leftImg8bit" / split, folder / "gtFine" / split
    images = find_files(images_in, ("_leftImg8bit.png", "_leftImg8bit.jpg"), deep=True, with_folder=True)
    if not holds(labels_in, *FORMS) and holds(labels_in, POLYGONS):
        raise InputError(f"{labels_in} holds polygons and no label files: `recyclelora data prepare idd` draws them")
    return pair_with(images, images_in, labels_in, FORMS, deep=True, with_folder=True)


def prepare(folder: Path, splits: Sequence[str], workers: int) -> Iterator[Preparation]:
    for split in splits:
        if wants_labels(folder, split):
            yield Preparation(f"labels of {split}", prepare_idd(folder, split, workers=workers),
                              f"label files, drawn from the polygons, are in {folder / 'gtFine' / split}")


def wants_labels(folder: Path, split: str) -> bool:
    """Whether a split has polygons, and no label files but such as are drawn here."""
    place = folder / "gtFine" / split
    return holds(place, POLYGONS) and (holds(place, DRAWN) or not holds(place, *FORMS))


def prepare_idd(folder: Path, split: str, *, workers: int) -> Generator[Progress, None, None]:
    """Write the label file of every polygon file of a split that lacks one; yields progress.

    Each file is whole or not there, and a set that lacks some is not read. `workers` processes share the work. Raises
    InputError for a file that is none of IDD's, and where nothing can be written."""
    place = folder / "gtFine" / split
    polygons = sorted(find_files(place, (POLYGONS,), deep=True, with_folder=True).values())
    try:
        with alone_in(place):
            todo = [path for path in polygons if not drawn_from(path).exists()]
            yield from in_processes(draw_file, todo, len(polygons), workers)
    except OSError as error:
        raise InputError(f"cannot write {error.filename or place}: {error.strerror}") from error


def drawn_from(polygons: Path) -> Path:
    return polygons.with_name(polygons.name[: -len(POLYGONS)] + DRAWN)


def draw_file(polygons: Path) -> None:
    """Raises InputError, naming the file."""
    try:
        picture = draw_polygons(json.loads(polygons.read_bytes()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{polygons}: not a file of IDD's polygons ({type(error).__name__}: {error})") from None
    save_whole(picture, drawn_from(polygons), format="PNG")


def draw_polygons(annotation: dict[str, Any]) -> PillowImage.Image:
    """The train ids of one image. Raises ValueError for an object that IDD has no name for."""
    picture = PillowImage.new("L", (annotation["imgWidth"], annotation["imgHeight"]), IGNORE)
    pen = ImageDraw.Draw(picture)
    for each in annotation["objects"]:
        name = each["label"]
        if name not in IDS:
            name = name.removesuffix("group")  # several of a kind, as cargroup
        if name not in IDS:
            raise ValueError(f"an object is called {each['label']!r}")
        if not each.get("deleted"):
            pen.polygon([(x, y) for x, y in each["polygon"]], fill=IDS[name])
    return picture


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
    prepare=prepare,
)  # fmt: skip
