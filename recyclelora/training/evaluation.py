"""A trained segmentor on labelled images: sliding windows, one confusion matrix per image (the authors' code)."""

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, pad
from torchvision.transforms import InterpolationMode

from recyclelora.data.datasets import LabelledImages, Sample
from recyclelora.data.labels import Common, Image, Label, Size
from recyclelora.data.transforms import normalise
from recyclelora.models.segmentor import Segmentor
from recyclelora.training.metrics import Absent, chance, confusion_matrix, iou_per_class, miou


class ImageResult(NamedTuple):
    """What one image adds to its domain: int64 pixel counts, a row for each class that is scored, a column for each of
    the common space: as many, or one more where predictions may have no counterpart; on the CPU."""

    name: str
    domain: str
    confusion: Tensor


class DomainScores(NamedTuple):
    """Fractions in [0, 1] over all images of a domain; a class that is not counted is not in `iou`."""

    miou: float
    iou: dict[str, float]
    chance: float


class _View(NamedTuple):
    """One way of looking at an image: at `scale` times its fitted size, mirrored or not."""

    scale: float
    mirrored: bool


class Inference(NamedTuple):
    """How an image goes through a model: resized to fit inside `size` (height, width; larger or smaller, ratio kept,
    bilinear; None leaves it alone), normalised with `mean` and `std` for values 0 to 1, and cut into windows. With
    several `scales` of that size, and with `flip` mirrored at each, it is seen several times."""

    window: Size
    stride: Size
    size: Size | None
    mean: Sequence[float]
    std: Sequence[float]
    scales: Sequence[float] = (1.0,)
    flip: bool = False


def evaluate(segmentor: Segmentor, data: LabelledImages, inference: Inference, *, common: Common,
             device: torch.device, batch: int = 8) -> Generator[ImageResult]:
    """Predict every image as `predict` does, at its label's size, and compare both in the common space.

    The classes of the model are decided between first, and put into the common space after: a wide class gains nothing
    from being the sum of many. `batch` windows go through the model at once, from several images where these are of one
    size. In float32. Until the generator is exhausted or closed, the segmentor is in eval mode and its adapters merged;
    then it is as it was."""
    to_common = torch.from_numpy(common.source_lut).to(device)
    from_target = torch.from_numpy(common.target_lut).to(device)
    one_view = inference._replace(scales=(1.0,), flip=False)
    with _at_rest(segmentor):
        for group in _groups(data, lambda native: num_windows(native, one_view), batch):
            predictions = _predict(segmentor, [sample.image for sample in group],
                                   [_shape(sample.label) for sample in group], inference, device, batch)
            for sample, prediction in zip(group, predictions, strict=True):
                label = torch.from_numpy(sample.label).to(device)
                confusion = confusion_matrix(from_target[label.long()], to_common[prediction.long()],
                                             len(common.space.classes))
                yield ImageResult(sample.name, sample.domain, confusion[:len(common.scored)].cpu())


def predict(segmentor: Segmentor, image: Image, inference: Inference, *, device: torch.device,
            batch: int = 8) -> Label:
    """(H, W, 3) RGB -> (H, W) train ids of the model's own label space.

    The windows' scores are averaged and resized (bilinear) to the image, and the highest wins. Where the image is seen
    several times, the mean of the softmax of the resized scores wins (MMSegmentation's test-time augmentation)."""
    with _at_rest(segmentor):
        found = _predict(segmentor, [image], [_shape(image)], inference, device, batch)
    prediction: NDArray[np.uint8] = found[0].cpu().numpy()
    return prediction


def summarise(results: Iterable[ImageResult], classes: Sequence[str],
              absent: Absent = "skip") -> dict[str, DomainScores]:
    """Scores by domain, from the summed confusion matrices of its images. `classes` names the rows of these; `absent`
    says whether one of them counts that a domain's labels do not hold."""
    totals: dict[str, Tensor] = {}
    for result in results:
        totals[result.domain] = totals.get(result.domain, 0) + result.confusion
    return {domain: _score(confusion, classes, absent) for domain, confusion in totals.items()}


def windows(size: Size, window: Size, stride: Size) -> list[tuple[int, int]]:
    """Top and left of each window, row by row. The last of a row or column is shifted inside, so that none is cut;
    a side smaller than the window has one, at 0."""
    tops, lefts = (_starts(*axis) for axis in zip(size, window, stride, strict=True))
    return [(top, left) for top in tops for left in lefts]


def num_windows(native: Size, inference: Inference) -> int:
    """How many windows of an image of `native` (height, width) go through the model, over all views of it."""
    fitted = fit_inside(native, inference.size)
    return sum(len(windows(_scaled(fitted, view.scale), inference.window, inference.stride))
               for view in _views(inference))


