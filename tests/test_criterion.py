"""The loss against its definition, slowly. That it is transformers' loss is tested with the segmentor."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from recyclelora.models import criterion
from recyclelora.models.criterion import binary_masks, dice_loss, set_loss
from tests.test_segmentor import CLASSES, TINY, literal_targets, some_batch


def test_targets_are_the_classes_present() -> None:
    _, labels = some_batch(4)
    labels[1] = 255
    targets = binary_masks(labels, CLASSES)
    masks, classes = literal_targets(labels)
    assert targets.counts == [len(found) for found in classes] and targets.counts[1] == 0
    for image, (mask, found) in enumerate(zip(masks, classes, strict=True)):
        assert torch.equal(targets.classes[image, :len(found)], found)
        assert torch.equal(targets.masks[image, :len(found)], mask)
        assert (targets.classes[image, len(found):] == -1).all() and targets.masks[image, len(found):].sum() == 0


def test_dice_is_the_naive_one_with_eps_1() -> None:
    logits, target = torch.randn(4, 30), torch.rand(4, 30)
    for row, loss in enumerate(dice_loss(logits, target)):
        a = b = c = 0.0
        for logit, wanted in zip(logits[row].tolist(), target[row].tolist(), strict=True):
            p = 1 / (1 + math.exp(-logit))
            a, b, c = a + p * wanted, b + p, c + wanted
        assert loss.item() == pytest.approx(1 - (2 * a + 1) / (b + c + 1), abs=1e-6)  # the authors' code


def test_the_class_loss_is_normalised_by_the_sum_of_class_weights() -> None:
    shape = replace(TINY, mask_weight=0.0, dice_weight=0.0, class_weight=2.0)
    labels = torch.full((1, 8, 8), 3)
    labels[0, :4] = 1
    classes = torch.zeros(1, 4, CLASSES + 1)
    classes[0, 2, 3], classes[0, 1, 1] = 2.0, 1.0  # by class cost alone: query 2 is class 3, query 1 is class 1
    loss = set_loss([classes], [torch.zeros(1, 4, 8, 8)], labels, shape)["class"]
    wanted, weights, total = [5, 1, 3, 5], [0.1, 1.0, 1.0, 0.1], 0.0
    for query, (label, weight) in enumerate(zip(wanted, weights, strict=True)):
        total -= weight * math.log(math.exp(classes[0, query, label]) / classes[0, query].exp().sum().item())
    assert loss.item() == pytest.approx(2.0 * total / sum(weights), rel=1e-6)


def test_the_matching_is_the_cheapest() -> None:
    costs = torch.randn(2, 3, 4, 3, generator=torch.Generator().manual_seed(0))
    counts = [3, 0, 2]
    for output, pairs in enumerate(criterion._assign(costs, counts)):
        for image, count in enumerate(counts):
            mine = pairs.image == image
            assert sorted(pairs.target[mine].tolist()) == list(range(count))
            paid = costs[output, image, pairs.query[mine], pairs.target[mine]].sum().item()
            cheapest = min(sum(costs[output, image, query, target].item() for target, query in enumerate(queries))
                           for queries in itertools.permutations(range(4), count))
            assert paid == pytest.approx(cheapest, abs=1e-6)
    assert all(len(pairs.query) == 5 for pairs in criterion._assign(costs * torch.nan, counts))  # scipy would raise


def test_a_perfect_prediction_costs_nothing_in_any_order_of_queries() -> None:
    labels = torch.tensor([0, 3]).repeat_interleave(32).expand(2, 64, 64).contiguous()
    masks = torch.stack([(labels == each).float() for each in range(CLASSES + 1)], dim=1)
    wanted = torch.tensor([0, 5, 5, 3, 5, 5]).expand(2, 6)  # class 5 of 5 is "no object"
    classes, logits = 40 * F.one_hot(wanted, 6).float(), 400 * (2 * masks - 1)
    shape = replace(TINY, points=2000, importance=0.0)  # the least certain points lie where the masks meet
    for order in ([0, 1, 2, 3, 4, 5], [3, 5, 0, 2, 1, 4]):
        perfect = set_loss([classes[:, order]], [logits[:, order]], labels, shape)
        assert perfect["class"] < 1e-6 and perfect["dice"] < 0.1
    wrong = set_loss([classes], [logits.flip(3)], labels, shape)
    assert wrong["dice"] > 4 or wrong["class"] > 5  # 5 for no overlap at all
