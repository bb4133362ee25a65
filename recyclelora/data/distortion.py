"""Photometric distortion of training images: brightness, contrast, saturation and hue, in whole grey levels.

The steps and their numbers are those of the released training pipelines (RecycleLoRA, SoMA: MMSegmentation's
PhotoMetricDistortion). What is drawn and what is applied are two functions, so that what is applied can be checked
against given numbers. Saturation and hue are computed in float32; OpenCV, which the released pipelines use, rounds H to
180 and S to 255 whole steps on the way. At the settings tested no colour differs from theirs by more than 5 grey levels
after a turn of hue, 6 after saturation, 8 after both, and the mean difference is below one.

Written with NumPy and without a single selection (`where`): masks are multiplied in, which is exact, and thirty times
as fast.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recyclelora.data.labels import Image

BRIGHTNESS = 32.0  # grey levels either way
FACTORS = (0.5, 1.5)  # of contrast and of saturation
HUE = 18  # of 180 for the full circle; -18 is drawn, +18 is not

Floats = NDArray[np.float32]


class Distortion(NamedTuple):
    """What to do to the colours; None leaves a step out."""

    brightness: float | None  # added, in grey levels
    contrast: float | None  # factor of every value
    contrast_first: bool  # before saturation and hue, or after them
    saturation: float | None  # factor of S in HSV
    hue: int | None  # added to H in HSV, of 180 for the full circle


def draw_distortion(rng: np.random.Generator) -> Distortion:
    """Each step with probability one half."""
    brightness, contrast, first, saturation, hue = rng.random(5) < 0.5
    return Distortion(
        brightness=rng.uniform(-BRIGHTNESS, BRIGHTNESS) if brightness else None,
        contrast=rng.uniform(*FACTORS) if contrast else None,
        contrast_first=bool(first),
        saturation=rng.uniform(*FACTORS) if saturation else None,
        hue=int(rng.integers(-HUE, HUE)) if hue else None,
    )


def distort(image: Tensor, distortion: Distortion) -> Tensor:
    """(3, H, W) uint8 -> the same, distorted; between the steps values are clipped and cut to uint8."""
    pixels: Image = image.contiguous().numpy()  # planes: three times as fast as pixel after pixel
    if distortion.brightness is not None:
        pixels = _to_uint8(pixels + np.float32(distortion.brightness))
    if distortion.contrast is not None and distortion.contrast_first:
        pixels = _to_uint8(pixels * np.float32(distortion.contrast))
    if distortion.saturation is not None:
        pixels = _scale_saturation(pixels, distortion.saturation)
    if distortion.hue is not None:
        pixels = _turn_hue(pixels, distortion.hue / 180)
    if distortion.contrast is not None and not distortion.contrast_first:
        pixels = _to_uint8(pixels * np.float32(distortion.contrast))
    return torch.from_numpy(pixels)


def _to_uint8(values: Floats) -> Image:
    return np.clip(values, 0, 255, out=values).astype(np.uint8)


def _scale_saturation(pixels: Image, factor: float) -> Image:
    """Multiply S of HSV by `factor`, at most to 1, leaving H and V alone.

    S is (max - min) / max, so at fixed H and V every channel's distance to the maximum scales as S does: no
    conversion to HSV is needed, nor the rounding it would bring.
    """
    values = pixels.astype(np.float32)
    high = pixels.max(axis=0).astype(np.float32)
    span = high - pixels.min(axis=0)
    span += span == 0  # grey pixels have no distance to scale: any divisor will do
    np.subtract(high, values, out=values)
    values *= np.minimum(high / span, np.float32(factor))
    return _to_uint8(np.subtract(high, values, out=values))


def _turn_hue(pixels: Image, turn: float) -> Image:
    """Add `turn` (1 is the full circle) to H of HSV: bitwise what torchvision's adjust_hue gives.

    The largest and the smallest of the new values are those of the old, at most in other channels: only the middle one
    is computed, and the sector of the new hue says which channel gets which.
    """
    largest, smallest = pixels.max(axis=0), pixels.min(axis=0)
    per_level = np.float32(1 / 255)
    unit, value = pixels * per_level, largest * per_level
    span = value - smallest * per_level
    grey = span == 0  # hue and saturation 0: whatever is not 0 will do as a divisor
    saturation = span / (value + grey)
    hue = _hue(unit, value, span + grey)
    hue += np.float32(turn)
    hue -= np.floor(hue)
    hue *= 6
    sector = np.floor(hue)
    hue -= sector
    sectors = sector.astype(np.uint8)
    return _place(largest, _middle(hue, saturation, value, sectors & np.uint8(1)), smallest, sectors)


def _hue(unit: Floats, value: Floats, span: Floats) -> Floats:
    """Hue from 0 to 1, with the operations of torchvision in their order; red wins a tie, then green."""
    red, green, blue = (value - unit) / span
    is_red, is_green = value == unit[0], value == unit[1]
    hue = (blue - green) * is_red
    hue += (red + 2 - blue) * (is_green & ~is_red)
    hue += (green + 4 - red) * ~(is_green | is_red)
    hue *= np.float32(1 / 6)
    hue += 1
    hue -= np.floor(hue)
    return hue


def _middle(fraction: Floats, saturation: Floats, value: Floats, odd: Image) -> Image:
    """The middle one of three values, falling in the odd sectors of the hexagon and rising in the even ones."""
    slope = saturation * fraction
    falling = (1 - slope) * odd
    rising = (slope + (1 - saturation)) * (1 - odd)
    middle = (falling + rising) * value
    np.clip(middle, 0, 1, out=middle)
    middle *= np.float32(256 - 1e-3)
    return middle.astype(np.uint8)


def _place(largest: Image, middle: Image, smallest: Image, sector: Image) -> Image:
    """(3, H, W) from the three values of each pixel; sector 6 is sector 0 after rounding up."""
    on = [-(sector == number).view(np.uint8) for number in range(7)]  # 255 where it is so
    on[0] |= on[6]
    placed = np.empty((3, *sector.shape), dtype=np.uint8)
    # by sector: the channels of the largest, middle and smallest value
    for channel, ((a, b), (c, d), (e, f)) in enumerate((
        ((0, 5), (1, 4), (2, 3)),
        ((1, 2), (0, 3), (4, 5)),
        ((3, 4), (2, 5), (0, 1)),
    )):
        placed[channel] = largest & (on[a] | on[b]) | middle & (on[c] | on[d]) | smallest & (on[e] | on[f])
    return placed
