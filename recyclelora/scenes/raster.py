"""Draws a mesh in linear light: first the face that covers each pixel, then texture and light of those pixels only.

Faces are painted in order, each with its number, at twice the native size. Depth and texture coordinates follow from
the planes of the faces, so a pixel needs nothing but the number of its face. Pixels inside one face are shaded once,
pixels on an edge four times: that is the anti-aliasing."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from recyclelora.scenes.atlas import LEVELS, build_atlas
from recyclelora.scenes.camera import HEIGHT, NEAR, WIDTH, Camera, clip_near, pixel_axes, to_pixels
from recyclelora.scenes.mesh import Floats, Id, Mesh
from recyclelora.scenes.textures import TILE, Material, draw_stamps

OVER = 2  # samples per pixel and axis
SLANT = 1.7  # blur of slanted textures: 2 would never shimmer, 1.5 is sharper the more slanted
FOLIAGE = (0.0, 0.8, -0.6)  # where leaves face, on average of those that are seen
SNOW_COLOUR = (0.92, 0.94, 0.98)


class Light(NamedTuple):
    """Daylight, linear: `sun` is where it comes from (3,), of length 1; `above` and `below` light what faces there."""

    sun: Floats
    beam: Floats
    above: Floats
    below: Floats
    snow: float = 0.0
    lamps: float = 0.0  # how much of `glow` and of lit windows is given off


class Frame(NamedTuple):
    """A picture before the weather, at native size; `sky` is the share (H, W) of a pixel that shows sky."""

    colour: Floats  # (H, W, 3) linear
    glow: Floats  # (H, W, 3) linear
    sky: Floats
    depth: Floats  # (H, W) metres, 1000 for the sky
    label: NDArray[np.uint8]
    lying: NDArray[np.bool_]  # (H, W) ground


class Planes(NamedTuple):
    """Faces in camera axes: 1 / depth = `inverse` . (x, y, 1); u = `u`[3] + depth * `u`[:3] . (x, y, 1), v likewise."""

    inverse: Floats  # (S, 3)
    u: Floats  # (S, 4) textures
    v: Floats
    normal: Floats  # (S, 3) in the world, towards the camera
    level: Floats  # (S,) texture level at depth 1; SLANT levels more for every doubling
    drawn: NDArray[np.bool_]


def measure_planes(mesh: Mesh, camera: Camera) -> Planes:
    starts = np.cumsum(mesh.sizes) - mesh.sizes
    after = np.arange(len(mesh.points)) + 1
    after[starts + mesh.sizes - 1] = starts
    area = np.add.reduceat(np.cross(mesh.points, mesh.points[after]), starts, axis=0)
    first = mesh.points[starts]
    normal = area / np.maximum(np.linalg.norm(area, axis=1, keepdims=True), 1e-9)
    away = ((first - camera.position) * normal).sum(1)
    drawn = ~(mesh.faces["cull"] & (away >= 0)) & (np.abs(away) > 1e-4)
    normal = np.where(away[:, None] > 0, -normal, normal).astype(np.float32)
    away = -np.abs(away)
    along = np.stack([-normal[:, 2], np.zeros(len(normal)), normal[:, 0]], 1)  # level direction in the plane
    flat = np.abs(normal[:, 1]) > 0.9
    along[flat] = (1, 0, 0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    along = np.where((along[:, :1] + 0.5 * along[:, 2:]) < 0, -along, along)
    rising = np.cross(normal, along)
    rising = np.where((rising[:, 1:2] + 0.5 * rising[:, 2:]) < 0, -rising, rising)
    origin = np.where(mesh.faces["anchored"][:, None], first, 0)
    repeat = mesh.faces["repeat"]

    def measure_axis(axis: Floats, tiles: Floats) -> Floats:
        offset = ((camera.position - origin) * axis).sum(1) * tiles
        return np.concatenate([(axis * tiles[:, None]) @ camera.rotation.T, offset[:, None]], 1).astype(np.float32)

    safe = np.where(drawn, away, -1)
    level = np.log2(np.sqrt(repeat.prod(1)) * TILE / camera.focal) - (SLANT - 1) * np.log2(-safe)
    return Planes(
        inverse=((normal @ camera.rotation.T) / safe[:, None]).astype(np.float32),
        u=measure_axis(along, repeat[:, 0]), v=measure_axis(rising, repeat[:, 1]),
        normal=normal, level=level.astype(np.float32), drawn=drawn,
    )  # fmt: skip


def paint_faces(mesh: Mesh, camera: Camera, drawn: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Number of the face in front, from 1 (0 is sky), at OVER times the native size; and that of the veil in front."""
    width, height = WIDTH * OVER, HEIGHT * OVER
    view = camera.view(mesh.points)
    starts = np.cumsum(mesh.sizes) - mesh.sizes
    nearest, farthest = np.minimum.reduceat(view[:, 2], starts), np.maximum.reduceat(view[:, 2], starts)
    safe = view.copy()
    safe[:, 2] = np.maximum(safe[:, 2], NEAR)
    pixels = to_pixels(safe, camera.focal, OVER)
    low, high = np.minimum.reduceat(pixels, starts), np.maximum.reduceat(pixels, starts)
    seen = drawn & (farthest > NEAR) & (high.max(1) > 0) & ((high - low).max(1) > 1.5)
    inside = (high > 0).all(1) & (low < (width, height)).all(1) | (nearest < NEAR)
    flat = pixels.ravel().tolist()
    canvas, veils = Image.new("I", (width, height)), Image.new("I", (width, height))
    brush, veil_brush = ImageDraw.Draw(canvas), ImageDraw.Draw(veils)
    stamps = draw_stamps()
    chosen = np.flatnonzero(seen & inside)
    columns = starts, mesh.sizes, nearest, mesh.faces["stamp"], mesh.faces["veil"]
    rows = zip(chosen.tolist(), *(column[chosen].tolist() for column in columns), strict=True)
    boxes = np.rint(np.concatenate([low[chosen], high[chosen]], 1)).astype(int).tolist()
    for (index, start, size, near, stamp, veil), (x0, y0, x1, y1) in zip(rows, boxes, strict=True):
        if stamp >= 0:
            if near > NEAR:
                mask = stamps[stamp].resize((max(x1 - x0, 1), max(y1 - y0, 1)), Image.Resampling.NEAREST)
                canvas.paste(index + 1, (x0, y0), mask)
            continue
        if near < NEAR:
            clipped = clip_near(view[start : start + size])
            outline = to_pixels(clipped, camera.focal, OVER).ravel().tolist()
        else:
            outline = flat[2 * start : 2 * (start + size)]
        if len(outline) >= 6:
            (veil_brush if veil else brush).polygon(outline, fill=index + 1)
    return np.asarray(canvas, np.int32), np.asarray(veils, np.int32)


