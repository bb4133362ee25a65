"""Which layers are found in which backbone: timm's own models whole, on the meta device."""

from collections import Counter

import pytest
import timm
import torch
from torch import nn

from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.roles import EVERY_LINEAR, ROLES, linears, select

FUSED = {"attn.qkv": "qkv", "attn.proj": "proj", "mlp.fc1": "fc1", "mlp.fc2": "fc2"}
GATED = {"mlp.fc1_g": "fc1", "mlp.fc1_x": "fc1", "mlp.fc2": "fc2"}
SPLIT = {"attn.q_proj": "q", "attn.k_proj": "k", "attn.v_proj": "v", "attn.proj": "proj"}
BACKBONES = {
    "vit_small_patch14_dinov2": (12, FUSED),
    "vit_large_patch14_dinov2": (24, FUSED),
    "vit_giant_patch14_dinov2": (40, FUSED),  # SwiGLU, packed into fc1
    "vit_small_patch16_dinov3": (12, FUSED),
    "vit_huge_plus_patch16_dinov3": (32, {"attn.qkv": "qkv", "attn.proj": "proj", **GATED}),
    "eva02_tiny_patch14_224": (12, FUSED),  # the same
    "eva02_large_patch14_224": (24, {**SPLIT, **GATED}),
    "vit_base_patch16_siglip_512": (12, FUSED),
    "vit_base_patch16_clip_224": (12, FUSED),
    "samvit_base_patch16": (12, FUSED),
    "beit_base_patch16_224": (12, FUSED),
}


def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name, num_classes=0)


@pytest.mark.parametrize(("name", "depth", "layers"), [(name, *rest) for name, rest in BACKBONES.items()],
                         ids=list(BACKBONES))
def test_every_linear_layer_of_every_block_has_its_role(name: str, depth: int, layers: dict[str, str]) -> None:
    vit = on_meta(name)
    targets = linears(vit)
    assert [(target.name, target.block, target.role) for target in targets] == [
        (f"blocks.{block}.{layer}", block, role) for block in range(depth) for layer, role in layers.items()]
    modules = dict(vit.named_modules())
    assert all(target.module is modules[target.name] for target in targets)
    assert len(targets) == sum(isinstance(module, nn.Linear) for module in vit.blocks.modules())


def test_layers_outside_the_blocks_are_not_ours() -> None:
    vit = on_meta("vit_base_patch16_siglip_512")
    outside = [name for name, module in vit.named_modules()
               if isinstance(module, nn.Linear) and not name.startswith("blocks.")]
    assert outside  # the attention pool's
    assert not {target.name for target in linears(vit)} & set(outside)


@pytest.mark.parametrize(("name", "stranger"), [("vit_base_patch16_xp_224", "blocks.0.in_proj"),
                                                ("vit_relpos_base_patch16_224", "blocks.0.attn.rel_pos.mlp.fc1")])
def test_a_layer_without_a_role_is_an_error_that_names_it(name: str, stranger: str) -> None:
    with pytest.raises(AdapterError, match=f"^{stranger}: "):
        linears(on_meta(name))


def test_a_model_without_blocks_is_an_error() -> None:
    with pytest.raises(AdapterError, match="expected a timm vision transformer"):
        linears(nn.Sequential(nn.Linear(2, 2)))


def roles_of(name: str, roles: tuple[str, ...], skip_blocks: int = 0) -> Counter[str]:
    return Counter(target.role for target in select(on_meta(name), roles, skip_blocks))


def test_qkv_means_all_attention_inputs_fused_or_split() -> None:
    assert roles_of("vit_small_patch14_dinov2", ("qkv",)) == {"qkv": 12}
    assert roles_of("eva02_base_patch14_224", ("qkv",)) == {"q": 12, "k": 12, "v": 12}
    assert roles_of("eva02_base_patch14_224", ("q", "v")) == {"q": 12, "v": 12}


def test_by_default_everything_is_selected_in_the_models_order() -> None:
    for name in ("vit_small_patch14_dinov2", "eva02_base_patch14_224"):
        assert [target.name for target in select(on_meta(name))] == [target.name for target in linears(on_meta(name))]
    names = [target.name for target in select(on_meta("vit_small_patch14_dinov2"), ("fc2", "qkv"), 11)]
    assert names == ["blocks.11.attn.qkv", "blocks.11.mlp.fc2"]


def test_blocks_are_skipped_by_their_index() -> None:
    assert {target.block for target in select(on_meta("vit_small_patch14_dinov2"), EVERY_LINEAR, 8)} == {8, 9, 10, 11}
    assert roles_of("vit_small_patch14_dinov2", ("proj", "fc1"), 3) == {"proj": 9, "fc1": 9}


@pytest.mark.parametrize(("roles", "skip_blocks", "said"), [
    (("q",), 0, "role 'q' names no layer of this model; it has: qkv, proj, fc1, fc2"),
    (("qkv", "head"), 0, "role 'head' names no layer"),
    ((), 0, "no role given"),
    (("proj", "proj"), 0, "twice"),
    (("qkv",), 12, "skip_blocks 12 leaves none of the 12 blocks; choose 0 to 11"),
    (("qkv",), -1, "choose 0 to 11"),
])
def test_bad_selections_are_refused_in_one_line(roles: tuple[str, ...], skip_blocks: int, said: str) -> None:
    with pytest.raises(AdapterError, match=said) as caught:
        select(on_meta("vit_small_patch14_dinov2"), roles, skip_blocks)
    assert "\n" not in str(caught.value)


def test_a_split_backbone_says_which_roles_it_has() -> None:
    vit = on_meta("eva02_base_patch14_224")
    with pytest.raises(AdapterError, match="it has: " + ", ".join(ROLES)):
        select(vit, ("nothing",))
    with pytest.raises(AdapterError, match="twice"):
        select(vit, ("qkv", "k"))
