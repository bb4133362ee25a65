"""The camera: projection from world to image, and the lens distortion of image and label."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recyclelora.scenes.mesh import Floats

HEIGHT, WIDTH = 240, 320
NEAR = 0.4  # metres: what is nearer is cut off


class Camera(NamedTuple):
    """A pinhole `height` metres above the road at (x, z = 0); `focal` in native pixels, angles in radians.

    Positive `pitch` looks down, positive `yaw` to the right; `barrel` is the lens's quadratic distortion."""

    focal: float
    height: float
    pitch: float
    yaw: float = 0.0
    x: float = 0.0
    barrel: float = 0.0

    @property
    def position(self) -> Floats:
        return np.array([self.x, self.height, 0], np.float32)

    @property
    def rotation(self) -> Floats:
        """(3, 3), rows: the camera's right, up and forward axes in the world."""
        sy, cy, sp, cp = np.sin(self.yaw), np.cos(self.yaw), np.sin(self.pitch), np.cos(self.pitch)
        return np.array([[cy, 0, -sy], [sy * sp, cp, cy * sp], [sy * cp, -sp, cy * cp]], np.float32)

    def view(self, points: Floats) -> Floats:
        """World points (n, 3) in camera axes: right, up, depth."""
        return np.asarray((points - self.position) @ self.rotation.T, np.float32)

    def rays(self) -> Floats:
        """World directions (HEIGHT, WIDTH, 3) through the native pixels, of depth 1."""
        across, up = np.meshgrid(*pixel_axes(self.focal, 1))
        return np.asarray(np.stack([across, up, np.ones_like(up)], -1) @ self.rotation, np.float32)


def pixel_axes(focal: float, oversample: int) -> tuple[Floats, Floats]:
    """Tangents of the rays through the pixel centres: (WIDTH * n,) to the right and (HEIGHT * n,) upwards."""
    scale = focal * oversample
    across = (np.arange(WIDTH * oversample) - (WIDTH * oversample - 1) / 2) / scale
    up = ((HEIGHT * oversample - 1) / 2 - np.arange(HEIGHT * oversample)) / scale
    return across.astype(np.float32), up.astype(np.float32)


def to_pixels(view: Floats, focal: float, oversample: int) -> Floats:
    """Picture coordinates (n, 2) of points (n, 3) in camera axes, whose depth must be positive."""
    scale, depth = focal * oversample, view[:, 2]
    x = (WIDTH * oversample - 1) / 2 + scale * view[:, 0] / depth
    y = (HEIGHT * oversample - 1) / 2 - scale * view[:, 1] / depth
    return np.stack([x, y], 1)


def clip_near(corners: Floats) -> Floats:
    """The part of a polygon (n, 3) in camera axes that lies beyond NEAR; (0, 3) when nothing does."""
    kept: list[Floats] = []
    for here, there in zip(corners, np.roll(corners, -1, 0), strict=True):
        if here[2] >= NEAR:
            kept.append(here)
        if (here[2] >= NEAR) != (there[2] >= NEAR):
            kept.append(here + (there - here) * ((NEAR - here[2]) / (there[2] - here[2])))
    return np.array(kept, np.float32).reshape(-1, 3)


@cache
def lens_map(barrel: float) -> tuple[Floats, Floats]:
    """Rows and columns (HEIGHT, WIDTH) of the straight picture that the pixels of the bent one show.

    The corners are kept on the picture, so that no pixel is left without a source."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    x, y = (x - (WIDTH - 1) / 2) / (WIDTH / 2), (y - (HEIGHT - 1) / 2) / (WIDTH / 2)
    corner = 1 + (HEIGHT / WIDTH) ** 2
    stretch = (1 + barrel * (x * x + y * y)) / (1 + barrel * corner)
    return y * stretch * (WIDTH / 2) + (HEIGHT - 1) / 2, x * stretch * (WIDTH / 2) + (WIDTH - 1) / 2


def bend(picture: NDArray[np.uint8], barrel: float, *, smooth: bool) -> NDArray[np.uint8]:
    """A picture or label (HEIGHT, WIDTH, ...) through the lens, bilinear where `smooth`, else nearest."""
    rows, columns = lens_map(barrel)
    if not smooth:
        return picture[np.rint(rows).astype(np.intp), np.rint(columns).astype(np.intp)]
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    corner, pixels = top * WIDTH + left, picture.reshape(HEIGHT * WIDTH, -1).astype(np.float32)
    beside, below = (left < WIDTH - 1).astype(np.intp), np.where(top < HEIGHT - 1, WIDTH, 0)
    upper, lower = ((1 - right) * pixels[i] + right * pixels[i + beside] for i in (corner, corner + below))
    return np.asarray(np.rint(upper + (lower - upper) * down), np.uint8).reshape(picture.shape)
