"""Street furniture: lamps, signs, traffic lights, bollards, fences and walls."""

from functools import cache

import numpy as np

from recyclelora.scenes.mesh import Colour, Id, Mesh, Points, Sketch, box, disk
from recyclelora.scenes.textures import Material

STEEL: Colour = (0.55, 0.56, 0.57)
PAINTED: Colour = (0.34, 0.38, 0.37)
PIECE = 5.0  # metres of fence in one mesh
BACK: Colour = (0.55, 0.56, 0.57)
WHITE: Colour = (0.95, 0.95, 0.93)
SIGNS = ("limit", "stop", "yield", "blue", "warning", "parking", "street", "priority")


def add_post(sketch: Sketch, height: float, width: float, colour: Colour, *, x: float = 0.0) -> None:
    """An upright pole, with the shade that makes it look round."""
    sketch.quad((x - width / 2, x + width / 2), (0, height), 0, Id.POLE, colour, Material.METAL, cap=0)
    dark: Colour = (colour[0] * 0.65, colour[1] * 0.65, colour[2] * 0.65)
    sketch.quad((x + width * 0.1, x + width / 2), (0, height), 0, Id.POLE, dark, Material.METAL, cap=0)


@cache
def build_lamp(style: str, side: int) -> Mesh:
    """A street lamp 7.5 m high whose arm reaches 1.8 m to `side`; its head is where `Scene.lamps` says."""
    sketch = Sketch()
    colour = PAINTED if style == "home" else STEEL
    add_post(sketch, 7.4, 0.16, colour)
    sketch.quad((-0.13, 0.13), (0, 1.0), 0, Id.POLE, colour, Material.METAL, cap=0)
    tip = side * 1.8
    sketch.face([(0, 7.1, 0), (tip, 7.5, 0), (tip, 7.6, 0), (0, 7.25, 0)], Id.POLE, colour, Material.METAL, cap=0.3)
    head = [(tip - 0.4, 7.42, 0), (tip + 0.4, 7.42, 0), (tip + 0.3, 7.62, 0), (tip - 0.3, 7.62, 0)]
    sketch.face(head, Id.POLE, colour, Material.METAL, cap=0.3)
    sketch.quad((tip - 0.32, tip + 0.32), (7.36, 7.45), 0, Id.POLE, (0.9, 0.9, 0.85), glow=(14, 10, 5.5), cap=0)
    return sketch.mesh()


def add_lights(sketch: Sketch, x: float, y: float, z: float, state: int, *, back: bool) -> None:
    """A signal head around (x, y), with the lamp `state` lit (0 red, 1 amber, 2 green), or its back."""
    light = int(Id.LIGHT)
    sketch.quad((x - 0.24, x + 0.24), (y - 0.62, y + 0.62), z, light, (0.12, 0.14, 0.13), Material.METAL, cap=0)
    sketch.quad((x - 0.17, x + 0.17), (y - 0.55, y + 0.55), z, light, (0.06, 0.07, 0.07), cap=0)
    if back:
        return
    lamps: tuple[Colour, ...] = ((1.0, 0.12, 0.08), (1.0, 0.65, 0.1), (0.15, 0.95, 0.5))
    for k, (red, green, blue) in enumerate(lamps):
        lit = k == state
        dim = 1.0 if lit else 0.22
        glow: Colour = (red * red * 3, green * green * 3, blue * blue * 3) if lit else (0, 0, 0)
        colour: Colour = (red * dim, green * dim, blue * dim)
        sketch.face(disk(0.125, 10, x=x, y=y + 0.36 - 0.36 * k, z=z), light, colour, glow=glow, cap=0)


@cache
def build_traffic_light(arm: int, state: int, back: bool) -> Mesh:
    """A traffic light on its post; `arm` -1 or 1 adds a second one above the road on that side."""
    sketch = Sketch()
    add_post(sketch, 5.6 if arm else 3.3, 0.18 if arm else 0.13, PAINTED)
    add_lights(sketch, 0.0 if not arm else -0.2 * arm, 2.75, 0.0, state, back=back)
    if arm:
        beam = [(0, 5.3, 0), (arm * 4.2, 5.5, 0), (arm * 4.2, 5.6, 0), (0, 5.5, 0)]
        sketch.face(beam, Id.POLE, PAINTED, Material.METAL, cap=0.3)
        add_lights(sketch, arm * 4.0, 5.25, 0.0, state, back=back)
    return sketch.mesh()


