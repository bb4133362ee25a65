"""Label spaces: which class has which train id and colour, and how two spaces are compared."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from recyclelora.errors import InputError

Label = NDArray[np.uint8]  # (H, W) train ids
Image = NDArray[np.uint8]  # (H, W, 3) RGB
Size = tuple[int, int]  # (height, width) in pixels

IGNORE = 255  # the train id of pixels that are neither trained on nor scored
NO_COUNTERPART = "no counterpart"  # the class of predictions that the labels have no word for


class Grouping(NamedTuple):
    """That a space groups the finer space named `fine`: pairs of a fine class and the class that holds it. A fine class
    that no class holds, and a class that holds none, are left out."""

    fine: str
    pairs: tuple[tuple[str, str], ...]


class LabelSpace(NamedTuple):
    """Train id i is `classes[i]`, drawn in `palette[i]` (RGB); 255 is ignored and belongs to no class."""

    name: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    groups: tuple[Grouping, ...] = ()


class Common(NamedTuple):
    """The space two domains are compared in, with a uint8 (256,) table from the train ids of each into it."""

    space: LabelSpace
    source_lut: NDArray[np.uint8]
    target_lut: NDArray[np.uint8]

    @property
    def scored(self) -> tuple[str, ...]:
        """The classes that a mean IoU may count: all but NO_COUNTERPART, which is the last where it is one."""
        return tuple(name for name in self.space.classes if name != NO_COUNTERPART)


def _space(name: str, groups: Mapping[str, Mapping[str, str]] | None = None, **colours: str) -> LabelSpace:
    """Classes in train id order, each with its colour in hexadecimal; `_` in a keyword stands for a space."""
    palette = tuple((int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in colours.values())
    groupings = tuple(Grouping(fine, tuple(pairs.items())) for fine, pairs in (groups or {}).items())
    return LabelSpace(name, tuple(key.replace("_", " ") for key in colours), palette, groupings)


CITYSCAPES19 = _space(
    "cityscapes19", road="804080", sidewalk="f423e8", building="464646", wall="66669c", fence="be9999", pole="999999",
    traffic_light="faaa1e", traffic_sign="dcdc00", vegetation="6b8e23", terrain="98fb98", sky="4682b4", person="dc143c",
    rider="ff0000", car="00008e", truck="000046", bus="003c64", train="005064", motorcycle="0000e6", bicycle="770b20",
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

CAMVID11 = _space(
    "camvid11", {"cityscapes19": _CITYSCAPES_TO_CAMVID}, sky="808080", building="800000", pole="c0c080", road="804080",
    pavement="3c28de", tree="808000", sign="c08080", fence="404080", car="400080", pedestrian="404000",
    bicyclist="0080c0",
)  # fmt: skip

# The seven classes are the top of IDD's hierarchy (Varma et al. 2019), whose leaves say what went where: its
# "non-drivable fallback" carries the colour and the number of Cityscapes' terrain; walls, fences, poles, lights and
# signs are roadside objects; buildings and vegetation are far ones; animals are living things, riders too, their
# machines vehicles.
_CITYSCAPES_TO_IDDLITE = {
    "road": "drivable", "sidewalk": "non-drivable", "terrain": "non-drivable", "person": "living thing",
    "rider": "living thing", "car": "vehicle", "truck": "vehicle", "bus": "vehicle", "train": "vehicle",
    "motorcycle": "vehicle", "bicycle": "vehicle", "wall": "roadside object", "fence": "roadside object",
    "pole": "roadside object", "traffic light": "roadside object", "traffic sign": "roadside object",
    "building": "far object", "vegetation": "far object", "sky": "sky",
}  # fmt: skip

IDDLITE7 = LabelSpace(
    "iddlite7",
    ("drivable", "non-drivable", "living thing", "vehicle", "roadside object", "far object", "sky"),
    ((128, 64, 128), (244, 35, 232), (220, 20, 60), (0, 0, 142), (220, 190, 40), (70, 70, 70), (70, 130, 180)),
    (Grouping("cityscapes19", tuple(_CITYSCAPES_TO_IDDLITE.items())),),
)

SPACES = {space.name: space for space in (CITYSCAPES19, CAMVID11, IDDLITE7)}


def common_space(source: LabelSpace, target: LabelSpace) -> Common:
    """The space in which a model of the source space is scored on labels of the target space.

    Where one space groups the other, that is the coarser one. Otherwise both are followed along the shortest chain of
    groupings that connects them (CamVid's classes and IDD-Lite's both group those of Cityscapes), which says which
    classes may name the same thing; then classes are merged until each class of either space lies in one merged class
    whole: the join of the two partitions. It is coarse, but no label is ever wrong in it. To split it further, by what
    most of a class is, would score a model against labels that are known to be wrong in part.

    Classes that nothing on the other side corresponds to are not scored: as labels they become 255. A model may predict
    them all the same, and there it is wrong, so as predictions they become a class of their own, NO_COUNTERPART, which
    no label has and no mean counts.

    Both directions have the same space (but for NO_COUNTERPART). A side that is in the common space already keeps every
    id; elsewhere ids that are no class become 255, and 255 stays 255. Raises InputError for spaces that no chain
    connects, that leave fewer than two classes, and for two spaces of one name.
    """
    keep = np.arange(256, dtype=np.uint8)
    if source.name == target.name:
        if source.classes != target.classes:
            raise InputError(f"two label spaces have the name {source.name} and different classes: the data set was "
                             "declared anew since the model was trained; give the new classes a name of their own")
        return Common(source, keep, keep)
    first, second = sorted((source, target), key=lambda space: (len(space.classes), space.name))
    parts = dict(zip((first.name, second.name), _merge(first, second), strict=True))
    if IGNORE not in parts[first.name] + parts[second.name]:
        for coarse in (first, second):
            if len(set(parts[coarse.name])) == len(coarse.classes):  # one part each: the coarse space as it is
                return _group(coarse, parts, source, target)
    return _join(first, second, parts, source, target)


def members(space: LabelSpace, lut: NDArray[np.uint8], common: LabelSpace) -> dict[str, tuple[str, ...]]:
    """Class of the common space -> the classes of `space` that its table `lut` puts there; those that are not scored
    under "" (labels) or NO_COUNTERPART (predictions)."""
    names = [*common.classes, *[""] * (256 - len(common.classes))]
    found: dict[str, list[str]] = {}
    for train_id, name in enumerate(space.classes):
        found.setdefault(names[lut[train_id]], []).append(name)
    return {name: tuple(found[name]) for name in (*common.classes, "") if name in found}


def _overlap(first: LabelSpace, second: LabelSpace) -> NDArray[np.bool_]:
    """(classes of first, classes of second): which may name the same thing, by the shortest chain of groupings."""
    spaces = {**SPACES, first.name: first, second.name: second}
    reached = {first.name: np.eye(len(first.classes), dtype=bool)}
    border = [first.name]
    while border and second.name not in reached:
        steps = [(name, *step) for name in border for step in _steps(name, spaces)]
        border = []
        for name, neighbour, step in steps:
            if neighbour not in reached:
                reached[neighbour] = reached[name] @ step
                border.append(neighbour)
    if second.name not in reached:
        raise InputError(f"label spaces {first.name} and {second.name} cannot be compared: neither groups the other, "
                         "nor do both group a third")
    return reached[second.name]


def _steps(name: str, spaces: Mapping[str, LabelSpace]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Each space that a grouping connects with this one, and (classes here, classes there): which hold the other."""
    for coarse in spaces.values():
        for grouping in coarse.groups:
            if grouping.fine in spaces and name in (coarse.name, grouping.fine):
                fine = spaces[grouping.fine]
                holds = np.zeros((len(fine.classes), len(coarse.classes)), dtype=bool)
                for inner, outer in grouping.pairs:
                    holds[fine.classes.index(inner), coarse.classes.index(outer)] = True
                yield (coarse.name, holds) if name == fine.name else (fine.name, holds.T)


