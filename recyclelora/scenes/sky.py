"""The sky, and the shadows of objects."""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from recyclelora.scenes.camera import HEIGHT, NEAR, WIDTH, Camera, clip_near, to_pixels
from recyclelora.scenes.domains import Conditions, Look
from recyclelora.scenes.mesh import Floats
from recyclelora.scenes.stage import Caster
from recyclelora.scenes.textures import SEED, draw_noise

CLOUDS = 512  # pixels of the cloud texture, a power of two


@cache
def draw_clouds() -> Floats:
    return draw_noise(np.random.default_rng([SEED, 600]), 1.55, size=CLOUDS)


def paint_sky(rays: Floats, conditions: Conditions, look: Look, rng: np.random.Generator) -> Floats:
    """The light (h, w, 3) of the sky along rays (h, w, 3): a gradient, clouds on a plane, a glow around the sun."""
    height = np.maximum(rays[..., 1], 0)
    length = np.sqrt((rays * rays).sum(-1))
    up = height / length
    fall = np.exp(up * -4.5)[..., None]
    zenith, horizon = np.array(conditions.zenith, np.float32), np.array(conditions.horizon, np.float32)
    sky = zenith + (horizon - zenith) * fall
    reach = 60 / (height + 0.10)
    offset = rng.integers(0, CLOUDS, 2)
    column = (rays[..., 0] * reach).astype(np.int32) + int(offset[0])
    row = (rays[..., 2] * reach).astype(np.int32) + int(offset[1])
    density = draw_clouds().ravel().take(((row & (CLOUDS - 1)) * CLOUDS) + (column & (CLOUDS - 1)))
    veil = np.clip((density + (2.6 * look.clouds - 1.3)) * 0.9, 0, 0.9) * np.sqrt(np.minimum(up * 9, 1))
    tone = 0.82 + 0.18 * np.clip(density, -1, 1.5)
    sky += (np.array(conditions.cloud, np.float32) * tone[..., None] - sky) * veil[..., None]
    if max(conditions.beam) > 0:
        away = (rays @ look.light.sun) / length - 1  # cosine of the angle to the sun, less 1
        glow = 0.30 * np.exp(8 * away) + 0.8 * np.exp(60 * away) + 8 * np.exp(2500 * away)
        sky += look.light.beam * glow[..., None]
    return np.asarray(sky, np.float32)


def wrap(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The convex hull of points, in order."""
    ordered = sorted(set(points))

    def half(sequence: list[tuple[float, float]]) -> list[tuple[float, float]]:
        chain: list[tuple[float, float]] = []
        for point in sequence:
            while len(chain) > 1 and (chain[-1][0] - chain[-2][0]) * (point[1] - chain[-2][1]) <= (
                chain[-1][1] - chain[-2][1]
            ) * (point[0] - chain[-2][0]):
                chain.pop()
            chain.append(point)
        return chain[:-1]

    return half(ordered) + half(ordered[::-1])


def draw_outlines(outlines: list[list[tuple[float, float]]], camera: Camera, blur: float) -> Floats:
    """A mask (H, W) of the patches of ground within outlines of (x, z)."""
    if not outlines:
        return np.zeros((HEIGHT, WIDTH), np.float32)
    mask = Image.new("L", (WIDTH, HEIGHT))
    brush = ImageDraw.Draw(mask)
    sizes = np.array([len(outline) for outline in outlines])
    starts = np.cumsum(sizes) - sizes
    ground = np.array([(x, 0.0, z) for outline in outlines for x, z in outline], np.float32)
    view = camera.view(ground)
    whole = np.minimum.reduceat(view[:, 2], starts) >= NEAR
    flat = to_pixels(np.maximum(view, (-np.inf, -np.inf, NEAR)), camera.focal, 1).ravel().tolist()
    for start, size, simple in zip(starts.tolist(), sizes.tolist(), whole.tolist(), strict=True):
        if simple:
            brush.polygon(flat[2 * start : 2 * (start + size)], fill=255)
            continue
        shown = clip_near(view[start : start + size])
        if len(shown):
            brush.polygon(to_pixels(shown, camera.focal, 1).ravel().tolist(), fill=255)
    return np.asarray(mask.filter(ImageFilter.BoxBlur(blur)), np.float32) * np.float32(1 / 255)


def cast_shadows(casters: tuple[Caster, ...], camera: Camera, look: Look) -> tuple[Floats, Floats]:
    """How much of the sun (H, W) is kept from the ground, and how much of the sky by what stands close to it."""
    sun = look.light.sun
    slide = -float(sun[0] / sun[1]), -float(sun[2] / sun[1])
    thrown, touching = [], []
    for caster in casters:
        if look.light.beam.max() > 0:
            ends = [(x + slide[0] * y, z + slide[1] * y) for x, z in caster.outline for y in (caster.y0, caster.y1)]
            thrown.append(wrap(ends))
        if caster.contact:
            touching.append(list(caster.outline))
    return draw_outlines(thrown, camera, 1.0), draw_outlines(touching, camera, 2.0)
