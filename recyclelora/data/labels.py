"""Label spaces: which class has which train id and colour, and how two spaces are compared."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recyclelora.errors import InputError

Label = NDArray[np.uint8]  # (H, W) train ids
Image = NDArray[np.uint8]  # (H, W, 3) RGB

IGNORE = 255  # the train id of pixels that are neither trained on nor scored


class LabelSpace(NamedTuple):
    """Train id i is `classes[i]`, drawn in `palette[i]` (RGB); 255 is ignored and belongs to no class."""

    name: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]


class Common(NamedTuple):
    """The space two domains are compared in, with a uint8 (256,) table from the train ids of each into it."""

    space: LabelSpace
    source_lut: NDArray[np.uint8]
    target_lut: NDArray[np.uint8]


def _space(name: str, **colours: str) -> LabelSpace:
    """Classes in train id order, each with its colour in hexadecimal; `_` in a keyword stands for a space."""
    palette = tuple((int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in colours.values())
    return LabelSpace(name, tuple(key.replace("_", " ") for key in colours), palette)


CITYSCAPES19 = _space(
    "cityscapes19", road="804080", sidewalk="f423e8", building="464646", wall="66669c", fence="be9999", pole="999999",
    traffic_light="faaa1e", traffic_sign="dcdc00", vegetation="6b8e23", terrain="98fb98", sky="4682b4", person="dc143c",
    rider="ff0000", car="00008e", truck="000046", bus="003c64", train="005064", motorcycle="0000e6", bicycle="770b20",
)  # fmt: skip

CAMVID11 = _space(
    "camvid11", sky="808080", building="800000", pole="c0c080", road="804080", pavement="3c28de", tree="808000",
    sign="c08080", fence="404080", car="400080", pedestrian="404000", bicyclist="0080c0",
)  # fmt: skip

# Fine class -> coarse class. CamVid was drawn with 32 classes, which the 11-class encoding (SegNet's) groups; a
# Cityscapes class goes where that grouping put the same things: "Wall" is part of building; "TrafficLight" joins
# "SignSymbol" in sign; "VegetationMisc" (verges, bushes) joins "Tree", hence terrain; "Truck_Bus", "Train" and
# "SUVPickupTruck" join car; "MotorcycleScooter" joins "Bicyclist", which is rider and machine drawn as one thing,
# hence rider, motorcycle and bicycle.
_CITYSCAPES_TO_CAMVID = {
    "road": "road", "sidewalk": "pavement", "building": "building", "wall": "building", "fence": "fence",
    "pole": "pole", "traffic light": "sign", "traffic sign": "sign", "vegetation": "tree", "terrain": "tree",
    "sky": "sky", "person": "pedestrian", "rider": "bicyclist", "car": "car", "truck": "car", "bus": "car",
    "train": "car", "motorcycle": "bicyclist", "bicycle": "bicyclist",
}  # fmt: skip

GROUPINGS = {(CITYSCAPES19, CAMVID11): _CITYSCAPES_TO_CAMVID}  # (fine, coarse) -> class of each fine class


def common_space(source: LabelSpace, target: LabelSpace) -> Common:
    """The coarser of the two spaces, in which a model of the source space is scored on labels of the target space.

    A space that is already the common one keeps every id; ids that are no class of a finer space become 255, and 255
    stays 255. Raises InputError when neither space is a grouping of the other.
    """
    keep = np.arange(256, dtype=np.uint8)
    if source == target:
        return Common(source, keep, keep)
    if (source, target) in GROUPINGS:
        return Common(target, _grouping_lut(source, target), keep)
    if (target, source) in GROUPINGS:
        return Common(source, keep, _grouping_lut(target, source))
    raise InputError(f"label spaces {source.name} and {target.name} cannot be compared: neither groups the other")


def _grouping_lut(fine: LabelSpace, coarse: LabelSpace) -> NDArray[np.uint8]:
    lut = np.full(256, IGNORE, dtype=np.uint8)
    for train_id, name in enumerate(fine.classes):
        lut[train_id] = coarse.classes.index(GROUPINGS[fine, coarse][name])
    return lut


def colourise(label: Label, space: LabelSpace) -> Image:
    """(H, W) train ids -> (H, W, 3) RGB in the palette of the space; 255 and ids of no class are black."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(space.palette)] = space.palette
    return colours[label]


SPACES = {space.name: space for space in (CITYSCAPES19, CAMVID11)}
