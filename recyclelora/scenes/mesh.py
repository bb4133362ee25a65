"""Meshes of flat polygons, which every object of a scene consists of.

World axes in metres: x to the right of the street, y up from the road surface, z ahead. A mesh's own axes are the same,
with its forward direction along +z."""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recyclelora.scenes.textures import REPEAT, Material

Floats: TypeAlias = NDArray[np.float32]
Colour: TypeAlias = tuple[float, float, float]  # display values, 0 to 1
Point: TypeAlias = tuple[float, float, float]
Points: TypeAlias = Sequence[Point] | Floats

FACE = np.dtype(
    [
        ("label", "u1"),
        ("slot", "i2"),  # entry of the palette given when the mesh is placed; -1: `colour` as it is
        ("material", "i2"),
        ("stamp", "i2"),  # cut-out mask drawn over the bounding box of the four corners; -1: a filled polygon
        ("anchored", "?"),  # texture starts at the first corner, not at the world's origin
        ("veil", "?"),  # labels what is seen through it and paints nothing: Cityscapes labels a fence, not its bars
        ("cull", "?"),  # one side of a solid: not drawn when seen from behind
        ("cap", "f4"),  # share of the face that lying snow covers; -1: all of it when it faces up
        ("colour", "f4", 3),
        ("glow", "f4", 3),  # light given off when lights are on
        ("repeat", "f4", 2),  # textures per metre
    ]
)


class Id(IntEnum):
    """The 19 train ids of Cityscapes."""

    ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, VEGETATION, TERRAIN = range(10)
    SKY, PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = range(10, 19)


class Mesh(NamedTuple):
    """Polygons in drawing order: `points` (P, 3), of which face i of the `faces` (S,) owns the next `sizes[i]`."""

    points: Floats
    sizes: NDArray[np.int32]
    faces: NDArray[np.void]


class Sketch:
    """Collects faces one by one; `mesh()` freezes them."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._sizes: list[int] = []
        self._faces: list[tuple[object, ...]] = []

    def face(
        self, points: Points, label: int, colour: Colour = (1, 1, 1), material: int = Material.PLAIN, *, slot: int = -1,
        stamp: int = -1, anchored: bool = False, veil: bool = False, out: Point | None = None, cap: float = -1,
        glow: Colour = (0, 0, 0), repeat: tuple[float, float] | None = None,
    ) -> None:  # fmt: skip
        """Adds a planar polygon. `out` points out of the solid it belongs to: the face is then seen from there only."""
        corners = [(float(x), float(y), float(z)) for x, y, z in points]
        if out is not None and turns_from(corners, out):
            corners.reverse()
        self._sizes.append(len(corners))
        self._points += corners
        tiles = REPEAT[material] if repeat is None else repeat
        self._faces.append((label, slot, material, stamp, anchored, veil, out is not None, cap, colour, glow, tiles))

    def quad(
        self, x: tuple[float, float], y: tuple[float, float], z: float, label: int, colour: Colour = (1, 1, 1),
        material: int = Material.PLAIN, *, slot: int = -1, cap: float = -1, glow: Colour = (0, 0, 0),
    ) -> None:  # fmt: skip
        """Adds an upright rectangle that faces along z."""
        corners = [(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)]
        self.face(corners, label, colour, material, slot=slot, cap=cap, glow=glow)

    def mesh(self) -> Mesh:
        points = np.array(self._points, np.float32)
        return Mesh(points, np.array(self._sizes, np.int32), np.array(self._faces, FACE))


def turns_from(corners: Sequence[Point], out: Point) -> bool:
    """Whether the normal of a polygon, by the order of its corners, points away from `out`.

    In plain numbers: it is called for every face of a house, where NumPy's overhead would be most of the work."""
    total = 0.0
    (x0, y0, z0) = corners[0]
    for (x1, y1, z1), (x2, y2, z2) in zip(corners[1:], corners[2:], strict=False):
        ax, ay, az, bx, by, bz = x1 - x0, y1 - y0, z1 - z0, x2 - x0, y2 - y0, z2 - z0
        total += (ay * bz - az * by) * out[0] + (az * bx - ax * bz) * out[1] + (ax * by - ay * bx) * out[2]
    return total < 0


