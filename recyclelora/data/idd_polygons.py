"""IDD's label files, drawn from the polygons that it is downloaded with: made once, beside them, read ever after.

As the authors' script draws them (createLabels.py of AutoNUE/public-code with --id-type csTrainId): polygons in the
order of the file, each over those before it, on a ground that is ignored; what is marked as deleted is left out.
"""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage
from PIL import ImageDraw

from recyclelora.data.folders import find_files
from recyclelora.data.labels import CITYSCAPES19, IGNORE
from recyclelora.data.many_files import Progress, alone_in, in_processes, save_whole
from recyclelora.data.sets.idd import DRAWN, POLYGONS, has_labels
from recyclelora.errors import InputError

# IDD's name of an object -> train id. Classes go by the name they have in Cityscapes, but for the ground beside roads,
# which the authors count as terrain. The others are ignored.
OTHERS = ("parking", "drivable fallback", "rail track", "animal", "autorickshaw", "caravan", "trailer",
          "vehicle fallback", "curb", "guard rail", "billboard", "polegroup", "obs-str-bar-fallback", "bridge",
          "tunnel", "fallback background", "unlabeled", "ego vehicle", "rectification border", "out of roi",
          "license plate")
IDS = {**dict.fromkeys(OTHERS, IGNORE), "non-drivable fallback": CITYSCAPES19.classes.index("terrain"),
       **{name: train_id for train_id, name in enumerate(CITYSCAPES19.classes) if name != "terrain"}}


def wants_labels(folder: Path, split: str) -> bool:
    """Whether a split has polygons, and no label files but such as are drawn here."""
    place = folder / "gtFine" / split
    return any(place.glob(f"*/*{POLYGONS}")) and (any(place.glob(f"*/*{DRAWN}")) or not has_labels(folder, split))


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
    return polygons.with_name(polygons.name.removesuffix(POLYGONS) + DRAWN)


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
