"""From label and prediction to IoU. A confusion matrix counts pixels: rows are labels, columns are predictions. Columns
beyond the rows are predictions that no label can have: wrong wherever they are, and no class of a mean."""

from typing import Any, Literal, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

IGNORE = 255  # the label of pixels that are not scored

Absent = Literal["skip", "zero"]
ABSENT: dict[Absent, str] = {  # the convention in words, for whoever prints a number that was taken by it
    "skip": "a class that no label of a domain holds is not counted",
    "zero": "a class that no label of a domain holds counts as 0 where it is predicted (MMSegmentation)"}
Counts = TypeVar("Counts", Tensor, NDArray[Any])


def is_counted(labelled: Counts, predicted: Counts, absent: Absent) -> Counts:
    """Which classes are in a mean IoU, of the pixels labelled as each and predicted as each (of the labelled ones); any
    shape. The one place that knows the convention: "skip" counts a class that is labelled somewhere; "zero" also one
    that is only predicted, whose IoU then is 0, as MMSegmentation does, which leaves out nothing but a union of 0."""
    union = labelled + predicted
    return labelled > 0 if absent == "skip" else union > 0


def confusion_matrix(label: Tensor, prediction: Tensor, num_classes: int) -> Tensor:
    """Pixel counts (classes, classes), int64, on the inputs' device; [i, j] is label i predicted as j.

    `label` and `prediction` are maps of one shape, of ids from 0 to 255. Pixels labelled 255 are left out, whatever was
    predicted there. Matrices of parts add up to the matrix of the whole. Raises ValueError for any other id that is
    not below `num_classes`, as a pixel must not get lost."""
    cells = label.flatten().long() * 256 + prediction.flatten().long()
    counts = torch.bincount(cells, minlength=256**2).reshape(256, 256)  # with 255, which saves a mask and its sync
    confusion = counts[:num_classes, :num_classes].clone()
    if confusion.sum() != counts[:IGNORE].sum():
        raise ValueError(f"label or prediction holds an id that is neither below {num_classes} nor ignored")
    return confusion


def iou_per_class(confusion: Tensor, absent: Absent = "skip") -> Tensor:
    """Intersection over union of each class (classes,), float64; nan where the class is not counted (`is_counted`).

    False positives of a class that is not counted still cost, as misses of the classes they were put on."""
    hits = confusion.diagonal().double()
    labelled, predicted = confusion.sum(1), confusion.sum(0)[:len(confusion)]
    return torch.where(is_counted(labelled, predicted, absent), hits / (labelled + predicted - hits), torch.nan)


def miou(confusion: Tensor, absent: Absent = "skip") -> float:
    """Mean IoU over the counted classes; nan when no pixel was labelled."""
    return float(iou_per_class(confusion, absent).nanmean())


def chance(confusion: Tensor) -> float:
    """The mIoU that knowing only the label frequencies gives: what any model has to beat. nan without labels.

    With p_c the share of labelled pixels of class c, over the K counted classes, the better of
    - always predicting the commonest class: max(p) / K;
    - predicting one of the K at random, each as likely: mean of p_c / (K p_c + 1 - p_c), since K T of N pixels hit
      N p_c / K and the union holds N p_c + N / K - N p_c / K. (A ratio of expectations: exact as N grows.)

    Neither predicts a class that is not labelled, so that both conventions for absent classes give the same."""
    labelled = confusion.sum(1).double()
    share = labelled[labelled > 0] / labelled.sum()
    if not len(share):
        return float("nan")
    constant = share.max() / len(share)
    uniform = (share / (len(share) * share + 1 - share)).mean()
    return float(torch.maximum(constant, uniform))
