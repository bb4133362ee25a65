"""Surfaces from noise: tileable textures of every material and the cut-outs that foliage is made of.

A texture is (TILE, TILE, 4) float32 in display values, row 0 at the bottom. Its alpha says how much of the face's own
colour multiplies it: 1 for a wall, 0 for the glass in it."""

from enum import IntEnum
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats: TypeAlias = NDArray[np.float32]
TILE = 256
SEED = 20  # of everything that all scenes share


class Material(IntEnum):
    """What a face is made of. Facades follow: see `facades.FACADES`."""

    (PLAIN, ASPHALT, CONCRETE, PAVING, COBBLES, GRASS, LINE, PLASTER, BRICK, STONE, PLANKS, TILES, METAL, PAINT,
     GLASS, CLOTH, LEAVES, NEEDLES, BARK, SNOW, SLUSH, RUBBER) = range(22)  # fmt: skip


REPEAT: dict[int, tuple[float, float]] = {
    Material.PLAIN: (0.7, 0.7), Material.ASPHALT: (0.27, 0.27), Material.CONCRETE: (0.25, 0.25),
    Material.PAVING: (0.5, 0.5), Material.COBBLES: (0.6, 0.6), Material.GRASS: (0.3, 0.3),
    Material.LINE: (0.8, 0.8), Material.PLASTER: (0.2, 0.2), Material.BRICK: (0.5, 0.5), Material.STONE: (0.4, 0.4),
    Material.PLANKS: (0.5, 0.5), Material.TILES: (0.4, 0.4), Material.METAL: (0.5, 0.5), Material.PAINT: (0.4, 0.4),
    Material.GLASS: (0.3, 0.4), Material.CLOTH: (1.5, 1.5), Material.LEAVES: (0.45, 0.45),
    Material.NEEDLES: (0.6, 0.6), Material.BARK: (1.0, 0.5), Material.SNOW: (0.2, 0.2), Material.SLUSH: (0.2, 0.2),
    Material.RUBBER: (1.5, 1.5),
}  # fmt: skip


def draw_noise(rng: np.random.Generator, slope: float, *, stretch: float = 1.0, size: int = TILE) -> Floats:
    """Tileable noise (size, size), mean 0 and deviation 1, with amplitude falling as frequency ** -slope.

    `stretch` above 1 draws it out upwards, below 1 sideways."""
    rows, columns = np.fft.fftfreq(size)[:, None] * stretch, np.fft.rfftfreq(size)[None] / stretch
    radius = np.hypot(rows, columns)
    radius[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * radius**-slope
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, (size, size))
    return np.asarray(noise / noise.std(), np.float32)


