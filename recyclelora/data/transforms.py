"""Training augmentation of DG segmentation: resize, crop, flip, photometric distortion; normalisation and padding.

The numbers and their order are those of the released training pipelines (RecycleLoRA, SoMA, MFuser), written for
any crop size. Randomness comes from the generator passed in, never from a global one. Each random step is two
functions, one that draws and one that applies, so that what is applied can be checked against given numbers.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import InterpolationMode

from recyclelora.data.distortion import distort, draw_distortion
from recyclelora.data.labels import IGNORE, Image, Label, Size
from recyclelora.errors import InputError

LONG_EDGE_CAP = 4  # times the crop: 2048 for 512
MAX_CLASS_SHARE = 0.75  # of the pixels of a crop that are not ignored
CROP_REDRAWS = 10


class Recipe(NamedTuple):
    """Which of the published variants to augment by.

    `resize` "edges": the shorter edge becomes one of the tenths of the crop's from `scales[0]` to `scales[1]`, the
    longer one at most 4 crops (RecycleLoRA; SoMA at 512). "ratio": the image is fitted inside `base` (None: its
    own size) times a number drawn uniformly from `scales` (SoMA at 1024 with base 1024x2048, MFuser with None).
    `label_resize`: the pixel that a label takes when it is resized, see `resize_label`.
    `pad`: what stands where an image is smaller than the crop. "black" is filled in before the flip, and distorted
    with the rest (RecycleLoRA with one source); "mean" is 0 after normalisation, right and below whatever was flipped
    (RecycleLoRA with several sources, SoMA, MFuser).
    """

    crop: Size
    scales: tuple[float, float] = (0.5, 2.0)
    resize: Literal["edges", "ratio"] = "edges"
    base: Size | None = None
    pad: Literal["black", "mean"] = "black"
    label_resize: Literal["nearest", "cv2"] = "nearest"


def augment(image: Image, label: Label, recipe: Recipe, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """(H, W, 3) and (H, W) uint8 -> (3, h, w) and (h, w) uint8: the size of the crop, or with pad "mean" that of what
    the image has of it, to be normalised and then padded."""
    pixels, labels = torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(label)[None]
    size = draw_size((label.shape[0], label.shape[1]), recipe, rng)
    pixels = resize_image(pixels, size)
    labels = resize_label(labels, size, recipe.label_resize)
    top, left = draw_crop(labels[0], recipe.crop, rng)
    pixels, labels = (cut(tensor, top, left, recipe.crop) for tensor in (pixels, labels))
    if recipe.pad == "black":
        pixels, labels = fill(pixels, recipe.crop, 0), fill(labels, recipe.crop, IGNORE)
    if rng.random() < 0.5:
        pixels, labels = F.horizontal_flip(pixels), F.horizontal_flip(labels)
    return distort(pixels, draw_distortion(rng)), labels[0]


def check_recipe(recipe: Recipe) -> None:
    """Raises InputError for scales that are not possible."""
    if recipe.resize == "edges":
        shortest_edges(min(recipe.crop), recipe.scales)
    elif not 0 < recipe.scales[0] <= recipe.scales[1]:
        raise InputError(f"scales {recipe.scales[0]} to {recipe.scales[1]}: two numbers above 0 are needed, the "
                         "smaller one first")


def draw_size(size: Size, recipe: Recipe, rng: np.random.Generator) -> Size:
    """The size to which an image of `size` is resized."""
    if recipe.resize == "ratio":
        return fit_base(size, recipe.base or size, rng.uniform(*recipe.scales))
    edges = shortest_edges(min(recipe.crop), recipe.scales)
    return fit_shortest_edge(size, edges[rng.integers(len(edges))], min(recipe.crop))


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
    return _scale(size, min(edge / min(size), LONG_EDGE_CAP * crop_edge / max(size)))


def fit_base(size: Size, base: Size, ratio: float) -> Size:
    """`size` scaled so that it just fits inside `base` times `ratio`, in whole pixels, lengthwise or upright (MMCV's
    RandomResize with keep_ratio)."""
    edges = [int(edge * ratio) for edge in base]
    return _scale(size, min(max(edges) / max(size), min(edges) / min(size)))


def _scale(size: Size, scale: float) -> Size:
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))


def resize_image(pixels: Tensor, size: Size) -> Tensor:
    """(3, H, W) uint8 -> (3, *size), bilinear between half-pixel centres without antialiasing: the rule of cv2's
    INTER_LINEAR and with it of mmcv's pipelines, with other rounding: of the samples of CamVid's val images at factors
    from 0.25 to 2, 27 to 35 % differ from cv2's (4.14 and 5.0), all of them by one level of 255. On average ours are
    brighter by a quarter to a third of a level."""
    resized: Tensor = F.resize(pixels, list(size), InterpolationMode.BILINEAR, antialias=False)
    return resized


def resize_label(labels: Tensor, size: Size, how: Literal["nearest", "cv2"]) -> Tensor:
    """(1, H, W) train ids -> (1, *size), each pixel one of the old ones.

    "nearest": the one at the new pixel's centre, floor((i + 0.5) * old / new), where the image is sampled too.
    "cv2": the one at its corner, which cv2's INTER_NEAREST takes (see `corners`) and with it mmcv's pipelines, so that
    labels are shifted by up to half an old pixel against their image. Between the two, 4.7 % of the pixels of CamVid's
    val labels differ at factor 0.25, 2.6 % at 0.5, 2.0 % at 0.75, 1.1 % at 1.5 and none at 2."""
    if how == "nearest":
        nearest: Tensor = F.resize(labels, list(size), InterpolationMode.NEAREST_EXACT)
        return nearest
    rows, columns = (torch.from_numpy(corners(old, new)) for old, new in zip(labels.shape[1:], size, strict=True))
    return labels[:, rows[:, None], columns]


def corners(old: int, new: int) -> NDArray[np.int64]:
    """For each of `new` pixels in a row the one of `old` that cv2's INTER_NEAREST takes, floor(i * scale), in its own
    arithmetic: the scale is one over the rounded factor new / old, in float64, and not old / new."""
    scale = 1.0 / (new / old)
    return np.minimum(np.floor(np.arange(new) * scale).astype(np.int64), old - 1)


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


def cut(tensor: Tensor, top: int, left: int, crop: Size) -> Tensor:
    """What a (channels, H, W) tensor has of the crop."""
    return tensor[:, top : top + crop[0], left : left + crop[1]]


def fill(tensor: Tensor, crop: Size, value: int) -> Tensor:
    """(channels, h, w) -> (channels, *crop), with `value` on the right and at the bottom."""
    filled: Tensor = F.pad(tensor, [0, 0, crop[1] - tensor.shape[2], crop[0] - tensor.shape[1]], fill=value)
    return filled


def normalise(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(..., 3, H, W) uint8 -> float32 (image / 255 - mean) / std: mean and std as timm gives them."""
    normal: Tensor = F.normalize(image.float(), [255 * value for value in mean], [255 * value for value in std])
    return normal
