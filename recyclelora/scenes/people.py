"""People: flat figures, on foot or on a saddle, turned to the camera when they are placed.

Palette slots: 0 skin, 1 hair or helmet, 2 top, 3 trousers, 4 shoes and bag."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from recyclelora.scenes.mesh import Colour, Id, Mesh, Sketch, add_limb, disk
from recyclelora.scenes.textures import Material

SKIN, HAIR, TOP, LEGS, SHOES = range(5)
SKINS: tuple[Colour, ...] = ((0.90, 0.74, 0.63), (0.80, 0.62, 0.50), (0.60, 0.44, 0.34), (0.42, 0.30, 0.23))
HAIRS: tuple[Colour, ...] = ((0.12, 0.10, 0.09), (0.30, 0.20, 0.13), (0.62, 0.48, 0.28), (0.55, 0.54, 0.52))


def choose_clothes(rng: np.random.Generator) -> tuple[Colour, ...]:
    """A palette for one person: muted mostly, now and then a bright top."""
    if rng.random() < 0.35:
        top = rng.uniform(0.15, 0.95, 3)
    else:
        top = np.clip(rng.uniform(0.12, 0.8) + rng.normal(0, 0.05, 3), 0.05, 0.97)
    if rng.random() < 0.6:
        legs = np.array([0.18, 0.21, 0.30]) * rng.uniform(0.6, 1.6)  # jeans
    else:
        legs = np.full(3, rng.uniform(0.1, 0.6))
    shoes = float(rng.uniform(0.08, 0.7))
    skin, hair = SKINS[int(rng.integers(4))], HAIRS[int(rng.integers(4))]
    return skin, hair, (*top.tolist(),), (*legs.tolist(),), (shoes, shoes, shoes)


def add_part(sketch: Sketch, points: Sequence[tuple[float, float]], label: int, slot: int, tone: float = 1.0) -> None:
    """A polygon of (x, y) in the palette's colour, times `tone`."""
    material = Material.CLOTH if slot >= TOP else Material.PLAIN
    sketch.face([(x, y, 0.0) for x, y in points], label, (tone, tone, tone), material, slot=slot, cap=0)


def add_bone(
    sketch: Sketch, joints: Sequence[tuple[float, float]], widths: Sequence[float], label: int, slot: int, tone: float
) -> None:
    """Limbs from joint to joint (x, y), of the `widths` there."""
    for (a, b), (wide, thin) in zip(
        zip(joints, joints[1:], strict=False), zip(widths, widths[1:], strict=False), strict=True
    ):
        add_limb(sketch, (*a, 0.0), (*b, 0.0), (wide, thin), label, slot, (tone, tone, tone))


def add_head(sketch: Sketch, x: float, y: float, label: int, view: str) -> None:
    """A head, 0.25 m high, around (x, y), with the hair of its view."""
    outline = [(px, y + (py - y) * 1.2) for px, py, _ in disk(0.105, 12, x=x, y=y)]
    add_part(sketch, outline, label, HAIR if view == "back" else SKIN)
    if view == "front":
        add_part(sketch, [point for point in outline if point[1] > y + 0.03], label, HAIR)
        for eye in (x - 0.04, x + 0.04):
            sketch.quad((eye - 0.015, eye + 0.015), (y, y + 0.02), 0, label, (0.2, 0.15, 0.13), cap=0)
    elif view == "side":
        add_part(sketch, [point for point in outline if point[1] > y + 0.05 or point[0] < x - 0.02], label, HAIR)


@cache
def build_person(view: str, stride: float, coat: bool) -> Mesh:
    """A walker of 1.75 m: `view` is "front", "back" or "side" (heading along +x), `stride` swings the legs."""
    sketch, side = Sketch(), view == "side"
    draw_legs(sketch, stride, side)
    draw_body(sketch, view, 0.32 * stride if side else 0.03, coat)
    add_bone(sketch, [(0.01, 1.42), (0.02, 1.54)], [0.11, 0.10], Id.PERSON, SKIN, 0.8)
    add_head(sketch, 0.03 if side else 0.0, 1.61, Id.PERSON, view)
    return sketch.mesh()


def draw_legs(sketch: Sketch, stride: float, side: bool) -> None:
    spread, swing = (0.0, 0.32 * stride) if side else (0.09, 0.03)
    for leg, tone in ((-1, 0.72), (1, 1.0)):
        knee = (leg * (spread + swing * 0.55), 0.48)
        x, y = leg * (spread + swing), 0.07
        if leg < 0:  # the rear foot
            x, y = (x - 0.06, y) if side else (x, y + 0.05 * stride)
        add_bone(sketch, [(leg * spread, 0.9), knee, (x, y)], [0.19, 0.14, 0.10], Id.PERSON, LEGS, tone)
        toe = 0.17 if side else 0.05
        shoe = [(x - 0.06, y - 0.07), (x + toe, y - 0.07), (x + toe * 0.8, y + 0.02), (x - 0.06, y + 0.04)]
        add_part(sketch, shoe, Id.PERSON, SHOES, tone)


