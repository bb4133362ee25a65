"""The slow, obvious twin of recyclelora.training.metrics: one pixel at a time."""

from collections.abc import Sequence


def literal_confusion(label: Sequence[int], prediction: Sequence[int], num_classes: int) -> list[list[int]]:
    counts = [[0] * num_classes for _ in range(num_classes)]
    for truth, guess in zip(label, prediction, strict=True):
        if truth != 255:
            counts[truth][guess] += 1
    return counts


def literal_iou(label: Sequence[int], prediction: Sequence[int], num_classes: int) -> list[float | None]:
    """Sets of pixels per class: intersection over union; None for a class that no pixel is labelled with."""
    scored = [i for i, truth in enumerate(label) if truth != 255]
    found: list[float | None] = []
    for c in range(num_classes):
        truth = {i for i in scored if label[i] == c}
        guess = {i for i in scored if prediction[i] == c}
        found.append(len(truth & guess) / len(truth | guess) if truth else None)
    return found


def mmseg_iou(label: Sequence[int], prediction: Sequence[int], num_classes: int) -> list[float]:
    """MMSegmentation's IoUMetric (1.2.2, intersect_and_union and total_area_to_metrics): areas of the pixels that are
    not ignored, intersection over union, and 0 / 0 is nan."""
    pairs = [(truth, guess) for truth, guess in zip(label, prediction, strict=True) if truth != 255]
    found = []
    for c in range(num_classes):
        intersect = sum(truth == guess == c for truth, guess in pairs)
        union = sum(guess == c for _, guess in pairs) + sum(truth == c for truth, _ in pairs) - intersect
        found.append(intersect / union if union else float("nan"))
    return found


def mmseg_miou(label: Sequence[int], prediction: Sequence[int], num_classes: int) -> float:
    """Its mean: numpy's nanmean, before it is rounded to two decimals of a percentage."""
    counted = [value for value in mmseg_iou(label, prediction, num_classes) if value == value]
    return sum(counted) / len(counted) if counted else float("nan")
