"""Cars. Palette slot 0 is their paint."""

from functools import cache
from typing import NamedTuple

from recyclelora.scenes.mesh import Colour, Id, Mesh, Point, Sketch
from recyclelora.scenes.panels import DARK, GLASS, PAINT, WHITE, add_end, add_lamps, add_side, add_wheel, frame
from recyclelora.scenes.textures import Material


class Body(NamedTuple):
    """The outline of a car seen from its side, in metres."""

    length: float
    width: float
    height: float
    belt: float  # where the windows begin
    hood: float  # length of what is before the windscreen
    rake: float  # run of the windscreen
    trunk: float  # length of what is behind the rear window
    back: float  # run of the rear window
    wheel: float = 0.32  # radius

    @property
    def front(self) -> float:
        return self.length / 2

    @property
    def half(self) -> float:
        return self.width / 2

    @property
    def roof_half(self) -> float:
        return self.half - 0.13

    @property
    def nose(self) -> float:
        return self.belt - 0.22

    @property
    def cabin(self) -> tuple[float, float, float, float]:
        """Where (z) windscreen, roof, rear window and trunk begin."""
        screen, deck = self.front - self.hood, -self.front + self.trunk
        return screen, screen - self.rake, deck + self.back, deck


BODIES = {
    "sedan": Body(4.5, 1.80, 1.45, 0.95, 1.25, 0.85, 0.65, 0.75),
    "hatch": Body(3.9, 1.72, 1.50, 0.95, 0.95, 0.85, 0.10, 0.55),
    "wagon": Body(4.7, 1.82, 1.50, 0.97, 1.20, 0.85, 0.10, 0.65),
    "suv": Body(4.6, 1.90, 1.75, 1.10, 1.15, 0.70, 0.08, 0.35, 0.37),
    "mini": Body(3.5, 1.62, 1.52, 0.95, 0.75, 0.75, 0.06, 0.35, 0.30),
    "van": Body(5.2, 2.00, 2.30, 1.25, 0.70, 0.85, 0.03, 0.12, 0.35),
}


@cache
def build_car(kind: str) -> Mesh:
    """A car of one of the BODIES."""
    body, sketch = BODIES[kind], Sketch()
    add_shell(sketch, body)
    add_cabin(sketch, body)
    add_flanks(sketch, body)
    add_ends(sketch, body)
    return sketch.mesh()


def add_shell(sketch: Sketch, body: Body) -> None:
    """What goes across the car, from bumper over roof to bumper."""
    half, front, belt, top, nose = body.half, body.front, body.belt, body.height, body.nose
    screen, roof_front, roof_rear, deck = body.cabin
    strips: list[tuple[float, float, float, Colour | None]] = [  # z, y, half width, what begins here (None: paint)
        (front - 0.05, 0.22, half - 0.08, DARK),
        (front, 0.48, half - 0.04, None),
        (front - 0.08, nose, half - 0.06, None),
        (screen, belt, half - 0.05, GLASS),
        (roof_front, top - 0.03, body.roof_half, None),
        (roof_rear, top, body.roof_half, GLASS),
        (deck, belt, half - 0.05, None),
        (-front + 0.04, belt - 0.03, half - 0.06, None),
        (-front, 0.50, half - 0.04, DARK),
        (-front + 0.05, 0.24, half - 0.08, DARK),
    ]
    for (z0, y0, w0, colour), (z1, y1, w1, _) in zip(strips, strips[1:], strict=False):
        ahead = 1 if z0 > 0 else -1
        out: Point = (0, 0, ahead) if abs(z0 - z1) < 0.2 else (0, 1, 0.3 * ahead)
        corners = [(-w0, y0, z0), (w0, y0, z0), (w1, y1, z1), (-w1, y1, z1)]
        sketch.face(corners, Id.CAR, colour or PAINT, Material.PAINT, slot=-1 if colour else 0, out=out)