def draw_body(sketch: Sketch, view: str, swing: float, coat: bool) -> None:
    """Arms and torso."""
    person, side = Id.PERSON, view == "side"
    wide, hem = 0.15 if side else 0.23, 0.55 if coat else 0.84
    far_arm = [(0.02, 1.40), (-swing * 0.8, 0.85)] if side else [(-wide, 1.40), (-wide - 0.05, 0.85)]
    add_bone(sketch, far_arm, [0.11, 0.08], person, TOP, 0.72)
    torso = [(-wide * 0.8, hem), (wide * 0.8, hem), (wide * 0.85, 1.0), (wide, 1.36), (wide * 0.6, 1.46),
             (-wide * 0.6, 1.46), (-wide, 1.36), (-wide * 0.85, 1.0)]  # fmt: skip
    add_part(sketch, torso, person, TOP)
    add_part(sketch, [(wide * 0.25, hem), *torso[1:4], (wide * 0.35, 1.4)], person, TOP, 0.8)
    if view == "front":
        add_part(sketch, [(-0.05, 1.46), (0.05, 1.46), (0, 1.28)], person, SKIN, 0.9)
    elif view == "back" and not coat:
        add_part(sketch, [(-0.15, 0.98), (0.15, 0.98), (0.15, 1.36), (-0.15, 1.36)], person, SHOES)
    hand = (swing * 0.8 if side else wide + 0.06, 0.84)
    add_bone(sketch, [(0.0 if side else wide, 1.40), hand], [0.12, 0.08], person, TOP, 0.9)
    add_part(sketch, [(x, y) for x, y, _ in disk(0.045, 6, x=hand[0], y=0.81)], person, SKIN)


def draw_rider(sketch: Sketch, motor: bool, view: str) -> None:
    """Who sits on a bicycle or a motorcycle that has the same view, heading and origin."""
    if view == "side":
        draw_rider_side(sketch, motor)
    else:
        draw_rider_end(sketch, motor)


def draw_rider_side(sketch: Sketch, motor: bool) -> None:
    rider = Id.RIDER
    if motor:
        hip, shoulder, knee, foot, hand = (-0.35, 0.94), (-0.12, 1.46), (0.12, 0.82), (-0.02, 0.36), (0.36, 1.08)
    else:
        hip, shoulder, knee, foot, hand = (-0.25, 0.98), (0.05, 1.50), (0.12, 0.68), (-0.02, 0.20), (0.32, 1.02)
    add_bone(sketch, [hip, (knee[0] + 0.1, knee[1] + 0.06)], [0.2, 0.14], rider, LEGS, 0.7)
    add_bone(sketch, [hip, knee, foot], [0.22, 0.15, 0.10], rider, LEGS, 1.0)
    sole = [(foot[0] - 0.06, foot[1] - 0.03), (foot[0] + 0.18, foot[1] - 0.03)]
    add_bone(sketch, sole, [0.09, 0.07], rider, SHOES, 1.0)
    add_bone(sketch, [hip, shoulder], [0.28, 0.30], rider, TOP, 1.0)
    add_bone(sketch, [(hip[0] - 0.08, hip[1]), (shoulder[0] - 0.1, shoulder[1])], [0.09, 0.09], rider, TOP, 0.75)
    elbow = ((shoulder[0] + hand[0]) / 2, (shoulder[1] + hand[1]) / 2 - 0.08)
    add_bone(sketch, [shoulder, elbow, hand], [0.12, 0.10, 0.07], rider, TOP, 0.85)
    add_head(sketch, shoulder[0] + 0.08, shoulder[1] + 0.22, rider, "side")


def draw_rider_end(sketch: Sketch, motor: bool) -> None:
    rider, seat, reach = Id.RIDER, 0.88 if motor else 0.92, 0.26 if motor else 0.13
    for side in (-1, 1):
        foot = 0.36 if motor or side > 0 else 0.22  # pedals
        knee = (side * (reach + 0.02), foot + 0.3)
        joints = [(side * 0.09, seat), knee, (side * reach, foot)]
        add_bone(sketch, joints, [0.17, 0.13, 0.10], rider, LEGS, 0.9 + 0.1 * side)
        add_bone(sketch, [(side * reach, foot), (side * reach, foot - 0.08)], [0.11, 0.10], rider, SHOES, 1.0)
    for side in (-1, 1):
        joints = [(side * 0.21, seat + 0.48), (side * 0.36, seat + 0.2), (side * 0.29, 1.04)]
        add_bone(sketch, joints, [0.12, 0.10, 0.08], rider, TOP, 0.75)
    torso = [(-0.18, seat - 0.05), (0.18, seat - 0.05), (0.23, seat + 0.42), (0.13, seat + 0.56), (-0.13, seat + 0.56),
             (-0.23, seat + 0.42)]  # fmt: skip
    add_part(sketch, torso, rider, TOP)
    add_part(sketch, [(0.05, seat - 0.05), *torso[1:4]], rider, TOP, 0.8)
    add_head(sketch, 0.0, seat + 0.72, rider, "back")