def regular(corners: int, radius: float, y: float, turn: float = 0.0) -> list[tuple[float, float, float]]:
    angles = np.arange(corners) * 2 * np.pi / corners + turn
    return [(radius * float(np.sin(a)), y + radius * float(np.cos(a)), 0.0) for a in angles]


def add_plate(sketch: Sketch, kind: str, y: float) -> None:
    """The face of a sign, 0.7 to 0.8 m, centred `y` above the ground."""
    sign = int(Id.SIGN)
    red, white, blue = (0.82, 0.10, 0.10), WHITE, (0.10, 0.28, 0.68)

    def add(points: Points, colour: Colour) -> None:
        sketch.face(points, sign, colour, cap=0)

    def bar(x0: float, x1: float, y0: float, y1: float, colour: Colour) -> None:
        sketch.quad((x0, x1), (y + y0, y + y1), 0, sign, colour, cap=0)

    if kind == "limit":
        add(regular(18, 0.40, y), red)
        add(regular(18, 0.30, y), white)
        bar(-0.17, -0.03, -0.14, 0.15, (0.1, 0.1, 0.1))
        bar(0.04, 0.18, -0.14, 0.15, (0.1, 0.1, 0.1))
        bar(0.08, 0.14, -0.08, 0.09, white)
    elif kind == "stop":
        add(regular(8, 0.42, y, np.pi / 8), white)
        add(regular(8, 0.38, y, np.pi / 8), red)
        bar(-0.27, 0.27, -0.08, 0.09, white)
        for x in (-0.15, 0.0, 0.15):
            bar(x - 0.02, x + 0.02, -0.08, 0.09, red)
    elif kind in ("yield", "warning"):
        turn = np.pi if kind == "yield" else 0.0
        add(regular(3, 0.48, y, turn), red)
        add(regular(3, 0.32, y, turn), white)
        if kind == "warning":
            bar(-0.03, 0.03, -0.1, 0.14, (0.08, 0.08, 0.08))
    elif kind == "blue":
        add(regular(18, 0.38, y), white)
        add(regular(18, 0.35, y), blue)
        bar(-0.06, 0.06, -0.22, 0.03, white)
        add([(0.16, y + 0.02, 0), (0, y + 0.24, 0), (-0.16, y + 0.02, 0)], white)
    elif kind == "parking":
        bar(-0.36, 0.36, -0.36, 0.36, white)
        bar(-0.33, 0.33, -0.33, 0.33, blue)
        bar(-0.14, -0.05, -0.22, 0.24, white)
        bar(-0.14, 0.14, 0.0, 0.24, white)
        bar(-0.04, 0.06, 0.07, 0.17, blue)
    elif kind == "priority":
        add(regular(4, 0.46, y), white)
        add(regular(4, 0.34, y), (0.95, 0.78, 0.10))
    else:
        bar(-0.75, 0.75, -0.26, 0.26, white)
        bar(-0.72, 0.72, -0.23, 0.23, (0.08, 0.35, 0.24))
        for row in (-0.13, 0.07):
            bar(-0.6, 0.3 + row, row, row + 0.09, white)
        add([(0.45, y - 0.1, 0), (0.62, y, 0), (0.45, y + 0.1, 0)], white)


@cache
def build_sign(kind: str, second: str, back: bool) -> Mesh:
    """A sign on its post, with a `second` one below it ("" for none), or both from the back."""
    sketch = Sketch()
    add_post(sketch, 2.95, 0.08, STEEL)
    for name, y in ((kind, 2.55), (second, 1.72)):
        if name and back:
            sketch.face(regular(14, 0.36, y), Id.SIGN, BACK, Material.METAL, cap=0)
        elif name:
            add_plate(sketch, name, y)
    return sketch.mesh()


