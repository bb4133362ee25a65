"""Every architecture of the catalogue through the real code, narrowed to two blocks: adapters, pyramid, sizes, files; and
the counts of the full-size ones, against their layers written out."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from recyclelora.adapters import adapt, merge
from recyclelora.errors import InputError
from recyclelora.models.catalogue import BACKBONES, STATISTICS, Backbone
from recyclelora.models.inventory import describe
from recyclelora.models.pyramid import block_features
from recyclelora.models.timm_backbones import build_backbone
from tests.narrow import assert_same_output, perturb, trained

NARROW = {"depth": 2, "embed_dim": 48, "num_heads": 2}
OWN = {"sam": {"window_size": 3, "global_attn_indexes": (1,)}}  # a windowed block, and one that sees the whole image
ARCHITECTURES = ["dinov2_small", "dinov2_small_reg", "dinov2_giant", "dinov3_small", "dinov3_small_plus",
                 "dinov3_huge_plus", "eva02_tiny", "eva02_large", "eva02_clip_base", "eva02_clip_large",
                 "eva02_clip_enormous", "clip_base", "clip_large", "siglip_base", "siglip_so400m", "siglip2_giant",
                 "sam_base"]
Narrow = Callable[[str], Backbone]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Narrow:
    """Make a backbone narrow under its own name: all else is built, loaded and adapted as the full-size one."""
    def patch(name: str) -> Backbone:
        row = BACKBONES[name]
        options = {**row.family.options, **NARROW, **OWN.get(name.partition("_")[0], {})}
        row = row._replace(family=row.family._replace(options=options))
        monkeypatch.setitem(BACKBONES, name, row)
        return row
    return patch


def randomised(vit: nn.Module, seed: int = 0) -> nn.Module:
    """timm's own start leaves layer scales at 1e-5 and relative positions at 0, where much would go unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.normal_(std=0.2, generator=generator)
    return vit


def built(name: str, side: int = 4, patch_size: int | None = None) -> tuple[nn.Module, Tensor]:
    """A narrow backbone with random parameters for side x (side + 1) patches, and two images of that size."""
    patch = patch_size or BACKBONES[name].patch_size
    size = (side * patch, (side + 1) * patch)
    vit = randomised(build_backbone(name, patch_size=patch_size, image_size=size, weights=None))
    return vit, torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


def features(vit: nn.Module, images: Tensor) -> Tensor:
    return torch.cat(block_features(vit, images, (0, 1)))


# ------------------------------------------------------------------------------------------------------------ adapters


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("init", ["rrqr", "kaiming"])
def test_adapters_start_silent_all_learn_and_merge_exactly(name: str, init: str, narrow: Narrow) -> None:
    narrow(name)
    vit, images = built(name)
    before = features(vit, images)
    layers = adapt(vit, init=init, main_rank=4, sub_rank=2)
    assert len(layers) == sum(isinstance(module, nn.Linear) for module in build_blocks(name).modules())
    assert_same_output(features(vit, images).detach(), before)  # float32: within 1e-5 of the largest value
    perturb(vit)
    adapted = features(vit, images)
    (adapted.sin() * torch.arange(adapted.numel()).reshape(adapted.shape).cos()).sum().backward()
    silent = [name for name, parameter in trained(vit).items()
              if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()]
    assert len(trained(vit)) == 4 * len(layers) and not silent  # none is bypassed
    assert not any(parameter.grad is not None for parameter in vit.parameters() if not parameter.requires_grad)
    assert not torch.allclose(adapted, before, atol=1e-3)
    merge(vit)
    assert_same_output(features(vit, images), adapted.detach())


def build_blocks(name: str) -> nn.Module:
    vit, _ = built(name)
    return vit.blocks  # type: ignore[return-value]


