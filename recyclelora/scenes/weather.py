"""Adds weather and light to a drawing: shadow, sky, lamps, haze, wet ground, rain, snow, and then the camera's film."""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from recyclelora.scenes.camera import HEIGHT, WIDTH, Camera
from recyclelora.scenes.domains import Conditions, Look
from recyclelora.scenes.layout import Scene
from recyclelora.scenes.mesh import Floats, Id
from recyclelora.scenes.raster import Frame
from recyclelora.scenes.sky import CLOUDS, cast_shadows, draw_clouds, paint_sky
from recyclelora.scenes.textures import SEED

AMBIENT = (0.024, 0.027, 0.042)  # light of a city's night sky
SHADOW = 0.92  # how much of the sun a shadow takes away
GRAIN = 600  # pixels of the noise that pictures are cut from
SODIUM = (1.0, 0.66, 0.34)


def develop(
    scene: Scene, camera: Camera, frame: Frame, conditions: Conditions, look: Look, rng: np.random.Generator
) -> Floats:
    """The picture (H, W, 3) in display values, 0 to 1, before the lens."""
    rays = camera.rays()
    colour = shade_ground(frame, scene, camera, conditions, look)
    if conditions.dark:
        colour = colour * light_night(scene, camera, frame, rays)
    rows = int(np.flatnonzero(frame.sky.max(1) > 0)[-1]) + 1 if frame.sky.any() else 1
    colour[:rows] += frame.sky[:rows, :, None] * paint_sky(rays[:rows], conditions, look, rng)
    if conditions.wet:
        colour = wet_ground(colour + frame.glow * 0.35, frame, camera, rays, rng) - frame.glow * 0.35
    colour = add_haze(colour, frame, conditions, look)
    if conditions.lamps:
        colour = add_glow(colour, frame, conditions, look)
    if conditions.wet:
        colour = add_rain(colour, conditions, rng)
    if conditions.snow:
        colour = add_flakes(colour, conditions, rng)
    return expose(colour, conditions, look, rng)


def shade_ground(frame: Frame, scene: Scene, camera: Camera, conditions: Conditions, look: Look) -> Floats:
    """Takes the sun and some sky off the ground in shadow."""
    sunless, covered = cast_shadows(scene.casters, camera, look)
    light = look.light
    beam = light.beam * max(float(light.sun[1]), 0.0)
    lost = SHADOW * beam / (beam + light.above)
    shade = 1 - sunless[..., None] * lost
    shade *= 1 - 0.62 * covered[..., None]
    return np.asarray(np.where(frame.lying[..., None], frame.colour * shade, frame.colour), np.float32)


def light_night(scene: Scene, camera: Camera, frame: Frame, rays: Floats) -> Floats:
    """The light (H, W, 3) that lamps and our own headlights throw on what is seen."""
    x, y, z = (rays[..., axis] * frame.depth + camera.position[axis] for axis in range(3))
    pools = np.zeros((HEIGHT, WIDTH), np.float32)
    for lamp in scene.lamps[:6]:
        drop = np.maximum(np.float32(lamp[1] + 0.3) - y, 0)
        squared = drop * drop
        distance = (x - np.float32(lamp[0])) ** 2 + squared + (z - np.float32(lamp[2])) ** 2
        pools += squared / (distance * distance + np.float32(1e-3))  # inverse square, of a lamp that shines down
    across, rise = rays[..., 0] / rays[..., 2], (y - camera.height * 0.45) / np.maximum(frame.depth, 1)
    spread = np.exp((across / -0.42) * (across / 0.42)) * (1 + 1.2 * np.exp((across / -0.12) * (across / 0.12)))
    own = (spread / (1 + np.exp((rise + 0.005) * 60)) + 0.06) * np.minimum(42 / (frame.depth + 4) ** 2, 0.30)
    light = np.array(AMBIENT, np.float32) + pools[..., None] * (np.array(SODIUM, np.float32) * 48)
    return np.asarray(light + own[..., None] * np.array([1.7, 1.66, 1.55], np.float32), np.float32)


