"""Mask2Former's loss for semantic segmentation: match queries to the classes of each image, then score the pairs.

The same loss as transformers' `Mask2FormerLoss` and mmdet's (given one seed, a test holds it to the
former), with one wait for the device where they have one per output and image, and points shared by masks read once.

Shapes: B images, Q queries, C classes, T the most classes in one image, P points, N matched pairs."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from recyclelora.models.mask2former import HeadShape


class Targets(NamedTuple):
    """What is to be found in each image: classes (B, T), -1 where an image has fewer; masks (B, T, H, W) of 0 and 1."""

    classes: Tensor
    masks: Tensor
    counts: list[int]


class Pairs(NamedTuple):
    """Queries matched to targets in one decoder output: index tensors of (N,)."""

    image: Tensor
    query: Tensor
    target: Tensor


class _Points(NamedTuple):
    """Random places in an image, x and y in [-1, 1), for one decoder output."""

    matching: Tensor  # (B, P, 2)
    candidates: Tensor  # (N, oversample * P, 2)
    plain: Tensor  # (N, P - importance * P, 2)


class Share(NamedTuple):
    """What part of a batch a loss is of: its random points, its share of the batch's summed class weights, and the
    number of targets in the whole batch."""

    points: list[_Points]  # for each decoder output
    class_weight: float
    num_masks: int


def set_loss(classes: Sequence[Tensor], masks: Sequence[Tensor], labels: Tensor, shape: HeadShape,
             share: Share | None = None) -> dict[str, Tensor]:
    """Weighted losses, summed over the decoder's outputs: `class`, `mask`, `dice`, and their sum `total`.

    For each output class logits (B, Q, C + 1) with "no object" last, and mask logits (B, Q, h, w) of any size; labels
    (B, H, W) int64 in 0..C-1, or 255 for ignored. An image without a labelled pixel only teaches "no object". With a
    `share` of a larger batch, what these images add to that batch's loss."""
    with torch.autocast(labels.device.type, enabled=False):
        classes, masks = [logits.float() for logits in classes], [logits.float() for logits in masks]
        targets = binary_masks(labels, classes[0].shape[-1] - 1)
        if share is None:
            share, = _shares(targets.counts, 1, len(masks), classes[0].shape[1], shape, labels.device)
        outputs = list(zip(classes, masks, share.points, strict=True))
        pairs = _assign(torch.stack([_costs(*output, targets, shape) for output in outputs]), targets.counts)
        losses = torch.stack([_losses(*output, targets, matched, shape, share)
                              for output, matched in zip(outputs, pairs, strict=True)]).sum(0)
        return {"total": losses.sum(), **dict(zip(("class", "mask", "dice"), losses, strict=True))}


def shares(labels: Tensor, parts: int, outputs: int, num_classes: int, shape: HeadShape) -> list[Share]:
    """A batch of labels (B, H, W) cut into `parts` of B / parts images, for `outputs` decoder outputs: losses of the
    parts sum to the loss of the batch, with the points that the batch would have drawn, so that its gradient can be
    gathered part by part. Draws from torch's random generator; waits for the device once."""
    counts = [len(image) for image in _present(labels, num_classes)]
    return _shares(counts, parts, outputs, shape.queries, shape, labels.device)


def _shares(counts: list[int], parts: int, outputs: int, queries: int, shape: HeadShape,
            device: torch.device) -> list[Share]:
    drawn = _draw(counts, outputs, queries, shape, device)
    matched = [min(queries, count) for count in counts]
    weights = [count + shape.no_object_weight * (queries - count) for count in matched]
    size, found = len(counts) // parts, []
    for first in range(0, len(counts), size):
        images = slice(first, first + size)
        pairs = slice(sum(matched[:first]), sum(matched[: first + size]))
        points = [_Points(each.matching[images], each.candidates[pairs], each.plain[pairs]) for each in drawn]
        found.append(Share(points, sum(weights[images]) / sum(weights), max(1, sum(counts))))
    return found


def binary_masks(labels: Tensor, num_classes: int) -> Targets:
    """One mask for each class an image has a pixel of, classes ascending. Waits for the device once."""
    present = _present(labels, num_classes)
    most = max(map(len, present))
    classes = torch.tensor([image + [-1] * (most - len(image)) for image in present], dtype=torch.int64,
                           device=labels.device)
    masks = (labels[:, None] == classes[:, :, None, None]).float()
    return Targets(classes, masks, [len(image) for image in present])


def _present(labels: Tensor, num_classes: int) -> list[list[int]]:
    """The classes that each image has a pixel of, ascending."""
    offset = torch.arange(len(labels), device=labels.device)[:, None] * 256
    counted = torch.bincount((labels.flatten(1) + offset).flatten(), minlength=len(labels) * 256).view(-1, 256)
    return [[label for label, count in enumerate(image[:num_classes]) if count] for image in counted.tolist()]


