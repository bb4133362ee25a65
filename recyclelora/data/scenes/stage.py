"""Where things are put before they are drawn: each with its distance, which orders them, and its shadow."""

from typing import NamedTuple, TypeAlias

import numpy as np

from .mesh import Colour, Mesh, Placement
from .street import Street

Spot: TypeAlias = tuple[float, float, float]


class Caster(NamedTuple):
    """What throws a shadow: an upright prism over an outline of ground points (n, 2: x, z), from y0 to y1."""

    outline: tuple[tuple[float, float], ...]
    y0: float
    y1: float
    contact: bool  # also darkens the ground it touches


class Stage:
    """Collects things with the distance that orders them."""

    def __init__(self, street: Street, rng: np.random.Generator) -> None:
        self.street, self.rng = street, rng
        self.things: list[tuple[float, Placement]] = []
        self.casters: list[Caster] = []
        self.lamps: list[Spot] = []

    def add(self, mesh: Mesh, across: float, z: float, *, y: float = 0.0, yaw: float = 0.0, scale: float = 1.0,
            palette: tuple[Colour, ...] = (), key: float | None = None) -> None:  # fmt: skip
        """A thing at a place along the street; `key` is its distance for the drawing order."""
        x = self.street.x(across, z)
        if z > 0.5 and abs(x) < 14 + z:  # beyond that no camera sees it
            self.things.append((z if key is None else key, Placement(mesh, x, z, y, yaw, scale, palette)))

    def add_fixed(self, mesh: Mesh, key: float) -> None:
        """A thing whose mesh is in world coordinates already."""
        if key > 0.5:
            self.things.append((key, Placement(mesh)))

    def cast(self, across: float, z: float, size: tuple[float, float], y: tuple[float, float], yaw: float = 0.0,
             contact: bool = False) -> None:  # fmt: skip
        """A shadow of a box of `size` (width, length), or of a pole or crown."""
        x, (width, length) = self.street.x(across, z), size
        sine, cosine = float(np.sin(yaw)), float(np.cos(yaw))
        ax, az, bx, bz = cosine * width / 2, -sine * width / 2, sine * length / 2, cosine * length / 2
        outline = ((x - ax - bx, z - az - bz), (x + ax - bx, z + az - bz), (x + ax + bx, z + az + bz), (x - ax + bx, z - az + bz))
        self.casters.append(Caster(outline, y[0], y[1], contact))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, options: tuple[Colour, ...]) -> Colour:
        return options[int(self.rng.integers(len(options)))]
