"""The backbones there are: one row for each readable name, one family for each way of building and of publishing them.

A name without a number is the smallest image size at which its makers published it; with one, a checkpoint that they
trained on at that size (`siglip2_large`: 256 pixels; `siglip2_large_512`: 512). Either works at any image size.

| names                                         | made from                         | published at        |
|-----------------------------------------------|-----------------------------------|---------------------|
| dinov2_{small,base,large,giant}[_reg]         | ViT; _reg with 4 registers        | 518, patch 14       |
| dinov3_{small[_plus],base,large,huge_plus,7b} | EVA, rotary, 4 registers          | 256, patch 16       |
| eva02_{tiny,small,base,large}                 | EVA, rotary and learned positions | 224, patch 14       |
| eva02_clip_{base,large[_336],enormous}        | the same; enormous is not rotary  | 224, patch 16 or 14 |
| clip_{base,large[_336]}                       | ViT, a norm before the blocks     | 224, patch 16 or 14 |
| siglip_{base,large,so400m}[_SIZE]             | ViT without class token           | 224 or 256          |
| siglip2_{base,large,so400m,giant}[_SIZE]      | the same                          | 224 or 256          |
| sam_{base,large,huge}                         | windowed ViT, relative positions  | 1024, patch 16      |

OpenAI's CLIP is the variant with its own activation (quick GELU), which the weights were trained with. DINOv3 is timm's
variant without q, k and v biases, which are 0 in the published weights.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from timm.data import constants
from timm.models import get_pretrained_cfg

from recyclelora.documents import nearest
from recyclelora.errors import InputError


class Family(NamedTuple):
    """`options`: for timm.create_model. `unused`: names, or beginnings that end in a dot, of tensors that timm's
    published files hold and that are no part of what the blocks output. `renames`: name in a file -> in the model."""

    options: Mapping[str, Any]
    unused: tuple[str, ...]
    renames: Mapping[str, str]


class Backbone(NamedTuple):
    """What is known of a backbone before it is built. `mean`, `std`: RGB, of images in [0, 1]."""

    timm_name: str  # architecture.tag
    depth: int
    width: int
    patch_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    hub_id: str
    family: Family


STATISTICS = {  # mean and deviation by the name people know
    "ImageNet": (constants.IMAGENET_DEFAULT_MEAN, constants.IMAGENET_DEFAULT_STD),
    "CLIP": (constants.OPENAI_CLIP_MEAN, constants.OPENAI_CLIP_STD),
    "0.5": (constants.IMAGENET_INCEPTION_MEAN, constants.IMAGENET_INCEPTION_STD),
}

_ANY_SIZE = {"dynamic_img_size": True}
_HEAD = ("head.weight", "head.bias")

_DINO = Family(_ANY_SIZE, ("mask_token", *_HEAD), {})
# Published before the fine-tuning, EVA02 has its last norm under another name; timm moves it too.
_EVA02 = Family(_ANY_SIZE, ("mask_token", "lm_head.weight", "lm_head.bias", *_HEAD),
                {"norm.weight": "fc_norm.weight", "norm.bias": "fc_norm.bias"})
_CLIP = Family(_ANY_SIZE, _HEAD, {})
_SIGLIP = Family({**_ANY_SIZE, "global_pool": ""}, ("attn_pool.",), {})  # so that its attention pool is not even built
_SAM = Family({}, ("neck.",), {})  # takes any image size as it is


def _row(family: Family, timm_name: str, depth: int, width: int) -> Backbone:
    known: Any = get_pretrained_cfg(timm_name, allow_unregistered=False)
    patch_size = re.search(r"_patch(\d+)", timm_name)
    assert patch_size is not None
    return Backbone(timm_name, depth, width, int(patch_size[1]), known.mean, known.std, known.license,
                    known.hf_hub_id, family)


BACKBONES: dict[str, Backbone] = {
    "dinov2_small": _row(_DINO, "vit_small_patch14_dinov2.lvd142m", 12, 384),
    "dinov2_base": _row(_DINO, "vit_base_patch14_dinov2.lvd142m", 12, 768),
    "dinov2_large": _row(_DINO, "vit_large_patch14_dinov2.lvd142m", 24, 1024),
    "dinov2_giant": _row(_DINO, "vit_giant_patch14_dinov2.lvd142m", 40, 1536),
    "dinov2_small_reg": _row(_DINO, "vit_small_patch14_reg4_dinov2.lvd142m", 12, 384),
    "dinov2_base_reg": _row(_DINO, "vit_base_patch14_reg4_dinov2.lvd142m", 12, 768),
    "dinov2_large_reg": _row(_DINO, "vit_large_patch14_reg4_dinov2.lvd142m", 24, 1024),
    "dinov2_giant_reg": _row(_DINO, "vit_giant_patch14_reg4_dinov2.lvd142m", 40, 1536),
    "dinov3_small": _row(_DINO, "vit_small_patch16_dinov3.lvd1689m", 12, 384),
    "dinov3_small_plus": _row(_DINO, "vit_small_plus_patch16_dinov3.lvd1689m", 12, 384),
    "dinov3_base": _row(_DINO, "vit_base_patch16_dinov3.lvd1689m", 12, 768),
    "dinov3_large": _row(_DINO, "vit_large_patch16_dinov3.lvd1689m", 24, 1024),
    "dinov3_huge_plus": _row(_DINO, "vit_huge_plus_patch16_dinov3.lvd1689m", 32, 1280),
    "dinov3_7b": _row(_DINO, "vit_7b_patch16_dinov3.lvd1689m", 40, 4096),
    "eva02_tiny": _row(_EVA02, "eva02_tiny_patch14_224.mim_in22k", 12, 192),
    "eva02_small": _row(_EVA02, "eva02_small_patch14_224.mim_in22k", 12, 384),
    "eva02_base": _row(_EVA02, "eva02_base_patch14_224.mim_in22k", 12, 768),
    "eva02_large": _row(_EVA02, "eva02_large_patch14_224.mim_m38m", 24, 1024),
    "eva02_clip_base": _row(_CLIP, "eva02_base_patch16_clip_224.merged2b", 12, 768),
    "eva02_clip_large": _row(_CLIP, "eva02_large_patch14_clip_224.merged2b", 24, 1024),
    "eva02_clip_large_336": _row(_CLIP, "eva02_large_patch14_clip_336.merged2b", 24, 1024),
    "eva02_clip_enormous": _row(_CLIP, "eva02_enormous_patch14_clip_224.laion2b_plus", 64, 1792),
    "clip_base": _row(_CLIP, "vit_base_patch16_clip_quickgelu_224.openai", 12, 768),
    "clip_large": _row(_CLIP, "vit_large_patch14_clip_quickgelu_224.openai", 24, 1024),
    "clip_large_336": _row(_CLIP, "vit_large_patch14_clip_quickgelu_336.openai", 24, 1024),
    "siglip_base": _row(_SIGLIP, "vit_base_patch16_siglip_224.webli", 12, 768),
    "siglip_base_256": _row(_SIGLIP, "vit_base_patch16_siglip_256.webli", 12, 768),
    "siglip_base_384": _row(_SIGLIP, "vit_base_patch16_siglip_384.webli", 12, 768),
    "siglip_base_512": _row(_SIGLIP, "vit_base_patch16_siglip_512.webli", 12, 768),
    "siglip_large": _row(_SIGLIP, "vit_large_patch16_siglip_256.webli", 24, 1024),
    "siglip_large_384": _row(_SIGLIP, "vit_large_patch16_siglip_384.webli", 24, 1024),
    "siglip_so400m": _row(_SIGLIP, "vit_so400m_patch14_siglip_224.webli", 27, 1152),
    "siglip_so400m_384": _row(_SIGLIP, "vit_so400m_patch14_siglip_384.webli", 27, 1152),
    "siglip2_base": _row(_SIGLIP, "vit_base_patch16_siglip_224.v2_webli", 12, 768),
    "siglip2_base_256": _row(_SIGLIP, "vit_base_patch16_siglip_256.v2_webli", 12, 768),
    "siglip2_base_384": _row(_SIGLIP, "vit_base_patch16_siglip_384.v2_webli", 12, 768),
    "siglip2_base_512": _row(_SIGLIP, "vit_base_patch16_siglip_512.v2_webli", 12, 768),
    "siglip2_large": _row(_SIGLIP, "vit_large_patch16_siglip_256.v2_webli", 24, 1024),
    "siglip2_large_384": _row(_SIGLIP, "vit_large_patch16_siglip_384.v2_webli", 24, 1024),
    "siglip2_large_512": _row(_SIGLIP, "vit_large_patch16_siglip_512.v2_webli", 24, 1024),
    "siglip2_so400m": _row(_SIGLIP, "vit_so400m_patch14_siglip_224.v2_webli", 27, 1152),
    "siglip2_so400m_378": _row(_SIGLIP, "vit_so400m_patch14_siglip_378.v2_webli", 27, 1152),
    "siglip2_so400m_256": _row(_SIGLIP, "vit_so400m_patch16_siglip_256.v2_webli", 27, 1152),
    "siglip2_so400m_384": _row(_SIGLIP, "vit_so400m_patch16_siglip_384.v2_webli", 27, 1152),
    "siglip2_so400m_512": _row(_SIGLIP, "vit_so400m_patch16_siglip_512.v2_webli", 27, 1152),
    "siglip2_giant": _row(_SIGLIP, "vit_giantopt_patch16_siglip_256.v2_webli", 40, 1536),
    "siglip2_giant_384": _row(_SIGLIP, "vit_giantopt_patch16_siglip_384.v2_webli", 40, 1536),
    "sam_base": _row(_SAM, "samvit_base_patch16.sa1b", 12, 768),
    "sam_large": _row(_SAM, "samvit_large_patch16.sa1b", 24, 1024),
    "sam_huge": _row(_SAM, "samvit_huge_patch16.sa1b", 32, 1280),
}


def find_backbone(name: str) -> Backbone:
    """The row of a backbone. Raises InputError for a name that is not in the table."""
    if name not in BACKBONES:
        raise InputError(f"backbone.name: {name!r} is not known{nearest(name, BACKBONES)}; `recyclelora backbones` "
                         "lists them", key="backbone.name")
    return BACKBONES[name]