def sliding_scores(scores: Callable[[Tensor], Tensor], images: Tensor, window: Size, stride: Size,
                   batch: int) -> Tensor:
    """(B, 3, H, W) normalised -> (B, classes, H, W): each pixel's mean score over the windows that hold it.

    `scores` sees (up to `batch`, 3, *window). An image smaller than the window is filled up with zeros (the mean
    colour) on the right and at the bottom, and the scores are cut back. (The authors' code hands such an image to the
    model as it is. Theirs are larger, but for small scales of test-time augmentation.)"""
    height, width = images.shape[-2:]
    images = pad(images, (0, max(0, window[1] - width), 0, max(0, window[0] - height)))
    corners = windows((images.shape[-2], images.shape[-1]), window, stride)
    places = [(index, *corner) for index in range(len(images)) for corner in corners]
    total = torch.zeros(())
    for first in range(0, len(places), batch):
        chunk = places[first : first + batch]
        parts = scores(torch.stack([_cut(images[index], top, left, window) for index, top, left in chunk])).float()
        if first == 0:
            total = parts.new_zeros(len(images), parts.shape[1], *images.shape[-2:])
        for (index, top, left), part in zip(chunk, parts, strict=True):
            _cut(total[index], top, left, window).add_(part)
    count = total.new_zeros(images.shape[-2:])
    for top, left in corners:
        _cut(count, top, left, window).add_(1)
    return (total / count)[..., :height, :width]


def fit_inside(native: Size, size: Size | None) -> Size:
    """The largest (height, width) of the ratio of `native` inside `size`, or inside `size` on its side where that suits
    an upright image (MMCV's keep_ratio: the longer edge to the longer), rounded half up; `native` for None."""
    if size is None:
        return native
    scale = min(max(size) / max(native), min(size) / min(native))
    return max(1, int(native[0] * scale + 0.5)), max(1, int(native[1] * scale + 0.5))


@contextmanager
def _at_rest(segmentor: Segmentor) -> Iterator[None]:
    modes = [(module, module.training) for module in segmentor.modules()]
    segmentor.eval()
    try:
        with segmentor.merged():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _predict(segmentor: Segmentor, images: list[Image], shapes: list[Size], how: Inference, device: torch.device,
             batch: int) -> list[Tensor]:
    """Images of one size -> uint8 train ids of the model's label space, each in its own shape; on the device."""
    pixels = torch.stack([torch.from_numpy(image) for image in images]).to(device).permute(0, 3, 1, 2)
    fitted, views = fit_inside(_shape(images[0]), how.size), _views(how)

    def look(view: _View) -> Iterator[Tensor]:
        scaled = F.resize(pixels, list(_scaled(fitted, view.scale)), InterpolationMode.BILINEAR, antialias=False)
        seen = normalise(scaled.flip(-1) if view.mirrored else scaled, how.mean, how.std)  # resized as in training
        found = sliding_scores(segmentor.scores, seen, how.window, how.stride, batch)
        found = found.flip(-1) if view.mirrored else found
        return (interpolate(found[i, None], shape, mode="bilinear", align_corners=False)[0]
                for i, shape in enumerate(shapes))

    totals: Iterable[Tensor] = look(views[0])
    if len(views) > 1:
        totals = [scores.softmax(0) for scores in totals]
        for view in views[1:]:
            for total, scores in zip(totals, look(view), strict=True):
                total.add_(scores.softmax(0))
    return [scores.max(0).indices.to(torch.uint8) for scores in totals]  # 7 times as fast as argmax on a CPU


def _views(how: Inference) -> list[_View]:
    return [_View(scale, mirrored) for scale in how.scales for mirrored in ((False, True) if how.flip else (False,))]


def _scaled(size: Size, scale: float) -> Size:
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))


def _score(confusion: Tensor, classes: Sequence[str], absent: Absent) -> DomainScores:
    by_name = zip(classes, iou_per_class(confusion, absent).tolist(), strict=True)
    counted = {name: iou for name, iou in by_name if not math.isnan(iou)}
    return DomainScores(miou(confusion, absent), counted, chance(confusion))


def _groups(data: LabelledImages, count: Callable[[Size], int], batch: int) -> Iterator[list[Sample]]:
    """Neighbours of one image size, as many as make up a batch of windows: at least one, never another order."""
    group: list[Sample] = []
    for index in range(len(data)):
        sample = data[index]
        if group and (sample.image.shape != group[0].image.shape
                      or len(group) * count(_shape(group[0].image)) >= batch):
            yield group
            group = []
        group.append(sample)
    if group:
        yield group


def _starts(length: int, window: int, stride: int) -> list[int]:
    steps = max(0, -(-(length - window) // stride))
    return [min(step * stride, max(0, length - window)) for step in range(steps + 1)]


def _cut(tensor: Tensor, top: int, left: int, window: Size) -> Tensor:
    return tensor[..., top : top + window[0], left : left + window[1]]


def _shape(array: NDArray[np.uint8]) -> Size:
    return array.shape[0], array.shape[1]
