"""The feature pyramid of a plain ViT: four block outputs, resized without a parameter (the authors' code)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

SCALES = (4.0, 2.0, 1.0, 0.5)  # of the token grid; with patches of 16 pixels, strides 4, 8, 16, 32


def output_blocks(depth: int) -> tuple[int, ...]:
    """The four blocks a head reads, 0-based: 7, 11, 15, 23 of 24, and the same shares of other depths."""
    return tuple(round(depth * share / 24) - 1 for share in (8, 12, 16, 24))


def block_features(vit: nn.Module, images: Tensor, blocks: Sequence[int]) -> list[Tensor]:
    """Raw outputs of the blocks, before any final norm, without prefix tokens: each (B, width, rows, columns).

    Blocks behind the last one asked for are not run."""
    features: list[Tensor] = vit.forward_intermediates(  # type: ignore[operator]
        images, indices=list(blocks), norm=False, stop_early=True, output_fmt="NCHW", intermediates_only=True)
    return features


def feature_pyramid(features: Sequence[Tensor]) -> list[Tensor]:
    """Four maps (B, width, rows, columns) of one size, 2x2 or more -> the same maps at 4, 2, 1 and 1/2 times that size,
    bilinear; an odd side is halved downwards."""
    return [feature if scale == 1 else F.interpolate(feature, scale_factor=scale, mode="bilinear", align_corners=False)
            for feature, scale in zip(features, SCALES, strict=True)]