class Placement(NamedTuple):
    """A mesh at a place in the world, its forward direction turned by `yaw` (radians, 0 ahead, clockwise from above).

    Faces with a slot get that colour of the palette times their own."""

    mesh: Mesh
    x: float = 0.0
    z: float = 0.0
    y: float = 0.0
    yaw: float = 0.0
    scale: float = 1.0
    palette: tuple[Colour, ...] = ()


def join(placements: Sequence[Placement]) -> Mesh:
    """One mesh of many, in their order. All are moved at once, since a scene has hundreds of small ones."""
    meshes = [placement.mesh for placement in placements]
    # As bare bytes: joining structured arrays field by field takes longer than drawing them.
    faces = np.concatenate([mesh.faces.view(f"V{FACE.itemsize}") for mesh in meshes]).view(FACE)
    palettes, starts = [(1.0, 1.0, 1.0)], []
    for placement in placements:
        starts.append(len(palettes))
        palettes += placement.palette
    slot = faces["slot"] + np.repeat(starts, [len(mesh.faces) for mesh in meshes])
    slot[faces["slot"] < 0] = 0
    faces["colour"] *= np.array(palettes, np.float32)[slot]
    moves = np.array([(p.x, p.y, p.z, np.cos(p.yaw) * p.scale, np.sin(p.yaw) * p.scale, p.scale) for p in placements])
    moved = np.repeat(moves.astype(np.float32), [len(mesh.points) for mesh in meshes], axis=0).T
    x, y, z = np.concatenate([mesh.points for mesh in meshes]).T
    x_shift, y_shift, z_shift, cosine, sine, scale = moved
    points = np.stack([x * cosine + z * sine + x_shift, y * scale + y_shift, z * cosine - x * sine + z_shift], 1)
    return Mesh(points, np.concatenate([mesh.sizes for mesh in meshes]), faces)


def add_limb(
    sketch: Sketch, start: Point, end: Point, width: tuple[float, float], label: int, slot: int,
    colour: Colour = (1, 1, 1), material: int = Material.CLOTH,
) -> None:  # fmt: skip
    """Adds a strip in a plane z = constant from `start` to `end`, with its widths there: an arm, a branch, a tube."""
    (x0, y0, z), (x1, y1, _) = start, end
    length = max(float(np.hypot(x1 - x0, y1 - y0)), 1e-6)
    nx, ny = -(y1 - y0) / length / 2, (x1 - x0) / length / 2
    corners = [
        (x0 + nx * width[0], y0 + ny * width[0], z),
        (x1 + nx * width[1], y1 + ny * width[1], z),
        (x1 - nx * width[1], y1 - ny * width[1], z),
        (x0 - nx * width[0], y0 - ny * width[0], z),
    ]
    sketch.face(corners, label, colour, material, slot=slot, cap=0)


def disk(
    radius: float, corners: int = 14, *, x: float = 0.0, y: float = 0.0, z: float = 0.0, side: bool = False
) -> list[Point]:
    """A disk that faces along z, or along x for a `side` view (a wheel)."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    across, up = radius * np.cos(angles), radius * np.sin(angles)
    if side:
        return [(x, y + float(b), z + float(a)) for a, b in zip(across, up, strict=True)]
    return [(x + float(a), y + float(b), z) for a, b in zip(across, up, strict=True)]


def box(
    sketch: Sketch, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], label: int, colour: Colour,
    material: int, *, slot: int = -1, cull: bool = True, repeat: tuple[float, float] | None = None,
) -> None:  # fmt: skip
    """Adds the five sides of an upright box that can be seen from the street: all but its floor."""
    (x0, x1), (y0, y1), (z0, z1) = x, y, z
    sides: list[tuple[list[Point], Point]] = [
        ([(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)], (0, 0, 1)),
        ([(x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)], (0, 0, -1)),
        ([(x0, y0, z0), (x0, y0, z1), (x0, y1, z1), (x0, y1, z0)], (-1, 0, 0)),
        ([(x1, y0, z0), (x1, y0, z1), (x1, y1, z1), (x1, y1, z0)], (1, 0, 0)),
        ([(x0, y1, z0), (x1, y1, z0), (x1, y1, z1), (x0, y1, z1)], (0, 1, 0)),
    ]
    for corners, out in sides:
        sketch.face(corners, label, colour, material, slot=slot, out=out if cull else None, repeat=repeat)
