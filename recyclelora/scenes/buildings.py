"""Houses along the street, and the buildings that close the view at its end."""

from typing import NamedTuple

import numpy as np

from recyclelora.scenes.facades import BAYS, FACADES, GROUND_FLOORS
from recyclelora.scenes.mesh import Colour, Id, Mesh, Point, Sketch, box
from recyclelora.scenes.plants import LEAVES
from recyclelora.scenes.textures import Material

WALLS: dict[str, tuple[Colour, ...]] = {
    "home": ((0.93, 0.87, 0.72), (0.90, 0.80, 0.66), (0.88, 0.86, 0.82), (0.84, 0.72, 0.62), (0.78, 0.80, 0.80),
             (0.92, 0.78, 0.62), (0.72, 0.47, 0.38), (0.80, 0.84, 0.76), (0.96, 0.94, 0.90)),
    "city": ((0.62, 0.36, 0.30), (0.55, 0.33, 0.27), (0.62, 0.68, 0.74), (0.70, 0.68, 0.64), (0.52, 0.58, 0.62),
             (0.80, 0.76, 0.68), (0.45, 0.42, 0.40)),
}  # fmt: skip
ROOFS: tuple[Colour, ...] = ((0.60, 0.30, 0.22), (0.52, 0.28, 0.22), (0.36, 0.35, 0.36), (0.42, 0.32, 0.28))
BLANK = (Material.PLASTER, Material.BRICK, Material.CONCRETE)  # end walls without windows
TRIM: Colour = (0.80, 0.79, 0.76)
CANVAS: Colour = (0.90, 0.88, 0.84)
FLOORS = {"shops": (3, 6), "houses": (1, 4), "works": (1, 3), "park": (2, 5)}  # upper ones; see `draw_house`


class Lot(NamedTuple):
    """A piece of ground beside the street: its front at x, from z0 to z1, on the side -1 (left) or 1."""

    x: float
    z0: float
    z1: float
    side: int


class House(NamedTuple):
    """What a house looks like; lengths in metres."""

    ground: float  # height of the ground floor
    top: float  # height of the walls
    floor: float  # height of one upper floor
    depth: float
    rise: float  # of the roof, 0 for a flat one
    wall: Colour
    roof: Colour
    front: int  # textures
    shop: int
    gable: int


def pick(options: tuple[Colour, ...], rng: np.random.Generator) -> Colour:
    return options[int(rng.integers(len(options)))]


def draw_house(style: str, kind: str, rng: np.random.Generator) -> House:
    """A house of a city, fit for a street: the other city's are one floor to three times as high, with flat roofs."""
    low, high = FLOORS[kind]
    floors = int(rng.integers(low, high) if style == "home" else rng.integers(low + 1, high * 2 + 3))
    ground, floor = float(rng.uniform(3.4, 4.2)), float(rng.uniform(2.9, 3.4))
    front, blank = int(rng.choice(FACADES[style])), int(rng.choice(BLANK))
    return House(
        ground=ground,
        top=ground + floors * floor,
        floor=floor,
        depth=float(rng.uniform(9, 13)),
        rise=float(rng.uniform(2.0, 4.2)) if rng.random() < (0.8 if style == "home" else 0.12) else 0.0,
        wall=pick(WALLS[style], rng),
        roof=pick(ROOFS, rng),
        front=front,
        shop=int(rng.choice(GROUND_FLOORS[style])),
        gable=blank if rng.random() < 0.5 else front,
    )


def build_house(lot: Lot, style: str, kind: str, rng: np.random.Generator) -> tuple[Mesh, float]:
    """A house on the lot, and how high it is."""
    sketch, house = Sketch(), draw_house(style, kind, rng)
    add_roof(sketch, lot, house, rng)
    add_gable(sketch, lot, house)
    add_front(sketch, lot, house)
    if kind == "shops" and lot.z0 < 45:
        add_awnings(sketch, lot, rng)
    return sketch.mesh(), house.top + house.rise


def fit(length: float, bay: float) -> float:
    """Textures per metre that fit whole bays, about `bay` metres wide, into a length."""
    return max(round(length / bay), 1) / BAYS / length


def add_front(sketch: Sketch, lot: Lot, house: House) -> None:
    """The side towards the street."""
    length, ground, top = lot.z1 - lot.z0, house.ground, house.top
    rows = (
        (0.0, ground, house.shop, (fit(length, 3.6), 1 / ground)),
        (ground, top, house.front, (fit(length, 3.1), fit(top - ground, house.floor))),
    )
    for low, high, texture, repeat in rows:
        corners = [(lot.x, low, lot.z0), (lot.x, low, lot.z1), (lot.x, high, lot.z1), (lot.x, high, lot.z0)]
        out: Point = (-lot.side, 0, 0)
        sketch.face(corners, Id.BUILDING, house.wall, texture, anchored=True, out=out, repeat=repeat)