def add_cabin(sketch: Sketch, body: Body) -> None:
    """The cabin's sides, their windows, and the pillars beside windscreen and rear window."""
    half, roof_half, top, belt = body.half - 0.01, body.roof_half, body.height, body.belt
    screen, roof_front, roof_rear, deck = body.cabin
    high, lower, slide, middle = top - 0.12, belt + 0.05, half - 0.105, (screen + deck) / 2 - 0.1
    panes = [
        [(screen - 0.28, lower), (roof_front - 0.06, high), (middle + 0.05, high), (middle + 0.05, lower)],
        [(middle - 0.05, lower), (middle - 0.05, high), (roof_rear + 0.1, high), (deck + 0.32, lower)],
    ]
    if body is BODIES["van"]:
        panes.pop()
    for side in (-1, 1):
        out: Point = (side, 0.2, 0)
        upper = [(roof_half, top - 0.03, roof_front), (roof_half, top, roof_rear)]
        wall = [(half, belt, screen), *upper, (half, belt, deck)]
        sketch.face([(side * x, y, z) for x, y, z in wall], Id.CAR, PAINT, Material.PAINT, slot=0, out=out)
        for pane in panes:
            corners = [(side * (half if y == lower else slide), y, z) for z, y in pane]
            sketch.face(corners, Id.CAR, GLASS, Material.GLASS, out=out)
        for low_z, high_z, roof in ((screen, roof_front, top - 0.03), (deck, roof_rear, top)):
            low_x, high_x = (half, half - 0.12), (roof_half - 0.1, roof_half)
            corners = [(side * x, belt, low_z) for x in low_x] + [(side * x, roof, high_z) for x in high_x]
            out = (0, 1, 0.5 if low_z > high_z else -0.5)
            sketch.face(corners, Id.CAR, (0.85, 0.85, 0.85), Material.PAINT, slot=0, out=out)


def add_flanks(sketch: Sketch, body: Body) -> None:
    """The sides below the windows: doors and wheels."""
    front, belt, car = body.front, body.belt, Id.CAR
    screen, _, _, deck = body.cabin
    lower = [(front - 0.05, 0.22), (front, 0.48), (front - 0.08, body.nose), (screen, belt), (deck, belt),
             (-front + 0.04, belt - 0.03), (-front, 0.5), (-front + 0.05, 0.24)]  # fmt: skip
    for x in (-body.half, body.half):
        add_side(sketch, x, lower, car, PAINT, Material.PAINT, slot=0)
        add_side(sketch, x, frame(-front + 0.1, front - 0.1, 0.2, 0.34), car, DARK)
        for z in (screen - 0.15, (screen + deck) / 2 - 0.25):
            add_side(sketch, x, frame(z, z + 0.02, 0.36, belt), car, (0.45, 0.45, 0.45), slot=0)
            add_side(sketch, x, frame(z - 0.85, z - 0.65, belt - 0.14, belt - 0.1), car, (0.5, 0.5, 0.5), slot=0)
        for z in (front - 0.78, -front + 0.78):
            add_wheel(sketch, x * 1.005, z, body.wheel, car)


def add_ends(sketch: Sketch, body: Body) -> None:
    """Lamps, grille, bumper and number plates."""
    half, front, nose, car = body.half, body.front, body.nose, Id.CAR
    add_lamps(sketch, (half * 0.58, half * 0.95), (nose - 0.14, nose), front + 0.01, car)
    add_end(sketch, (-half * 0.5, half * 0.5), (nose - 0.16, nose - 0.03), front + 0.01, car, DARK)
    add_end(sketch, (-0.26, 0.26), (0.40, 0.51), front + 0.02, car, WHITE)
    low, tall = (body.belt - 0.30, 0.16) if body.trunk > 0.3 else (body.belt - 0.22, 0.26)
    add_lamps(sketch, (half * 0.62, half * 0.96), (low, low + tall), -front - 0.01, car)
    add_end(sketch, (-0.26, 0.26), (low - 0.02, low + 0.10), -front - 0.02, car, WHITE)
    add_end(sketch, (-half * 0.93, half * 0.93), (0.26, 0.42), -front - 0.01, car, DARK)
