"""The cross-section and the course of a street. Positions across it are in metres from its middle, to the right."""

from typing import NamedTuple

import numpy as np

FAR = 170.0  # metres: where the street ends
KERB = 0.13
FEATURED = ("bus", "truck", "tram", "motorcycle", "bicycle")  # one of these is on every street


class Street(NamedTuple):
    """A street of one city. Pairs are (left, right); traffic keeps to the right."""

    style: str  # "home" or "city"
    kind: str  # "shops", "houses", "works" or "park": what stands along it
    curve: float  # the middle runs at curve * z ** 2
    lane: float
    lanes: tuple[int, int]
    parking: tuple[float, float]  # width, 0 for none
    verge: tuple[float, float]
    walk: tuple[float, float]
    yard: tuple[float, float]
    crossing: tuple[float, float] | None  # another street, from z to z
    tracks: bool  # trams run in the lanes next to the middle
    featured: str  # which of FEATURED is there for certain

    def edge(self, side: int) -> float:
        """Distance from the middle to the kerb; `side` is 0 left, 1 right."""
        return self.lanes[side] * self.lane + self.parking[side]

    def front(self, side: int) -> float:
        """Distance from the middle to where lots begin."""
        return self.edge(side) + self.verge[side] + self.walk[side]

    @property
    def eye(self) -> float:
        """The middle of the lane the camera drives in: the rightmost."""
        return (self.lanes[1] - 0.5) * self.lane

    def crosses(self, z: float) -> bool:
        """Whether the crossing street or its pavements pass at z."""
        return self.crossing is not None and self.crossing[0] - 2.5 < z < self.crossing[1] + 2.5

    def x(self, across: float, z: float) -> float:
        return across + self.curve * z * z

    def heading(self, z: float) -> float:
        """Direction of the street at z, radians to the right."""
        return float(np.arctan(2 * self.curve * z))


def sample_street(rng: np.random.Generator, style: str, featured: str) -> Street:
    kind = str(rng.choice(["shops", "houses", "works", "park"], p=[0.48, 0.26, 0.14, 0.12]))
    shops, tracks = kind == "shops", bool(rng.random() < 0.28) or featured == "tram"
    lanes = 2 if tracks or rng.random() < (0.22 if style == "home" else 0.6) else 1
    start = float(rng.uniform(16, 48))

    def draw(odds: float, low: float, high: float) -> tuple[float, float]:
        """A width for each side, or 0."""
        left, right = (float(rng.uniform(low, high)) if rng.random() < odds else 0.0 for _ in range(2))
        return left, right

    return Street(
        style=style,
        kind=kind,
        curve=float(rng.normal(0, 0.00045)),
        lane=float(rng.uniform(3.0, 3.5)),
        lanes=(lanes, lanes),
        parking=draw(0.5, 2.2, 2.4),
        verge=draw(0.22 if shops else 0.5, 1.3, 2.4),
        walk=draw(1.0, 3.0, 5.0) if shops else draw(1.0, 2.0, 3.4),
        yard=(0.0, 0.0) if shops else draw(1.0, 1.5, 4.5),
        crossing=(start, start + float(rng.uniform(8, 13))) if rng.random() < 0.5 else None,
        tracks=tracks,
        featured=featured,
    )
