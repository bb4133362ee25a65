"""The lots behind the pavement: houses, walls, fences, hedges and gardens."""

import numpy as np

from recyclelora.scenes.buildings import Lot, build_house
from recyclelora.scenes.furniture import PIECE, add_wall, build_fence
from recyclelora.scenes.mesh import Colour, Placement, Sketch
from recyclelora.scenes.plants import LEAVES, VARIANTS, build_bush, build_tree, build_tuft
from recyclelora.scenes.stage import SHADOWS, Caster, Stage
from recyclelora.scenes.street import KERB
from recyclelora.scenes.textures import Material

KINDS = ("house", "wall", "fence", "garden")
SHARES = {  # of the kinds, by what stands along the street
    "shops": (0.86, 0.05, 0.05, 0.04),
    "houses": (0.52, 0.12, 0.20, 0.16),
    "works": (0.38, 0.27, 0.25, 0.10),
    "park": (0.22, 0.14, 0.20, 0.44),
}
WOOD: tuple[Colour, ...] = ((0.55, 0.42, 0.30), (0.72, 0.68, 0.60))
IRON: tuple[Colour, ...] = ((0.13, 0.15, 0.14), (0.45, 0.47, 0.47))
MASONRY: tuple[tuple[Material, Colour], ...] = (
    (Material.STONE, (0.72, 0.68, 0.60)),
    (Material.BRICK, (0.66, 0.42, 0.34)),
    (Material.CONCRETE, (0.68, 0.68, 0.66)),
)
SPECIES = {"home": ("broad", "broad", "slim", "cone"), "city": ("palm", "slim", "broad")}
CROWNS = {"broad": 4.2, "slim": 2.4, "cone": 2.4, "palm": 3.0}  # metres across


def fill_lots(stage: Stage, side: int) -> None:
    """Lots of one side, from behind the camera to the end; none on the crossing street."""
    street, rng = stage.street, stage.rng
    z = float(rng.uniform(-14, -4))
    before, after = street.crossing or (1e3, 1e3)
    before, after = before - 2.5, after + 2.5
    while z < 130:
        stop = z + float(rng.uniform(9, 20))
        if stop > before and z < after:
            if z > before - 5.5:
                z = after
                continue
            stop = before
        kind = str(rng.choice(KINDS, p=SHARES[street.kind]))
        fill_lot(stage, side, (z, stop), kind)
        gap = kind == "house" and street.kind != "shops" and stage.chance(0.7)
        z = stop + (float(rng.uniform(2, 6)) if gap else 0.0)
    if street.yard[side]:
        grow_grass(stage, side)


def fill_lot(stage: Stage, side: int, span: tuple[float, float], kind: str) -> None:
    """One lot, and what divides it from the pavement."""
    border = kind
    if kind == "house":
        put_house(stage, side, span)
        border = str(stage.rng.choice(["wall", "fence", "hedge", "none"], p=[0.2, 0.35, 0.2, 0.25]))
        if not stage.street.yard[side]:
            return
    else:
        plant_garden(stage, side, span)
    if kind == "garden":
        border = str(stage.rng.choice(["wall", "fence", "none"], p=[0.2, 0.4, 0.4]))
    if border == "wall":
        put_wall(stage, side, span)
    elif border == "fence":
        put_fence(stage, side, span)
    elif border == "hedge":
        put_hedge(stage, side, span)


def put_house(stage: Stage, side: int, span: tuple[float, float]) -> None:
    street, sign, (z0, z1) = stage.street, (-1, 1)[side], span
    across = sign * (street.front(side) + street.yard[side] + float(stage.rng.uniform(0, 0.5)))
    lot = Lot(street.x(across, (z0 + z1) / 2), z0, z1, sign)
    mesh, height = build_house(lot, street.style, street.kind, stage.rng)
    stage.add_fixed(mesh, z1)
    back = lot.x + sign * 10
    if z0 < SHADOWS:
        stage.casters.append(Caster(((lot.x, z0), (back, z0), (back, z1), (lot.x, z1)), 0.0, height, False))


