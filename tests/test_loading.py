"""Loading: a model gets every tensor of a file unchanged but for two sizes, or nothing of it."""

import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed
from torch import Tensor

from recyclelora.errors import InputError
from recyclelora.models.loading import load_strict
from recyclelora.models.resizing import resize_patch, resize_position


@pytest.fixture
def vit() -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model("vit_small_patch14_dinov2", num_classes=0, embed_dim=24, depth=2, num_heads=2,
                             img_size=(56, 42), dynamic_img_size=True)


@pytest.fixture
def published(vit: torch.nn.Module, tmp_path: Path) -> dict[str, Tensor]:
    """What a file for `vit` holds, at the checkpoint's own grid of 5 x 5."""
    generator = torch.Generator().manual_seed(1)
    tensors = {name: torch.randn(tensor.shape, generator=generator) for name, tensor in vit.state_dict().items()}
    tensors["pos_embed"] = torch.randn(1, 26, 24, generator=generator)
    return tensors


def test_every_tensor_arrives_bit_for_bit(vit: torch.nn.Module, published: dict[str, Tensor], tmp_path: Path) -> None:
    published["pos_embed"] = torch.randn(vit.pos_embed.shape)
    save_file({**published, "mask_token": torch.zeros(1, 24)}, tmp_path / "file.safetensors")
    before = {name: parameter for name, parameter in vit.named_parameters()}
    load_strict(vit, tmp_path / "file.safetensors")
    assert vit.state_dict().keys() == published.keys()
    assert all(torch.equal(tensor, published[name]) for name, tensor in vit.state_dict().items())
    assert all(before[name] is parameter for name, parameter in vit.named_parameters())


def test_half_precision_is_widened_exactly(vit: torch.nn.Module, published: dict[str, Tensor], tmp_path: Path) -> None:
    halves = {name: tensor.bfloat16() for name, tensor in published.items()}
    save_file(halves, tmp_path / "file.safetensors")
    load_strict(vit, tmp_path / "file.safetensors")
    weight = vit.blocks[1].mlp.fc1.weight
    assert weight.dtype == torch.float32 and torch.equal(weight, halves["blocks.1.mlp.fc1.weight"].float())


def spoil(tensors: dict[str, Tensor], how: str) -> dict[str, Tensor]:
    spoiled = dict(tensors)
    if how == "missing":
        spoiled = {name: tensor for name, tensor in tensors.items() if not name.startswith("blocks.1.")}
    elif how == "foreign":
        spoiled["blocks.2.norm1.weight"] = torch.zeros(24)
    elif how == "another size":
        spoiled["blocks.0.mlp.fc1.weight"] = torch.zeros(96, 23)
    elif how == "nan":
        spoiled["blocks.0.mlp.fc2.bias"] = torch.full((24,), torch.nan)
    elif how == "integers":
        spoiled["norm.bias"] = torch.zeros(24, dtype=torch.int64)
    return spoiled


@pytest.mark.parametrize(("how", "said"), [
    ("missing", "14 tensors missing: blocks.1.norm1.weight, blocks.1.norm1.bias, blocks.1.attn.qkv.weight, ...;"),
    ("foreign", "1 tensor that the backbone does not have: blocks.2.norm1.weight;"),
    ("another size", "1 tensor of another size: blocks.0.mlp.fc1.weight is 96x23, not 96x24;"),
    ("nan", "1 tensor with values that are not finite: blocks.0.mlp.fc2.bias;"),
    ("integers", "1 tensor not float32, float16 or bfloat16: norm.bias;")])
def test_a_wrong_file_is_refused_and_the_model_left_alone(vit: torch.nn.Module, published: dict[str, Tensor],
                                                          tmp_path: Path, how: str, said: str) -> None:
    save_file(spoil(published, how), tmp_path / "file.safetensors")
    before = {name: tensor.clone() for name, tensor in vit.state_dict().items()}
    with pytest.raises(InputError, match=re.escape(said)):
        load_strict(vit, tmp_path / "file.safetensors")
    assert all(torch.equal(tensor, before[name]) for name, tensor in vit.state_dict().items())


def test_the_position_embedding_is_resized_as_timm_would_without_antialiasing(
        vit: torch.nn.Module, published: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(published, tmp_path / "file.safetensors")
    load_strict(vit, tmp_path / "file.safetensors")
    expected = resample_abs_pos_embed(published["pos_embed"], [4, 3], [5, 5], antialias=False)
    assert torch.equal(vit.pos_embed, expected)
    assert torch.equal(vit.pos_embed[:, 0], published["pos_embed"][:, 0])  # the class token has no place
    assert torch.equal(resize_position(published["pos_embed"], (5, 5), 1), published["pos_embed"])
    without_prefix = resize_position(published["pos_embed"][:, 1:], (4, 3), 0)
    assert torch.equal(without_prefix, expected[:, 1:])


def test_the_patch_kernel_is_resized_plainly() -> None:
    kernel = torch.randn(2, 3, 14, 14)
    assert resize_patch(kernel, (14, 14)) is kernel
    resized = resize_patch(kernel, (16, 16))
    for row, column in ((0, 0), (7, 12), (15, 3)):
        assert torch.allclose(resized[1, 2, row, column], literal_bicubic(kernel[1, 2], row, column, 16), atol=1e-6)
    flat = resize_patch(torch.full((1, 3, 14, 14), 2.0), (16, 16))
    assert torch.allclose(flat, torch.tensor(2.0))  # no rescaling: a flat kernel answers 16^2 / 14^2 times as loud


def literal_bicubic(image: Tensor, row: int, column: int, size: int) -> Tensor:
    """One pixel of a bicubic resize (a = -0.75, half-pixel centres, edges repeated), by its definition."""
    def taps(index: int, length: int) -> list[tuple[int, float]]:
        centre = (index + 0.5) * length / size - 0.5
        first = int(np.floor(centre)) - 1
        found = []
        for tap in range(first, first + 4):
            d = abs(centre - tap)
            weight = (1.25 * d - 2.25) * d * d + 1 if d <= 1 else ((-0.75 * d + 3.75) * d - 6) * d + 3
            found.append((min(max(tap, 0), length - 1), weight))
        return found

    return sum((image[y, x] * wy * wx for y, wy in taps(row, image.shape[0]) for x, wx in taps(column, image.shape[1])),
               start=torch.zeros(()))


def test_literal_bicubic_is_torch_bicubic() -> None:
    image = torch.randn(14, 14)
    resized = F.interpolate(image[None, None], size=(16, 16), mode="bicubic", align_corners=False)[0, 0]
    assert torch.allclose(resized[5, 9], literal_bicubic(image, 5, 9, 16), atol=1e-6)
