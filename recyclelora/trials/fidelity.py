"""What a trial does otherwise than the released code that it reproduces: RecycleLoRA d094a7b and SoMA 7ea8c0e, on mmdet
3.3.0, mmsegmentation 1.2.2, mmcv 2 and mmengine 0.10.7. Every known difference is one row, here or with the adapter
method that it is about; a setting that makes a thing exact is named in its row."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from recyclelora.config import Config, flatten
from recyclelora.documents import Plain
from recyclelora.methods.method import Difference

Flat = Mapping[str, Plain]


class _Row(NamedTuple):
    applies: Callable[[Flat], bool]  # to a flat config
    difference: Difference


def differences(config: Config) -> tuple[Difference, ...]:
    """The rows that apply to a trial: the method's, and then model, data, training and evaluation."""
    flat = flatten(config)
    return (*config.adapter.differences(), *(row.difference for row in _ROWS if row.applies(flat)))


def _always(flat: Flat) -> bool:
    return True


def _is(key: str, *values: Plain) -> Callable[[Flat], bool]:
    """Whether a setting that this trial has is one of these."""
    return lambda flat: key in flat and flat[key] in values


def _limited(flat: Flat) -> bool:
    return flat["data.train_images"] is not None and "gtav" in str(flat["data.source"]).split("+")


def _below_window(flat: Flat) -> bool:
    """Whether an image can be smaller than a window: shrunk, or fitted inside less than one."""
    scales, size, window = flat["evaluation.scales"], flat["evaluation.size"], flat["evaluation.window"]
    small = isinstance(size, list) and any(side < most for side, most in zip(size, window, strict=True))  # type: ignore[arg-type, operator]
    return small or any(scale < 1 for scale in scales)  # type: ignore[union-attr, operator]


def _more(key: str, than: int) -> Callable[[Flat], bool]:
    return lambda flat: flat[key] > than  # type: ignore[operator]


_ROWS = (
    _Row(_is("head.start", "transformers"), Difference(
        "first weights of the head", "transformers' (head.start: transformers)", "mmdet's (head.start: mmdet)",
        "s.d. of 0.020 against 0.031 to 0.063 in the pixel decoder's convolutions; see models/head_start.py")),
    _Row(lambda flat: str(flat["backbone.name"]).startswith("dinov2"), Difference(
        "parameters counted as trainable", "without DINOv2's mask token", "with it, though no gradient reaches it",
        "1,024 parameters of DINOv2-L; no effect")),
    _Row(lambda flat: flat["data.crop"] != flat["evaluation.window"], Difference(
        "position embedding of a window that is not of the crop's size", "bicubic with antialiasing, to the grid",
        "bicubic, by a factor that is 0.1 patches too large", "not known")),
    _Row(_always, Difference(
        "order of sums", "torch's attention, one fused AdamW", "xFormers' attention, AdamW tensor by tensor",
        "rounding of float32")),
    _Row(_always, Difference(
        "random numbers", "NumPy's and torch's generators, by seed, iteration and place in the batch",
        "one generator for each worker process, with a seed from the operating system",
        "as much as another seed")),
    _Row(_limited, Difference(
        "which images of GTAV", "the first of a fixed permutation", "drawn anew at each start, and at each resumption",
        "as much as another seed")),
    _Row(_always, Difference(
        "resizing of training images", "torch's bilinear", "OpenCV's bilinear",
        "27 to 35 % of the values by one grey level, a quarter to a third brighter in the mean")),
    _Row(_is("data.label_resize", "nearest"), Difference(
        "resizing of training labels", "the pixel nearest to the centre", "OpenCV's nearest (data.label_resize: cv2)",
        "4.7 % of the pixels at factor 0.25, 2.6 % at 0.5, 2.0 % at 0.75, none at 2")),
    _Row(_always, Difference(
        "saturation and hue of training images", "in float32", "in OpenCV's HSV of 180 and 255 whole steps",
        "below one grey level in the mean, at most 8")),
    _Row(_is("training.schedule", "plain"), Difference(
        "spans of warm-up and decay", "as many iterations as they are named (training.schedule: plain)",
        "one fewer (training.schedule: mmengine)",
        "of the full rate at most 7e-5 in 40,000 iterations, less than 1 / warmup in a warm-up; the last one is at 0")),
    _Row(_more("training.accumulate", 1), Difference(
        "weights of the class loss", "summed over the whole batch, whose parts run one after the other",
        "summed over each GPU's part of the batch", "not known")),
    _Row(_is("evaluation.absent_classes", "skip"), Difference(
        "classes that are predicted and that no label of a domain holds",
        "left out of its mIoU (evaluation.absent_classes: skip)", "count as 0 (evaluation.absent_classes: zero)",
        "none where the labels hold all classes; 3 of 19: 3/19 of the mIoU")),
    _Row(_below_window, Difference(
        "test images smaller than a window", "filled up with the mean colour", "go through the model as they are",
        "not known")),
    _Row(_always, Difference(
        "resizing of test images to the size of the protocol", "torch's bilinear", "OpenCV's bilinear",
        "as in training; none where the size of the protocol is the image's own")),
    _Row(_always, Difference(
        "arithmetic of mIoU", "whole pixels, float64",
        "areas in float32; each domain rounded to 0.01 points before the mean of the domains", "about 0.01 points")),
)
