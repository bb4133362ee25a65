"""People on the pavements and at crossings, and cycles, ridden or left standing."""

import numpy as np

from recyclelora.scenes.cycles import build_cycle
from recyclelora.scenes.mesh import Colour
from recyclelora.scenes.people import build_person, choose_clothes
from recyclelora.scenes.stage import Stage
from recyclelora.scenes.street import KERB

BUSY = {"shops": 6.0, "houses": 2.5, "works": 2.0, "park": 3.5}  # walkers on a pavement, and half as many beside them


def draw_colour(rng: np.random.Generator) -> Colour:
    red, green, blue = rng.uniform(0.08, 0.9, 3).tolist()
    return red, green, blue


def add_cycle(
    stage: Stage, kind: str, across: float, z: float, heading: float, *, ridden: bool, y: float = 0.0
) -> None:
    """A bicycle or motorcycle, shown from its side or its end, whichever is nearer to the truth."""
    skin, hair, *clothes = choose_clothes(stage.rng)
    if ridden and (kind == "motorcycle" or stage.chance(0.6)):
        hair = draw_colour(stage.rng)  # a helmet
    palette = (skin, hair, *clothes, draw_colour(stage.rng))
    seen_from = float(np.arctan2(across - stage.street.eye, z))
    view = "side" if abs(np.sin(heading - seen_from)) > 0.5 else "end"
    yaw = heading - np.pi / 2 if view == "side" else 0.0
    stage.add(build_cycle(kind, view, ridden), across, z, y=y, yaw=yaw, palette=palette)
    stage.cast(across, z, (0.5, 1.7), (0.0, 1.7 if ridden else 1.0), heading, contact=True)


def add_walker(stage: Stage, across: float, z: float, *, y: float = KERB, sideways: bool = False) -> None:
    rng = stage.rng
    view = "side" if sideways or stage.chance(0.25) else ("front", "back")[int(rng.integers(2))]
    mesh = build_person(view, float(rng.choice([0.3, 0.6, 0.9, 1.1])), stage.chance(0.3))
    if view == "side" and stage.chance(0.5):
        mesh = mesh._replace(points=mesh.points * np.array([-1, 1, 1], np.float32))
    scale = float(rng.normal(1.0, 0.05)) if stage.chance(0.9) else 0.68
    yaw = float(np.arctan2(across - stage.street.eye, z)) * 0.8
    stage.add(mesh, across, z, y=y, yaw=yaw, scale=scale, palette=choose_clothes(rng))
    stage.cast(across, z, (0.45, 0.3), (0, 1.7 * scale), contact=True)


def populate(stage: Stage) -> None:
    """Everybody who is not in a car."""
    for side in range(2):
        fill_pavement(stage, side)
    street, rng = stage.street, stage.rng
    if street.crossing and stage.chance(0.5):
        for _ in range(int(rng.integers(1, 5))):
            z = street.crossing[0] - float(rng.uniform(1.2, 3.2))
            add_walker(stage, float(rng.uniform(-street.edge(0), street.edge(1))), z, y=0.0, sideways=True)
    if stage.chance(0.40):  # along the kerb
        side = int(stage.chance(0.65))
        across = (-1, 1)[side] * (street.edge(side) - street.parking[side] - 0.5)
        add_cycle(stage, "bicycle", across, float(rng.uniform(7, 22)), 0.0 if side else np.pi, ridden=True)
    if stage.chance(0.22):  # across the street
        z = street.crossing[0] + 2 if street.crossing else float(rng.uniform(12, 28))
        heading = float(rng.choice([-1, 1])) * float(rng.uniform(1.2, 1.6))
        kind = "bicycle" if stage.chance(0.65) else "motorcycle"
        add_cycle(stage, kind, float(rng.uniform(-4, 5)), z, heading, ridden=True)


def fill_pavement(stage: Stage, side: int) -> None:
    """Walkers, alone or in pairs, and sometimes a row of parked cycles."""
    street, rng, sign = stage.street, stage.rng, (-1, 1)[side]
    kerb = street.edge(side)
    low, high = kerb + street.verge[side] + 0.5, street.front(side) - 0.3
    for _ in range(int(rng.poisson(BUSY[street.kind]))):
        across, z = float(rng.uniform(low, high)), 5 + 48 * float(rng.random()) ** 1.5
        add_walker(stage, sign * across, z)
        if stage.chance(0.35):
            add_walker(stage, sign * (across + 0.6), z + 0.2)
    if stage.chance(0.48):
        kind, start = "bicycle" if stage.chance(0.58) else "motorcycle", float(rng.uniform(7, 24))
        for k in range(int(rng.integers(1, 5))):
            turn = float(rng.choice([-1, 1])) * float(rng.uniform(1.1, 1.6))
            add_cycle(stage, kind, sign * (kerb + 0.75), start + 0.9 * k, turn, ridden=False, y=KERB)
