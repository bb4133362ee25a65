"""Counts made without values, held against the same counts of a real model and against formulas written out."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from recyclelora.adapters import merged
from recyclelora.config import Config
from recyclelora.costs.requirements import UTILISATION, Requirements, _counter, build_shapes, count_requirements
from recyclelora.models.segmentor import Segmentor, build_segmentor
from recyclelora.models.timm_backbones import build_backbone
from recyclelora.settings import Settings
from recyclelora.trials.build import attach, head_shape
from tests.tiny_config import tiny


def real(config: Config) -> Segmentor:
    """The same model with values: random ones, as shapes are all that counts."""
    vit = build_backbone(config.backbone.name, patch_size=config.backbone.patch_size, image_size=config.data.crop,
                         weights=None)
    attach(vit, config.adapter, cache=None, seed=0, head_width=config.head.width)
    segmentor = build_segmentor(vit, num_classes=19, head=head_shape(config))
    return segmentor.train()


@pytest.fixture(scope="module")
def outlook() -> Requirements:
    return count_requirements(tiny(adapter__init="kaiming"), 19)


def test_arithmetic_and_memory_are_those_of_a_real_step(outlook: Requirements) -> None:
    config = tiny(adapter__init="kaiming")
    segmentor = real(config)
    segmentor.vit.eval()
    own = {parameter.untyped_storage().data_ptr() for parameter in segmentor.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor), _counter() as counter:
        predictions = segmentor(torch.randn(2, 3, *config.data.crop))
        total = torch.stack([output.sum() for output in (*predictions.classes, *predictions.masks)]).sum()
        held = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
        torch.autograd.backward(total)
    assert outlook.step_flops == counter.get_total_flops()
    assert outlook.kept_bytes == pytest.approx(held, rel=0.02)  # empty and shared storages are told apart by address


def test_a_window_is_computed_with_merged_adapters(outlook: Requirements) -> None:
    config = tiny(adapter__init="kaiming")
    segmentor = real(config).eval()
    with torch.no_grad(), merged(segmentor.vit), _counter() as counter:
        segmentor.scores(torch.randn(1, 3, *config.evaluation.window))
    assert outlook.window_flops == counter.get_total_flops()


def test_weights_and_optimiser_by_hand(outlook: Requirements) -> None:
    segmentor = real(tiny(adapter__init="kaiming"))
    sizes = {name: 4 * p.numel() for name, p in segmentor.named_parameters()}
    trained = sum(size for name, size in sizes.items() if segmentor.get_parameter(name).requires_grad)
    assert outlook.weight_bytes == sum(sizes.values())
    assert outlook.optimiser_bytes == 3 * trained  # a gradient and AdamW's two moments
    assert outlook.memory_bytes == outlook.weight_bytes + outlook.optimiser_bytes + outlook.kept_bytes


def test_a_vits_linears_and_attention_by_formula() -> None:
    """Per block and token 12 d^2 of the linears, their adapters, and attention over all tokens; 2 operations each."""
    config = tiny(adapter__init="kaiming", head__width=32)
    tokens, d, rank, blocks = 3 * 4 + 1, 384, 6, 12
    linears = 2 * tokens * (3 * d * d + d * d + 4 * d * d + 4 * d * d)
    adapters = 2 * tokens * rank * ((d + 3 * d) + (d + d) + (d + 4 * d) + (4 * d + d))
    attention = 2 * 2 * tokens * tokens * d
    patches = 2 * (tokens - 1) * d * 3 * 14 * 14
    vit = real(config).vit
    with _counter() as counter, torch.no_grad():
        vit.forward_features(torch.randn(1, 3, *config.data.crop))
    assert counter.get_total_flops() == blocks * (linears + adapters + attention) + patches
    assert count_requirements(config, 19).window_flops > counter.get_total_flops()


@pytest.mark.slow
def test_the_paper_needs_a_gpu_of_16_gib() -> None:
    """DINOv2-L at 512 x 512, batch 4: what is kept grows with the batch, the arithmetic of a window does not. Half
    precision keeps less, though copies of the weights are kept as well."""
    paper = Settings()
    four = count_requirements(paper.resolve(), 19)
    one = count_requirements(paper.override({"data.batch_size": 1}, "").resolve(), 19)
    half = count_requirements(paper.override({"training.precision": "bfloat16"}, "").resolve(), 19)
    assert 0.5 < half.kept_bytes / four.kept_bytes < 0.8
    assert one.window_flops == four.window_flops and 3.9 < four.kept_bytes / one.kept_bytes < 4.1
    assert 11 < four.memory_bytes / 2**30 < 13


def test_hours() -> None:
    needs = Requirements(step_flops=10**12, window_flops=10**11, weight_bytes=0, optimiser_bytes=0, kept_bytes=0)
    assert needs.hours(3600, 1.0) == pytest.approx(1 / UTILISATION)
    assert needs.evaluation_hours(3600, 1.0) == pytest.approx(0.1 / UTILISATION)


def test_a_sketch_trains_what_the_trial_trains() -> None:
    config = tiny(adapter__init="kaiming")
    drawn, whole = build_shapes(config, 19), real(config)
    assert {(name, p.shape, p.requires_grad) for name, p in drawn.named_parameters()} == {
        (name, p.shape, p.requires_grad) for name, p in whole.named_parameters()}
    assert all(p.is_meta for p in drawn.parameters())


def test_settings_that_spare_memory(outlook: Requirements) -> None:
    """Recomputing keeps less and computes more; parts keep the half and compute the same; an average is one more copy."""
    again = count_requirements(tiny(adapter__init="kaiming", resources__activation_checkpointing=True), 19)
    parts = count_requirements(tiny(adapter__init="kaiming", training__accumulate=2), 19)
    averaged = count_requirements(tiny(adapter__init="kaiming", training__ema_start=1), 19)
    assert again.kept_bytes < outlook.kept_bytes and again.step_flops > outlook.step_flops
    assert parts.step_flops == outlook.step_flops and 0.5 <= parts.kept_bytes / outlook.kept_bytes < 0.65
    assert averaged.optimiser_bytes * 3 == outlook.optimiser_bytes * 4