def test_nothing_but_the_blocks_is_built_that_a_head_would_not_read() -> None:
    for name in ("siglip2_large", "sam_large", "clip_large", "eva02_clip_large"):
        with torch.device("meta"):
            vit = build_backbone(name, patch_size=None, image_size=(112, 112), weights=None)
        kinds = {parameter.partition(".")[0] for parameter, _ in vit.named_parameters()}
        assert kinds <= {"cls_token", "pos_embed", "patch_embed", "norm_pre", "blocks", "norm"}, name
        assert ("norm_pre" in kinds) == (name == "clip_large")


# ------------------------------------------------------------------------------------------- pyramid, and other sizes


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_features_of_every_image_size_are_the_blocks_outputs(name: str, narrow: Narrow) -> None:
    """Built for one size, run at others: crops, windows of another size, and sides in another ratio."""
    row = narrow(name)
    vit, _ = built(name)
    seen: list[Tensor] = []
    for block in vit.blocks:  # type: ignore[union-attr]
        block.register_forward_hook(lambda module, args, output: seen.append(output))
    for rows, columns in ((4, 5), (7, 3), (2, 9)):
        seen.clear()
        images = torch.randn(2, 3, rows * row.patch_size, columns * row.patch_size)
        found = block_features(vit, images, (0, 1))
        for feature, output in zip(found, seen, strict=True):
            assert feature.shape == (2, NARROW["embed_dim"], rows, columns) and feature.isfinite().all()
            tokens = output.flatten(1, 2) if output.ndim == 4 else output[:, vit.num_prefix_tokens:]  # SAM keeps a grid
            assert torch.equal(feature, tokens.transpose(1, 2).reshape(feature.shape))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_built_size_changes_no_feature_at_the_checkpoints_own(name: str, narrow: Narrow, tmp_path: Path) -> None:
    """A file loaded for its own size equals the model it was saved from, at any image size that both then see."""
    row = narrow(name)
    vit, _ = built(name, 6)
    square = randomised(build_backbone(name, patch_size=None, image_size=(4 * row.patch_size,) * 2, weights=None))
    save_file(square.state_dict(), tmp_path / "file.safetensors")
    loaded = build_backbone(name, patch_size=None, image_size=(4 * row.patch_size,) * 2,
                            weights=tmp_path / "file.safetensors")
    for side in (4, 6):
        images = torch.randn(1, 3, side * row.patch_size, side * row.patch_size)
        assert torch.equal(features(loaded, images), features(square, images))


@pytest.mark.parametrize("name", ["dinov2_large", "dinov3_large", "eva02_large", "eva02_clip_large_336", "clip_large_336",
                                  "siglip2_large_384", "siglip_so400m", "sam_large"])
def test_512_pixel_crops_at_patch_16(name: str, narrow: Narrow) -> None:
    narrow(name)
    vit = build_backbone(name, patch_size=16, image_size=(512, 512), weights=None)
    maps = block_features(vit, torch.randn(1, 3, 512, 512), (0, 1))
    assert [tuple(each.shape) for each in maps] == [(1, 48, 32, 32)] * 2


# ------------------------------------------------------------------------------------------------ files as timm saves


def saved(name: str, path: Path, side: int = 4, **changed: object) -> dict[str, Tensor]:
    """What timm would publish: the whole narrow model, its head, attention pool or neck included."""
    row = BACKBONES[name]
    options = {key: value for key, value in row.family.options.items() if key != "global_pool"}
    options |= {"num_classes": 0 if name.startswith(("sam", "siglip")) else 5, **changed}
    vit = timm.create_model(row.timm_name, img_size=side * row.patch_size, **options)
    tensors = {name: tensor.clone() for name, tensor in randomised(vit, seed=3).state_dict().items()}
    save_file(tensors, path)
    return tensors


