"""Vehicles on the road: in lanes, on rails, parked and crossing."""

from typing import NamedTuple

import numpy as np

from recyclelora.scenes.carriers import build_bus, build_tram, build_truck
from recyclelora.scenes.cars import BODIES, build_car
from recyclelora.scenes.crowd import add_cycle
from recyclelora.scenes.mesh import Colour
from recyclelora.scenes.stage import Stage

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
CONTAINERS: tuple[Colour, ...] = ((0.88, 0.88, 0.87), (0.70, 0.71, 0.72), (0.50, 0.52, 0.48))
LENGTH = {"car": 4.6, "truck": 8.8, "bus": 11.6, "bicycle": 2.0, "motorcycle": 2.0}  # of road, metres
ODDS = {"bus": 0.20, "truck": 0.28, "motorcycle": 0.12, "bicycle": 0.08}  # that one is in traffic, when not featured
SECTION = 9.0  # metres of a tram


class Lane(NamedTuple):
    """A strip of road: its middle, and whether its traffic moves away from the camera."""

    across: float
    ahead: bool


def add_vehicle(stage: Stage, kind: str, lane: Lane, z: float, turn: float = 0.0) -> None:
    """A car, bus or truck with its middle at z."""
    street, rng = stage.street, stage.rng
    across, yaw = lane.across, street.heading(z) + (0.0 if lane.ahead else np.pi) + turn
    paint, livery = stage.pick(PAINTS[street.style]), stage.pick(LIVERIES[street.style])
    if kind == "car":
        name = str(rng.choice(list(BODIES), p=[0.25, 0.25, 0.18, 0.15, 0.1, 0.07]))
        stage.add(build_car(name), across, z, yaw=yaw, palette=(paint,))
        size, height = (BODIES[name].width + 0.1, BODIES[name].length), BODIES[name].height
    elif kind == "bus":
        stage.add(build_bus(), across, z, yaw=yaw, palette=(livery, stage.pick(LIVERIES[street.style])))
        size, height = (2.5, 11.5), 3.0
    else:
        cab, load = build_truck(str(rng.choice(["box", "tipper", "tank"], p=[0.6, 0.2, 0.2])))
        palette = (paint, stage.pick((*CONTAINERS, livery)))
        reach = 3.2 * float(np.cos(yaw))
        stage.add(cab, across, z, yaw=yaw, palette=palette, key=z + reach)
        stage.add(load, across, z, yaw=yaw, palette=palette, key=z - reach * 0.3)
        size, height = (2.5, 8.7), 3.3
    stage.cast(across, z, size, (0.2, height), yaw, contact=True)


def add_tram(stage: Stage, lane: Lane, z: float) -> None:
    """A tram of two or three sections with its middle at z."""
    street, sections = stage.street, int(stage.rng.integers(2, 4))
    palette = (stage.pick(LIVERIES[street.style]), stage.pick(LIVERIES[street.style]))
    for k in range(sections):
        end = "front" if k == 0 else "rear" if k == sections - 1 else "middle"
        at = z - (k - (sections - 1) / 2) * SECTION * (1 if lane.ahead else -1)
        yaw = street.heading(at) + (0.0 if lane.ahead else np.pi)
        stage.add(build_tram(end), lane.across, at, yaw=yaw, palette=palette)
        stage.cast(lane.across, at, (2.4, SECTION), (0.3, 3.4), yaw, contact=True)


def fill_lane(stage: Stage, lane: Lane, first: list[str], start: float, gap: float) -> None:
    """Traffic from `start` on: what is named in `first`, then cars, about `gap` metres apart."""
    rng, z = stage.rng, start
    for kind in first + ["car"] * 20:
        if z > 110:
            return
        if kind in ("bicycle", "motorcycle"):
            across = lane.across + float(rng.uniform(-0.3, 0.9))
            add_cycle(stage, kind, across, z + 1, 0.0 if lane.ahead else np.pi, ridden=True)
        else:
            across = lane.across + float(rng.normal(0, 0.12))
            add_vehicle(stage, kind, Lane(across, lane.ahead), z + LENGTH[kind] / 2)
        z += LENGTH[kind] + 2.5 + float(rng.exponential(gap))


def share_out(stage: Stage) -> tuple[list[str], list[str], list[str]]:
    """Which of the rarer kinds come in our lane, towards us, and beside our lane."""
    shares: tuple[list[str], list[str], list[str]] = ([], [], [])
    if stage.street.featured in ODDS:
        shares[int(stage.chance(0.6))].append(stage.street.featured)
    for kind in stage.rng.permutation(list(ODDS)).tolist():
        if kind != stage.street.featured and stage.chance(ODDS[kind]):
            choice = int(stage.rng.choice(3, p=[0.28, 0.42, 0.30]))
            heavy = kind in ("bus", "truck")
            fits = stage.street.parking[1] > 0 and heavy or stage.street.lanes[1] > 1 and not stage.street.tracks
            shares[choice if choice < 2 or fits else 1].append(kind)
    return shares


def drive(stage: Stage) -> None:
    """All traffic; the camera is in the rightmost lane, trams run in the middle."""
    street, rng = stage.street, stage.rng
    own, oncoming, beside = share_out(stage)
    if own or stage.chance(0.75):
        start = rng.uniform(13, 26) if own and own[0] in ("bus", "truck") else rng.uniform(8, 30)
        fill_lane(stage, Lane(street.eye, True), own, float(start), 14)
    fill_lane(stage, Lane(-street.eye, False), oncoming, float(rng.uniform(6, 24)), 16)
    parked = [kind for kind in beside if kind in ("bus", "truck") and street.parking[1]]
    for lane in (Lane(-street.lane / 2, False), Lane(street.lane / 2, True)) if street.lanes[1] > 1 else ():
        certain = street.featured == "tram" and not lane.ahead
        if street.tracks and (stage.chance(0.64) or certain):
            add_tram(stage, lane, float(rng.uniform(25, 48)))
        elif stage.chance(0.6):
            passing = [kind for kind in beside if kind not in parked] if lane.ahead else []
            fill_lane(stage, lane, passing, float(rng.uniform(7, 35)), 22)
    for side in range(2):
        if street.parking[side]:
            park(stage, side, parked if side == 1 else [])
    if street.crossing and stage.chance(0.45):
        z = (street.crossing[0] + street.crossing[1]) / 2 + float(rng.choice([-2.0, 2.0]))
        turn = np.pi / 2 * float(rng.choice([-1, 1]))
        add_vehicle(stage, "car", Lane(float(rng.uniform(-8, 9)), True), z, turn)


def park(stage: Stage, side: int, first: list[str]) -> None:
    """Parked vehicles along one kerb: what is named in `first`, then cars with gaps between them."""
    street, rng = stage.street, stage.rng
    z, across = float(rng.uniform(2, 10)), (-1, 1)[side] * (street.edge(side) - 1.1)
    for kind in first + ["car"] * 20:
        middle = z + LENGTH[kind] / 2
        if z < 95 and not street.crosses(middle) and (kind != "car" or stage.chance(0.72)):
            add_vehicle(stage, kind, Lane(across, (side == 1) != stage.chance(0.1)), middle)
        z += LENGTH[kind] + float(rng.uniform(0.9, 2.0))