@cache
def build_gantry(span: float) -> Mesh:
    """A direction sign over the road from posts `span` apart."""
    sketch = Sketch()
    for x in (-span / 2, span / 2):
        add_post(sketch, 6.9, 0.3, STEEL, x=x)
    sketch.quad((-span / 2, span / 2), (6.2, 6.5), 0, Id.POLE, STEEL, Material.METAL, cap=0.2)
    for x in (-span * 0.22, span * 0.24):
        rows = [(x - 1.5, x + 0.5 - 0.5 * row, 6.55 - 0.45 * row, 6.75 - 0.45 * row) for row in range(3)]
        for x0, x1, y0, y1, colour in (
            (x - 1.9, x + 1.9, 5.3, 7.1, WHITE),
            (x - 1.83, x + 1.83, 5.37, 7.03, (0.10, 0.30, 0.62)),
            (x + 1.2, x + 1.32, 5.6, 6.3, WHITE),
            *((*row, WHITE) for row in rows),
        ):
            sketch.quad((x0, x1), (y0, y1), 0, Id.SIGN, colour, cap=0)
        sketch.face([(x + 1.5, 6.3, 0), (x + 1.26, 6.7, 0), (x + 1.02, 6.3, 0)], Id.SIGN, WHITE, cap=0)
    return sketch.mesh()


@cache
def build_bollard() -> Mesh:
    sketch = Sketch()
    add_post(sketch, 0.95, 0.13, PAINTED)
    sketch.quad((-0.065, 0.065), (0.7, 0.82), 0, Id.POLE, (0.9, 0.9, 0.88), cap=0)
    return sketch.mesh()


@cache
def build_fence(kind: str, fine: bool) -> Mesh:
    """A piece of fence, 1 m along +z: "planks", "rails" (bars on a plinth) or "mesh"; few bars unless `fine`. It is
    stretched to PIECE metres. Slot 0 paints it; what is seen between the bars is labelled fence too."""
    sketch, high = Sketch(), {"planks": 1.6, "rails": 1.3, "mesh": 1.9}[kind]

    def panel(a: float, b: float, low: float, top: float, tone: float, material: int = Material.PLAIN) -> None:
        corners = [(0, low, a), (0, low, b), (0, top, b), (0, top, a)]
        sketch.face(corners, Id.FENCE, (tone, tone, tone), material, slot=0, cap=0)

    if kind == "planks":
        panel(0, 1, 0.05, 1.55, 1, Material.PLANKS)
        panel(0, 1, 1.5, 1.6, 0.8, Material.PLANKS)
    else:
        sketch.face([(0, 0, 0), (0, 0, 1), (0, high, 1), (0, high, 0)], Id.FENCE, veil=True)
        base = 0.35 if kind == "rails" else 0.12
        plinth = [(0, 0, 0), (0, 0, 1), (0, base, 1), (0, base, 0)]
        sketch.face(plinth, Id.FENCE, (0.6, 0.59, 0.56), Material.CONCRETE, cap=0)
        for y in (0.42, high - 0.06) if kind == "rails" else np.linspace(0.42, high - 0.06, 5 if fine else 3).tolist():
            panel(0, 1, y, y + 0.05, 1, Material.METAL)
        count, wide = (30, 0.045) if fine else (11, 0.08)
        for k in range(count):
            panel(k / count, k / count + wide / PIECE, base, high, 1)
    for k in range(2):
        panel(0.5 * k, 0.5 * k + 0.1 / PIECE, 0, high + 0.1, 0.7)
    return sketch.mesh()


def add_wall(
    sketch: Sketch, x: tuple[float, float], z: tuple[float, float], height: float, colour: Colour, material: int
) -> None:
    """A free-standing wall with a coping."""
    box(sketch, x, (0, height), z, Id.WALL, colour, material)
    box(sketch, (x[0] - 0.05, x[1] + 0.05), (height, height + 0.1), z, Id.WALL, (0.72, 0.71, 0.69), Material.CONCRETE)
