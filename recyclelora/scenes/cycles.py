"""Bicycles and motorcycles, with riders or without, seen from the "side" (heading along +x) or from one "end".

Palette slots: those of the rider, and 5 for the paint."""

from functools import cache

from recyclelora.scenes.mesh import Colour, Id, Mesh, Sketch, add_limb, disk
from recyclelora.scenes.people import draw_rider
from recyclelora.scenes.textures import Material

PAINT = 5
TYRE: Colour = (0.12, 0.12, 0.12)
FRAME: Colour = (0.16, 0.16, 0.17)
TAILLIGHT: Colour = (0.8, 0.09, 0.07)


@cache
def build_cycle(kind: str, view: str, ridden: bool) -> Mesh:
    """A "bicycle" or "motorcycle", with its rider in front of it or alone."""
    sketch, motor = Sketch(), kind == "motorcycle"
    if motor:
        (draw_motorcycle_side if view == "side" else draw_motorcycle_end)(sketch)
    else:
        (draw_bicycle_side if view == "side" else draw_bicycle_end)(sketch)
    if ridden:
        draw_rider(sketch, motor, view)
    return sketch.mesh()


def add_spoked(sketch: Sketch, x: float, radius: float) -> None:
    """A bicycle's wheel: the tyre and spokes painted, what is seen between them labelled with it."""
    label = Id.BICYCLE
    outer, inner = disk(radius, 18, x=x, y=radius), disk(radius - 0.05, 18, x=x, y=radius)
    sketch.face(outer, label, veil=True)
    tyre = [*outer, outer[0], inner[0], *inner[:0:-1], inner[0]]
    sketch.face(tyre, label, TYRE, Material.RUBBER, cap=0)
    for (ax, ay, _), (bx, by, _) in zip(inner[:9:3], inner[9::3], strict=True):
        spoke = [(ax, ay, 0.0), (bx, by, 0.0), (bx + 0.01, by, 0.0), (ax + 0.01, ay, 0.0)]
        sketch.face(spoke, label, (0.5, 0.5, 0.5), cap=0)


def draw_bicycle_side(sketch: Sketch) -> None:
    bicycle = Id.BICYCLE
    add_spoked(sketch, -0.52, 0.34)
    add_spoked(sketch, 0.52, 0.34)
    hub, seat, top = (-0.52, 0.34, 0.0), (-0.2, 0.86, 0.0), (-0.17, 0.78, 0.0)
    crank, head, fork = (-0.08, 0.3, 0.0), (0.34, 0.82, 0.0), (0.52, 0.34, 0.0)
    for a, b in ((hub, crank), (hub, top), (seat, crank), (crank, head), (top, head), (head, fork)):
        add_limb(sketch, a, b, (0.055, 0.055), bicycle, PAINT)
    add_limb(sketch, head, (0.30, 1.0, 0.0), (0.05, 0.05), bicycle, PAINT)
    sketch.quad((-0.34, -0.08), (0.86, 0.92), 0, bicycle, FRAME, cap=0)
    sketch.quad((0.2, 0.42), (0.98, 1.03), 0, bicycle, FRAME, cap=0)
    sketch.face(disk(0.09, 8, x=-0.08, y=0.3), bicycle, FRAME, cap=0)


def draw_bicycle_end(sketch: Sketch) -> None:
    bicycle = Id.BICYCLE
    sketch.quad((-0.05, 0.05), (0.0, 0.7), 0, bicycle, TYRE, Material.RUBBER, cap=0)
    sketch.quad((-0.035, 0.035), (0.5, 0.95), 0, bicycle, slot=PAINT, cap=0)
    for half, low, high in ((0.3, 0.98, 1.04), (0.11, 0.86, 0.93), (0.16, 0.27, 0.32)):  # bars, saddle, pedals
        sketch.quad((-half, half), (low, high), 0, bicycle, FRAME, cap=0)
    sketch.quad((-0.04, 0.04), (0.62, 0.70), 0, bicycle, TAILLIGHT, glow=(2, 0.1, 0.05), cap=0)


def draw_motorcycle_side(sketch: Sketch) -> None:
    cycle = Id.MOTORCYCLE
    for x in (-0.68, 0.68):
        sketch.face(disk(0.32, 16, x=x, y=0.32), cycle, TYRE, Material.RUBBER, cap=0)
        sketch.face(disk(0.19, 12, x=x, y=0.32), cycle, (0.5, 0.5, 0.52), Material.METAL, cap=0)
    engine = [(-0.35, 0.28, 0.0), (0.3, 0.28, 0.0), (0.35, 0.6, 0.0), (-0.4, 0.62, 0.0)]
    sketch.face(engine, cycle, (0.25, 0.25, 0.26), Material.METAL, cap=0)
    shell = [(-1.0, 0.74, 0.0), (-0.55, 0.58, 0.0), (0.35, 0.52, 0.0), (0.72, 0.7, 0.0), (0.5, 1.0, 0.0),
             (0.1, 0.98, 0.0), (-0.1, 0.78, 0.0)]  # fmt: skip
    sketch.face(shell, cycle, (1, 1, 1), Material.PAINT, slot=PAINT, cap=0)
    saddle = [(-0.85, 0.76, 0.0), (-0.05, 0.78, 0.0), (0.0, 0.88, 0.0), (-0.8, 0.90, 0.0)]
    sketch.face(saddle, cycle, FRAME, cap=0)
    add_limb(sketch, (0.68, 0.32, 0), (0.42, 1.05, 0), (0.09, 0.07), cycle, PAINT, (0.6, 0.6, 0.6))
    sketch.quad((0.28, 0.5), (1.04, 1.1), 0, cycle, FRAME, cap=0)
    sketch.face(disk(0.1, 10, x=0.58, y=0.9), cycle, (0.9, 0.9, 0.85), glow=(5, 4.6, 4), cap=0)
    add_limb(sketch, (-0.8, 0.36, 0), (-0.1, 0.3, 0), (0.11, 0.09), cycle, PAINT, (0.5, 0.5, 0.5))


def draw_motorcycle_end(sketch: Sketch) -> None:
    cycle = Id.MOTORCYCLE
    sketch.quad((-0.09, 0.09), (0.0, 0.62), 0, cycle, TYRE, Material.RUBBER, cap=0)
    shell = [(-0.2, 0.45, 0.0), (0.2, 0.45, 0.0), (0.24, 0.85, 0.0), (-0.24, 0.85, 0.0)]
    sketch.face(shell, cycle, (1, 1, 1), Material.PAINT, slot=PAINT, cap=0)
    sketch.quad((-0.16, 0.16), (0.82, 0.92), 0, cycle, FRAME, cap=0)
    sketch.quad((-0.4, 0.4), (1.04, 1.1), 0, cycle, FRAME, cap=0)
    sketch.quad((-0.1, 0.1), (0.66, 0.76), 0, cycle, TAILLIGHT, glow=(2.6, 0.1, 0.05), cap=0)
    sketch.quad((-0.11, 0.11), (0.46, 0.6), 0, cycle, (0.92, 0.92, 0.9), cap=0)
    for x in (-0.46, 0.46):  # mirrors
        sketch.face(disk(0.06, 8, x=x, y=1.2), cycle, FRAME, cap=0)
