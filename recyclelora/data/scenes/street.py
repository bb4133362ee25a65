"""The street itself: its cross-section, and the ground with its markings. Positions across are metres from the middle."""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .mesh import FACE, Colour, Floats, Id, Mesh
from .textures import REPEAT, Material

Across: TypeAlias = float | list[float] | NDArray[np.floating]
FAR = 170.0  # metres: where the street ends
KERB = 0.13
WHITE: Colour = (0.86, 0.86, 0.84)
YELLOW: Colour = (0.85, 0.68, 0.20)


class Street(NamedTuple):
    """Cross-section and course of a street. Pairs are (left, right); traffic keeps to the right."""

    style: str  # "home" or "city"
    kind: str  # "shops", "houses", "works" or "park": what stands along it
    curve: float  # the middle runs at curve * z ** 2
    lane: float
    lanes: tuple[int, int]
    parking: tuple[float, float]  # width, 0 for none
    verge: tuple[float, float]
    walk: tuple[float, float]
    yard: tuple[float, float]
    crossing: tuple[float, float] | None  # from, to (z)
    tracks: bool  # a tram runs in the lanes next to the middle

    def edge(self, side: int) -> float:
        """Distance from the middle to the kerb; `side` is 0 left, 1 right."""
        return self.lanes[side] * self.lane + self.parking[side]

    def front(self, side: int) -> float:
        """Distance from the middle to where lots begin."""
        return self.edge(side) + self.verge[side] + self.walk[side]

    def x(self, across: float, z: float) -> float:
        return across + self.curve * z * z

    @property
    def own_lane(self) -> int:
        """Number, from the middle, of the lane the camera drives in: the rightmost."""
        return self.lanes[1] - 1

    def crosses(self, z: float) -> bool:
        """Whether the crossing street or its pavements pass at z."""
        return self.crossing is not None and self.crossing[0] - 2.5 < z < self.crossing[1] + 2.5

    def heading(self, z: float) -> float:
        return float(np.arctan(2 * self.curve * z))


def sample_street(rng: np.random.Generator, style: str) -> Street:
    kind = str(rng.choice(["shops", "houses", "works", "park"], p=[0.48, 0.26, 0.14, 0.12]))
    tracks = bool(rng.random() < 0.36)
    wide = 0.22 if style == "home" else 0.6
    lanes = 2 if tracks or rng.random() < wide else 1
    park = tuple(2.3 if rng.random() < 0.5 else 0.0 for _ in range(2))
    verge = tuple(float(rng.uniform(1.3, 2.4)) if rng.random() < (0.22 if kind == "shops" else 0.5) else 0.0 for _ in range(2))
    walk = tuple(float(rng.uniform(3.0, 5.0) if kind == "shops" else rng.uniform(2.0, 3.4)) for _ in range(2))
    yard = tuple(0.0 if kind == "shops" else float(rng.uniform(1.5, 4.5)) for _ in range(2))
    start = float(rng.uniform(16, 48))
    crossing = (start, start + float(rng.uniform(8, 13))) if rng.random() < 0.5 else None
    return Street(
        style=style, kind=kind, curve=float(rng.normal(0, 0.00045)), lane=float(rng.uniform(3.0, 3.5)),
        lanes=(lanes, lanes), parking=(park[0], park[1]), verge=(verge[0], verge[1]), walk=(walk[0], walk[1]),
        yard=(yard[0], yard[1]), crossing=crossing, tracks=tracks,
    )  # fmt: skip


def lay(
    street: Street, across: tuple[Across, Across], along: tuple[Across, Across], y: float | tuple[float, float], label: int, colour: Colour,
    material: int, cap: float = -1,
) -> Mesh:  # fmt: skip
    """Patches of ground between the positions `across` and `along`, given as arrays of one length or as numbers.

    With two heights the patches rise from the first to the second, from across[0] to across[1]: a kerb."""
    s0, s1, z0, z1 = (np.atleast_1d(np.asarray(a, np.float32)) for a in np.broadcast_arrays(*across, *along))
    low, high = (y, y) if isinstance(y, float | int) else y
    points = np.empty((len(s0), 4, 3), np.float32)
    for corner, (s, height, z) in enumerate(((s0, low, z0), (s1, high, z0), (s1, high, z1), (s0, low, z1))):
        points[:, corner, 0], points[:, corner, 1], points[:, corner, 2] = s + street.curve * z * z, height, z
    faces = np.zeros(len(s0), FACE)
    faces["label"], faces["material"], faces["colour"], faces["repeat"] = label, material, colour, REPEAT[material]
    faces["slot"], faces["stamp"], faces["cap"] = -1, -1, cap
    return Mesh(points.reshape(-1, 3), np.full(len(s0), 4, np.int32), faces)


