"""timm's backbones, two blocks deep and 48 wide, with random parameters; and what is asked of them in tests."""

import timm
import torch
from torch import Tensor, nn

SMALL = dict(depth=2, embed_dim=48, num_heads=2)
BACKBONES: dict[str, dict[str, object]] = {  # two blocks of each of timm's kinds of attention and MLP
    "vit_small_patch14_dinov2": {"img_size": 56},
    "vit_giant_patch14_dinov2": {"img_size": 56},  # SwiGLU packed in fc1
    "vit_small_patch16_dinov3": {"img_size": 64},  # reads qkv.weight
    "eva02_tiny_patch14_224": {"img_size": 56},  # reads qkv.weight
    "eva02_small_patch14_224": {"img_size": 56},
    "eva02_base_patch14_224": {"img_size": 56},  # q, k, v apart, gated fc1
    "beit_base_patch16_224": {"img_size": 64},  # reads qkv.weight
    "vit_base_patch16_siglip_512": {"img_size": 64},
    "vit_base_patch16_clip_224": {"img_size": 64},
    "samvit_base_patch16": {"img_size": 64, "window_size": 2, "global_attn_indexes": (1,)},
}


def backbone(name: str = "vit_small_patch14_dinov2", seed: int = 0) -> nn.Module:
    """Two narrow blocks, every parameter random: timm's own start leaves layer scales at 1e-5 and biases at 0."""
    vit = timm.create_model(name, num_classes=0, **SMALL, **BACKBONES[name]).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter in vit.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return vit


def images(vit: nn.Module, seed: int = 1) -> Tensor:
    size = 64 if vit.patch_embed.patch_size[0] == 16 else 56
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def features(vit: nn.Module) -> Tensor:
    return vit.forward_features(images(vit))


def assert_same_output(found: Tensor, expected: Tensor) -> None:
    """float32 through a few blocks: sums regrouped, so 1e-5 of the largest value, not of each."""
    assert torch.allclose(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def perturb(vit: nn.Module, std: float = 0.05, seed: int = 2) -> None:
    """Move the adapters away from their start, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in vit.parameters():
            if parameter.requires_grad:
                parameter += std * torch.randn(parameter.shape, generator=generator)


def trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
