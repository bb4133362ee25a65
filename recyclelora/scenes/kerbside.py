"""Objects along the kerbs: lamps, trees, signs, bollards and traffic lights."""

import numpy as np

from recyclelora.scenes.furniture import (
    SIGNS,
    build_bollard,
    build_gantry,
    build_lamp,
    build_sign,
    build_traffic_light,
)
from recyclelora.scenes.lots import plant_tree
from recyclelora.scenes.stage import Stage
from recyclelora.scenes.street import KERB


def furnish(stage: Stage) -> None:
    """Everything along both kerbs."""
    street, rng = stage.street, stage.rng
    put_lamps(stage)
    for side in range(2):
        if street.verge[side] or stage.chance(0.35):
            plant_row(stage, side)
        put_signs(stage, side)
        if stage.chance(0.2):
            across = (-1, 1)[side] * (street.edge(side) + 0.35)
            for z in np.arange(float(rng.uniform(6, 15)), 32, 2.0).tolist():
                stage.add(build_bollard(), across, z, y=KERB)
    if street.lanes[1] > 1 and stage.chance(0.25):
        span, middle = street.edge(0) + street.edge(1) + 1.6, (street.edge(1) - street.edge(0)) / 2
        stage.add(build_gantry(span), middle, float(rng.uniform(38, 70)))
    if street.crossing or stage.chance(0.4):
        put_traffic_lights(stage)


def put_lamps(stage: Stage) -> None:
    """Street lamps on alternating sides."""
    street, rng = stage.street, stage.rng
    first, pace, start = int(rng.integers(2)), float(rng.uniform(22, 32)), float(rng.uniform(6, 16))
    for k, z in enumerate(np.arange(start, 120, pace).tolist()):
        side = (first + k) % 2
        sign = (-1, 1)[side]
        if not street.crosses(z):
            across = sign * (street.edge(side) + 0.55)
            stage.add(build_lamp(street.style, -sign), across, z, y=KERB)
            stage.cast(across, z, (0.16, 0.16), (0, 7.4), contact=True)
            stage.lamps.append((street.x(across - sign * 1.8, z), 7.4, z))


def plant_row(stage: Stage, side: int) -> None:
    """Trees in the verge, or in the pavement."""
    street, rng = stage.street, stage.rng
    across = (-1, 1)[side] * (street.edge(side) + max(street.verge[side] / 2, 0.9))
    z = float(rng.uniform(7, 14))
    while z < 110:
        if not street.crosses(z):
            plant_tree(stage, across, z, float(rng.uniform(0.75, 1.15)), street_tree=True)
        z += float(rng.uniform(8, 14))


def put_signs(stage: Stage, side: int) -> None:
    """One to three signs; on the left most face the oncoming traffic."""
    street, rng = stage.street, stage.rng
    for z in rng.uniform(7, 55, int(rng.integers(1, 4))).tolist():
        if not street.crosses(z):
            second = stage.pick(SIGNS) if stage.chance(0.3) else ""
            sign = build_sign(stage.pick(SIGNS), second, stage.chance(0.08 if side else 0.75))
            stage.add(sign, (-1, 1)[side] * (street.edge(side) + 0.5), z, y=KERB, yaw=float(rng.normal(0, 0.15)))


def put_traffic_lights(stage: Stage) -> None:
    """Lights at the corners of the crossing, or at a crossing for people somewhere else."""
    street, rng = stage.street, stage.rng
    somewhere = float(rng.uniform(14, 40))
    near, far = street.crossing or (somewhere, somewhere)
    state = int(rng.choice([0, 1, 2], p=[0.45, 0.1, 0.45]))
    left, right = -street.edge(0) - 0.6, street.edge(1) + 0.6
    arm = -1 if street.lanes[1] > 1 else 0
    stage.add(build_traffic_light(arm, state, False), right, near - 1.2, y=KERB)
    stage.add(build_traffic_light(0, state, stage.chance(0.5)), left, far + 1.2, y=KERB)
    if stage.chance(0.7):
        stage.add(build_traffic_light(0, state, False), right, far + 1.5, y=KERB)
    if stage.chance(0.5):
        stage.add(build_traffic_light(0, state, False), left, near - 1.2, y=KERB)