def _draw(counts: list[int], outputs: int, queries: int, shape: HeadShape, device: torch.device) -> list[_Points]:
    """All random points of one loss, in the order in which transformers draws them: last output first."""
    pairs = sum(min(queries, count) for count in counts)
    sizes = ((len(counts), shape.points), (pairs, int(shape.points * shape.oversample)),
             (pairs, shape.points - int(shape.points * shape.importance)))
    drawn = [_Points(*(torch.rand(*size, 2, device=device).mul_(2).sub_(1) for size in sizes)) for _ in range(outputs)]
    return drawn[1:] + drawn[:1]


@torch.no_grad()
def _costs(classes: Tensor, masks: Tensor, points: _Points, targets: Targets, shape: HeadShape) -> Tensor:
    """What it costs to match each query with each target: (B, Q, T)."""
    logits = _sample(masks, points.matching)
    target = _sample(targets.masks, points.matching).transpose(1, 2)
    wanted = targets.classes.clamp(min=0)[:, None].expand(-1, classes.shape[1], -1)
    probability = classes.softmax(-1).gather(2, wanted)
    # BCE(x, t) = softplus(x) - x t, so its sum over the points needs no value for each pair of masks.
    entropy = (F.softplus(logits).sum(-1, keepdim=True) - logits @ target) / logits.shape[-1]
    mask = logits.sigmoid()
    dice = 1 - (2 * (mask @ target) + 1) / (mask.sum(-1, keepdim=True) + target.sum(1, keepdim=True) + 1)
    return shape.mask_weight * entropy + shape.dice_weight * dice - shape.class_weight * probability


def _assign(costs: Tensor, counts: list[int]) -> list[Pairs]:
    """The cheapest pairing for each output of (outputs, B, Q, T). Waits for the device once."""
    worst = torch.finfo(costs.dtype).max  # scipy takes no NaN; that the model diverged is for others to notice
    table = costs.nan_to_num(nan=worst, posinf=worst, neginf=worst).cpu()
    found = [[(image, query, target) for image, count in enumerate(counts)
              for query, target in zip(*linear_sum_assignment(output[image, :, :count]), strict=True)]
             for output in table]
    indices = torch.tensor(found, dtype=torch.int64).view(len(table), -1, 3).to(costs.device)
    return [Pairs(*output.unbind(1)) for output in indices]


def _losses(classes: Tensor, masks: Tensor, points: _Points, targets: Targets, pairs: Pairs, shape: HeadShape,
            share: Share) -> Tensor:
    """Weighted class, mask and dice loss of one decoder output: (3,)."""
    entropy, dice = _mask_losses(masks, targets, pairs, points, shape, share.num_masks)
    entropy_of_classes = _class_loss(classes, targets, pairs, shape.no_object_weight) * share.class_weight
    return torch.stack([shape.class_weight * entropy_of_classes,
                        shape.mask_weight * entropy, shape.dice_weight * dice])


def _class_loss(logits: Tensor, targets: Targets, pairs: Pairs, no_object: float) -> Tensor:
    """Cross entropy over all queries, as a mean weighted by class weight."""
    nothing = logits.shape[-1] - 1
    weight = logits.new_ones(nothing + 1)
    weight[nothing] = no_object
    wanted = torch.full(logits.shape[:2], nothing, device=logits.device)
    wanted[pairs.image, pairs.query] = targets.classes[pairs.image, pairs.target]
    return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), weight=weight)


def _mask_losses(masks: Tensor, targets: Targets, pairs: Pairs, points: _Points, shape: HeadShape,
                 num_masks: int) -> tuple[Tensor, Tensor]:
    """BCE and dice of the matched masks, over the number of targets in the whole batch."""
    matched = masks[pairs.image, pairs.query][:, None]
    with torch.no_grad():
        certain = _sample(matched, points.candidates).squeeze(1).abs()
        chosen = certain.topk(int(shape.importance * shape.points), dim=1, largest=False, sorted=False).indices
        chosen = points.candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
        places = torch.cat([chosen, points.plain], dim=1)
        target = _sample(targets.masks[pairs.image, pairs.target][:, None], places).squeeze(1)
    logits = _sample(matched, places).squeeze(1)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)
    return entropy.sum() / num_masks, dice_loss(logits, target).sum() / num_masks


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - (2 p t + 1) / (p + t + 1), of sigmoid probabilities p and masks t, summed over points: (N, P) -> (N,)."""
    mask = logits.sigmoid()
    return 1 - (2 * (mask * target).sum(1) + 1) / (mask.sum(1) + target.sum(1) + 1)


def _sample(maps: Tensor, points: Tensor) -> Tensor:
    """maps (N, K, h, w) read at points (N, P, 2), bilinear, the same points for all K: (N, K, P)."""
    return F.grid_sample(maps, points[:, :, None], align_corners=False).squeeze(3)
