"""Trucks, buses and trams. Palette slots: 0 the paint, 1 the load or the stripe."""

from functools import cache

import numpy as np

from recyclelora.scenes.mesh import Colour, Id, Mesh, Sketch, box
from recyclelora.scenes.panels import (
    AMBER,
    BLACK,
    CABIN,
    DARK,
    GLASS,
    PAINT,
    WHITE,
    add_end,
    add_lamps,
    add_side,
    add_wheel,
    frame,
)
from recyclelora.scenes.textures import Material


@cache
def build_truck(kind: str) -> tuple[Mesh, Mesh]:
    """The cab and the load of a truck ("box", "tipper" or "tank"), which need a place each in the drawing order."""
    cab, load = Sketch(), Sketch()
    draw_cab(cab)
    truck = Id.TRUCK
    box(load, (-1.15, 1.15), (0.55, 0.9), (-4.3, 2.1), truck, DARK, Material.METAL)
    if kind == "tank":
        draw_tank(load)
    else:
        draw_container(load, 3.5 if kind == "box" else 2.2)
    add_lamps(load, (0.75, 1.1), (0.66, 0.82), -4.37, truck)
    add_end(load, (-0.26, 0.26), (0.64, 0.76), -4.38, truck, (0.9, 0.8, 0.25))
    add_end(load, (-1.2, 1.2), (0.46, 0.58), -4.38, truck, (0.75, 0.2, 0.15))
    for x in (-1.2, 1.2):
        for z in (-2.9, -1.8):
            add_wheel(load, x, z, 0.5, truck)
    return cab.mesh(), load.mesh()


def draw_cab(sketch: Sketch) -> None:
    truck = Id.TRUCK
    box(sketch, (-1.2, 1.2), (0.45, 2.95), (2.2, 4.3), truck, PAINT, Material.PAINT, slot=0)
    add_end(sketch, (-1.1, 1.1), (1.65, 2.65), 4.31, truck, GLASS, Material.GLASS)
    add_end(sketch, (-0.75, 0.75), (0.85, 1.45), 4.31, truck, DARK)
    add_end(sketch, (-1.15, 1.15), (0.45, 0.78), 4.31, truck, (0.3, 0.3, 0.31))
    add_end(sketch, (-0.26, 0.26), (0.52, 0.64), 4.32, truck, WHITE)
    add_lamps(sketch, (0.8, 1.1), (0.82, 1.05), 4.32, truck)
    for x in (-1.21, 1.21):
        add_side(sketch, x, [(2.6, 1.7), (2.6, 2.55), (4.1, 2.55), (4.1, 1.7)], truck, GLASS, Material.GLASS)
        add_wheel(sketch, x, 3.4, 0.5, truck)


def draw_container(sketch: Sketch, high: float) -> None:
    truck = Id.TRUCK
    box(sketch, (-1.25, 1.25), (0.9, high), (-4.35, 2.1), truck, PAINT, Material.METAL, slot=1)
    for x in (-1.26, 1.26):
        add_side(sketch, x, frame(-3.4, 1.2, 1.4, 2.0), truck, (0.9, 0.9, 0.9), slot=0)
    for left in (-1.18, -0.03, 1.12):  # the doors' edges
        add_end(sketch, (left, left + 0.06), (0.95, high - 0.06), -4.36, truck, (0.4, 0.4, 0.4))


def draw_tank(sketch: Sketch) -> None:
    angles = np.arange(8) * np.pi / 4 + np.pi / 8
    rim = [(1.22 * float(np.cos(a)), 2.05 + 1.2 * float(np.sin(a))) for a in angles]
    tone: Colour = (0.85, 0.85, 0.85)
    for z in (-4.3, 2.0):
        sketch.face([(x, y, z) for x, y in rim], Id.TRUCK, tone, Material.METAL, slot=1, out=(0, 0, z))
    for (xa, ya), (xb, yb) in zip(rim, rim[1:] + rim[:1], strict=True):
        strip = [(xa, ya, -4.3), (xb, yb, -4.3), (xb, yb, 2.0), (xa, ya, 2.0)]
        sketch.face(strip, Id.TRUCK, PAINT, Material.METAL, slot=1, out=(xa + xb, ya + yb - 4.1, 0))


