"""People on foot, and riders with what they ride. Flat figures that are turned to the camera when they are placed.

Palette slots of people: 0 skin, 1 hair or helmet, 2 top, 3 trousers, 4 shoes and bag. Of cycles: 5 the paint."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .mesh import Colour, Id, Mesh, Point, Sketch, disk
from .textures import Material

FRAME: Colour = (0.16, 0.16, 0.17)


def add_limb(
    sketch: Sketch, start: Point, end: Point, width: tuple[float, float], label: int, slot: int, tone: float = 1.0
) -> None:
    """A limb in a plane z = constant from `start` to `end`, with its widths there."""
    (x0, y0, z), (x1, y1, _) = start, end
    length = max(float(np.hypot(x1 - x0, y1 - y0)), 1e-6)
    nx, ny = -(y1 - y0) / length / 2, (x1 - x0) / length / 2
    corners = [
        (x0 + nx * width[0], y0 + ny * width[0], z), (x1 + nx * width[1], y1 + ny * width[1], z),
        (x1 - nx * width[1], y1 - ny * width[1], z), (x0 - nx * width[0], y0 - ny * width[0], z),
    ]  # fmt: skip
    sketch.face(corners, label, (tone, tone, tone), Material.CLOTH, slot=slot, cap=0)


def add_head(sketch: Sketch, x: float, y: float, z: float, label: int, view: str) -> None:
    """A head of 0.24 m around (x, y): hair behind, around or beside the face."""
    outline = [(px, y + (py - y) * 1.2, z) for px, py, _ in disk(0.105, 12, x=x, y=y)]
    sketch.face(outline, label, (1, 1, 1), Material.PLAIN, slot=1 if view == "back" else 0, cap=0)
    if view == "front":
        sketch.face([p for p in outline if p[1] > y + 0.03], label, (1, 1, 1), slot=1, cap=0)
        for side in (-1, 1):
            eye = [(x + side * 0.04 + dx, y + dy, z) for dx, dy in ((-0.015, 0), (0.015, 0), (0.015, 0.02), (-0.015, 0.02))]
            sketch.face(eye, label, (0.2, 0.15, 0.13), cap=0)
    elif view == "side":
        hair = [p for p in outline if p[1] > y + 0.05 or p[0] < x - 0.02]
        sketch.face(hair, label, (1, 1, 1), slot=1, cap=0)


@cache
def build_person(view: str, stride: float, coat: bool) -> Mesh:
    """A walker of 1.75 m facing the camera plane: `view` is "front", "back" or "side", `stride` swings the legs."""
    sketch, person = Sketch(), int(Id.PERSON)
    side = view == "side"
    spread = 0.0 if side else 0.09
    swing = 0.32 * stride if side else 0.03
    lift = 0.0 if side else 0.05 * stride
    for leg, tone in ((-1, 0.72), (1, 1.0)):
        hip, knee = (leg * spread, 0.9, 0.0), (leg * (spread + swing * 0.55), 0.48, 0.0)
        foot = (leg * (spread + swing) - (0.06 if side and leg < 0 else 0), 0.07 + (lift if leg < 0 else 0), 0.0)
        add_limb(sketch, hip, knee, (0.19, 0.14), person, 3, tone)
        add_limb(sketch, knee, foot, (0.14, 0.10), person, 3, tone * 0.96)
        toe = 0.17 if side else 0.05
        shoe = [(foot[0] - 0.06, foot[1] - 0.07, 0), (foot[0] + toe, foot[1] - 0.07, 0), (foot[0] + toe * 0.8, foot[1] + 0.02, 0),
                (foot[0] - 0.06, foot[1] + 0.04, 0)]  # fmt: skip
        sketch.face(shoe, person, (tone, tone, tone), Material.CLOTH, slot=4, cap=0)
    wide = 0.15 if side else 0.23
    hem = 0.55 if coat else 0.84
    if side or view == "back":
        add_limb(sketch, (0.02 if side else -wide, 1.40, 0), (-swing * 0.8 - wide * (not side), 0.85, 0), (0.11, 0.08), person, 2, 0.7)
    if view == "front":
        add_limb(sketch, (-wide, 1.40, 0), (-wide - 0.05, 0.85, 0), (0.11, 0.08), person, 2, 0.75)
    torso = [(-wide * 0.8, hem, 0), (wide * 0.8, hem, 0), (wide * 0.85, 1.0, 0), (wide, 1.36, 0), (wide * 0.6, 1.46, 0),
             (-wide * 0.6, 1.46, 0), (-wide, 1.36, 0), (-wide * 0.85, 1.0, 0)]  # fmt: skip
    sketch.face(torso, person, (1, 1, 1), Material.CLOTH, slot=2, cap=0)
    shadow = [(wide * 0.25, hem, 0), (wide * 0.8, hem, 0), (wide * 0.85, 1.0, 0), (wide, 1.36, 0), (wide * 0.35, 1.4, 0)]
    sketch.face(shadow, person, (0.8, 0.8, 0.8), Material.CLOTH, slot=2, cap=0)
    if view == "front":
        collar = [(-0.05, 1.46, 0), (0.05, 1.46, 0), (0, 1.28, 0)]
        sketch.face(collar, person, (0.9, 0.9, 0.9), slot=0, cap=0)
    if view == "back" and not coat:
        bag = [(-0.15, 0.98, 0), (0.15, 0.98, 0), (0.15, 1.36, 0), (-0.15, 1.36, 0)]
        sketch.face(bag, person, (1, 1, 1), Material.CLOTH, slot=4, cap=0)
    hand = (swing * 0.8 if side else wide + 0.06, 0.84, 0.0)
    add_limb(sketch, (0.0 if side else wide, 1.40, 0), hand, (0.12, 0.08), person, 2, 0.9)
    sketch.face(disk(0.045, 6, x=hand[0], y=0.81), person, (1, 1, 1), slot=0, cap=0)
    add_limb(sketch, (0.01, 1.42, 0), (0.02, 1.54, 0), (0.11, 0.10), person, 0, 0.8)
    add_head(sketch, 0.03 if side else 0.0, 1.61, 0.0, person, view)
    return sketch.mesh()


def add_ring(sketch: Sketch, x: float, y: float, radius: float, thick: float, label: int) -> None:
    """A wheel seen from its side: the tyre painted, what is seen between the spokes labelled with it."""
    outer, inner = disk(radius, 18, x=x, y=y), disk(radius - thick, 18, x=x, y=y)
    sketch.face(outer, label, veil=True)
    sketch.face([*outer, outer[0], inner[0], *inner[:0:-1], inner[0]], label, (0.12, 0.12, 0.12), Material.RUBBER, cap=0)
    for k in range(0, 18, 3):
        (ax, ay, _), (bx, by, _) = inner[k], inner[(k + 9) % 18]
        sketch.face([(ax, ay, 0), (bx, by, 0), (bx + 0.01, by, 0), (ax + 0.01, ay, 0)], label, (0.5, 0.5, 0.5), cap=0)


def add_tube(sketch: Sketch, a: tuple[float, float], b: tuple[float, float], thick: float, label: int, slot: int) -> None:
    add_limb(sketch, (*a, 0.0), (*b, 0.0), (thick, thick), label, slot)


def draw_bicycle(sketch: Sketch, view: str) -> None:
    """A bicycle seen from its "side" (heading along +x) or from its "end"."""
    bicycle = int(Id.BICYCLE)
    if view == "side":
        add_ring(sketch, -0.52, 0.34, 0.34, 0.05, bicycle)
        add_ring(sketch, 0.52, 0.34, 0.34, 0.05, bicycle)
        hub, seat, crank, head, fork = (-0.52, 0.34), (-0.2, 0.86), (-0.08, 0.3), (0.34, 0.82), (0.52, 0.34)
        for a, b in ((hub, crank), (hub, (-0.17, 0.78)), (seat, crank), (crank, head), ((-0.17, 0.78), head), (head, fork)):
            add_tube(sketch, a, b, 0.055, bicycle, 5)
        add_tube(sketch, head, (0.30, 1.0), 0.05, bicycle, 5)
        sketch.quad((-0.34, -0.08), (0.86, 0.92), 0, bicycle, FRAME, cap=0)
        sketch.quad((0.2, 0.42), (0.98, 1.03), 0, bicycle, FRAME, cap=0)
        sketch.face(disk(0.09, 8, x=-0.08, y=0.3), bicycle, FRAME, cap=0)
        return
    sketch.quad((-0.05, 0.05), (0.0, 0.7), 0, bicycle, (0.13, 0.13, 0.13), Material.RUBBER, cap=0)
    sketch.quad((-0.035, 0.035), (0.5, 0.95), 0, bicycle, (1, 1, 1), slot=5, cap=0)
    sketch.quad((-0.3, 0.3), (0.98, 1.04), 0, bicycle, FRAME, cap=0)
    sketch.quad((-0.11, 0.11), (0.86, 0.93), 0, bicycle, FRAME, cap=0)
    sketch.quad((-0.16, 0.16), (0.27, 0.32), 0, bicycle, FRAME, cap=0)
    sketch.quad((-0.04, 0.04), (0.62, 0.70), 0, bicycle, (0.8, 0.1, 0.08), glow=(2, 0.1, 0.05), cap=0)


def draw_motorcycle(sketch: Sketch, view: str) -> None:
    """A motorcycle or scooter seen from its "side" (heading along +x) or from its "end"."""
    cycle = int(Id.MOTORCYCLE)
    if view == "side":
        for x in (-0.68, 0.68):
            sketch.face(disk(0.32, 16, x=x, y=0.32), cycle, (0.1, 0.1, 0.1), Material.RUBBER, cap=0)
            sketch.face(disk(0.19, 12, x=x, y=0.32), cycle, (0.5, 0.5, 0.52), Material.METAL, cap=0)
        sketch.face([(-0.35, 0.28, 0), (0.3, 0.28, 0), (0.35, 0.6, 0), (-0.4, 0.62, 0)], cycle, (0.25, 0.25, 0.26), Material.METAL, cap=0)
        shell = [(-1.0, 0.74, 0), (-0.55, 0.58, 0), (0.35, 0.52, 0), (0.72, 0.7, 0), (0.5, 1.0, 0), (0.1, 0.98, 0), (-0.1, 0.78, 0)]
        sketch.face(shell, cycle, (1, 1, 1), Material.PAINT, slot=5, cap=0)
        sketch.face([(-0.85, 0.76, 0), (-0.05, 0.78, 0), (0.0, 0.88, 0), (-0.8, 0.90, 0)], cycle, FRAME, cap=0)
        add_limb(sketch, (0.68, 0.32, 0), (0.42, 1.05, 0), (0.09, 0.07), cycle, 5, 0.6)
        sketch.quad((0.28, 0.5), (1.04, 1.1), 0, cycle, FRAME, cap=0)
        sketch.face(disk(0.1, 10, x=0.58, y=0.9), cycle, (0.9, 0.9, 0.85), glow=(5, 4.6, 4), cap=0)
        add_limb(sketch, (-0.8, 0.36, 0), (-0.1, 0.3, 0), (0.11, 0.09), cycle, 5, 0.5)
        return
    sketch.quad((-0.09, 0.09), (0.0, 0.62), 0, cycle, (0.1, 0.1, 0.1), Material.RUBBER, cap=0)
    sketch.face([(-0.2, 0.45, 0), (0.2, 0.45, 0), (0.24, 0.85, 0), (-0.24, 0.85, 0)], cycle, (1, 1, 1), Material.PAINT, slot=5, cap=0)
    sketch.quad((-0.16, 0.16), (0.82, 0.92), 0, cycle, FRAME, cap=0)
    sketch.quad((-0.4, 0.4), (1.04, 1.1), 0, cycle, FRAME, cap=0)
    sketch.quad((-0.1, 0.1), (0.66, 0.76), 0, cycle, (0.8, 0.08, 0.06), glow=(2.6, 0.1, 0.05), cap=0)
    sketch.quad((-0.11, 0.11), (0.46, 0.6), 0, cycle, (0.92, 0.92, 0.9), cap=0)
    for side in (-1, 1):
        sketch.face(disk(0.06, 8, x=side * 0.46, y=1.2), cycle, FRAME, cap=0)


def draw_rider(sketch: Sketch, cycle: str, view: str) -> None:
    """Who sits on a "bicycle" or "motorcycle", same `view`, heading and origin as the cycle."""
    rider = int(Id.RIDER)
    motor = cycle == "motorcycle"
    seat = 0.88 if motor else 0.92
    if view == "side":
        hip, shoulder = (-0.25 if not motor else -0.35, seat + 0.06, 0.0), (0.05 if not motor else -0.12, seat + 0.58, 0.0)
        knee, foot = ((0.12, 0.68, 0.0), (-0.02, 0.2, 0.0)) if not motor else ((0.12, 0.82, 0.0), (-0.02, 0.36, 0.0))
        hand = (0.32, 1.02, 0.0) if not motor else (0.36, 1.08, 0.0)
        add_limb(sketch, hip, (knee[0] + 0.1, knee[1] + 0.06, 0), (0.2, 0.14), rider, 3, 0.7)
        add_limb(sketch, hip, knee, (0.22, 0.15), rider, 3)
        add_limb(sketch, knee, foot, (0.15, 0.10), rider, 3, 0.92)
        add_limb(sketch, (foot[0] - 0.06, foot[1] - 0.03, 0), (foot[0] + 0.18, foot[1] - 0.03, 0), (0.09, 0.07), rider, 4)
        add_limb(sketch, hip, shoulder, (0.28, 0.30), rider, 2)
        add_limb(sketch, (hip[0] - 0.08, hip[1], 0), (shoulder[0] - 0.1, shoulder[1], 0), (0.09, 0.09), rider, 2, 0.75)
        elbow = ((shoulder[0] + hand[0]) / 2, (shoulder[1] + hand[1]) / 2 - 0.08, 0.0)
        add_limb(sketch, shoulder, elbow, (0.12, 0.1), rider, 2, 0.85)
        add_limb(sketch, elbow, hand, (0.1, 0.07), rider, 2, 0.85)
        add_head(sketch, shoulder[0] + 0.08, shoulder[1] + 0.22, 0.0, rider, "side")
        return
    for side in (-1, 1):
        foot_y = 0.22 + (0.14 if side > 0 and not motor else 0) + (0.14 if motor else 0)
        out = 0.13 if not motor else 0.26
        add_limb(sketch, (side * 0.09, seat, 0), (side * (out + 0.02), foot_y + 0.3, 0), (0.17, 0.13), rider, 3, 0.9 + 0.1 * side)
        add_limb(sketch, (side * (out + 0.02), foot_y + 0.3, 0), (side * out, foot_y, 0), (0.13, 0.1), rider, 3, 0.85)
        add_limb(sketch, (side * out, foot_y, 0), (side * out, foot_y - 0.08, 0), (0.11, 0.1), rider, 4)
    torso = [(-0.18, seat - 0.05, 0), (0.18, seat - 0.05, 0), (0.23, seat + 0.42, 0), (0.13, seat + 0.56, 0), (-0.13, seat + 0.56, 0),
             (-0.23, seat + 0.42, 0)]  # fmt: skip
    for side in (-1, 1):
        add_limb(sketch, (side * 0.21, seat + 0.48, 0), (side * 0.36, seat + 0.2, 0), (0.12, 0.1), rider, 2, 0.75)
        add_limb(sketch, (side * 0.36, seat + 0.2, 0), (side * 0.29, 1.04, 0), (0.1, 0.08), rider, 2, 0.75)
    sketch.face(torso, rider, (1, 1, 1), Material.CLOTH, slot=2, cap=0)
    sketch.face([(0.05, seat - 0.05, 0), *torso[1:4]], rider, (0.8, 0.8, 0.8), Material.CLOTH, slot=2, cap=0)
    add_head(sketch, 0.0, seat + 0.72, 0.0, rider, "back")


@cache
def build_ride(cycle: str, view: str, ridden: bool) -> Mesh:
    """A bicycle or motorcycle, with its rider in front of it or alone."""
    sketch = Sketch()
    (draw_bicycle if cycle == "bicycle" else draw_motorcycle)(sketch, view)
    if ridden:
        draw_rider(sketch, cycle, view)
    return sketch.mesh()


def choose_clothes(rng: np.random.Generator, cycle_paint: Colour = (0.5, 0.5, 0.5)) -> tuple[Colour, ...]:
    """A palette for one person: muted mostly, now and then a bright top."""
    skins: tuple[Colour, ...] = ((0.90, 0.74, 0.63), (0.80, 0.62, 0.50), (0.60, 0.44, 0.34), (0.42, 0.30, 0.23))
    hairs: tuple[Colour, ...] = ((0.12, 0.10, 0.09), (0.30, 0.20, 0.13), (0.62, 0.48, 0.28), (0.55, 0.54, 0.52))
    bright = rng.random() < 0.35
    top = rng.uniform(0.15, 0.95, 3) if bright else np.full(3, rng.uniform(0.12, 0.8)) + rng.normal(0, 0.05, 3)
    legs = np.array([0.18, 0.21, 0.30]) * rng.uniform(0.6, 1.6) if rng.random() < 0.6 else np.full(3, rng.uniform(0.1, 0.6))
    shoes = np.full(3, rng.uniform(0.08, 0.7))

    def clip(colour: NDArray[np.float64]) -> Colour:
        red, green, blue = np.clip(colour, 0.05, 0.97).tolist()
        return red, green, blue

    return skins[rng.integers(4)], hairs[rng.integers(4)], clip(top), clip(legs), clip(shoes), cycle_paint
