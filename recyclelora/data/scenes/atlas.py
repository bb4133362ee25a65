"""Every texture at every size in one array, so that a picture is textured by one lookup."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .facades import draw_facades
from .textures import TILE, Material, draw_material

LEVELS = TILE.bit_length()  # TILE, TILE / 2, ..., 1


class Atlas(NamedTuple):
    """Texel (v, u) of texture m at level l is entry starts[l] + (m << 2 * bits(l)) + (v << bits(l)) + u of the arrays,
    with bits(l) = LEVELS - 1 - l: `colour` packs four bytes, `lit` holds what lit windows give off."""

    colour: NDArray[np.uint32]
    lit: NDArray[np.uint8]
    starts: NDArray[np.int32]


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
            colour = (colour[:, ::2, ::2] + colour[:, 1::2, ::2] + colour[:, ::2, 1::2] + colour[:, 1::2, 1::2]) / 4
            lit = (lit[:, ::2, ::2] + lit[:, 1::2, ::2] + lit[:, ::2, 1::2] + lit[:, 1::2, 1::2]) / 4
    return Atlas(np.concatenate(colours), np.concatenate(lights), np.array(starts, np.int32))
