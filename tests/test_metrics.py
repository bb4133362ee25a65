import math
import random

import pytest
import torch

from recyclelora.training.metrics import chance, confusion_matrix, iou_per_class, miou
from tests.literal_metrics import literal_confusion, literal_iou, mmseg_iou, mmseg_miou

CLASSES = 4
Pixels = list[tuple[int, int]]  # (label, prediction)


def draw(seed: int) -> Pixels:
    """A few pixels, so that classes are often absent from labels, predictions or both; some are ignored."""
    rng = random.Random(seed)
    labels = rng.sample([0, 1, 2, 3, 255], rng.randint(1, 5))
    return [(rng.choice(labels), rng.randrange(CLASSES)) for _ in range(rng.randint(1, 30))]


def counted(pairs: Pixels) -> torch.Tensor:
    label, prediction = torch.tensor(pairs, dtype=torch.uint8).T
    return confusion_matrix(label, prediction, CLASSES)


@pytest.mark.parametrize("seed", range(25))
def test_counts_and_iou_equal_the_literal_twin(seed: int) -> None:
    pairs = draw(seed)
    label, prediction = zip(*pairs, strict=True)
    confusion = counted(pairs)
    assert confusion.tolist() == literal_confusion(label, prediction, CLASSES)
    for ours, literal in zip(iou_per_class(confusion).tolist(), literal_iou(label, prediction, CLASSES), strict=True):
        assert math.isnan(ours) if literal is None else ours == pytest.approx(literal, abs=1e-12)


@pytest.mark.parametrize("seed", range(25))
def test_absent_classes_as_zero_are_mmsegs_arithmetic(seed: int) -> None:
    pairs = draw(seed)
    label, prediction = zip(*pairs, strict=True)
    confusion = counted(pairs)
    theirs = mmseg_iou(label, prediction, CLASSES)
    assert iou_per_class(confusion, "zero").tolist() == pytest.approx(theirs, abs=1e-12, nan_ok=True)
    assert miou(confusion, "zero") == pytest.approx(mmseg_miou(label, prediction, CLASSES), abs=1e-12, nan_ok=True)


def test_the_two_conventions_differ_by_the_classes_that_are_only_predicted() -> None:
    """19 classes, of which the labels hold 16, and the three others are predicted: 16/19 of the mean."""
    rng = random.Random(0)
    labels = [rng.randrange(16) for _ in range(4000)]
    guesses = [label if rng.random() < 0.6 else rng.randrange(19) for label in labels]
    confusion = confusion_matrix(torch.tensor(labels), torch.tensor(guesses), 19)
    assert miou(confusion, "zero") == pytest.approx(mmseg_miou(labels, guesses, 19), abs=1e-12)
    assert miou(confusion, "zero") == pytest.approx(miou(confusion) * 16 / 19, abs=1e-12)


@pytest.mark.parametrize("absent", ["skip", "zero"])
def test_columns_beyond_the_rows_cost_and_are_no_class(absent: str) -> None:
    confusion = torch.tensor([[3, 0, 1], [0, 2, 0]])  # one pixel predicted as what no label can be
    assert iou_per_class(confusion, absent).tolist() == [0.75, 1.0]  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_parts_add_up_to_the_whole(seed: int) -> None:
    one, other = draw(seed), draw(100 + seed)
    assert torch.equal(counted(one) + counted(other), counted(one + other))


@pytest.mark.parametrize("seed", range(10))
def test_renaming_classes_moves_rows_columns_and_scores(seed: int) -> None:
    pairs, order = draw(seed), random.Random(seed).sample(range(CLASSES), CLASSES)
    renamed = [(order[truth] if truth < CLASSES else truth, order[guess]) for truth, guess in pairs]
    before, after = counted(pairs), counted(renamed)
    assert torch.equal(after[order][:, order], before)
    assert torch.allclose(iou_per_class(after)[order], iou_per_class(before), equal_nan=True)
    assert miou(after) == pytest.approx(miou(before), nan_ok=True)


def test_a_class_absent_from_the_labels_is_not_counted_but_its_false_positives_cost() -> None:
    # class 2 is never labelled, yet predicted on one of the two pixels of class 0
    confusion = confusion_matrix(torch.tensor([0, 0, 1]), torch.tensor([0, 2, 1]), 3)
    assert iou_per_class(confusion)[:2].tolist() == [0.5, 1.0]
    assert math.isnan(iou_per_class(confusion)[2])
    assert miou(confusion) == 0.75


def test_a_class_labelled_and_never_predicted_is_zero() -> None:
    confusion = confusion_matrix(torch.tensor([0, 1]), torch.tensor([0, 0]), 2)
    assert iou_per_class(confusion).tolist() == [0.5, 0.0]


def test_no_labelled_pixel_gives_nan() -> None:
    nothing = confusion_matrix(torch.full((2, 2), 255), torch.zeros(2, 2, dtype=torch.long), 3)
    assert nothing.sum() == 0 and math.isnan(miou(nothing)) and math.isnan(chance(nothing))


def test_the_prediction_on_an_ignored_pixel_means_nothing() -> None:
    confusion = confusion_matrix(torch.tensor([0, 255, 255]), torch.tensor([0, 1, 255]), 2)
    assert confusion.tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(("label", "prediction"), [(0, 3), (0, 255), (3, 0), (254, 0)])
def test_a_pixel_outside_the_classes_is_refused_not_lost(label: int, prediction: int) -> None:
    with pytest.raises(ValueError, match="neither below 3"):
        confusion_matrix(torch.tensor([0, label]), torch.tensor([0, prediction]), 3)


@pytest.mark.parametrize("shares", [(0.9, 0.06, 0.04), (0.4, 0.3, 0.2, 0.1), (0.25,) * 4, (0.5, 0.5, 0.0)])
def test_chance_is_what_guessing_reaches(shares: tuple[float, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    present = [c for c, share in enumerate(shares) if share]
    label = torch.multinomial(torch.tensor(shares), 400_000, replacement=True, generator=generator)
    guesses = [torch.full_like(label, c) for c in present]
    guesses.append(torch.tensor(present)[torch.randint(len(present), label.shape, generator=generator)])
    reached = max(miou(confusion_matrix(label, guess, len(shares))) for guess in guesses)
    confusion = confusion_matrix(label, torch.zeros_like(label), len(shares))
    assert chance(confusion) == pytest.approx(reached, abs=5e-3)  # 400,000 pixels: five deviations
    assert chance(confusion) == chance(confusion.flip(1)), "only the labels may matter"