def cut_pieces(span: tuple[float, float]) -> list[tuple[float, float]]:
    """A stretch in pieces that can follow the street's curve, from where the camera sees them."""
    starts = np.arange(max(span[0], 1.0), span[1] - 0.5, PIECE).tolist()
    return [(start, min(start + PIECE, span[1])) for start in starts]


def put_wall(stage: Stage, side: int, span: tuple[float, float]) -> None:
    street, sign, height = stage.street, (-1, 1)[side], float(stage.rng.uniform(1.2, 2.6))
    material, tone = stage.pick(MASONRY)
    for start, stop in cut_pieces(span):
        near = street.x(sign * street.front(side), (start + stop) / 2)
        sketch, far = Sketch(), near + sign * 0.3
        add_wall(sketch, (min(near, far), max(near, far)), (start, stop), height, tone, material)
        stage.add_fixed(sketch.mesh(), stop)


def put_fence(stage: Stage, side: int, span: tuple[float, float]) -> None:
    street, across = stage.street, (-1, 1)[side] * stage.street.front(side)
    kind = str(stage.rng.choice(["planks", "rails", "mesh"], p=[0.4, 0.42, 0.18]))
    colour = stage.pick(WOOD if kind == "planks" else IRON)
    for start, stop in cut_pieces(span):
        x, drift = street.x(across, start), street.x(across, stop) - street.x(across, start)
        piece = build_fence(kind, start < 25)
        piece = piece._replace(points=piece.points * np.array([1, 1, stop - start], np.float32))
        yaw = float(np.arctan2(drift, stop - start))
        stage.things.append((stop, Placement(piece, x, start, yaw=yaw, palette=(colour,))))


def put_hedge(stage: Stage, side: int, span: tuple[float, float]) -> None:
    rng, across = stage.rng, (-1, 1)[side] * (stage.street.front(side) + 0.5)
    palette = (LEAVES[stage.street.style][1],)
    for z in np.arange(max(span[0], 3.0), min(span[1], 80.0), 1.0).tolist():
        bush, scale = build_bush(int(rng.integers(VARIANTS)), z > 22), float(rng.uniform(0.95, 1.15))
        stage.add(bush, across, z, y=KERB, scale=scale, palette=palette)


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
            bush = build_bush(int(rng.integers(VARIANTS)), z > 22)
            stage.add(bush, sign * across, z, y=KERB, palette=(stage.pick(LEAVES[street.style]),))


def plant_tree(stage: Stage, across: float, z: float, scale: float, street_tree: bool = False) -> None:
    """A tree and its shadow; a `street_tree` lets people pass under its crown."""
    style, rng = stage.street.style, stage.rng
    kind = stage.pick(SPECIES[style][: 3 if street_tree else None])
    tree = build_tree(kind, int(rng.integers(VARIANTS)), z > 32)
    stage.add(tree, across, z, y=KERB, scale=scale, palette=(stage.pick(LEAVES[style]),))
    stage.cast(across, z, (0.3 * scale, 0.3 * scale), (0, 3 * scale), contact=True)
    wide = CROWNS[kind] * scale
    for k in range(7 if z < 32 else 3):  # the gaps in a crown let sun through
        angle, reach, size = 2.4 * k, wide * 0.16 * float(np.sqrt(k)), wide * float(rng.uniform(0.24, 0.42))
        x, y = across + reach * float(np.cos(angle)), scale * float(rng.uniform(3.0, 6.8))
        stage.cast(x, z + reach * float(np.sin(angle)), (size, size), (y, y + 0.4), angle)


def grow_grass(stage: Stage, side: int) -> None:
    """Tufts at the edge of a yard."""
    street, rng = stage.street, stage.rng
    for low in range(8, 130, 12):
        if stage.chance(0.5):
            across = (-1, 1)[side] * (street.front(side) + float(rng.uniform(0.3, 1.5)))
            z, scale = low + float(rng.uniform(0, 8)), float(rng.uniform(0.7, 1.4))
            stage.add(build_tuft(low), across, z, y=KERB, scale=scale, palette=((0.45, 0.52, 0.25),))
