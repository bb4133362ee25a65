"""People on the pavements and at crossings, and cycles, ridden or left standing."""

import numpy as np

from .people import build_person, build_ride, choose_clothes
from .stage import Stage
from .street import KERB


def add_ride(stage: Stage, cycle: str, across: float, z: float, heading: float, *, ridden: bool, y: float = 0.0) -> None:
    """A bicycle or motorcycle, shown from its side or its end, whichever is nearer to the truth."""
    red, green, blue = stage.rng.uniform(0.08, 0.85, 3).tolist()
    palette = choose_clothes(stage.rng, (red, green, blue))
    if ridden and stage.chance(0.6 if cycle == "bicycle" else 1.0):
        red, green, blue = stage.rng.uniform(0.1, 0.9, 3).tolist()
        palette = (palette[0], (red, green, blue), *palette[2:])
    across_view = abs(np.sin(heading - np.arctan2(across - 1.6, z)))
    view = "side" if across_view > 0.5 else "end"
    yaw = heading - np.pi / 2 if view == "side" else 0.0
    stage.add(build_ride(cycle, view, ridden), across, z, y=y, yaw=yaw, palette=palette)
    stage.cast(across, z, (0.5, 1.7), (0.0, 1.7 if ridden else 1.0), heading, contact=True)


def add_walker(stage: Stage, across: float, z: float, *, y: float = KERB, sideways: bool = False) -> None:
    rng = stage.rng
    view = "side" if sideways or stage.chance(0.25) else ("front", "back")[int(rng.integers(2))]
    mesh = build_person(view, float(rng.choice([0.3, 0.6, 0.9, 1.1])), stage.chance(0.3))
    if view == "side" and stage.chance(0.5):
        mesh = mesh._replace(points=mesh.points * np.array([-1, 1, 1], np.float32))
    scale = float(rng.normal(1.0, 0.05)) if stage.chance(0.9) else 0.68
    stage.add(mesh, across, z, y=y, scale=scale, palette=choose_clothes(rng), yaw=float(np.arctan2(across - 1.6, z)) * 0.8)
    stage.cast(across, z, (0.45, 0.3), (0, 1.7 * scale), contact=True)


def populate(stage: Stage) -> None:
    """People on the pavements and at crossings, cycles in the street and left standing."""
    street, rng = stage.street, stage.rng
    busy = {"shops": 6.0, "houses": 2.5, "works": 2.0, "park": 3.5}[street.kind]
    for side, sign in enumerate((-1, 1)):
        low = street.edge(side) + street.verge[side] + 0.5
        for _ in range(int(rng.poisson(busy))):
            across, z = float(rng.uniform(low, street.front(side) - 0.3)), 5 + 48 * float(rng.random()) ** 1.5
            add_walker(stage, sign * across, z)
            if stage.chance(0.35):
                add_walker(stage, sign * (across + 0.6), z + 0.2)
        if stage.chance(0.48):
            cycle = "bicycle" if stage.chance(0.62) else "motorcycle"
            start = float(rng.uniform(7, 26))
            for k in range(int(rng.integers(1, 5))):
                turn = float(rng.choice([-1, 1])) * float(rng.uniform(1.1, 1.6))
                add_ride(stage, cycle, sign * (street.edge(side) + 0.75), start + 0.9 * k, turn, ridden=False, y=KERB)
    if street.crossing and stage.chance(0.5):
        for _ in range(int(rng.integers(1, 5))):
            z = street.crossing[0] - float(rng.uniform(1.2, 3.2))
            add_walker(stage, float(rng.uniform(-street.edge(0), street.edge(1))), z, y=0.0, sideways=True)
    if stage.chance(0.40):
        sign = float(rng.choice([-1, 1], p=[0.35, 0.65]))
        side = 1 if sign > 0 else 0
        reach = street.edge(side) - street.parking[side] - 0.5
        add_ride(stage, "bicycle", sign * reach, float(rng.uniform(7, 22)), 0.0 if sign > 0 else np.pi, ridden=True)
    if stage.chance(0.22):
        cycle = "bicycle" if stage.chance(0.65) else "motorcycle"
        z = street.crossing[0] + 2 if street.crossing else float(rng.uniform(12, 28))
        heading = float(rng.choice([-1, 1])) * float(rng.uniform(1.2, 1.6))
        add_ride(stage, cycle, float(rng.uniform(-4, 5)), z, heading, ridden=True)
