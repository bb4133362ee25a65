"""Arithmetic and memory that a trial needs, counted without weights, data or a device.

The model runs on fake tensors, which have shapes and no values. The backbone, its adapters and the head are counted,
forward and backward. The loss is not: its matching cannot run without values, and it is small in comparison."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from recyclelora.config import Config
from recyclelora.models.segmentor import Segmentor
from recyclelora.models.timm_backbones import build_backbone
from recyclelora.training.execution import recompute_activations
from recyclelora.trials.build import attach, put_head

UTILISATION = 0.4  # of the data sheet's arithmetic, which well-fed training of large transformers reaches
# Dense TFLOP/s from the makers' data sheets; float32 without TF32, as torch multiplies by default.
DEVICES = {"H100 SXM": {"float32": 67.0, "half": 989.0}, "A100": {"float32": 19.5, "half": 312.0},
           "RTX 4090": {"float32": 82.6, "half": 165.2}}


def _attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *args: Any, **kwargs: Any) -> int:
    """(B, heads, tokens, width) each: scores and their sum of values."""
    return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _attention_backward(grad: Sequence[int], query: Sequence[int], key: Sequence[int], value: Sequence[int],
                        *args: Any, **kwargs: Any) -> int:
    """The scores once more, then the gradients of both products: 5 products where the forward pass has 2."""
    return 5 * _attention(query, key, value) // 2


def _addmm(out: Sequence[int], a: Sequence[int], b: Sequence[int], *args: Any, **kwargs: Any) -> int:
    return 2 * a[0] * a[1] * b[1]


# What torch's counter does not know: products in place, and attention as CPUs (and so fake tensors) compute it.
_UNCOUNTED = {torch.ops.aten.addmm_: _addmm,
              torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
              torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward}


class Requirements(NamedTuple):
    """Floating point operations (a multiply-add counts as 2) of one training step and of the scores of one window (its
    adapters merged, as they are in every evaluation), and bytes: of all weights, of what training holds beside them
    (gradients, AdamW's two moments and, where weights are averaged, the average of the trained ones), and of what the
    forward pass keeps for the backward pass."""

    step_flops: int
    window_flops: int
    weight_bytes: int
    optimiser_bytes: int
    kept_bytes: int

    @property
    def memory_bytes(self) -> int:
        """What a training step holds at least: without the loss, workspaces and the allocator's slack."""
        return self.weight_bytes + self.optimiser_bytes + self.kept_bytes

    def hours(self, iterations: int, tera_flops: float) -> float:
        """Hours of a number of steps at UTILISATION of a device's arithmetic. An estimate: nothing is timed."""
        return _hours(self.step_flops * iterations, tera_flops)

    def evaluation_hours(self, windows: int, tera_flops: float) -> float:
        """Hours of the scores of a number of windows, estimated in the same way."""
        return _hours(self.window_flops * windows, tera_flops)


def _hours(flops: int, tera_flops: float) -> float:
    return flops / (UTILISATION * tera_flops * 1e12) / 3600


def count_requirements(config: Config, num_classes: int) -> Requirements:
    """Count one training step and one window of a config. Takes a few seconds at any size of the model."""
    segmentor, parts = build_shapes(config, num_classes), config.training.accumulate
    if config.resources.activation_checkpointing:
        recompute_activations(segmentor.vit)
    with FakeTensorMode(allow_non_fake_inputs=True):
        segmentor.to_empty(device="cpu")
        for module in segmentor.modules():
            if hasattr(module, "init_non_persistent_buffers"):
                module.init_non_persistent_buffers()  # type: ignore[operator]
        with _half(config), _counting_kept(segmentor) as kept, _counter() as counter:
            predictions = segmentor(torch.empty(config.data.batch_size // parts, 3, *config.data.crop))
            outputs = (*predictions.classes, *predictions.masks)
            total = torch.stack([output.float().sum() for output in outputs]).sum()
            kept_bytes = sum(kept.values())
            torch.autograd.backward(total)
        step = parts * counter.get_total_flops()
        with torch.no_grad(), segmentor.merged(), _counter() as counter:
            segmentor.scores(torch.empty(1, 3, *config.evaluation.window))
    trained = sum(_bytes(parameter) for parameter in segmentor.parameters() if parameter.requires_grad)
    weights = sum(map(_bytes, segmentor.parameters()))
    copies = 3 if config.training.ema_start is None else 4  # a gradient, two moments, perhaps an average
    return Requirements(step, counter.get_total_flops(), weights, copies * trained, kept_bytes)


def _counter() -> FlopCounterMode:
    return FlopCounterMode(display=False, custom_mapping=_UNCOUNTED)


def build_shapes(config: Config, num_classes: int) -> Segmentor:
    """The segmentor of a config on the meta device: names, shapes and what is trained, without values."""
    with torch.device("meta"):
        vit = build_backbone(config.backbone.name, patch_size=config.backbone.patch_size,
                             image_size=config.data.crop, weights=None)
    attach(vit, config.adapter, cache=None, seed=0, head_width=config.head.width)
    with torch.device("meta"):
        segmentor = put_head(vit, config, num_classes).to("meta")
    segmentor.train()
    segmentor.vit.eval()
    return segmentor


@contextmanager
def _half(config: Config) -> Iterator[None]:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.training.precision != "float32"):
        yield


@contextmanager
def _counting_kept(segmentor: Segmentor) -> Iterator[dict[int, int]]:
    """Bytes of each storage that is saved for the backward pass, without the model's own."""
    own = {parameter.untyped_storage()._cdata for parameter in segmentor.parameters()}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no two storages are known by one address

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own and storage._cdata not in kept:
            kept[storage._cdata] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