def light_faces(mesh: Mesh, normal: Floats, light: Light) -> tuple[Floats, Floats, NDArray[np.int32]]:
    """Light on each face, times its colour and alone (S, 3), and its material (S,) under whatever snow lies."""
    faces = mesh.faces
    colour, material = faces["colour"].copy(), faces["material"].astype(np.int32)
    if light.snow > 0:
        cap = np.where(faces["cap"] >= 0, faces["cap"], np.clip((normal[:, 1] - 0.3) * 3, 0, 1)) * light.snow
        lane = np.isin(faces["material"], (Material.ASPHALT, Material.LINE, Material.COBBLES))
        cap = np.where(lane & (normal[:, 1] > 0.9), cap * np.where(faces["material"] == Material.LINE, 0.95, 0.85), cap)
        colour += (np.array(SNOW_COLOUR, np.float32) - colour) * cap[:, None]
        covered = (faces["stamp"] < 0) & (cap > 0.5)
        material = np.where(covered, np.where(lane, Material.SLUSH, Material.SNOW), material).astype(np.int32)
    normal = np.where(faces["stamp"][:, None] >= 0, np.array(FOLIAGE, np.float32), normal)
    up = 0.5 + 0.5 * normal[:, 1:2]
    beam = np.maximum(normal @ light.sun, 0)[:, None]
    plain = light.above * up + light.below * (1 - up) + light.beam * beam
    return (plain * colour**2).astype(np.float32), plain.astype(np.float32), material


def shade(
    number: NDArray[np.int32], x: Floats, y: Floats, mesh: Mesh, planes: Planes, light: Light
) -> tuple[list[Floats], list[Floats], Floats]:
    """Colour and glow, three planes each, and inverse depth of samples: faces `number` (N,), seen at tangents x, y."""
    atlas = build_atlas()
    tinted, plain, material = light_faces(mesh, planes.normal, light)

    def look_up(table: Floats) -> Floats:
        return np.asarray(np.ascontiguousarray(table).take(number), np.float32)

    inverse = look_up(planes.inverse[:, 0]) * x + look_up(planes.inverse[:, 1]) * y + look_up(planes.inverse[:, 2])
    np.clip(inverse, 1e-3, 10, out=inverse)
    depth = 1 / inverse
    texel = []
    for axis in (planes.u, planes.v):
        slope = look_up(axis[:, 0]) * x + look_up(axis[:, 1]) * y + look_up(axis[:, 2])
        texel.append(((slope * depth + look_up(axis[:, 3]) + 512) * TILE).astype(np.int32) & (TILE - 1))
    # The exponent and mantissa of a float, read as an integer, are its logarithm to within 0.09.
    octave = depth.view(np.int32).astype(np.float32) * np.float32(1 / 2**23) - 127
    level = np.clip(SLANT * octave + look_up(planes.level), 0, LEVELS - 1).astype(np.int32)
    bits = LEVELS - 1 - level
    index = atlas.starts.take(level) + (material.take(number) << (2 * bits))
    index += ((texel[1] >> level) << bits) + (texel[0] >> level)
    packed = atlas.colour.take(index).view(np.uint8).reshape(-1, 4)
    alpha = packed[:, 3] * np.float32(1 / 255)
    colour, glow = [], []
    for channel in range(3):
        bare = look_up(plain[:, channel])
        texture = packed[:, channel] * np.float32(1 / 255)
        colour.append(texture * texture * (bare + alpha * (look_up(tinted[:, channel]) - bare)))
    if light.lamps > 0:
        lit = atlas.lit.take(index) * np.float32(light.lamps / 255)
        warm = (1.0, 0.72, 0.36)
        given = mesh.faces["glow"] * np.float32(light.lamps)
        glow = [look_up(given[:, channel]) + lit * lit * np.float32(0.6 * warm[channel]) for channel in range(3)]
    return colour, glow, inverse


