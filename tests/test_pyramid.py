"""The pyramid: which blocks, their outputs untouched, and plain bilinear resizing."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from recyclelora.models.pyramid import block_features, feature_pyramid, output_blocks
from recyclelora.models.timm_backbones import build_backbone


def test_output_blocks_keep_the_papers_shares() -> None:
    assert output_blocks(24) == (7, 11, 15, 23)  # the authors' code
    assert output_blocks(12) == (3, 5, 7, 11)
    assert output_blocks(40) == (12, 19, 26, 39)


@pytest.mark.parametrize(("name", "blocks"), [("dinov2_small", (3, 5, 7, 11)), ("dinov2_small_reg", (0, 1, 2, 5)),
                                              ("eva02_tiny", (3, 5, 7, 11))])
def test_features_are_the_residual_stream_after_each_block(name: str, blocks: tuple[int, ...]) -> None:
    vit = build_backbone(name, patch_size=14, image_size=(42, 70), weights=None)
    images = torch.randn(2, 3, 42, 70)
    seen: dict[int, Tensor] = {}
    for index, block in enumerate(vit.blocks):
        block.register_forward_hook(lambda module, args, output, index=index: seen.__setitem__(index, output))
    with torch.no_grad():
        features = block_features(vit, images, blocks)
        assert sorted(seen) == list(range(blocks[-1] + 1))  # none is run behind the last
        for feature, index in zip(features, blocks, strict=True):
            tokens = seen[index][:, vit.num_prefix_tokens:]
            assert torch.equal(feature, tokens.transpose(1, 2).reshape(2, -1, 3, 5))
        timms = vit.forward_intermediates(images, indices=list(blocks), norm=False, intermediates_only=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(features, timms, strict=True))
        if hasattr(vit, "get_intermediate_layers"):
            timms = vit.get_intermediate_layers(images, n=list(blocks), reshape=True, norm=False)
            assert all(torch.equal(ours, theirs) for ours, theirs in zip(features, timms, strict=True))


def literal_bilinear(image: Tensor, row: int, column: int, scale: float) -> Tensor:
    """One pixel of a bilinear resize with half-pixel centres, edges repeated, by its definition."""
    def taps(index: int, length: int) -> list[tuple[int, float]]:
        centre = min(max((index + 0.5) / scale - 0.5, 0), length - 1)
        first = min(int(centre), length - 1)
        return [(first, 1 - (centre - first)), (min(first + 1, length - 1), centre - first)]

    return sum((image[y, x] * wy * wx for y, wy in taps(row, image.shape[0]) for x, wx in taps(column, image.shape[1])),
               start=torch.zeros(()))


@pytest.mark.parametrize("grid", [(8, 8), (6, 8), (5, 7)])
def test_pyramid_strides_and_values(grid: tuple[int, int]) -> None:
    features = list(torch.randn(4, 2, 3, *grid))
    pyramid = feature_pyramid(features)
    for feature, level, scale in zip(features, pyramid, (4, 2, 1, 0.5), strict=True):
        assert level.shape == (2, 3, int(grid[0] * scale), int(grid[1] * scale))
        for row, column in ((0, 0), (1, 2), (level.shape[2] - 1, level.shape[3] - 1)):
            expected = literal_bilinear(feature[1, 2], row, column, scale)
            assert torch.allclose(level[1, 2, row, column], expected, atol=1e-6)
    assert pyramid[2] is features[2]
    if grid[0] % 2 == grid[1] % 2 == 0:
        assert torch.allclose(pyramid[3], F.avg_pool2d(features[3], 2), atol=1e-6)
