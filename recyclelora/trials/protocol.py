"""The protocol of a trial's scores: image size, windows and label space."""

from recyclelora.config import Config
from recyclelora.data.labels import Common, LabelSpace, common_space
from recyclelora.training.metrics import ABSENT
from recyclelora.trials.build import Domains


def commons(domains: Domains) -> dict[str, Common]:
    """The label space in which each domain is scored: the common space of the source's and its own."""
    return {name: common_space(domains.train.space, space) for name, space in scored_spaces(domains).items()}


def scored_spaces(domains: Domains) -> dict[str, LabelSpace]:
    """The label space of each domain that is scored, as its labels are."""
    return {name: data.space for name, data in {"source": domains.source_val, **domains.targets}.items()}


def protocol(config: Config) -> str:
    """How the numbers of a trial were taken, in one line; numbers of two protocols are never put in one table."""
    evaluation = config.evaluation
    images = "all images" if evaluation.images is None else f"{evaluation.images} images a domain"
    return f"{view(config)}, {evaluation.split} split (source: val), {images}; {counting(config)}"


def counting(config: Config) -> str:
    """Which classes are in a mean IoU, in words."""
    return f"mIoU: {ABSENT[config.evaluation.absent_classes]}"


def view(config: Config) -> str:
    """How a model sees an image that it is scored on: the part of the protocol that is no choice of images."""
    size, window, stride = config.evaluation.size, config.evaluation.window, config.evaluation.stride
    if isinstance(size, str):
        fitted = f"each domain in its size of {size}"
    else:
        fitted = "native size" if size is None else f"fit in {size[1]}x{size[0]}"
    return f"{fitted}, window {window[1]}x{window[0]} stride {stride[1]}x{stride[0]}{_views(config)}"


def _views(config: Config) -> str:
    """The test-time augmentation; nothing where there is none."""
    scales, flip = config.evaluation.scales, config.evaluation.flip
    if scales == (1.0,) and not flip:
        return ""
    return f", at {' '.join(f'{scale:g}' for scale in scales)} times that size{' and mirrored' if flip else ''}"
