"""The ground of a street: asphalt and what is painted on it, kerbs, pavements and verges."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recyclelora.scenes.mesh import FACE, Colour, Floats, Id, Mesh
from recyclelora.scenes.street import FAR, KERB, Street
from recyclelora.scenes.textures import REPEAT, Material

Across: TypeAlias = float | list[float] | NDArray[np.floating]
WHITE: Colour = (0.86, 0.86, 0.84)
YELLOW: Colour = (0.85, 0.68, 0.20)
CURBSTONE: Colour = (0.74, 0.73, 0.71)


def lay(
    street: Street, across: tuple[Across, Across], along: tuple[Across, Across], label: int, colour: Colour,
    material: int, *, y: tuple[float, float] = (0.0, 0.0), cap: float = -1,
) -> Mesh:  # fmt: skip
    """Patches between positions `across` and `along`, given as numbers or as arrays of one length.

    `y` are the heights at across[0] and across[1]; `cap` is the share that lying snow covers, -1 for all of it."""
    (s0, s1), (z0, z1) = ([np.asarray(end, np.float32) for end in pair] for pair in (across, along))
    count = max(array.size for array in (s0, s1, z0, z1))
    points = np.empty((count, 4, 3), np.float32)
    for corner, (s, height, z) in enumerate(((s0, y[0], z0), (s1, y[1], z0), (s1, y[1], z1), (s0, y[0], z1))):
        points[:, corner, 0], points[:, corner, 1], points[:, corner, 2] = s + street.curve * z * z, height, z
    faces = np.zeros(count, FACE)
    faces["label"], faces["material"], faces["colour"], faces["repeat"] = label, material, colour, REPEAT[material]
    faces["slot"], faces["stamp"], faces["cap"] = -1, -1, cap
    return Mesh(points.reshape(-1, 3), np.full(count, 4, np.int32), faces)


def cut(street: Street, *, through: bool = False) -> tuple[Floats, Floats]:
    """Stretches of the street, from and to, short where it is near; `through` the crossing or without it."""
    z = np.concatenate([[1.2], np.geomspace(4, FAR, 16)]).astype(np.float32)
    if street.crossing is None or through:
        return z[:-1], z[1:]
    before, after = street.crossing
    near, far = z[z < before], z[z > after]
    return np.concatenate([near, [after], far[:-1]]), np.concatenate([near[1:], [before], far])


def choose_turf(rng: np.random.Generator, style: str) -> Colour:
    """Green in one city, dry in the other."""
    dry = float(rng.uniform(0.5, 1.0) if style == "city" else rng.uniform(0, 0.5))
    return 0.40 + 0.22 * dry, 0.53 - 0.02 * dry, 0.25 + 0.10 * dry


def lay_ground(street: Street, rng: np.random.Generator) -> list[Mesh]:
    """All ground, in drawing order."""
    city = street.style == "city"
    tone = float(rng.uniform(0.54, 0.64) if city else rng.uniform(0.44, 0.56))
    tint: Colour = (tone, tone * (0.985 if city else 1.0), tone * (0.95 if city else 1.02))
    material = Material.ASPHALT if rng.random() < 0.88 else Material.COBBLES
    turf = choose_turf(rng, street.style)
    fields = ([1.0, 30.0], [30.0, 400.0])
    parts = [lay(street, (-200.0, 200.0), fields, Id.TERRAIN, turf, Material.GRASS, y=(-0.02, -0.02))]
    if street.crossing:
        parts.append(lay(street, (-90.0, 90.0), street.crossing, Id.ROAD, tint, Material.ASPHALT))
    parts.append(lay(street, (-street.edge(0), street.edge(1)), cut(street, through=True), Id.ROAD, tint, material))
    parts += wear_road(street, rng, tone, material)
    parts += mark_lanes(street)
    for side in range(2):
        parts += pave_side(street, side, rng, tone)
    return parts + mark_crossing(street, rng)


def wear_road(street: Street, rng: np.random.Generator, tone: float, material: int) -> list[Mesh]:
    """Where tyres run, patches, seams of tar, and rails."""
    parts, along = [], cut(street, through=True)

    def add(s: float, half: float, along: tuple[Across, Across], share: float, material: int, cap: float = -1) -> None:
        grey = tone * share
        parts.append(lay(street, (s - half, s + half), along, Id.ROAD, (grey, grey, grey), material, cap=cap))

    def draw_place() -> tuple[float, float]:
        return float(rng.uniform(1 - street.edge(0), street.edge(1) - 1)), float(rng.uniform(3, 38))

    for side, sign in enumerate((-1, 1)):
        for wheel in np.add.outer(np.arange(street.lanes[side]), (0.32, 0.68)).ravel().tolist():
            add(sign * wheel * street.lane, 0.28, along, 0.95, material, 0.62)
    for _ in range(int(rng.integers(2, 7))):
        s, z = draw_place()
        half, long, share = float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.8, 5)), float(rng.uniform(0.78, 1.12))
        add(s, half, (z, z + long), share, material)
    for _ in range(int(rng.integers(0, 4))):
        s, z = draw_place()
        starts = z + np.arange(6.0) * 2
        add(s, 0.03, (starts, starts + 2), 0.62, Material.PLAIN)
    rails = [middle + rail for middle in (-street.lane / 2, street.lane / 2) for rail in (-0.72, 0.72)]
    for rail in rails if street.tracks else ():
        add(rail, 0.10, along, 0.7, Material.PLAIN, 0.5)
        add(rail, 0.04, along, 1.25, Material.METAL, 0.3)
    return parts


def mark_lanes(street: Street) -> list[Mesh]:
    """The middle line, broken lines between lanes, parking bays and edge lines."""
    parts, solid = [], cut(street)
    before, after = street.crossing or (-10.0, -10.0)
    city = street.style == "city"

    def add(s: float, half: float, along: tuple[Across, Across], colour: Colour = WHITE) -> None:
        parts.append(lay(street, (s - half, s + half), along, Id.ROAD, colour, Material.LINE))

    dashes = np.arange(2.0, 95.0, 7.5)
    dashes = dashes[(dashes + 3 < before - 4) | (dashes > after + 4)]
    broken = (dashes, dashes + 3.2)
    if city or street.lanes[0] > 1:
        for s in (-0.16, 0.16):
            add(s, 0.065, solid, YELLOW if city else WHITE)
    else:
        add(0.0, 0.065, broken)
    bays = np.arange(3.0, 80.0, 6.0)
    bays = bays[(bays < before - 2) | (bays > after + 2)]
    for side, sign in enumerate((-1, 1)):
        for lane in range(1, street.lanes[side]):
            add(sign * lane * street.lane, 0.065, broken)
        s = sign * street.lanes[side] * street.lane
        if street.parking[side]:
            add(s + sign, 1.0, (bays, bays + 0.12))
            add(s, 0.05, solid)
        elif city:
            add(s - sign * 0.41, 0.06, solid)
    return parts


def pave_side(street: Street, side: int, rng: np.random.Generator, tone: float) -> list[Mesh]:
    """Gutter, pavement, verge, yard and kerb of one side."""
    sign, along, city = (-1, 1)[side], cut(street), street.style == "city"
    paving = Material.CONCRETE if city else (Material.PAVING, Material.COBBLES)[int(rng.integers(2))]
    grey = float(rng.uniform(0.60, 0.72) + 0.06 * city)
    turf, gutter = choose_turf(rng, street.style), tone * 0.86
    edge, inner, outer = street.edge(side), street.edge(side) + street.verge[side], street.front(side)
    parts = []

    def add(low: float, high: float, label: int, colour: Colour, material: int, y: tuple[float, float]) -> None:
        parts.append(lay(street, (sign * low, sign * high), along, label, colour, material, y=y))

    level = (KERB, KERB)
    add(edge - 0.35, edge, Id.ROAD, (gutter, gutter, gutter), Material.ASPHALT, (0.0, 0.0))
    add(inner, outer, Id.SIDEWALK, (grey, grey * 0.985, grey * 0.95), paving, level)
    if street.verge[side]:
        add(edge + 0.15, inner, Id.TERRAIN, turf, Material.GRASS, level)
    if street.yard[side]:
        add(outer, outer + street.yard[side] + 1, Id.TERRAIN, turf, Material.GRASS, level)
    add(edge, edge + 0.02, Id.SIDEWALK, (0.50, 0.50, 0.49), Material.CONCRETE, (0.0, KERB))
    add(edge, edge + 0.17, Id.SIDEWALK, CURBSTONE, Material.CONCRETE, level)
    return parts


def mark_crossing(street: Street, rng: np.random.Generator) -> list[Mesh]:
    """The pavements of the crossing street, zebra stripes, stop lines and arrows."""
    if street.crossing is None:
        return []
    (before, after), parts, level = street.crossing, [], (KERB, KERB)

    def add(across: tuple[Across, Across], along: tuple[Across, Across]) -> None:
        parts.append(lay(street, across, along, Id.ROAD, WHITE, Material.LINE))

    for low, high, kerb in ((before - 2.4, before, before), (after, after + 2.4, after)):
        for side, sign in enumerate((-1, 1)):
            start, stop = sign * street.front(side), sign * (street.front(side) + 60)
            walk = (start, stop), (low, high)
            parts.append(lay(street, *walk, Id.SIDEWALK, (0.66, 0.65, 0.63), Material.PAVING, y=level))
            stone = (sign * street.edge(side), stop), (kerb, kerb + 0.15)
            parts.append(lay(street, *stone, Id.SIDEWALK, CURBSTONE, Material.CONCRETE, y=level))
    left, right = -street.edge(0), street.edge(1)
    stripes = np.arange(left + 0.5, right - 0.6, 1.0)
    for z in (before - 3.6, after + 0.8):
        if rng.random() < 0.85:
            add((stripes, stripes + 0.5), (z, z + 2.8))
    add((0.2, street.lanes[1] * street.lane), (before - 5.0, before - 4.6))
    add((-street.lanes[0] * street.lane, -0.2), (after + 4.4, after + 4.8))
    steps, tail = np.arange(6.0), before - 11.0
    half = 0.42 - 0.07 * steps
    for s in ((np.arange(street.lanes[1]) + 0.5) * street.lane).tolist() if tail > 3 else ():
        add((s - 0.08, s + 0.08), (tail, tail + 2.2))
        add((s - half, s + half), (tail + 2.2 + 0.3 * steps, tail + 2.5 + 0.3 * steps))
    return parts
