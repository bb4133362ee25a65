"""The parts of vehicles. A vehicle stands at the origin and heads along +z."""

from collections.abc import Sequence

from recyclelora.scenes.mesh import Colour, Point, Sketch, disk
from recyclelora.scenes.textures import Material

GLASS: Colour = (0.30, 0.35, 0.40)
DARK: Colour = (0.13, 0.13, 0.14)
BLACK: Colour = (0.08, 0.08, 0.08)
WHITE: Colour = (0.93, 0.93, 0.90)
AMBER: Colour = (0.95, 0.55, 0.10)
PAINT: Colour = (1.0, 1.0, 1.0)  # of a slot
HEADLIGHT: Colour = (6.0, 5.6, 4.6)  # linear glow
TAILLIGHT: Colour = (2.6, 0.10, 0.05)
CABIN: Colour = (0.30, 0.27, 0.20)
NONE: Colour = (0, 0, 0)


def add_end(
    sketch: Sketch,
    x: tuple[float, float],
    y: tuple[float, float],
    z: float,
    label: int,
    colour: Colour,
    material: int = Material.PLAIN,
    *,
    slot: int = -1,
    glow: Colour = NONE,
) -> None:
    """A rectangle on the front (z > 0) or the rear."""
    corners = [(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)]
    sketch.face(corners, label, colour, material, slot=slot, glow=glow, out=(0, 0, 1 if z > 0 else -1))


def add_side(
    sketch: Sketch,
    x: float,
    outline: Sequence[tuple[float, float]],
    label: int,
    colour: Colour,
    material: int = Material.PLAIN,
    *,
    slot: int = -1,
    glow: Colour = NONE,
) -> None:
    """A polygon of (z, y) on the side at x, right for x > 0."""
    corners = [(x, y, z) for z, y in outline]
    sketch.face(corners, label, colour, material, slot=slot, glow=glow, out=(1 if x > 0 else -1, 0, 0))


def frame(z0: float, z1: float, y0: float, y1: float) -> list[tuple[float, float]]:
    """The outline (z, y) of a rectangle, for `add_side`."""
    return [(z0, y0), (z1, y0), (z1, y1), (z0, y1)]


def add_lamps(
    sketch: Sketch, x: tuple[float, float], y: tuple[float, float], z: float, label: int
) -> None:
    """A pair of headlights (z > 0) or tail lights, mirrored about the middle."""
    colour, glow = (WHITE, HEADLIGHT) if z > 0 else ((0.75, 0.07, 0.06), TAILLIGHT)
    for side in (-1, 1):
        add_end(sketch, (side * x[0], side * x[1]), y, z, label, colour, Material.GLASS, glow=glow)


def add_wheel(sketch: Sketch, x: float, z: float, radius: float, label: int) -> None:
    """A wheel in its arch on the side at x."""
    out: Point = (1 if x > 0 else -1, 0, 0)

    def add(points: Sequence[Point], colour: Colour, material: int = Material.PLAIN) -> None:
        sketch.face(points, label, colour, material, out=out)

    def ring(size: float, corners: int) -> list[Point]:
        return disk(radius * size, corners, x=x, y=radius, z=z, side=True)

    add(disk(radius * 1.14, x=x, y=radius * 1.05, z=z, side=True), (0.05, 0.05, 0.05))
    add(ring(1.0, 14), (0.11, 0.11, 0.115), Material.RUBBER)
    add(ring(0.62, 12), (0.62, 0.63, 0.65), Material.METAL)
    outer, inner = ring(0.5, 15), ring(0.15, 15)
    for k in range(0, 15, 3):
        add([outer[k], outer[k + 1], inner[k + 1]], (0.16, 0.16, 0.17))
    add(ring(0.14, 6), (0.4, 0.4, 0.42))
