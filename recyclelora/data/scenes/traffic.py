"""Vehicles on the road: in lanes, on rails, parked and crossing."""

import numpy as np

from .cars import BODIES, build_car
from .carriers import build_bus, build_tram, build_truck
from .crowd import add_ride
from .mesh import Colour
from .stage import Stage

PAINTS: dict[str, tuple[Colour, ...]] = {
    "home": ((0.12, 0.12, 0.13), (0.85, 0.85, 0.84), (0.62, 0.63, 0.65), (0.36, 0.38, 0.40), (0.16, 0.22, 0.40),
             (0.60, 0.10, 0.10), (0.20, 0.30, 0.24), (0.30, 0.42, 0.58)),
    "city": ((0.92, 0.74, 0.12), (0.10, 0.10, 0.11), (0.90, 0.90, 0.89), (0.48, 0.48, 0.50), (0.55, 0.16, 0.12),
             (0.90, 0.72, 0.12)),
}  # fmt: skip
LIVERIES: dict[str, tuple[Colour, ...]] = {
    "home": ((0.90, 0.80, 0.25), (0.80, 0.14, 0.13), (0.90, 0.89, 0.86), (0.16, 0.42, 0.36)),
    "city": ((0.90, 0.90, 0.90), (0.20, 0.34, 0.62), (0.86, 0.45, 0.12)),
}


def add_vehicle(stage: Stage, kind: str, across: float, z: float, ahead: bool, turn: float = 0.0) -> float:
    """A car, truck, bus or tram with its middle at z; returns the length of road it takes."""
    street, rng = stage.street, stage.rng
    yaw = street.heading(z) + (0.0 if ahead else np.pi) + turn
    paint, livery = stage.pick(PAINTS[street.style]), stage.pick(LIVERIES[street.style])
    if kind == "car":
        names = tuple(BODIES)
        name = names[int(rng.choice(len(names), p=[0.25, 0.25, 0.18, 0.15, 0.1, 0.07]))]
        stage.add(build_car(name), across, z, yaw=yaw, palette=(paint,))
        size, height, length = (BODIES[name].width + 0.1, BODIES[name].length), BODIES[name].height, BODIES[name].length
    elif kind == "bus":
        stage.add(build_bus(), across, z, yaw=yaw, palette=(livery, stage.pick(LIVERIES[street.style])))
        size, height, length = (2.5, 11.5), 3.0, 11.5
    elif kind == "truck":
        cab, load = build_truck(str(rng.choice(["box", "tipper", "tank"], p=[0.6, 0.2, 0.2])))
        cover: Colour = ((0.88, 0.88, 0.87), (0.70, 0.71, 0.72), livery, (0.50, 0.52, 0.48))[int(rng.integers(4))]
        reach = 3.2 * float(np.cos(yaw))
        stage.add(cab, across, z, yaw=yaw, palette=(paint, cover), key=z + reach)
        stage.add(load, across, z, yaw=yaw, palette=(paint, cover), key=z - reach * 0.3)
        size, height, length = (2.5, 8.7), 3.3, 8.7
    else:
        stripe, sections = stage.pick(LIVERIES[street.style]), int(rng.integers(2, 4))
        for k in range(sections):
            end = "front" if k == 0 else "rear" if k == sections - 1 else "middle"
            at = z - (k - (sections - 1) / 2) * 9.0 * (1 if ahead else -1)
            heading = street.heading(at) + (0.0 if ahead else np.pi)
            stage.add(build_tram(end), across, at, yaw=heading, palette=(livery, stripe))
            stage.cast(across, at, (2.4, 9.0), (0.3, 3.4), heading, contact=True)
        return 9.0 * sections
    stage.cast(across, z, size, (0.2, height), yaw, contact=True)
    return length


def fill_lane(stage: Stage, across: float, ahead: bool, first: list[str], start: float, pace: float) -> None:
    """Traffic along a lane: the vehicles named in `first` nearest, then cars."""
    rng, z = stage.rng, start
    queue = list(first)
    while z < 110:
        kind = queue.pop(0) if queue else "car"
        half = {"car": 2.3, "truck": 4.4, "bus": 5.8, "tram": 13.5}.get(kind, 1.0)
        if kind in ("bicycle", "motorcycle"):
            add_ride(stage, kind, across + float(rng.uniform(-0.3, 0.9)), z + 1, 0.0 if ahead else np.pi, ridden=True)
        else:
            add_vehicle(stage, kind, across + float(rng.normal(0, 0.12)), z + half, ahead)
        z += 2 * half + 2.5 + float(rng.exponential(pace))


def drive(stage: Stage) -> None:
    """Moving traffic; the camera is in the rightmost lane, trams run in the middle."""
    street, rng = stage.street, stage.rng
    lane = street.lane
    rare = [kind for kind, odds in (("bus", 0.34), ("truck", 0.40), ("motorcycle", 0.22), ("bicycle", 0.20)) if stage.chance(odds)]
    rng.shuffle(rare)
    slots: list[list[str]] = [[], [], []]  # our lane, the oncoming one, and what parks or comes second
    for kind in rare:
        slots[int(rng.choice(3, p=[0.28, 0.42, 0.30]))].append(kind)
    own = (street.own_lane + 0.5) * lane
    heavy = bool(slots[0]) and slots[0][0] in ("bus", "truck")
    if slots[0] or stage.chance(0.75):
        fill_lane(stage, own, True, slots[0], float(rng.uniform(13, 26) if heavy else rng.uniform(8, 30)), 14)
    oncoming = -(street.own_lane + 0.5) * lane
    fill_lane(stage, oncoming, False, slots[1], float(rng.uniform(6, 24)), 16)
    if street.lanes[0] > 1:
        other = 0.5 if street.own_lane == 1 else 1.5
        for sign in (-1, 1):
            if street.tracks and stage.chance(0.62):
                ahead = sign > 0
                add_vehicle(stage, "tram", sign * other * lane, float(rng.uniform(25, 48)), ahead)
            elif stage.chance(0.6):
                fill_lane(stage, sign * other * lane, sign > 0, slots[2] if sign > 0 else [], float(rng.uniform(7, 35)), 22)
                slots[2] = [] if sign > 0 else slots[2]
    for kind in slots[2]:
        if kind in ("bus", "truck") and not street.parking[1]:
            add_vehicle(stage, kind, street.edge(1) - 1.5, float(rng.uniform(40, 60)), True)
    park(stage, [kind for kind in slots[2] if kind in ("bus", "truck")])
    if street.crossing and stage.chance(0.45):
        z = (street.crossing[0] + street.crossing[1]) / 2 + float(rng.choice([-2.0, 2.0]))
        add_vehicle(stage, "car", float(rng.uniform(-8, 9)), z, True, turn=np.pi / 2 * float(rng.choice([-1, 1])))


def park(stage: Stage, first: list[str]) -> None:
    """Parked vehicles where there are bays."""
    street, rng = stage.street, stage.rng
    for side, sign in enumerate((-1, 1)):
        if not street.parking[side]:
            continue
        z = float(rng.uniform(2, 10))
        queue = first if side == 1 else []
        while z < 95:
            kind = queue.pop(0) if queue else "car"
            half = {"car": 2.3, "truck": 4.5, "bus": 6.0}[kind]
            if stage.chance(0.72 if kind == "car" else 1.0) and not street.crosses(z + half):
                add_vehicle(stage, kind, sign * (street.edge(side) - 1.1), z + half, (side == 1) != stage.chance(0.1))
            z += 2 * half + float(rng.uniform(0.9, 2.0))