def _merge(first: LabelSpace, second: LabelSpace) -> tuple[list[int], list[int]]:
    """Class -> merged class, for both spaces, in the order of the first; 255 for one without counterpart."""
    overlap = _overlap(first, second)
    rows, columns = overlap.shape
    _, found = connected_components(np.pad(overlap, ((0, columns), (rows, 0))), directed=False)
    matched = np.concatenate([overlap.any(1), overlap.any(0)]).tolist()
    order = {part: place for place, part in enumerate(dict.fromkeys(found[:rows][overlap.any(1)].tolist()))}
    if len(order) < 2:
        raise InputError(f"label spaces {first.name} and {second.name} cannot be compared: {len(order)} common class"
                         f"{'' if order else 'es'} would remain, and two are needed")
    parts = [order[part] if there else IGNORE for part, there in zip(found.tolist(), matched, strict=True)]
    return parts[:rows], parts[rows:]


def _group(coarse: LabelSpace, parts: Mapping[str, list[int]], source: LabelSpace, target: LabelSpace) -> Common:
    train_ids = {part: train_id for train_id, part in enumerate(parts[coarse.name])}
    luts = [np.arange(256, dtype=np.uint8) if space.name == coarse.name
            else _lut([train_ids[part] for part in parts[space.name]]) for space in (source, target)]
    return Common(coarse, *luts)


def _join(first: LabelSpace, second: LabelSpace, parts: Mapping[str, list[int]], source: LabelSpace,
          target: LabelSpace) -> Common:
    """Merged classes are named by the side that needs fewer words, the coarser one where both need as many, and drawn
    in the colour of the first that the coarser side (`first`) has in them."""
    count = len(set(parts[first.name]) - {IGNORE})
    inside, beside = ([[name for name, part in zip(space.classes, parts[space.name], strict=True) if part == merged]
                       for merged in range(count)] for space in (first, second))
    names = [" or ".join(own if len(own) <= len(other) else other)
             for own, other in zip(inside, beside, strict=True)]
    if len(set(names)) < len(names):  # a word that means different things on the two sides
        names = [" or ".join(own) for own in inside]
    palette = [first.palette[first.classes.index(own[0])] for own in inside]
    source_lut, target_lut = _lut(parts[source.name]), _lut(parts[target.name])
    if IGNORE in parts[source.name]:
        source_lut[np.flatnonzero(np.array(parts[source.name]) == IGNORE)] = len(names)
        names, palette = [*names, NO_COUNTERPART], [*palette, (255, 255, 255)]
    return Common(LabelSpace("/".join(sorted(parts)), tuple(names), tuple(palette)), source_lut, target_lut)


def _lut(parts: Sequence[int]) -> NDArray[np.uint8]:
    lut = np.full(256, IGNORE, dtype=np.uint8)
    lut[: len(parts)] = parts
    return lut


def colourise(label: Label, space: LabelSpace) -> Image:
    """(H, W) train ids -> (H, W, 3) RGB in the palette of the space; 255 and ids of no class are black."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(space.palette)] = space.palette
    return colours[label]