class Samples(NamedTuple):
    """Where a picture is shaded: pixels inside one face once, in their middle, the others at four points.

    The first `inner.size` samples belong to the pixels `inner`, the rest, four times over, to the pixels `edge`."""

    inner: NDArray[np.intp]  # flat numbers of native pixels
    edge: NDArray[np.intp]
    at: NDArray[np.intp]  # flat numbers (N,) in the oversampled picture
    x: Floats  # (N,) tangents to the right
    y: Floats  # (N,) and upwards

    def gather(self, values: Floats) -> Floats:
        """Samples (N,) averaged into a picture (HEIGHT, WIDTH)."""
        whole, count = np.empty(HEIGHT * WIDTH, np.float32), self.inner.size
        whole[self.inner] = values[:count]
        whole[self.edge] = (values[count:].reshape(4, -1).sum(0)) * np.float32(0.25)
        return whole.reshape(HEIGHT, WIDTH)


@cache
def number_corners() -> NDArray[np.intp]:
    """The flat numbers, in the oversampled picture, of the four samples (4, HEIGHT * WIDTH) of every native pixel."""
    wide = WIDTH * OVER
    first = (np.arange(HEIGHT)[:, None] * OVER * wide + np.arange(WIDTH)[None] * OVER).ravel()
    return np.stack([first, first + 1, first + wide, first + wide + 1])


def choose_samples(number: NDArray[np.int32], focal: float) -> Samples:
    """Finds the edges in the numbers of the faces, at OVER times the native size."""
    first = number[0::2, 0::2]
    mixed = (first != number[0::2, 1::2]) | (first != number[1::2, 0::2]) | (first != number[1::2, 1::2])
    inner, edge = np.flatnonzero(~mixed), np.flatnonzero(mixed)
    corners = number_corners()
    at = np.concatenate([corners[0].take(inner), corners[:, edge].ravel()])
    across, up = pixel_axes(focal, OVER)
    row, column = np.divmod(at, WIDTH * OVER)
    x, y = across.take(column), up.take(row)
    x[: inner.size] += (across[1] - across[0]) / 2
    y[: inner.size] += (up[1] - up[0]) / 2
    return Samples(inner, edge, at, x, y)


def vote(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The commonest of four labels (4, N); the first of the commonest when there are several."""
    first, second, third, fourth = labels
    pair = np.where((second == third) | (second == fourth), second, np.where(third == fourth, third, first))
    return np.asarray(np.where((first == second) | (first == third) | (first == fourth), first, pair), np.uint8)


def label_samples(
    face: NDArray[np.int32], veil: NDArray[np.int32], samples: Samples, inverse: Floats, mesh: Mesh, planes: Planes
) -> NDArray[np.uint8]:
    """Labels (N,): of the veil that a sample is seen through, or of its face (-1: sky)."""
    table = np.append(mesh.faces["label"], np.uint8(Id.SKY))
    labels = table[face]
    veiled = np.flatnonzero(veil)
    number = veil.take(veiled) - 1
    plane = planes.inverse[number]
    near = plane[:, 0] * samples.x[veiled] + plane[:, 1] * samples.y[veiled] + plane[:, 2]
    front = near > inverse[veiled]
    labels[veiled[front]] = table[number[front]]
    return np.asarray(labels, np.uint8)


def render_mesh(mesh: Mesh, camera: Camera, light: Light) -> Frame:
    """The picture of a mesh whose faces are in drawing order, far to near."""
    planes = measure_planes(mesh, camera)
    number, veil = paint_faces(mesh, camera, planes.drawn)
    samples = choose_samples(number, camera.focal)
    face = number.ravel().take(samples.at) - 1
    sky = face < 0
    colour, glow, inverse = shade(np.maximum(face, 0), samples.x, samples.y, mesh, planes, light)
    inverse[sky] = 1e-3
    labels = label_samples(face, veil.ravel().take(samples.at), samples, inverse, mesh, planes)
    flat, count = np.empty(HEIGHT * WIDTH, np.uint8), samples.inner.size
    flat[samples.inner], flat[samples.edge] = labels[:count], vote(labels[count:].reshape(4, -1))
    label = flat.reshape(HEIGHT, WIDTH)
    picture, given = np.empty((HEIGHT, WIDTH, 3), np.float32), np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for target, channels in ((picture, colour), (given, glow)):
        for channel, values in enumerate(channels):
            values[sky] = 0
            target[..., channel] = samples.gather(values)
    depth = np.float32(1) / samples.gather(inverse)
    lying = (label == Id.ROAD) | (label == Id.SIDEWALK) | (label == Id.TERRAIN)
    return Frame(picture, given, samples.gather(sky.astype(np.float32)), np.asarray(depth), label, lying)