def add_haze(colour: Floats, frame: Frame, conditions: Conditions, look: Look) -> Floats:
    """Mixes in the light that the air scatters, more with distance; thin haze spares the sky, which has its own."""
    lost = 1 - np.exp(-look.haze * frame.depth)
    if look.haze < 0.02:
        lost *= 1 - frame.sky
    return np.asarray(colour + (np.array(conditions.horizon, np.float32) - colour) * lost[..., None], np.float32)


def blur_box(picture: Floats, radius: int) -> Floats:
    """The mean over squares of (2 radius + 1) pixels, of a picture (h, w, c)."""
    for axis in (0, 1):
        pad = [(0, 0)] * 3
        pad[axis] = (radius + 1, radius)
        total = np.pad(picture, pad, mode="edge").cumsum(axis, dtype=np.float32)
        size = picture.shape[axis]
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(0, size), slice(2 * radius + 1, 2 * radius + 1 + size)
        picture = (total[tuple(high)] - total[tuple(low)]) / (2 * radius + 1)
    return picture


def add_glow(colour: Floats, frame: Frame, conditions: Conditions, look: Look) -> Floats:
    """Lamps and windows, with the halo that air and lens put around them."""
    source = frame.glow * np.exp(-look.haze * 0.7 * frame.depth)[..., None]
    small = (source[0::2, 0::2] + source[1::2, 0::2] + source[0::2, 1::2] + source[1::2, 1::2]) / 4
    near = blur_box(blur_box(small, 1), 2)
    wide = blur_box(blur_box(small, 6), 9)
    strength = 0.9 if conditions.dark else 0.35 + 8 * min(look.haze, 0.06)
    halo = (0.35 * near + 0.55 * wide).repeat(2, 0).repeat(2, 1)
    return np.asarray(colour + source * (1.0 if conditions.dark else 0.8) + halo * strength, np.float32)


def wet_ground(colour: Floats, frame: Frame, camera: Camera, rays: Floats, rng: np.random.Generator) -> Floats:
    """Darkens wet ground and mirrors in it what stands behind: each column about the foot of what is above."""
    rows = np.arange(HEIGHT, dtype=np.int32)[:, None]
    foot = np.maximum.accumulate(np.where(frame.lying, 0, rows), 0)
    paved = np.flatnonzero(((frame.label == Id.ROAD) | (frame.label == Id.SIDEWALK)) & (frame.depth < 150))
    row, column = np.divmod(paved, WIDTH)
    foot, depth = foot.ravel().take(paved), frame.depth.ravel().take(paved)
    noise, offset = draw_clouds().ravel(), rng.integers(0, CLOUDS, 2)
    u = ((rays[..., 0].ravel().take(paved) * depth + camera.x) * 22).astype(np.int32) + int(offset[0])
    v = (depth * 12).astype(np.int32) + int(offset[1])
    puddle = np.clip(noise.take((v & (CLOUDS - 1)) * CLOUDS + (u & (CLOUDS - 1))) * 1.6 - 0.2, 0, 1)
    ripple = np.rint(noise.take((row * 97 + column * 31) & (CLOUDS**2 - 1)) * 0.7).astype(np.int32)
    column = np.clip(column + ripple, 0, WIDTH - 1)
    pixels = colour.reshape(-1, 3)
    mirrored = np.zeros((paved.size, 3), np.float32)
    for stretch in (0.88, 1.02, 1.22):  # a rough surface smears what it mirrors upwards
        source = np.clip(foot - ((row - foot) * stretch).astype(np.int32), 0, HEIGHT - 1)
        mirrored += pixels.take(source * WIDTH + column, axis=0)
    slant = camera.height / np.hypot(depth, camera.height)  # sine of the angle to the ground
    fresnel = 0.03 + 0.97 * (1 - slant) ** 5
    share = ((0.22 + 0.62 * puddle) * np.clip(fresnel * 1.5, 0, 1))[:, None]
    wet = np.where(frame.lying[..., None], colour * np.float32(0.66), colour).reshape(-1, 3)
    wet[paved] += (mirrored * np.float32(1 / 3) - wet[paved]) * share
    return wet.reshape(colour.shape)


