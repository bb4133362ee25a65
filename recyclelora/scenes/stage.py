"""Objects in the order in which they are drawn: each with its distance and its shadow."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

from recyclelora.scenes.mesh import Colour, Mesh, Placement
from recyclelora.scenes.street import Street

Spot: TypeAlias = tuple[float, float, float]
SHADOWS = 70.0  # metres: farther shadows are too thin to see
Choice = TypeVar("Choice")


class Caster(NamedTuple):
    """What throws a shadow: an upright prism over an outline of ground points (n, 2: x, z), from y0 to y1."""

    outline: tuple[tuple[float, float], ...]
    y0: float
    y1: float
    contact: bool  # also darkens the ground it touches


class Stage:
    """A street being filled: what stands on it, what throws shadows, and the heads of its lamps."""

    def __init__(self, street: Street, rng: np.random.Generator) -> None:
        self.street, self.rng = street, rng
        self.things: list[tuple[float, Placement]] = []
        self.casters: list[Caster] = []
        self.lamps: list[Spot] = []

    def add(
        self, mesh: Mesh, across: float, z: float, *, y: float = 0.0, yaw: float = 0.0, scale: float = 1.0,
        palette: tuple[Colour, ...] = (), key: float | None = None,
    ) -> None:  # fmt: skip
        """Puts a thing on the street; `key` is its distance in the drawing order, z unless it is given."""
        x = self.street.x(across, z)
        if z > 0.5 and abs(x) < 14 + z:  # no camera sees the rest
            self.things.append((z if key is None else key, Placement(mesh, x, z, y, yaw, scale, palette)))

    def add_fixed(self, mesh: Mesh, key: float) -> None:
        """Puts a thing whose mesh is in world coordinates already."""
        if key > 0.5:
            self.things.append((key, Placement(mesh)))

    def cast(
        self, across: float, z: float, size: tuple[float, float], y: tuple[float, float], yaw: float = 0.0,
        contact: bool = False,
    ) -> None:  # fmt: skip
        """Adds the shadow of a box of `size` (width, length) between two heights `y`."""
        if z > SHADOWS:
            return
        x, sine, cosine = self.street.x(across, z), float(np.sin(yaw)), float(np.cos(yaw))
        wide, long = size[0] / 2, size[1] / 2
        ax, az, bx, bz = cosine * wide, -sine * wide, sine * long, cosine * long
        left = (x - ax - bx, z - az - bz), (x - ax + bx, z - az + bz)
        right = (x + ax + bx, z + az + bz), (x + ax - bx, z + az - bz)
        self.casters.append(Caster(left + right, y[0], y[1], contact))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence[Choice]) -> Choice:
        return options[int(self.rng.integers(len(options)))]
