"""Trees, bushes, hedges and grass, from ragged cut-outs. Palette slot 0 is the colour of the leaves.

Every plant comes in two versions: what is `far` is made of fewer and larger clumps."""

from functools import cache
from typing import NamedTuple

import numpy as np

from recyclelora.scenes.mesh import Colour, Id, Mesh, Sketch, add_limb
from recyclelora.scenes.textures import SEED, Material

VARIANTS = 6
LEAVES: dict[str, tuple[Colour, ...]] = {
    "home": ((0.38, 0.50, 0.20), (0.30, 0.44, 0.18), (0.46, 0.54, 0.22), (0.26, 0.38, 0.20)),
    "city": ((0.46, 0.52, 0.28), (0.58, 0.52, 0.22), (0.36, 0.42, 0.26), (0.62, 0.42, 0.20)),
}
TRUNK = {"broad": 2.6, "slim": 2.2, "cone": 0.6, "palm": 6.6}  # metres below the crown
BARK: Colour = (0.52, 0.45, 0.38)
SHADED: Colour = (0.36, 0.32, 0.27)
BRANCH: Colour = (0.3, 0.3, 0.3)


class Clump(NamedTuple):
    """A patch of leaves: its middle, its size, and how bright it is."""

    x: float
    y: float
    radius: float
    tone: float


def add_clump(sketch: Sketch, clump: Clump, material: int, stamp: int, cap: float) -> None:
    """Draws leaves; `cap` is the share that snow covers."""
    x0, x1, y0, y1 = clump.x - clump.radius, clump.x + clump.radius, clump.y - clump.radius, clump.y + clump.radius
    corners = [(x0, y0, 0.0), (x1, y0, 0.0), (x1, y1, 0.0), (x0, y1, 0.0)]
    tone = clump.tone
    sketch.face(corners, Id.VEGETATION, (tone, tone, tone), material, slot=0, stamp=stamp, cap=cap)


def draw_crown(rng: np.random.Generator, slim: bool, lean: float, trunk: float, far: bool) -> list[Clump]:
    """A round crown: dark clumps behind, then brighter ones upwards."""
    spread, low, high = (1.25, trunk + 0.2, 8.4) if slim else (2.3, trunk + 0.5, 7.4)
    back, count, size = (3, 8, 1.35) if far else (8, 26, 1.0)
    clumps = []
    for k in range(count):
        angle, reach = float(rng.uniform(0, 2 * np.pi)), float(np.sqrt(rng.uniform(0.05, 1)))
        x, up = lean + spread * 0.8 * reach * float(np.cos(angle)), reach * float(np.sin(angle))
        radius = float(rng.uniform(0.75, 1.25)) * size * (1.15 if k < back else 0.8)
        tone = (0.80 + 0.26 * up) * (0.66 if k < back else 1.0)
        clumps.append(Clump(x, (low + high) / 2 + (high - low) * 0.4 * up, radius, tone))
    return clumps[:back] + sorted(clumps[back:], key=lambda clump: clump.y)


def draw_cone(rng: np.random.Generator, far: bool) -> list[Clump]:
    """A conifer's tiers, from the lowest."""
    clumps = []
    for k in range(0, 12, 2 if far else 1):
        x, y, wide = float(rng.normal(0, 0.12)), 0.9 + 0.56 * k, 1.75 * (1 - k / 15)
        for side in (0,) if far else (-1, 1, 0):
            clumps.append(Clump(x + side * wide * 0.45, y, wide * (0.9 if far else 0.6), 0.5 + 0.07 * y))
    return clumps


def draw_fronds(rng: np.random.Generator, lean: float, trunk: float, far: bool) -> list[Clump]:
    """A palm's leaves, which rise and fall."""
    clumps = []
    for angle in np.linspace(-0.6, np.pi + 0.6, 11).tolist():
        reach, sine, cosine = float(rng.uniform(1.7, 2.3)), float(np.sin(angle)), float(np.cos(angle))
        for step in np.linspace(0.2, 1, 2 if far else 5).tolist():
            y = trunk + reach * (step * sine - 0.7 * step**2)
            clumps.append(Clump(lean + reach * step * cosine, y, 0.7 if far else 0.42, 0.7 + 0.3 * sine))
    return clumps


def add_trunk(sketch: Sketch, lean: float, top: float) -> None:
    """A trunk, and its shaded side."""
    for x, width, colour in ((0.0, 0.34, BARK), (0.08, 0.12, SHADED)):
        low, high = x * 0.6 + lean - width / 3, x * 0.6 + lean + width / 3
        corners = [(x - width / 2, 0, 0), (x + width / 2, 0, 0), (high, top, 0), (low, top, 0)]
        sketch.face(corners, Id.VEGETATION, colour, Material.BARK, cap=0)


@cache
def build_tree(species: str, variant: int, far: bool) -> Mesh:
    """A tree of about 8 m: "broad" crown, "slim" one, "cone" or "palm"."""
    rng = np.random.default_rng([SEED, 400, variant, len(species)])
    sketch, lean, trunk = Sketch(), float(rng.normal(0, 0.12)), TRUNK[species]
    add_trunk(sketch, lean, trunk if species == "palm" else trunk + 1.5)
    if species == "palm":
        clumps = draw_fronds(rng, lean, trunk, far)
    elif species == "cone":
        clumps = draw_cone(rng, far)
    else:
        clumps = draw_crown(rng, species == "slim", lean, trunk, far)
        for side in (-1.0, 1.0, 0.3):
            end = (lean + side * (0.75 if species == "slim" else 1.4), trunk + 2.5, 0.0)
            add_limb(sketch, (lean, trunk + 0.2, 0.0), end, (0.16, 0.07), Id.VEGETATION, -1, BRANCH)
    material = Material.NEEDLES if species in ("cone", "palm") else Material.LEAVES
    for clump in clumps:
        tone = float(np.clip(clump.tone + rng.normal(0, 0.05), 0.35, 1.15))
        cap = float(np.clip((clump.tone - 0.66) * 2.4, 0, 0.85))
        add_clump(sketch, clump._replace(tone=tone), material, int(rng.integers(8)), cap)
    return sketch.mesh()


@cache
def build_bush(variant: int, far: bool) -> Mesh:
    """A bush, 1.4 m wide and 1.1 m high."""
    rng = np.random.default_rng([SEED, 500, variant])
    sketch = Sketch()
    for k in range(1, 7, 2) if far else range(7):
        clump = Clump(float(rng.uniform(-0.45, 0.45)), 0.2 + 0.09 * k, 0.55 if far else 0.42, 0.55 + 0.07 * k)
        add_clump(sketch, clump, Material.LEAVES, int(rng.integers(8)), 0.1 * k)
    return sketch.mesh()


@cache
def build_tuft(variant: int) -> Mesh:
    """High grass, 0.9 m wide; terrain."""
    sketch = Sketch()
    corners = [(-0.45, -0.02, 0.0), (0.45, -0.02, 0.0), (0.45, 0.32, 0.0), (-0.45, 0.32, 0.0)]
    sketch.face(corners, Id.TERRAIN, (1, 1, 1), Material.GRASS, slot=0, stamp=10 + variant % 2, cap=0.4)
    return sketch.mesh()
