"""Houses along the street, and what closes the view at its end."""

from typing import NamedTuple

import numpy as np

from .facades import FACADES, GROUND_FLOORS
from .mesh import Colour, Id, Mesh, Point, Sketch, box
from .plants import LEAVES
from .textures import Material

WALLS: dict[str, tuple[Colour, ...]] = {
    "home": ((0.93, 0.87, 0.72), (0.90, 0.80, 0.66), (0.88, 0.86, 0.82), (0.84, 0.72, 0.62), (0.78, 0.80, 0.80),
             (0.92, 0.78, 0.62), (0.72, 0.47, 0.38), (0.80, 0.84, 0.76), (0.96, 0.94, 0.90)),
    "city": ((0.62, 0.36, 0.30), (0.55, 0.33, 0.27), (0.62, 0.68, 0.74), (0.70, 0.68, 0.64), (0.52, 0.58, 0.62),
             (0.80, 0.76, 0.68), (0.45, 0.42, 0.40)),
}  # fmt: skip
ROOFS: tuple[Colour, ...] = ((0.60, 0.30, 0.22), (0.52, 0.28, 0.22), (0.36, 0.35, 0.36), (0.42, 0.32, 0.28))


class Lot(NamedTuple):
    """A piece of ground beside the street: its front at x, from z0 to z1, on the side -1 (left) or 1."""

    x: float
    z0: float
    z1: float
    side: int


def bays(length: float, bay: float) -> float:
    """Textures per metre that fit whole bays into a length."""
    return max(round(length / bay), 1) / 3 / length


def add_front(sketch: Sketch, lot: Lot, levels: tuple[float, float, float], textures: tuple[int, int], wall: Colour) -> None:
    """The side towards the street: `levels` are the heights of ground floor, upper floors' top and one floor."""
    ground, top, floor = levels
    out: Point = (-lot.side, 0, 0)
    length = lot.z1 - lot.z0
    for low, high, texture, tall in ((0.0, ground, textures[1], 1 / ground), (ground, top, textures[0], bays(top - ground, floor))):
        corners = [(lot.x, low, lot.z0), (lot.x, low, lot.z1), (lot.x, high, lot.z1), (lot.x, high, lot.z0)]
        wide = bays(length, 3.1 if high == top else 3.6)
        sketch.face(corners, Id.BUILDING, wall, texture, anchored=True, out=out, repeat=(wide, tall))


def add_gable(
    sketch: Sketch, lot: Lot, levels: tuple[float, float, float], depth: float, texture: int, wall: Colour, roof: float
) -> None:
    """The near end wall, with the roof's triangle on it."""
    ground, top, floor = levels
    back = lot.x + lot.side * depth
    out: Point = (0, 0, -1)
    plain = texture < len(Material)
    for low, high in ((0.0, ground), (ground, top)):
        corners = [(lot.x, low, lot.z0), (back, low, lot.z0), (back, high, lot.z0), (lot.x, high, lot.z0)]
        if plain or low == 0:
            sketch.face(corners, Id.BUILDING, wall, texture if plain else Material.PLASTER, out=out)
        else:
            sketch.face(corners, Id.BUILDING, wall, texture, anchored=True, out=out,
                        repeat=(bays(depth, 3.1), bays(top - ground, floor)))  # fmt: skip
    if roof:
        peak = [(lot.x, top, lot.z0), (back, top, lot.z0), ((lot.x + back) / 2, top + roof, lot.z0)]
        sketch.face(peak, Id.BUILDING, wall, texture if plain else Material.PLASTER, out=out)


def add_roof(sketch: Sketch, lot: Lot, top: float, depth: float, rise: float, colour: Colour, rng: np.random.Generator) -> None:
    """A slope with eaves and a chimney, or a cornice when the roof is flat."""
    side, trim = lot.side, (0.80, 0.79, 0.76)
    box(sketch, (lot.x - side * 0.25, lot.x + side * 0.1), (top - 0.35, top + 0.1), (lot.z0, lot.z1), Id.BUILDING, trim, Material.STONE)
    if not rise:
        return
    eaves, ridge = lot.x - side * 0.35, lot.x + side * depth / 2
    slope = [(eaves, top - 0.05, lot.z0 - 0.2), (eaves, top - 0.05, lot.z1), (ridge, top + rise, lot.z1), (ridge, top + rise, lot.z0 - 0.2)]
    sketch.face(slope, Id.BUILDING, colour, Material.TILES, out=(-side, 1, 0))
    if lot.z0 < 70 and rng.random() < 0.6:
        z = float(rng.uniform(lot.z0 + 1, lot.z1 - 1))
        box(sketch, (ridge - 0.4, ridge + 0.4), (top + rise * 0.7, top + rise + 1.1), (z, z + 0.7), Id.BUILDING, (0.62, 0.40, 0.33), Material.BRICK)


