"""What stands behind the pavement: houses, walls, fences, hedges and gardens."""

import numpy as np

from .buildings import Lot, build_house
from .furniture import PIECE, add_wall, build_fence
from .mesh import Colour, Placement, Sketch
from .plants import LEAVES, VARIANTS, build_bush, build_tree, build_tuft
from .stage import Caster, Stage
from .street import KERB
from .textures import Material


def fill_lots(stage: Stage, side: int) -> None:
    """Houses, walls, fences and gardens along one side, from behind the camera to the end."""
    street, rng, sign = stage.street, stage.rng, (-1, 1)[side]
    z = float(rng.uniform(-14, -4))
    mix = {"shops": (0.86, 0.05, 0.05, 0.04), "houses": (0.52, 0.12, 0.20, 0.16),
           "works": (0.38, 0.27, 0.25, 0.10), "park": (0.22, 0.14, 0.20, 0.44)}[street.kind]  # fmt: skip
    while z < 130:
        stop = z + float(rng.uniform(9, 20))
        if street.crossing and stop > street.crossing[0] - 2.5 and z < street.crossing[1] + 2.5:
            if z < street.crossing[0] - 8:
                stop = street.crossing[0] - 2.5
            else:
                z = street.crossing[1] + 2.5
                continue
        what = str(rng.choice(["house", "wall", "fence", "garden"], p=mix))
        fill_lot(stage, side, (z, stop), what)
        z = stop + (float(rng.uniform(2, 6)) if what == "house" and street.kind != "shops" and stage.chance(0.7) else 0)
    for low in range(8, 130, 12) if street.yard[side] else ():
        if stage.chance(0.5):
            stage.add(build_tuft(low), sign * (street.front(side) + float(rng.uniform(0.3, 1.5))), low + float(rng.uniform(0, 8)), y=KERB,
                      scale=float(rng.uniform(0.7, 1.4)), palette=((0.45, 0.52, 0.25),))  # fmt: skip


def fill_lot(stage: Stage, side: int, span: tuple[float, float], what: str) -> None:
    """One lot; houses with a yard have a fence, a wall or a hedge in front of it."""
    street, rng, sign = stage.street, stage.rng, (-1, 1)[side]
    (z0, z1), middle = span, (span[0] + span[1]) / 2
    border, house = street.front(side), street.front(side) + street.yard[side]
    if what == "house":
        lot = Lot(street.x(sign * (house + float(rng.uniform(0, 0.5))), middle), z0, z1, sign)
        mesh, height = build_house(lot, street.style, street.kind, rng)
        stage.add_fixed(mesh, z1)
        corners = ((lot.x, z0), (lot.x + sign * 10, z0), (lot.x + sign * 10, z1), (lot.x, z1))
        stage.casters.append(Caster(corners, 0.0, height, False))
        what = str(rng.choice(["wall", "fence", "hedge", "none"], p=[0.2, 0.35, 0.2, 0.25])) if street.yard[side] else "none"
    elif what == "garden":
        plant_garden(stage, side, span)
        what = str(rng.choice(["wall", "fence", "none"], p=[0.2, 0.4, 0.4]))
    else:
        plant_garden(stage, side, span)
    if what in ("wall", "fence"):
        add_border(stage, sign * border, span, what)
    elif what == "hedge":
        for z in np.arange(max(z0, 3), min(z1, 80), 1.0):
            stage.add(build_bush(int(rng.integers(VARIANTS)), z > 22), sign * (border + 0.5), float(z), y=KERB,
                      palette=(LEAVES[street.style][1],), scale=float(rng.uniform(0.95, 1.15)))  # fmt: skip


def add_border(stage: Stage, across: float, span: tuple[float, float], what: str) -> None:
    """A wall or a fence along the pavement, in pieces that follow the street."""
    street, rng = stage.street, stage.rng
    kind = str(rng.choice(["planks", "rails", "mesh"], p=[0.4, 0.42, 0.18]))
    paints: tuple[Colour, ...] = ((0.55, 0.42, 0.30), (0.72, 0.68, 0.60)) if kind == "planks" else ((0.13, 0.15, 0.14), (0.45, 0.47, 0.47))
    colour = stage.pick(paints)
    material = int((Material.STONE, Material.BRICK, Material.CONCRETE)[int(rng.integers(3))])
    tone: Colour = {Material.STONE: (0.72, 0.68, 0.60), Material.BRICK: (0.66, 0.42, 0.34)}.get(Material(material), (0.68, 0.68, 0.66))
    height = float(rng.uniform(1.2, 2.6))
    start = max(span[0], 1.0)
    while start < span[1] - 0.5:
        stop = min(start + PIECE, span[1])
        x0, x1, middle = street.x(across, start), street.x(across, stop), street.x(across, (start + stop) / 2)
        if what == "wall":
            sketch, far = Sketch(), middle + (0.3 if across > 0 else -0.3)
            add_wall(sketch, (min(middle, far), max(middle, far)), (start, stop), height, tone, material)
            stage.add_fixed(sketch.mesh(), stop)
        else:
            piece = build_fence(kind, start < 25)
            piece = piece._replace(points=piece.points * np.array([1, 1, stop - start], np.float32))
            yaw = float(np.arctan2(x1 - x0, stop - start))
            stage.things.append((stop, Placement(piece, x0, start, yaw=yaw, palette=(colour,))))
        start = stop


def plant_garden(stage: Stage, side: int, span: tuple[float, float]) -> None:
    """Trees and bushes behind the pavement."""
    street, rng, sign = stage.street, stage.rng, (-1, 1)[side]
    for _ in range(int(rng.integers(3, 7)) if span[0] < 70 else 2):
        z, across = float(rng.uniform(*span)), street.front(side) + float(rng.uniform(2, 14))
        if z > 5:
            plant_tree(stage, sign * across, z, float(rng.uniform(0.7, 1.35)))
    for _ in range(4 if span[0] < 60 else 0):
        z, across = float(rng.uniform(*span)), street.front(side) + float(rng.uniform(0.6, 3.0))
        if z > 4:
            stage.add(build_bush(int(rng.integers(VARIANTS)), z > 22), sign * across, z, y=KERB, palette=(stage.pick(LEAVES[street.style]),))


def plant_tree(stage: Stage, across: float, z: float, scale: float, street_tree: bool = False) -> None:
    style, rng = stage.street.style, stage.rng
    species = ("broad", "broad", "slim", "cone") if style == "home" else ("palm", "slim", "broad")
    kind = species[int(rng.integers(3 if street_tree else len(species)))]
    stage.add(build_tree(kind, int(rng.integers(VARIANTS)), z > 42), across, z, y=KERB, scale=scale, palette=(stage.pick(LEAVES[style]),))
    stage.cast(across, z, (0.3 * scale, 0.3 * scale), (0, 3 * scale), contact=True)
    wide = {"broad": 4.2, "slim": 2.4, "cone": 2.4, "palm": 3.0}[kind] * scale
    for k in range(7 if z < 45 else 3):  # the gaps in a crown let sun through
        angle, reach, size = 2.4 * k, wide * 0.16 * float(np.sqrt(k)), wide * float(rng.uniform(0.24, 0.42))
        height = scale * float(rng.uniform(3.0, 6.8))
        stage.cast(across + reach * float(np.cos(angle)), z + reach * float(np.sin(angle)), (size, size), (height, height + 0.4), angle)