def draw_courses(rng: np.random.Generator, rows: int, columns: int, joint: int, vary: float) -> tuple[Floats, Floats]:
    """Blocks laid with staggered joints: their brightness (around 0, deviation `vary`) and the joints (1 inside)."""
    down, across = np.mgrid[0:TILE, 0:TILE]
    row = down * rows // TILE
    shifted = (across + (row % 2) * TILE // (2 * columns)) % TILE
    shade = rng.normal(0, vary, (rows, columns))[row, shifted * columns // TILE]
    seams = ((down * rows) % TILE < joint * rows) | ((shifted * columns) % TILE < joint * columns)
    return shade.astype(np.float32), seams.astype(np.float32)


COURSES = {  # rows and columns of blocks, width of a joint in pixels, variation of the blocks
    Material.PAVING: (4, 4, 3, 0.04), Material.COBBLES: (16, 12, 4, 0.08), Material.BRICK: (26, 8, 3, 0.09),
    Material.STONE: (6, 4, 4, 0.08), Material.TILES: (10, 12, 4, 0.07),
}  # fmt: skip
GROWN = {Material.LEAVES: (1.0, 0.2), Material.NEEDLES: (0.6, 0.2), Material.GRASS: (1.4, 0.1)}  # stretch, contrast
ROUGH = {  # fine and coarse variation
    Material.CONCRETE: (0.03, 0.05), Material.LINE: (0.05, 0.05),
    Material.PLASTER: (0.015, 0.045), Material.CLOTH: (0.09, 0.05), Material.SNOW: (0.02, 0.03),
    Material.SLUSH: (0.05, 0.05), Material.METAL: (0.02, 0.05), Material.RUBBER: (0.08, 0.02),
}  # fmt: skip


def draw_grey(material: Material, rng: np.random.Generator) -> Floats:
    """Brightness (TILE, TILE) of a material, around 0.85."""
    rough, fine, cloud = (draw_noise(rng, slope) for slope in (0.5, 0.1, 1.5))
    if material is Material.ASPHALT:
        grey = 0.84 + 0.07 * fine + 0.03 * rough + 0.05 * cloud + 0.12 * (fine > 2.2)
    elif material in COURSES:
        shade, seams = draw_courses(rng, *COURSES[material])
        grey = (0.86 + shade + 0.03 * fine + 0.03 * cloud) * (1 - 0.3 * seams)
    elif material in GROWN:
        stretch, contrast = GROWN[material]
        grey = 0.78 + contrast * draw_noise(rng, 0.7, stretch=stretch) + 0.05 * fine + 0.03 * cloud
    elif material is Material.BARK:
        grey = 0.75 + 0.16 * draw_noise(rng, 0.7, stretch=6.0)
    elif material is Material.PLANKS:
        board = np.arange(TILE) * 12
        grey = 0.84 + 0.05 * draw_noise(rng, 0.7, stretch=6.0) + rng.normal(0, 0.06, 12)[board // TILE]
        grey = grey * np.where(board % TILE < 30, 0.55, 1)
    else:
        small, large = ROUGH.get(material, (0.03, 0.02))
        grey = 0.88 + small * rough + large * cloud
    return np.asarray(grey, np.float32)


def draw_material(material: Material) -> Floats:
    """The texture (TILE, TILE, 4) of a material."""
    rng = np.random.default_rng([SEED, material])
    texture = np.ones((TILE, TILE, 4), np.float32)
    texture[..., :3] = draw_grey(material, rng)[..., None]
    height = np.linspace(0, 2.5, TILE, dtype=np.float32)[:, None, None]  # metres: REPEAT of PAINT and GLASS
    if material is Material.PAINT:  # a car mirrors the road below its shoulder and the sky above
        sky, shoulder = 1 / (1 + np.exp(-14 * (height - 0.72))), np.exp(-((9 * (height - 0.9)) ** 2))
        texture[..., :3] *= 0.72 + 0.25 * sky + 0.15 * shoulder
    elif material is Material.GLASS:
        texture[..., :3] *= 0.75 + 0.2 * (height % 1.25) + 0.1 * draw_noise(rng, 1.4, stretch=0.5)[..., None]
    elif material in (Material.GRASS, Material.LEAVES):
        hue = draw_noise(rng, 1.2)
        texture[..., 0] *= 1 + 0.07 * hue
        texture[..., 2] *= 1 - 0.08 * hue
    return np.clip(texture, 0, 1)


@cache
def draw_stamps() -> tuple[Image.Image, ...]:
    """Cut-outs (mode "1") of foliage: eight ragged clumps, then two hedges with a flat foot and two grass tufts."""
    down, across = np.mgrid[-1:1:96j, -1:1:96j]
    masks = []
    for index in range(12):
        rng = np.random.default_rng([SEED, 100, index])
        lumps, leaves = draw_noise(rng, 1.4, size=96), draw_noise(rng, 0.6, size=96)
        if index < 8:
            inside = 0.80 - np.hypot(across, down) + 0.16 * lumps + 0.12 * leaves
        elif index < 10:
            inside = np.minimum(0.78 - np.abs(across), 0.72 + down) + 0.06 * lumps + 0.06 * leaves
            inside[down > 0.8] = 1 - 1.05 * np.abs(across[down > 0.8])
        else:
            blades = draw_noise(rng, 0.4, stretch=8.0, size=96)
            inside = down * 0.9 + 0.1 - np.abs(across) ** 4 + 0.3 * blades
        masks.append(Image.fromarray((inside > 0).astype(np.uint8) * 255).convert("1"))
    return tuple(masks)