def add_gable(sketch: Sketch, lot: Lot, house: House) -> None:
    """The near end wall, with the roof's triangle on it."""
    back, ground, top = lot.x + lot.side * house.depth, house.ground, house.top
    blank = house.gable if house.gable in BLANK else Material.PLASTER
    out: Point = (0, 0, -1)

    def wall(low: float, high: float) -> list[Point]:
        return [(lot.x, low, lot.z0), (back, low, lot.z0), (back, high, lot.z0), (lot.x, high, lot.z0)]

    sketch.face(wall(0, ground), Id.BUILDING, house.wall, blank, out=out)
    if blank == house.gable:
        sketch.face(wall(ground, top), Id.BUILDING, house.wall, blank, out=out)
    else:
        repeat = (fit(house.depth, 3.1), fit(top - ground, house.floor))
        sketch.face(wall(ground, top), Id.BUILDING, house.wall, house.gable, anchored=True, out=out, repeat=repeat)
    if house.rise:
        peak = [(lot.x, top, lot.z0), (back, top, lot.z0), ((lot.x + back) / 2, top + house.rise, lot.z0)]
        sketch.face(peak, Id.BUILDING, house.wall, blank, out=out)


def add_roof(sketch: Sketch, lot: Lot, house: House, rng: np.random.Generator) -> None:
    """A cornice, and unless the roof is flat its slope with a chimney."""
    side, top, rise, z0, z1 = lot.side, house.top, house.rise, lot.z0, lot.z1
    cornice = (lot.x - side * 0.25, lot.x + side * 0.1), (top - 0.35, top + 0.1), (z0, z1)
    box(sketch, *cornice, Id.BUILDING, TRIM, Material.STONE)
    if not rise:
        return
    eaves, ridge, low, high = lot.x - side * 0.35, lot.x + side * house.depth / 2, top - 0.05, top + rise
    slope = [(eaves, low, z0 - 0.2), (eaves, low, z1), (ridge, high, z1), (ridge, high, z0 - 0.2)]
    sketch.face(slope, Id.BUILDING, house.roof, Material.TILES, out=(-side, 1, 0))
    if z0 < 70 and rng.random() < 0.6:
        z = float(rng.uniform(z0 + 1, z1 - 1))
        chimney = (ridge - 0.4, ridge + 0.4), (top + rise * 0.7, high + 1.1), (z, z + 0.7)
        box(sketch, *chimney, Id.BUILDING, (0.62, 0.40, 0.33), Material.BRICK)


def add_awnings(sketch: Sketch, lot: Lot, rng: np.random.Generator) -> None:
    """Striped awnings and hanging signs over the shops."""
    z, wall, rim = lot.z0 + 1.0, lot.x - lot.side * 0.02, lot.x - lot.side * 1.1
    while z < lot.z1 - 2.5:
        red, green, blue = rng.uniform(0.15, 0.85, 3).tolist()
        kind = rng.random()
        if kind < 0.45:
            for k in range(6):
                tone: Colour = (red, green, blue) if k % 2 else CANVAS
                a, b = z + 0.4 * k, z + 0.4 * (k + 1)
                cloth = [(wall, 2.95, a), (wall, 2.95, b), (rim, 2.5, b), (rim, 2.5, a)]
                sketch.face(cloth, Id.BUILDING, tone, Material.CLOTH)
                flap = [(rim, 2.5, a), (rim, 2.5, b), (rim, 2.3, b), (rim, 2.3, a)]
                sketch.face(flap, Id.BUILDING, tone, Material.CLOTH)
        elif kind < 0.6:
            reach = sorted((lot.x - lot.side * 0.15, lot.x - lot.side * 0.95))
            sketch.quad((reach[0], reach[1]), (3.2, 3.9), z, Id.BUILDING, (red, green, blue), glow=(0.8, 0.6, 0.5))
        z += float(rng.uniform(3.0, 4.5))


def build_skyline(style: str, x: float, rng: np.random.Generator) -> Mesh:
    """Roofs and tree tops beyond the end of the street, around x."""
    sketch, across = Sketch(), -150.0
    while across < 150:
        width, z = float(rng.uniform(9, 26)), float(rng.uniform(178, 210))
        left, right = x + across, x + across + width
        if rng.random() < 0.6:
            high = float(rng.uniform(9, 20) if style == "home" else rng.uniform(14, 60))
            corners = [(left, 0.0, z), (right, 0.0, z), (right, high, z), (left, high, z)]
            front, repeat = int(rng.choice(FACADES[style])), (fit(width, 3.1), fit(high, 3.2))
            sketch.face(corners, Id.BUILDING, pick(WALLS[style], rng), front, anchored=True, repeat=repeat)
        else:
            for middle in np.linspace(left, right, 6).tolist():
                y, radius, leaves = float(rng.uniform(2, 9)), float(rng.uniform(4, 7)), pick(LEAVES[style], rng)
                x0, x1, y0, y1 = middle - radius, middle + radius, y - radius, y + radius
                corners = [(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)]
                stamp = int(rng.integers(8))
                sketch.face(corners, Id.VEGETATION, leaves, Material.LEAVES, stamp=stamp, cap=0.3)
        across += width * 0.9
    return sketch.mesh()