LEFT_OUT = {"siglip": "attn_pool.", "sam": "neck.", "clip": "head.", "eva02_clip": "head.", "dinov2": "head."}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_published_file_is_loaded_bit_for_bit_and_nothing_else_is_left_out(name: str, narrow: Narrow,
                                                                             tmp_path: Path) -> None:
    row = narrow(name)
    published = saved(name, tmp_path / "file.safetensors")
    vit = build_backbone(name, patch_size=None, image_size=(4 * row.patch_size,) * 2,
                         weights=tmp_path / "file.safetensors")
    state = vit.state_dict()
    assert all(torch.equal(tensor, published[key]) for key, tensor in state.items())
    left_out = {key for key in published if key not in state}
    for family, prefix in LEFT_OUT.items():
        if name.startswith(family):
            assert left_out and all(key.startswith(prefix) for key in left_out)
    spoiled = {**published, "blocks.0.attn.extra": torch.zeros(1)}
    save_file(spoiled, tmp_path / "more.safetensors")
    with pytest.raises(InputError, match="does not have: blocks.0.attn.extra"):
        build_backbone(name, patch_size=None, image_size=(4 * row.patch_size,) * 2,
                       weights=tmp_path / "more.safetensors")


@pytest.mark.parametrize("name", ["clip_large", "dinov3_small", "siglip_base", "sam_base"])
def test_what_another_family_leaves_out_is_refused(name: str, narrow: Narrow, tmp_path: Path) -> None:
    row = narrow(name)
    published = saved(name, tmp_path / "file.safetensors")
    foreign = "attn_pool.q.weight" if name != "siglip_base" else "neck.0.weight"
    save_file({**published, foreign: torch.zeros(2)}, tmp_path / "file.safetensors")
    with pytest.raises(InputError, match=f"1 tensor that the backbone does not have: {foreign}"):
        build_backbone(name, patch_size=None, image_size=(4 * row.patch_size,) * 2,
                       weights=tmp_path / "file.safetensors")


def test_eva02_as_pretrained_has_its_last_norm_under_another_name(narrow: Narrow, tmp_path: Path) -> None:
    row = narrow("eva02_large")
    size, path = (4 * row.patch_size,) * 2, tmp_path / "file.safetensors"
    published = saved("eva02_large", path)
    older = {key.replace("fc_norm", "norm"): tensor for key, tensor in published.items() if "head" not in key}
    older |= {"mask_token": torch.zeros(1, 1, 48), "lm_head.weight": torch.zeros(8, 48), "lm_head.bias": torch.zeros(8)}
    save_file(older, path)
    vit = build_backbone("eva02_large", patch_size=None, image_size=size, weights=path)
    assert torch.equal(vit.fc_norm.weight, published["fc_norm.weight"])
    save_file({**older, "fc_norm.weight": torch.zeros(48), "fc_norm.bias": torch.zeros(48)}, path)
    with pytest.raises(InputError, match="does not have: norm"):  # both: which is meant?
        build_backbone("eva02_large", patch_size=None, image_size=size, weights=path)


def test_another_librarys_names_are_said_to_be_that(narrow: Narrow, tmp_path: Path) -> None:
    narrow("clip_large")
    published = saved("clip_large", tmp_path / "file.safetensors")
    save_file({f"visual.trunk.{key}": tensor for key, tensor in published.items()}, tmp_path / "file.safetensors")
    with pytest.raises(InputError, match="other names than timm's .visual.trunk.blocks.0.* convert") as caught:
        build_backbone("clip_large", patch_size=None, image_size=(56, 56), weights=tmp_path / "file.safetensors")
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------- resizing, plain and flexible


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_another_patch_and_grid_change_what_is_declared_and_nothing_else(name: str, narrow: Narrow,
                                                                         tmp_path: Path) -> None:
    row = narrow(name)
    published = saved(name, tmp_path / "file.safetensors", side=6)
    patch = 16 if row.patch_size == 14 else 12
    loaded = {resize: build_backbone(name, patch_size=patch, image_size=(4 * patch, 5 * patch), resize=resize,
                                     weights=tmp_path / "file.safetensors") for resize in ("plain", "flexible")}
    plain, flexible = (vit.state_dict() for vit in loaded.values())
    changed = {key for key, tensor in plain.items()
               if tensor.shape != published[key].shape or not torch.equal(tensor, published[key])}
    positions = {"pos_embed"} & plain.keys()
    tables = {f"blocks.1.attn.rel_pos_{side}" for side in "hw"} if name.startswith("sam") else set()
    assert changed == {"patch_embed.proj.weight"} | positions | tables
    differing = {key for key in plain if not torch.equal(plain[key], flexible[key])}
    assert differing == {"patch_embed.proj.weight"} | positions
    kernel = F.interpolate(published["patch_embed.proj.weight"], size=(patch, patch), mode="bicubic")
    assert torch.equal(plain["patch_embed.proj.weight"], kernel)
    images = torch.randn(1, 3, 4 * patch, 5 * patch)
    assert not torch.equal(features(loaded["plain"], images), features(loaded["flexible"], images))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_flexible_is_timms_own_loader(name: str, narrow: Narrow, tmp_path: Path) -> None:
    row = narrow(name)
    patch = 16 if row.patch_size == 14 else 12
    saved(name, tmp_path / "file.safetensors", side=6)
    ours = build_backbone(name, patch_size=patch, image_size=(4 * patch, 5 * patch), resize="flexible",
                          weights=tmp_path / "file.safetensors")
    if name.startswith("sam"):
        return  # timm's loader refuses SAM at another size
    options = {key: value for key, value in row.family.options.items() if key != "global_pool"}
    theirs = timm.create_model(row.timm_name, pretrained=True, patch_size=patch, img_size=(4 * patch, 5 * patch),
                               pretrained_cfg_overlay={"file": str(tmp_path / "file.safetensors"), "num_classes": 5},
                               num_classes=0, **options)
    state = theirs.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in ours.state_dict().items())


