"""The augmentation in torchvision's own functions and plain torch, step by step as it is described: what ours must give
bitwise, and what ours is timed against. The generator is asked in the same order."""

from collections.abc import Iterator

import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode

from recyclelora.data.distortion import Distortion, draw_distortion
from recyclelora.data.labels import Size

Step = tuple[str, Tensor, Tensor]


def steps(image: np.ndarray, label: np.ndarray, crop: Size, rng: np.random.Generator) -> Iterator[Step]:
    """The name of each step with the (3, h, w) image and the (1, h, w) label after it."""
    pixels, labels = torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(label)[None]
    height, width = label.shape
    edge = [int(min(crop) * tenths / 10) for tenths in range(5, 21)][rng.integers(16)]
    scale = min(edge / min(height, width), 4 * min(crop) / max(height, width))
    size = [int(height * scale + 0.5), int(width * scale + 0.5)]
    pixels = F.resize(pixels, size, InterpolationMode.BILINEAR, antialias=False)
    yield "resize image", pixels, labels
    labels = F.resize(labels, size, InterpolationMode.NEAREST_EXACT)
    yield "resize label", pixels, labels
    for _ in range(11):
        top, left = (int(rng.integers(max(have - want, 0) + 1)) for have, want in zip(size, crop, strict=True))
        if mixed(labels[0, top : top + crop[0], left : left + crop[1]]):
            break
    pixels, labels = (F.crop(tensor, top, left, *(min(have, want) for have, want in zip(size, crop, strict=True)))
                      for tensor in (pixels, labels))
    padding = [0, 0, crop[1] - pixels.shape[2], crop[0] - pixels.shape[1]]
    pixels, labels = F.pad(pixels, padding, fill=0), F.pad(labels, padding, fill=255)
    yield "crop", pixels, labels
    if rng.random() < 0.5:
        pixels, labels = F.horizontal_flip(pixels), F.horizontal_flip(labels)
    yield "flip", pixels, labels
    yield "distort", distort(pixels, draw_distortion(rng)), labels


def mixed(label: Tensor) -> bool:
    classes, counts = torch.unique(label[label != 255], return_counts=True)
    return len(classes) > 1 and bool(counts.max() / counts.sum() < 0.75)


def distort(image: Tensor, drawn: Distortion) -> Tensor:
    if drawn.brightness is not None:
        image = to_uint8(image + drawn.brightness)
    if drawn.contrast is not None and drawn.contrast_first:
        image = to_uint8(image * drawn.contrast)
    if drawn.saturation is not None:
        image = scale_saturation(image, drawn.saturation)
    if drawn.hue is not None:
        image = F.adjust_hue(image, drawn.hue / 180)
    if drawn.contrast is not None and not drawn.contrast_first:
        image = to_uint8(image * drawn.contrast)
    return image


def scale_saturation(image: Tensor, factor: float) -> Tensor:
    """torchvision's adjust_saturation is another thing: it mixes with grey."""
    values = image.float()
    low, high = values.aminmax(dim=-3, keepdim=True)
    return to_uint8(high - (high - values) * (high / (high - low)).nan_to_num(factor).clamp(max=factor))


def to_uint8(values: Tensor) -> Tensor:
    return values.clamp(0, 255).to(torch.uint8)
