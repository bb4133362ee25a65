"""A whole segmentor small enough for tests: a random timm ViT with adapters, and the real head at its smallest."""

from collections.abc import Iterator
from typing import Any

import timm
import torch
from torch import Tensor

from recyclelora.adapters.lora import adapt, merged
from recyclelora.methods.recyclelora import RecycleLoRA
from recyclelora.models.segmentor import HeadShape, Segmentor, build_segmentor
from recyclelora.training.optim import parameter_groups

CLASSES = 5
CROP = (32, 48)


def tiny_segmentor(main_rank: int = 3, sub_rank: int = 2, num_classes: int = CLASSES, seed: int = 0) -> Segmentor:
    torch.set_num_threads(1)  # threads only wait for one another on tensors this small
    torch.manual_seed(seed)
    vit = timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0, img_size=CROP, patch_size=8,
                            embed_dim=24, depth=4, num_heads=2, init_values=1.0, dynamic_img_size=True)
    vit.requires_grad_(False).eval()
    if main_rank + sub_rank:
        adapt(vit, main_rank=main_rank, sub_rank=sub_rank)
    shape = HeadShape(hidden=32, queries=6, pixel_layers=1, pixel_ffn=32, decoder_layers=2, decoder_ffn=32, heads=2,
                      points=64)
    return build_segmentor(vit, num_classes=num_classes, head=shape, merge=merged)


def groups_of(segmentor: Segmentor, *, lr: float, weight_decay: float, decay_queries: bool = True,
              method: RecycleLoRA | None = None) -> list[dict[str, Any]]:
    """The optimiser's groups of a segmentor with RecycleLoRA's adapters, or with none."""
    return parameter_groups(segmentor, (method or RecycleLoRA()).groups(segmentor.vit), lr=lr, weight_decay=weight_decay,
                            decay_queries=decay_queries)


def tiny_batches(start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batch i is a function of i: images of noise over 8-pixel blocks of classes, some of them ignored."""
    for index in range(start, stop):
        generator = torch.Generator().manual_seed(index)
        blocks = torch.randint(CLASSES + 1, (2, CROP[0] // 8, CROP[1] // 8), generator=generator)
        labels = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)
        labels[labels == CLASSES] = 255
        yield torch.randn(2, 3, *CROP, generator=generator) + labels[:, None] / 255, labels
