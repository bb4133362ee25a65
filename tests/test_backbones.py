"""Backbones: each row of the table is true of the model it names, and a built one is frozen and holds its file."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed

from recyclelora.errors import InputError
from recyclelora.models.catalogue import BACKBONES
from recyclelora.models.timm_backbones import build_backbone


@pytest.mark.parametrize("name", BACKBONES)
def test_each_row_is_true_of_its_model(name: str) -> None:
    row = BACKBONES[name]
    with torch.device("meta"):
        vit = build_backbone(name, patch_size=None, image_size=(224, 224), weights=None)
    assert all(tensor.is_meta for tensor in vit.state_dict().values())
    assert (len(vit.blocks), vit.embed_dim, vit.patch_embed.patch_size) == (row.depth, row.width, (row.patch_size,) * 2)
    prefix = {"dinov3": 5, "siglip": 0, "siglip2": 0, "sam": 0}.get(name.partition("_")[0], 1)
    assert getattr(vit, "num_prefix_tokens", 0) == (5 if name.endswith("_reg") else prefix)


def test_dinov2_sees_the_authors_normalisation() -> None:
    row = BACKBONES["dinov2_large"]
    assert [round(255 * mean, 3) for mean in row.mean] == [123.675, 116.28, 103.53]  # the authors' code
    assert [round(255 * std, 3) for std in row.std] == [58.395, 57.12, 57.375]
    assert (row.licence, BACKBONES["eva02_large"].licence) == ("apache-2.0", "mit")


def test_a_backbone_is_frozen_in_eval_mode_and_without_a_classifier() -> None:
    vit = build_backbone("eva02_tiny", patch_size=None, image_size=(56, 84), weights=None)
    assert not any(parameter.requires_grad for parameter in vit.parameters())
    assert not any(module.training for module in vit.modules())
    assert not any(name.startswith("head") for name, _ in vit.named_parameters())


def test_at_its_own_size_every_tensor_is_bitwise_that_of_the_file(dinov2_small: Path) -> None:
    vit = build_backbone("dinov2_small", patch_size=None, image_size=(518, 518), weights=dinov2_small)
    published = load_file(dinov2_small)
    assert vit.state_dict().keys() == published.keys()
    assert all(torch.equal(tensor, published[name]) for name, tensor in vit.state_dict().items())


def test_patch_16_and_another_grid_change_two_tensors_only(dinov2_small: Path) -> None:
    vit = build_backbone("dinov2_small", patch_size=16, image_size=(96, 64), weights=dinov2_small)
    published = load_file(dinov2_small)
    changed = {name for name, tensor in vit.state_dict().items()
               if tensor.shape != published[name].shape or not torch.equal(tensor, published[name])}
    assert changed == {"patch_embed.proj.weight", "pos_embed"}
    kernel = F.interpolate(published["patch_embed.proj.weight"], size=(16, 16), mode="bicubic", align_corners=False)
    assert torch.equal(vit.patch_embed.proj.weight, kernel)
    assert torch.equal(vit.pos_embed, resample_abs_pos_embed(published["pos_embed"], [6, 4], [37, 37], antialias=False))


@pytest.mark.parametrize("name", ["dinov2_small_reg", "eva02_tiny"])
def test_a_loaded_backbone_computes_what_the_one_it_was_saved_from_does(name: str, tmp_path: Path) -> None:
    side = BACKBONES[name].patch_size * 3
    saved = build_backbone(name, patch_size=None, image_size=(side, side), weights=None)
    save_file(saved.state_dict(), tmp_path / "file.safetensors")
    state = torch.get_rng_state()
    loaded = build_backbone(name, patch_size=None, image_size=(side, side), weights=tmp_path / "file.safetensors")
    assert torch.equal(torch.get_rng_state(), state)  # nothing is drawn only to be overwritten
    assert not any(tensor.is_meta for tensor in (*loaded.parameters(), *loaded.buffers()))
    images = torch.randn(1, 3, side, side)
    with torch.no_grad():
        assert torch.equal(loaded.forward_features(images), saved.forward_features(images))


@pytest.mark.parametrize("name", ["dinov2_small_reg", "eva02_tiny"])
def test_other_image_sizes_work(name: str) -> None:
    vit = build_backbone(name, patch_size=16, image_size=(64, 96), weights=None)
    with torch.no_grad():
        for height, width in ((64, 96), (96, 64), (32, 128)):
            feature = vit.forward_intermediates(torch.randn(1, 3, height, width), 1, intermediates_only=True)[0]
            assert feature.shape == (1, BACKBONES[name].width, height // 16, width // 16) and feature.isfinite().all()


@pytest.mark.parametrize(("sides", "patch", "complaint"), [
    ((8, 8), None, "kernels of 8x8 pixels, not of 14x14;"), ((14, 7), None, "kernels of 14x7 pixels, not of 14x14;"),
    ((8, 8), 16, "kernels of 8x8 pixels, not of 14x14 or 16x16;"), ((16, 16), 14, "kernels of 16x16 pixels, not of 14x14;"),
    ((16, 16), 16, ""), ((14, 14), 16, ""), ((14,), None, "kernels of 14 pixels, not of 14x14;"),
])
def test_weights_of_another_patch_size_are_refused(sides: tuple[int, ...], patch: int | None, complaint: str,
                                                   tmp_path: Path) -> None:
    """Not resized: they are another backbone's, or have been resized before."""
    size = (4 * (patch or 14),) * 2
    saved = build_backbone("eva02_tiny", patch_size=patch, image_size=size, weights=None).state_dict()
    save_file({**saved, "patch_embed.proj.weight": torch.zeros(192, 3, *sides)}, tmp_path / "file.safetensors")
    if not complaint:
        build_backbone("eva02_tiny", patch_size=patch, image_size=size, weights=tmp_path / "file.safetensors")
        return
    with pytest.raises(InputError, match=complaint) as caught:
        build_backbone("eva02_tiny", patch_size=patch, image_size=size, weights=tmp_path / "file.safetensors")
    assert caught.value.key == "backbone.weights"


def test_bad_input_is_said_in_one_line() -> None:
    with pytest.raises(InputError, match="did you mean eva02_small") as caught:
        build_backbone("eva02_smal", patch_size=None, image_size=(56, 56), weights=None)
    assert caught.value.key == "backbone.name"
    with pytest.raises(InputError, match="56x64 pixels: not a multiple of the patch size 14"):
        build_backbone("eva02_tiny", patch_size=None, image_size=(56, 64), weights=None)