def add_rain(colour: Floats, conditions: Conditions, rng: np.random.Generator) -> Floats:
    """Streaks in the air and drops on the windscreen, which show the street upside down."""
    mask = Image.new("L", (WIDTH, HEIGHT))
    brush = ImageDraw.Draw(mask)
    slant = float(rng.normal(0, 0.12))
    for x, y, near in rng.random((int(rng.uniform(*conditions.streaks)), 3)).tolist():
        long = 5 + 22 * near**3
        x, y = x * WIDTH, y * HEIGHT
        brush.line((x, y, x + slant * long, y + long), fill=int(24 + 46 * near**2))
    veil = np.asarray(mask.filter(ImageFilter.GaussianBlur(0.5)), np.float32)[..., None] * np.float32(1 / 255)
    colour = colour + (np.float32(0.62) - colour) * veil
    for x, y, size in rng.random((int(rng.integers(6, 26)), 3)).tolist():
        radius = 2 + int(5 * size**2)
        row, column = int(y * (HEIGHT - 6 * radius)) + 3 * radius, int(x * (WIDTH - 6 * radius)) + 3 * radius
        steps = np.arange(-radius, radius + 1)
        inside = (np.hypot(steps[:, None], steps[None]) <= radius + 0.3)[..., None]
        seen = colour[np.clip(row - 3 * steps, 0, HEIGHT - 1)][:, np.clip(column - 3 * steps, 0, WIDTH - 1)]
        rim = 1 - 0.35 * (np.hypot(steps[:, None], steps[None]) / radius)[..., None] ** 4
        area = colour[row - radius : row + radius + 1, column - radius : column + radius + 1]
        area[:] = np.where(inside, (0.8 * seen + 0.1) * rim, area)
    return colour


def add_flakes(colour: Floats, conditions: Conditions, rng: np.random.Generator) -> Floats:
    """Falling snow: many far flakes, some near ones out of focus."""
    for near, blur in ((False, 0.5), (True, 1.4)):
        mask = Image.new("L", (WIDTH, HEIGHT))
        brush = ImageDraw.Draw(mask)
        count = int(rng.uniform(*conditions.flakes)) // (8 if near else 1)
        for x, y, size in rng.random((count, 3)).tolist():
            x, y, radius = x * WIDTH, y * HEIGHT, 1.6 + 2.2 * size if near else 0.3 + 0.9 * size
            brush.ellipse((x - radius, y - radius * 1.2, x + radius, y + radius * 1.2), fill=int(120 + 100 * size))
        veil = np.asarray(mask.filter(ImageFilter.GaussianBlur(blur)), np.float32)[..., None] * np.float32(1 / 255)
        colour = colour + (np.float32(0.9) - colour) * veil
    return colour


@cache
def draw_grain() -> Floats:
    """Sensor noise (GRAIN, GRAIN, 3): of brightness mostly, of colour half as much."""
    rng = np.random.default_rng([SEED, 700])
    grey, tinted = (rng.standard_normal((GRAIN, GRAIN, channels), np.float32) for channels in (1, 3))
    return np.asarray(grey + 0.5 * tinted, np.float32)


def expose(colour: Floats, conditions: Conditions, look: Look, rng: np.random.Generator) -> Floats:
    """Film: exposure and its shoulder, vignette, colour response, saturation, contrast, blur and noise."""
    light = np.maximum(colour, 0) * (np.array(conditions.response, np.float32) * np.float32(look.exposure))
    if conditions.vignette:
        y, x = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None], np.linspace(-1, 1, WIDTH, dtype=np.float32)
        light = light * (1 - conditions.vignette * np.clip((x * x + y * y) / 2, 0, 1) ** 1.3)[..., None]
    display = np.sqrt(1 - np.exp(-1.15 * light))
    grey = display @ np.array([0.3, 0.59, 0.11], np.float32)
    display = grey[..., None] + (display - grey[..., None]) * np.float32(conditions.saturation)
    display = 0.45 + (display - 0.45) * np.float32(conditions.contrast)
    if conditions.blur:
        picture = Image.fromarray((np.clip(display, 0, 1) * 255).astype(np.uint8))
        display = np.asarray(picture.filter(ImageFilter.GaussianBlur(conditions.blur)), np.float32) / 255
    down, across = (int(value) for value in rng.integers(0, GRAIN - WIDTH, 2))
    grain = draw_grain()[down : down + HEIGHT, across : across + WIDTH]
    return np.asarray(display + grain * np.float32(conditions.noise), np.float32)
