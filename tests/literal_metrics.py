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