def test_sams_tables_loaded_for_a_size_are_those_it_would_interpolate_to(narrow: Narrow, tmp_path: Path) -> None:
    """So that a backbone built for a crop computes what the one of the checkpoint's size would, but for the position
    embedding, which timm antialiases at run time."""
    narrow("sam_base")
    published = saved("sam_base", tmp_path / "file.safetensors", side=6)
    save_file({**published, "pos_embed": torch.zeros_like(published["pos_embed"])}, tmp_path / "file.safetensors")
    at = {side: build_backbone("sam_base", patch_size=None, image_size=(16 * side, 16 * side),
                               weights=tmp_path / "file.safetensors") for side in (4, 6)}
    images = torch.randn(1, 3, 64, 64)
    assert torch.allclose(features(at[4], images), features(at[6], images), atol=1e-5)


@pytest.mark.parametrize("name", ["dinov2_small", "dinov3_small", "sam_base"])
def test_flexible_where_nothing_is_resized_is_refused(name: str, narrow: Narrow, tmp_path: Path) -> None:
    row = narrow(name)
    saved(name, tmp_path / "file.safetensors")
    own = (4 * row.patch_size,) * 2
    with pytest.raises(InputError, match="flexible changes nothing here") as caught:
        build_backbone(name, patch_size=None, image_size=own, weights=tmp_path / "file.safetensors", resize="flexible")
    assert caught.value.key == "backbone.resize" and "\n" not in str(caught.value)
    other = (4 * row.patch_size, 6 * row.patch_size)  # another grid is something to resize, where there are positions
    if name == "dinov3_small":
        with pytest.raises(InputError, match="flexible changes nothing here"):
            build_backbone(name, patch_size=None, image_size=other, weights=tmp_path / "file.safetensors",
                           resize="flexible")
    else:
        build_backbone(name, patch_size=None, image_size=other, weights=tmp_path / "file.safetensors",
                       resize="flexible")


# ------------------------------------------------------------------------------------------------------ the catalogue


def vit_block(width: int, hidden: int, out: int | None = None) -> list[tuple[int, int]]:
    """Layers (in, out) of a block with fused qkv; `out`: what fc2 reads, half of `hidden` where a gate is packed in."""
    return [(width, 3 * width), (width, width), (width, hidden), (out or hidden, width)]


def gated_block(width: int, hidden: int) -> list[tuple[int, int]]:
    return [(width, 3 * width), (width, width), (width, hidden), (width, hidden), (hidden, width)]


def split_block(width: int, hidden: int) -> list[tuple[int, int]]:
    return [(width, width)] * 4 + [(width, hidden), (width, hidden), (hidden, width)]


