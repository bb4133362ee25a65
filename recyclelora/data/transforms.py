"""Training augmentation of DG segmentation: resize, crop, pad, flip, photometric distortion; and normalisation.

The numbers and their order are those of the released training pipelines (RecycleLoRA, SoMA, Rein), written for any
crop size. Randomness comes from the generator passed in, never from a global one. Each random step is two functions,
one that draws and one that applies, so that what is applied can be checked against given numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode

from recyclelora.data.labels import IGNORE, Image, Label
from recyclelora.errors import InputError

Size = tuple[int, int]  # height, width in pixels

LONG_EDGE_CAP = 4  # times the crop: 2048 for 512
MAX_CLASS_SHARE = 0.75  # of the pixels of a crop that are not ignored
CROP_REDRAWS = 10
BRIGHTNESS = 32.0  # grey levels either way
FACTORS = (0.5, 1.5)  # of contrast and of saturation
HUE = 18  # of 180 for the full circle; -18 is drawn, +18 is not


def augment(
    image: Image, label: Label, *, crop: Size, scales: tuple[float, float], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """(H, W, 3) and (H, W) uint8 -> (3, h, w) and (h, w) uint8, the size of the crop."""
    pixels, labels = torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(label)[None]
    edges = shortest_edges(min(crop), scales)
    size = fit_shortest_edge((label.shape[0], label.shape[1]), edges[rng.integers(len(edges))], min(crop))
    # no antialiasing, as OpenCV's bilinear; labels nearest, at the same half-pixel centres as the image
    pixels = F.resize(pixels, list(size), InterpolationMode.BILINEAR, antialias=False)
    labels = F.resize(labels, list(size), InterpolationMode.NEAREST_EXACT)
    top, left = draw_crop(labels[0], crop, rng)
    pixels, labels = (cut(tensor, top, left, crop, fill) for tensor, fill in ((pixels, 0), (labels, IGNORE)))
    if rng.random() < 0.5:
        pixels, labels = F.horizontal_flip(pixels), F.horizontal_flip(labels)
    return distort(pixels, draw_distortion(rng)), labels[0]


def shortest_edges(crop_edge: int, scales: tuple[float, float]) -> list[int]:
    """int(crop_edge * x / 10) for x in tenths from scales[0] to scales[1], both included; 0.5 to 2.0 gives 16.

    Raises InputError when a scale is no positive multiple of 0.1 or the first exceeds the second.
    """
    low, high = (round(scale * 10) for scale in scales)
    if not 1 <= low <= high or max(abs(low - scales[0] * 10), abs(high - scales[1] * 10)) > 1e-6:
        raise InputError(f"scales {scales[0]} to {scales[1]}: two multiples of 0.1 are needed, the smaller one first")
    return [max(1, crop_edge * tenths // 10) for tenths in range(low, high + 1)]


def fit_shortest_edge(size: Size, edge: int, crop_edge: int) -> Size:
    """`size` scaled so that its shorter edge is `edge`, or less where the longer one would exceed 4 crops."""
    scale = min(edge / min(size), LONG_EDGE_CAP * crop_edge / max(size))
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))


def draw_crop(label: Tensor, crop: Size, rng: np.random.Generator) -> tuple[int, int]:
    """Top and left of a crop, redrawn up to 10 times while it is too much of one class; the last draw stands."""
    top, left = _draw_corner(label, crop, rng)
    for _ in range(CROP_REDRAWS):
        if is_mixed(label[top : top + crop[0], left : left + crop[1]]):
            break
        top, left = _draw_corner(label, crop, rng)
    return top, left


def _draw_corner(label: Tensor, crop: Size, rng: np.random.Generator) -> tuple[int, int]:
    height, width = label.shape
    return int(rng.integers(max(height - crop[0], 0) + 1)), int(rng.integers(max(width - crop[1], 0) + 1))


def is_mixed(label: Tensor) -> bool:
    """Whether more than one class occurs and none covers 75 % or more of the pixels that are not ignored."""
    counts = torch.bincount(label.flatten(), minlength=256)[:IGNORE]
    return int((counts > 0).sum()) > 1 and int(counts.max()) < MAX_CLASS_SHARE * int(counts.sum())


def cut(tensor: Tensor, top: int, left: int, crop: Size, fill: int) -> Tensor:
    """The crop of a (channels, H, W) tensor, filled up on the right and at the bottom where the tensor is smaller."""
    inside = tensor[:, top : top + crop[0], left : left + crop[1]]
    filled: Tensor = F.pad(inside, [0, 0, crop[1] - inside.shape[2], crop[0] - inside.shape[1]], fill=fill)
    return filled


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
    if distortion.brightness is not None:
        image = _to_uint8(image + distortion.brightness)
    if distortion.contrast is not None and distortion.contrast_first:
        image = _to_uint8(image * distortion.contrast)
    if distortion.saturation is not None:
        image = scale_saturation(image, distortion.saturation)
    if distortion.hue is not None:
        image = F.adjust_hue(image, distortion.hue / 180)
    if distortion.contrast is not None and not distortion.contrast_first:
        image = _to_uint8(image * distortion.contrast)
    return image


def scale_saturation(image: Tensor, factor: float) -> Tensor:
    """Multiply S of HSV by `factor`, at most to 1, leaving H and V alone.

    S is (max - min) / max, so at fixed H and V every channel's distance to the maximum scales as S does: no
    conversion to HSV is needed, nor the rounding it would bring.
    """
    values = image.float()
    low, high = values.aminmax(dim=-3, keepdim=True)
    # grey pixels (high = low) have no saturation to limit: the quotient is infinite, or nan for black ones
    return _to_uint8(high - (high - values) * (high / (high - low)).nan_to_num(factor).clamp(max=factor))


def _to_uint8(values: Tensor) -> Tensor:
    return values.clamp(0, 255).to(torch.uint8)


def normalise(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(..., 3, H, W) uint8 -> float32 (image / 255 - mean) / std: mean and std as timm gives them."""
    normal: Tensor = F.normalize(image.float(), [255 * value for value in mean], [255 * value for value in std])
    return normal
