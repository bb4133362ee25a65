"""Test-set noise: what another draw of test images would have given, kept apart from the noise of seeds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrices = NDArray[Any]  # (images, classes, classes): pixel counts, rows are labels, columns predictions


class Interval(NamedTuple):
    low: float
    high: float


def bootstrap_images(a: Matrices | Sequence[Matrices], b: Matrices | Sequence[Matrices], draws: int = 2000,
                     seed: int = 0, level: float = 0.95) -> Interval:
    """Percentile interval of mIoU(a) - mIoU(b) over images drawn with replacement, the same for both and for all seeds;
    fractions. `a` and `b` are the matrices of one run each, or of several (seeds), whose differences are averaged.

    As in evaluation, a class counts where the drawn images' labels hold it. Raises ValueError for other images in a
    than in b."""
    ones, others = ([part] if isinstance(part, np.ndarray) else list(part) for part in (a, b))
    if len(ones) != len(others) or any(x.shape != ones[0].shape for x in (*ones, *others)):
        raise ValueError("expected as many runs on either side, all on the same images")
    images = len(ones[0])
    generator = np.random.Generator(np.random.PCG64(seed))
    counts = generator.multinomial(images, np.full(images, 1 / images), size=draws)
    differences = np.mean([_miou(counts, x) - _miou(counts, y) for x, y in zip(ones, others, strict=True)], axis=0)
    low, high = np.nanquantile(differences, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _miou(counts: NDArray[np.int64], matrices: Matrices) -> NDArray[np.float64]:
    """mIoU of each draw (draws,), from how often it holds each image (draws, images)."""
    weights = counts.astype(np.float64)
    hits = weights @ np.diagonal(matrices, axis1=1, axis2=2).astype(np.float64)
    labelled = weights @ matrices.sum(2).astype(np.float64)
    predicted = weights @ matrices.sum(1).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = np.where(labelled > 0, hits / (labelled + predicted - hits), np.nan)
    return np.asarray(np.nanmean(iou, axis=1))