SMALL, BASE, LARGE, GIANT = (vit_block(width, 4 * width) for width in (384, 768, 1024, 1536))
BLOCKS = {  # depth, and the layers of a block written out
    "dinov2_small": (12, SMALL), "dinov2_base": (12, BASE), "dinov2_large": (24, LARGE),
    "dinov2_giant": (40, vit_block(1536, 8192, 4096)),
    "dinov3_small": (12, SMALL), "dinov3_small_plus": (12, gated_block(384, 1536)), "dinov3_base": (12, BASE),
    "dinov3_large": (24, LARGE), "dinov3_huge_plus": (32, gated_block(1280, 5120)),
    "dinov3_7b": (40, gated_block(4096, 8192)),
    "eva02_tiny": (12, vit_block(192, 1024, 512)), "eva02_small": (12, vit_block(384, 2048, 1024)),
    "eva02_base": (12, split_block(768, 2048)), "eva02_large": (24, split_block(1024, 2730)),
    "eva02_clip_base": (12, split_block(768, 2048)), "eva02_clip_large": (24, split_block(1024, 2730)),
    "eva02_clip_enormous": (64, vit_block(1792, 15360)),
    "clip_base": (12, BASE), "clip_large": (24, LARGE), "siglip_base": (12, BASE), "siglip_large": (24, LARGE),
    "siglip_so400m": (27, vit_block(1152, 4304)), "siglip2_base": (12, BASE), "siglip2_large": (24, LARGE),
    "siglip2_so400m": (27, vit_block(1152, 4304)), "siglip2_giant": (40, vit_block(1536, 6144)),
    "sam_base": (12, BASE), "sam_large": (24, LARGE), "sam_huge": (32, vit_block(1280, 5120))}


@pytest.mark.parametrize("name", BACKBONES)
def test_counts_are_those_of_the_layers_written_out(name: str) -> None:
    entry = describe(name)
    depth, block = BLOCKS[name.removesuffix("_reg").rstrip("0123456789").rstrip("_") if name != "dinov3_7b" else name]
    per_rank = depth * sum(inputs + outputs for inputs, outputs in block)
    assert (entry.params_r32, entry.params_r4) == (32 * per_rank, 4 * per_rank)
    assert entry.adapted == depth * len(block) == depth * sum(entry.roles.values())
    assert set(entry.roles) in ({"qkv", "proj", "fc1", "fc2"}, {"q", "k", "v", "proj", "fc1", "fc2"})


def test_the_papers_counts() -> None:
    dinov2, eva02 = describe("dinov2_large"), describe("eva02_large")
    assert (dinov2.params_r32, dinov2.params_r4) == (12_582_912, 1_572_864)
    # attention 4 x (1024 + 1024), gate and value 2 x (1024 + 2730), output 2730 + 1024
    assert (eva02.params_r32, eva02.params_r4) == (32 * 24 * 19_454, 4 * 24 * 19_454) == (14_940_672, 1_867_584)
    assert (dinov2.adapted, eva02.adapted) == (96, 168)


def test_where_each_is_published_and_how_its_images_were_normalised() -> None:
    assert len({row.timm_name for row in BACKBONES.values()}) == len(BACKBONES)
    for name, row in BACKBONES.items():
        known = get_pretrained_cfg(row.timm_name)
        assert known.hf_hub_filename is None, f"{name}: not the repository's usual file, so perhaps a pickle"
        assert row.hub_id == f"timm/{row.timm_name.replace('_quickgelu', '')}"  # another checkpoint cannot slip in
        expected = {"eva02": "CLIP", "clip": "CLIP", "siglip": "0.5", "siglip2": "0.5"}
        assert STATISTICS[expected.get(name.partition("_")[0], "ImageNet")] == (row.mean, row.std)
        assert row.licence in ("apache-2.0", "mit", "dinov3-license")
        size = name.rpartition("_")[2]
        assert not size.isdecimal() or known.input_size[1:] == (int(size), int(size))