def cut(street: Street, *, open_crossing: bool = True) -> tuple[Floats, Floats]:
    """Stretches of the street, from and to, short where it is near; without the crossing."""
    z = np.concatenate([[1.2], np.geomspace(4, FAR, 16)]).astype(np.float32)
    if street.crossing is None or not open_crossing:
        return z[:-1], z[1:]
    before, after = street.crossing
    near, far = z[z < before], z[z > after]
    starts = np.concatenate([near, [after], far[:-1]])
    return starts, np.concatenate([near[1:], [before], far])


def pave_side(street: Street, side: int, rng: np.random.Generator, tone: float) -> list[Mesh]:
    """Kerb, verge, pavement and yard of one side."""
    sign, parts = (-1, 1)[side], []
    along = cut(street)
    city = street.style == "city"
    paving = Material.CONCRETE if city else (Material.PAVING, Material.COBBLES)[rng.integers(2)]
    grey = float(rng.uniform(0.60, 0.72) + 0.06 * city)
    stone: Colour = (grey, grey * 0.985, grey * 0.95)
    turf = choose_turf(rng, street.style)
    edge, inner = street.edge(side), street.edge(side) + street.verge[side]
    outer = street.front(side)
    parts.append(lay(street, (sign * (edge - 0.35), sign * edge), along, 0.0, Id.ROAD, (tone * 0.86,) * 3, Material.ASPHALT))
    parts.append(lay(street, (sign * inner, sign * outer), along, KERB, Id.SIDEWALK, stone, paving))
    if street.verge[side]:
        parts.append(lay(street, (sign * (edge + 0.15), sign * inner), along, KERB, Id.TERRAIN, turf, Material.GRASS))
    if street.yard[side]:
        reach = outer + street.yard[side] + 1
        parts.append(lay(street, (sign * outer, sign * reach), along, KERB, Id.TERRAIN, turf, Material.GRASS))
    parts.append(lay(street, (sign * edge, sign * (edge + 0.02)), along, (0.0, KERB), Id.SIDEWALK, (0.50, 0.50, 0.49), Material.CONCRETE))
    top: Colour = (0.74, 0.73, 0.71)
    parts.append(lay(street, (sign * edge, sign * (edge + 0.17)), along, KERB, Id.SIDEWALK, top, Material.CONCRETE))
    return parts


def choose_turf(rng: np.random.Generator, style: str) -> Colour:
    """Green in one city, dry in the other."""
    dry = float(rng.uniform(0.5, 1.0) if style == "city" else rng.uniform(0, 0.5))
    return 0.40 + 0.22 * dry, 0.53 - 0.02 * dry, 0.25 + 0.10 * dry


def mark_lanes(street: Street) -> list[Mesh]:
    """The middle line, broken lines between lanes, edge lines and parking bays."""
    parts, (starts, stops) = [], cut(street)
    before, after = street.crossing or (-10.0, -10.0)
    dashes = np.arange(2.0, 95.0, 7.5)
    dashes = dashes[(dashes + 3 < before - 4) | (dashes > after + 4)]
    middle = YELLOW if street.style == "city" else WHITE
    offsets = (-0.16, 0.16) if street.style == "city" or street.lanes[0] > 1 else (0.0,)
    for offset in offsets:
        solid = len(offsets) == 2
        along = (starts, stops) if solid else (dashes, dashes + 3.2)
        parts.append(lay(street, (offset - 0.065, offset + 0.065), along, 0.0, Id.ROAD, middle, Material.LINE))
    for side, sign in enumerate((-1, 1)):
        for lane in range(1, street.lanes[side]):
            s = sign * lane * street.lane
            parts.append(lay(street, (s - 0.065, s + 0.065), (dashes, dashes + 3.2), 0.0, Id.ROAD, WHITE, Material.LINE))
        s = sign * street.lanes[side] * street.lane
        if street.parking[side]:
            bays = np.arange(3.0, 80.0, 6.0)
            bays = bays[(bays < before - 2) | (bays > after + 2)]
            parts.append(lay(street, (s, s + sign * 2.0), (bays, bays + 0.12), 0.0, Id.ROAD, WHITE, Material.LINE))
            parts.append(lay(street, (s - 0.05, s + 0.05), (starts, stops), 0.0, Id.ROAD, WHITE, Material.LINE))
        elif street.style == "city":
            parts.append(lay(street, (s - sign * 0.35, s - sign * 0.47), (starts, stops), 0.0, Id.ROAD, WHITE, Material.LINE))
    return parts


