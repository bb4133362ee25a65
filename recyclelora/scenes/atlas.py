"""Every texture at every size in one array, so that a picture is textured by one lookup."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recyclelora.scenes.facades import draw_facades
from recyclelora.scenes.textures import TILE, Floats, Material, draw_material

LEVELS = TILE.bit_length()  # TILE, TILE / 2, ..., 1


class Atlas(NamedTuple):
    """Texel (v, u) of texture m at level l is entry starts[l] + (m << 2 * bits(l)) + (v << bits(l)) + u of the arrays,
    with bits(l) = LEVELS - 1 - l: `colour` packs four bytes, `lit` holds what lit windows give off."""

    colour: NDArray[np.uint32]
    lit: NDArray[np.uint8]
    starts: NDArray[np.int32]


def halve(textures: Floats) -> Floats:
    """Means over 2 x 2 pixels of textures (n, h, w, ...)."""
    top, bottom = textures[:, ::2], textures[:, 1::2]
    return np.asarray((top[:, :, ::2] + top[:, :, 1::2] + bottom[:, :, ::2] + bottom[:, :, 1::2]) / 4, np.float32)


@cache
def build_atlas() -> Atlas:
    """Draws all materials and facades, about a second, once a process."""
    plain = [(draw_material(material), np.zeros((TILE, TILE), np.uint8)) for material in Material]
    textures = plain + list(draw_facades())
    colour = np.stack([texture for texture, _ in textures])
    lit = np.stack([mask for _, mask in textures]).astype(np.float32)
    colours, lights, starts, start = [], [], [], 0
    for _ in range(LEVELS):
        packed = np.ascontiguousarray(np.rint(colour * 255).astype(np.uint8)).view(np.uint32)
        colours.append(packed.ravel())
        lights.append(lit.ravel().astype(np.uint8))
        starts.append(start)
        start += lit.size
        if lit.shape[1] > 1:
            colour, lit = halve(colour), halve(lit)
    return Atlas(np.concatenate(colours), np.concatenate(lights), np.array(starts, np.int32))