def add_shopfront(sketch: Sketch, lot: Lot, rng: np.random.Generator) -> None:
    """Awnings and a sign that sticks out."""
    z, side = lot.z0 + 1.0, lot.side
    while z < lot.z1 - 2.5:
        if rng.random() < 0.45:
            red, green, blue = (float(value) for value in rng.uniform(0.15, 0.85, 3))
            x0, x1 = lot.x - side * 0.02, lot.x - side * 1.1
            stripes = 6
            for k in range(stripes):
                tone: Colour = (red, green, blue) if k % 2 else (0.9, 0.88, 0.84)
                a, b = z + 2.4 * k / stripes, z + 2.4 * (k + 1) / stripes
                sketch.face([(x0, 2.95, a), (x0, 2.95, b), (x1, 2.5, b), (x1, 2.5, a)], Id.BUILDING, tone, Material.CLOTH)
                sketch.face([(x1, 2.5, a), (x1, 2.5, b), (x1, 2.3, b), (x1, 2.3, a)], Id.BUILDING, tone, Material.CLOTH)
        elif rng.random() < 0.3:
            colour = tuple(float(value) for value in rng.uniform(0.2, 0.9, 3))
            x = lot.x - side * 0.15
            sketch.quad((min(x, x - side * 0.8), max(x, x - side * 0.8)), (3.2, 3.9), z, Id.BUILDING, colour, glow=(0.8, 0.6, 0.5))
        z += float(rng.uniform(3.0, 4.5))


def build_house(lot: Lot, style: str, kind: str, rng: np.random.Generator) -> tuple[Mesh, float]:
    """A house on the lot, and how high it is."""
    sketch = Sketch()
    fronts, shops = FACADES[style], GROUND_FLOORS[style]
    texture = fronts[int(rng.integers(len(fronts)))]
    wall = WALLS[style][int(rng.integers(len(WALLS[style])))]
    floor = float(rng.uniform(2.9, 3.4))
    most = {"shops": (3, 6), "houses": (1, 4), "works": (1, 3), "park": (2, 5)}[kind]
    floors = int(rng.integers(most[0], most[1])) if style == "home" else int(rng.integers(most[0] + 1, most[1] * 2 + 3))
    ground = float(rng.uniform(3.4, 4.2))
    top = ground + floors * floor
    depth = float(rng.uniform(9, 13))
    rise = float(rng.uniform(2.0, 4.2)) if rng.random() < (0.8 if style == "home" else 0.12) else 0.0
    levels = (ground, top, floor)
    add_roof(sketch, lot, top, depth, rise, ROOFS[int(rng.integers(len(ROOFS)))], rng)
    blank = (Material.PLASTER, Material.BRICK, Material.CONCRETE)[int(rng.integers(3))]
    add_gable(sketch, lot, levels, depth, int(blank) if rng.random() < 0.5 else texture, wall, rise)
    add_front(sketch, lot, levels, (texture, shops[int(rng.integers(len(shops)))]), wall)
    if kind == "shops" and lot.z0 < 45:
        add_shopfront(sketch, lot, rng)
    return sketch.mesh(), top + rise


def build_skyline(style: str, x: float, rng: np.random.Generator) -> Mesh:
    """Roofs and tree tops beyond the end of the street, around x."""
    sketch, leaves = Sketch(), LEAVES[style]
    across = -150.0
    while across < 150:
        width = float(rng.uniform(9, 26))
        z = float(rng.uniform(178, 210))
        if rng.random() < 0.6:
            high = float(rng.uniform(9, 20) if style == "home" else rng.uniform(14, 60))
            wall = WALLS[style][int(rng.integers(len(WALLS[style])))]
            fronts = FACADES[style]
            corners = [(x + across, 0, z), (x + across + width, 0, z), (x + across + width, high, z), (x + across, high, z)]
            sketch.face(corners, Id.BUILDING, wall, fronts[int(rng.integers(len(fronts)))], anchored=True,
                        repeat=(bays(width, 3.1), bays(high, 3.2)))  # fmt: skip
        else:
            for k in range(6):
                cx, cy, radius = x + across + width * (k + 0.5) / 6, float(rng.uniform(2, 9)), float(rng.uniform(4, 7))
                colour = leaves[int(rng.integers(len(leaves)))]
                corners = [(cx - radius, cy - radius, z), (cx + radius, cy - radius, z), (cx + radius, cy + radius, z), (cx - radius, cy + radius, z)]
                sketch.face(corners, Id.VEGETATION, colour, Material.LEAVES, stamp=int(rng.integers(8)), cap=0.3)
        across += width * 0.9
    return sketch.mesh()