def mark_crossing(street: Street, rng: np.random.Generator) -> list[Mesh]:
    """The crossing street, its pavements, zebra stripes and stop lines."""
    if street.crossing is None:
        return []
    (before, after), parts = street.crossing, []
    grey: Colour = (0.66, 0.65, 0.63)
    for low, high in ((before - 2.4, before), (after, after + 2.4)):
        for side, sign in enumerate((-1, 1)):
            reach = sign * street.front(side)
            parts.append(lay(street, (reach, reach + sign * 60), (low, high), KERB, Id.SIDEWALK, grey, Material.PAVING))
            kerb = low if low == after else high
            parts.append(lay(street, (sign * street.edge(side), reach + sign * 60), (kerb, kerb + 0.15), KERB, Id.SIDEWALK, (0.74, 0.73, 0.71), Material.CONCRETE))  # noqa: E501
    edges = -street.edge(0), street.edge(1)
    stripes = np.arange(edges[0] + 0.5, edges[1] - 0.6, 1.0)
    worn: Colour = (0.82, 0.82, 0.80)
    for z in (before - 3.6, after + 0.8):
        if rng.random() < 0.85:
            parts.append(lay(street, (stripes, stripes + 0.5), (z, z + 2.8), 0.0, Id.ROAD, worn, Material.LINE))
    for lane in range(street.lanes[1]):  # arrows
        s, z = (lane + 0.5) * street.lane, before - 11.0
        if z > 3:
            parts.append(lay(street, (s - 0.08, s + 0.08), (z, z + 2.2), 0.0, Id.ROAD, WHITE, Material.LINE))
            steps = np.arange(6.0)
            half = 0.42 - 0.07 * steps
            parts.append(lay(street, (s - half, s + half), (z + 2.2 + 0.3 * steps, z + 2.5 + 0.3 * steps), 0.0, Id.ROAD, WHITE, Material.LINE))
    parts.append(lay(street, (0.2, street.lanes[1] * street.lane), (before - 5.0, before - 4.6), 0.0, Id.ROAD, WHITE, Material.LINE))
    parts.append(lay(street, (-street.lanes[0] * street.lane, -0.2), (after + 4.4, after + 4.8), 0.0, Id.ROAD, WHITE, Material.LINE))
    return parts


def wear_road(street: Street, rng: np.random.Generator, tone: float, material: int) -> list[Mesh]:
    """Tracks of tyres, patches, cracks, manholes and arrows."""
    parts, along = [], cut(street, open_crossing=False)
    for side, sign in enumerate((-1, 1)):
        for lane in range(street.lanes[side]):
            for offset in (0.32, 0.68):
                s = sign * (lane + offset) * street.lane
                dark = tone * 0.95
                parts.append(lay(street, (s - 0.28, s + 0.28), along, 0.0, Id.ROAD, (dark, dark, dark), material, 0.62))
    for _ in range(int(rng.integers(2, 7))):
        s, z = rng.uniform(-street.edge(0) + 1, street.edge(1) - 1), rng.uniform(4, 40)
        shade = tone * float(rng.uniform(0.78, 1.12))
        size = rng.uniform(0.4, 1.6), rng.uniform(0.8, 5)
        parts.append(lay(street, (s - size[0] / 2, s + size[0] / 2), (z, z + size[1]), 0.0, Id.ROAD, (shade, shade, shade), Material.ASPHALT))
    for _ in range(int(rng.integers(0, 4))):  # seams of tar
        s, z = rng.uniform(-street.edge(0) + 1, street.edge(1) - 1), rng.uniform(3, 25)
        starts = z + np.arange(6.0) * 2
        parts.append(lay(street, (s, s + 0.06), (starts, starts + 2), 0.0, Id.ROAD, (tone * 0.62,) * 3, Material.PLAIN))
    if street.tracks:
        for middle in (-street.lane / 2, street.lane / 2):
            for rail in (-0.72, 0.72):
                s = middle + rail
                parts.append(lay(street, (s - 0.10, s + 0.10), along, 0.0, Id.ROAD, (tone * 0.7,) * 3, Material.PLAIN, 0.5))
                parts.append(lay(street, (s - 0.04, s + 0.04), along, 0.0, Id.ROAD, (0.62, 0.61, 0.60), Material.METAL, 0.3))
    return parts


def lay_ground(street: Street, rng: np.random.Generator) -> list[Mesh]:
    """All ground, in drawing order."""
    city = street.style == "city"
    tone = float(rng.uniform(0.54, 0.64) if city else rng.uniform(0.44, 0.56))
    tint: Colour = (tone, tone * (0.985 if city else 1.0), tone * (0.95 if city else 1.02))
    along = cut(street, open_crossing=False)
    material = Material.ASPHALT if rng.random() < 0.88 else Material.COBBLES
    field = lay(street, (-200.0, 200.0), ([1.0, 30.0], [30.0, 400.0]), -0.02, Id.TERRAIN, choose_turf(rng, street.style), Material.GRASS)
    parts = [field]
    if street.crossing:
        parts.append(lay(street, (-90.0, 90.0), street.crossing, 0.0, Id.ROAD, tint, Material.ASPHALT))
    parts.append(lay(street, (-street.edge(0), street.edge(1)), along, 0.0, Id.ROAD, tint, material))
    parts += wear_road(street, rng, tone, material)
    parts += mark_lanes(street)
    for side in range(2):
        parts += pave_side(street, side, rng, tone)
    return parts + mark_crossing(street, rng)