@cache
def build_bus() -> Mesh:
    """A city bus, 11.5 m."""
    bus, sketch = Id.BUS, Sketch()
    box(sketch, (-1.25, 1.25), (0.3, 3.05), (-5.75, 5.75), bus, PAINT, Material.PAINT, slot=0, repeat=(0.3, 0.3))
    draw_bus_ends(sketch)
    for x in (-1.26, 1.26):
        add_side(sketch, x, frame(-5.5, 5.65, 1.25, 2.5), bus, (0.2, 0.22, 0.25), Material.GLASS)
        for k in range(8):
            pane = frame(-5.3 + 1.38 * k, -4.08 + 1.38 * k, 1.32, 2.44)
            add_side(sketch, x, pane, bus, GLASS, Material.GLASS, glow=CABIN)
        add_side(sketch, x, frame(-5.7, 5.7, 0.62, 0.92), bus, PAINT, slot=1)
        for z in (4.2, 0.4, -3.0) if x > 0 else ():  # doors
            add_side(sketch, x, frame(z, z + 1.2, 0.38, 2.5), bus, (0.24, 0.27, 0.3), Material.GLASS)
        for z in (3.1, -3.4 if x < 0 else -4.2):
            add_wheel(sketch, x * 1.002, z, 0.5, bus)
    return sketch.mesh()


def draw_bus_ends(sketch: Sketch) -> None:
    bus = Id.BUS
    add_end(sketch, (-1.15, 1.15), (1.15, 2.5), 5.76, bus, GLASS, Material.GLASS)
    add_end(sketch, (-0.95, 0.95), (2.58, 2.95), 5.76, bus, BLACK)
    for k in range(7):  # where it goes
        add_end(sketch, (-0.8 + 0.22 * k, -0.66 + 0.22 * k), (2.66, 2.87), 5.77, bus, AMBER)
    add_end(sketch, (-1.2, 1.2), (0.32, 0.6), 5.76, bus, DARK)
    add_end(sketch, (-0.26, 0.26), (0.45, 0.57), 5.77, bus, WHITE)
    add_lamps(sketch, (0.75, 1.15), (0.68, 0.9), 5.77, bus)
    add_end(sketch, (-1.0, 1.0), (1.75, 2.6), -5.76, bus, GLASS, Material.GLASS)
    add_end(sketch, (-0.45, 0.45), (2.68, 2.92), -5.76, bus, BLACK)
    add_end(sketch, (-0.3, 0.3), (2.72, 2.88), -5.77, bus, AMBER)
    add_end(sketch, (-1.05, 1.05), (0.75, 1.45), -5.76, bus, (0.62, 0.62, 0.62), slot=0)
    add_end(sketch, (-0.26, 0.26), (0.5, 0.62), -5.77, bus, WHITE)
    add_lamps(sketch, (1.0, 1.2), (0.7, 1.25), -5.77, bus)


@cache
def build_tram(end: str) -> Mesh:
    """One section of a tram, 9 m: the "front" with a cab, a "middle" one, or the "rear"."""
    train, sketch = Id.TRAIN, Sketch()
    box(sketch, (-1.2, 1.2), (0.35, 3.35), (-4.4, 4.4), train, PAINT, Material.PAINT, slot=0, repeat=(0.3, 0.28))
    box(sketch, (-0.9, 0.9), (3.35, 3.65), (-2.6, 2.2), train, (0.45, 0.46, 0.48), Material.METAL)
    for z in (4.41, -4.41):
        if (end == "front" and z > 0) or (end == "rear" and z < 0):
            draw_tram_cab(sketch, z)
        else:
            add_end(sketch, (-1.1, 1.1), (0.5, 3.2), z, train, DARK)
    for x in (-1.21, 1.21):
        add_side(sketch, x, frame(-4.35, 4.35, 0.35, 0.6), train, DARK)
        add_side(sketch, x, frame(-4.35, 4.35, 0.65, 1.05), train, PAINT, slot=1)
        for k in range(5):
            z, door = -4.05 + 1.66 * k, k in (1, 3)
            add_side(sketch, x, frame(z, z + 1.42, 0.5 if door else 1.3, 2.7), train, GLASS, Material.GLASS, glow=CABIN)
            if door:
                add_side(sketch, x, frame(z + 0.68, z + 0.74, 0.5, 2.7), train, DARK)
    if end == "middle":  # the pantograph
        for left in (-0.6, 0.6):
            sketch.face([(left, 3.6, 0), (left + 0.06, 3.6, 0), (0.06, 4.9, 0.9), (0, 4.9, 0.9)], train, DARK)
        sketch.quad((-0.8, 0.8), (4.88, 4.95), 0.9, train, DARK)
    return sketch.mesh()


def draw_tram_cab(sketch: Sketch, z: float) -> None:
    """The end at z: windscreen, line number, bumper and lamps."""
    train = Id.TRAIN
    add_end(sketch, (-1.1, 1.1), (1.35, 2.75), z, train, GLASS, Material.GLASS)
    add_end(sketch, (-0.75, 0.75), (2.85, 3.2), z, train, BLACK)
    add_end(sketch, (-0.45, 0.45), (2.92, 3.12), z * 1.001, train, AMBER)
    add_end(sketch, (-1.18, 1.18), (0.36, 0.62), z, train, DARK)
    add_end(sketch, (-1.2, 1.2), (0.64, 1.2), z, train, PAINT, slot=1)
    add_lamps(sketch, (0.7, 1.05), (0.8, 1.02), z * 1.002, train)
