"""What stands where: a street filled with houses, plants, furniture and traffic, ready to be drawn."""

from typing import NamedTuple

import numpy as np

from .buildings import build_skyline
from .crowd import populate
from .furniture import SIGNS, build_bollard, build_gantry, build_lamp, build_sign, build_traffic_light
from .lots import fill_lots, plant_tree
from .mesh import Mesh, Placement, join
from .stage import Caster, Spot, Stage
from .street import FAR, KERB, Street, lay_ground, sample_street
from .traffic import drive


class Scene(NamedTuple):
    street: Street
    mesh: Mesh  # in drawing order
    casters: tuple[Caster, ...]
    lamps: tuple[Spot, ...]  # heads of street lamps


def furnish(stage: Stage) -> None:
    """Lamps, trees, signs and bollards along both kerbs."""
    street, rng = stage.street, stage.rng
    lamp_side, pace, start = int(rng.integers(2)), float(rng.uniform(22, 32)), float(rng.uniform(6, 16))
    for k, z in enumerate(np.arange(start, 120, pace).tolist()):
        side = (lamp_side + k) % 2
        sign = (-1, 1)[side]
        if street.crosses(z):
            continue
        across = sign * (street.edge(side) + 0.55)
        stage.add(build_lamp(street.style, -sign), across, z, y=KERB)
        stage.cast(across, z, (0.16, 0.16), (0, 7.4), contact=True)
        stage.lamps.append((street.x(across - sign * 1.8, z), 7.4, z))
    for side, sign in enumerate((-1, 1)):
        rows = bool(street.verge[side]) or stage.chance(0.35)
        z = float(rng.uniform(7, 14))
        while z < 110 and rows:
            if not street.crosses(z):
                plant_tree(stage, sign * (street.edge(side) + max(street.verge[side] / 2, 0.9)), z, float(rng.uniform(0.75, 1.15)), True)
            z += float(rng.uniform(8, 14))
        for z in rng.uniform(7, 55, int(rng.integers(1, 4))).tolist():
            if not street.crosses(z):
                second = SIGNS[int(rng.integers(len(SIGNS)))] if stage.chance(0.3) else ""
                sign_mesh = build_sign(SIGNS[int(rng.integers(len(SIGNS)))], second, stage.chance(0.75 if side == 0 else 0.08))
                stage.add(sign_mesh, sign * (street.edge(side) + 0.5), z, y=KERB, yaw=float(rng.normal(0, 0.15)))
        if stage.chance(0.2):
            for z in np.arange(float(rng.uniform(6, 15)), 32, 2.0).tolist():
                stage.add(build_bollard(), sign * (street.edge(side) + 0.35), z, y=KERB)
    if street.lanes[1] > 1 and stage.chance(0.25):
        span = street.edge(0) + street.edge(1) + 1.6
        stage.add(build_gantry(span), (street.edge(1) - street.edge(0)) / 2, float(rng.uniform(38, 70)))


def signal_crossing(stage: Stage) -> None:
    """Traffic lights at the corners of a crossing; now and then at a pedestrian crossing elsewhere."""
    street, rng = stage.street, stage.rng
    if street.crossing is None and not stage.chance(0.4):
        return
    near, far = street.crossing or (float(rng.uniform(14, 40)),) * 2
    state = int(rng.choice([0, 1, 2], p=[0.45, 0.1, 0.45]))
    wide = street.lanes[1] > 1
    stage.add(build_traffic_light(-1 if wide else 0, state, False), street.edge(1) + 0.6, near - 1.2, y=KERB)
    if stage.chance(0.7):
        stage.add(build_traffic_light(0, state, False), street.edge(1) + 0.6, far + 1.5, y=KERB)
    stage.add(build_traffic_light(0, state, stage.chance(0.5)), -street.edge(0) - 0.6, far + 1.2, y=KERB)
    if stage.chance(0.5):
        stage.add(build_traffic_light(0, state, False), -street.edge(0) - 0.6, near - 1.2, y=KERB)


def build_scene(rng: np.random.Generator, style: str) -> Scene:
    """A street of the city `style` ("home" or "city") with everything on it."""
    street = sample_street(rng, style)
    stage = Stage(street, rng)
    ground = lay_ground(street, rng)
    for side in range(2):
        fill_lots(stage, side)
    furnish(stage)
    signal_crossing(stage)
    drive(stage)
    populate(stage)
    skyline = build_skyline(style, street.x(0, FAR), rng)
    things = [thing for _, thing in sorted(stage.things, key=lambda thing: -thing[0])]
    mesh = join([Placement(skyline), *map(Placement, ground), *things])
    return Scene(street, mesh, tuple(stage.casters), tuple(stage.lamps))
