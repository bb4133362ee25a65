"""Recomputed and compiled blocks against plain ones: the same numbers, the same names, less memory."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from recyclelora.adapters.lora import adapt, merged
from recyclelora.errors import InputError
from recyclelora.models.segmentor import Segmentor, build_segmentor
from recyclelora.training.checkpoint import digest, load_checkpoint, save_checkpoint
from recyclelora.training.execution import compile_blocks, recompute_activations
from recyclelora.training.loop import train
from recyclelora.training.optim import Schedule, build_optimiser
from tests.tiny import CROP, groups_of, tiny_batches, tiny_segmentor

CPU = torch.device("cpu")


def eva_segmentor() -> Segmentor:
    torch.manual_seed(0)
    vit = timm.create_model("eva02_base_patch14_224", num_classes=0, img_size=CROP, patch_size=8, embed_dim=48, depth=4,
                            num_heads=2, dynamic_img_size=True).eval()
    adapt(vit, main_rank=3, sub_rank=2)
    return build_segmentor(vit, num_classes=5, head=tiny_segmentor().shape)


def gradients(segmentor: nn.Module) -> tuple[dict[str, float], dict[str, Tensor]]:
    torch.manual_seed(1)
    losses = segmentor.loss(*next(tiny_batches(0, 1)))
    losses["total"].backward()
    found = {name: p.grad for name, p in segmentor.named_parameters() if p.grad is not None}
    return {name: loss.item() for name, loss in losses.items()}, found


def kept_bytes(segmentor: nn.Module) -> int:
    """What the forward pass keeps for the backward pass, parameters left out."""
    own = {parameter.untyped_storage().data_ptr() for parameter in segmentor.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = segmentor.loss(*next(tiny_batches(0, 1)))["total"]
    assert loss.isfinite()
    return sum(kept.values())


@pytest.mark.parametrize("make", [tiny_segmentor, eva_segmentor])
def test_recomputing_changes_no_bit_and_needs_less_memory(make: Callable[[], Segmentor]) -> None:
    plain, lean = make(), make()
    recompute_activations(lean.vit)
    losses, expected = gradients(plain)
    found_losses, found = gradients(lean)
    assert found_losses == losses and found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert any("lora_b_main" in name and float(gradient.abs().max()) > 0 for name, gradient in found.items())
    # The head, which is larger here than the ViT, keeps what it kept.
    frozen = make()
    frozen.vit.requires_grad_(False)
    head = kept_bytes(frozen)
    assert kept_bytes(lean) - head < 0.3 * (kept_bytes(plain) - head)


def test_recomputing_leaves_evaluation_and_names_alone() -> None:
    plain, lean = tiny_segmentor().eval(), tiny_segmentor().eval()
    recompute_activations(lean.vit)
    images = next(tiny_batches(0, 1))[0]
    assert torch.equal(plain.scores(images), lean.scores(images))
    with merged(plain.vit), merged(lean.vit):
        assert torch.equal(plain.scores(images), lean.scores(images))
    assert list(plain.state_dict()) == list(lean.state_dict())


def steps(segmentor: Segmentor, optimiser: torch.optim.AdamW, start: int, stop: int) -> list[float]:
    return [step.losses["total"] for step in train(segmentor, optimiser, tiny_batches(start, stop), start=start,
                                                   stop=stop, schedule=Schedule(6), seed=7, device=CPU)]


def prepare() -> tuple[Segmentor, torch.optim.AdamW]:
    segmentor = tiny_segmentor()
    return segmentor, build_optimiser(groups_of(segmentor, lr=1e-3, weight_decay=0.05))


@pytest.mark.slow
def test_compiled_blocks_are_the_eager_ones(tmp_path: Path) -> None:
    """Loss, gradients, training, merged evaluation, checkpoint and resume; each block is one graph (or it raises)."""
    (eager, eager_optimiser), (fast, fast_optimiser) = prepare(), prepare()
    names, modules = list(fast.state_dict()), [id(module) for module in fast.modules()]
    compile_blocks(fast.vit, CPU)
    assert list(fast.state_dict()) == names and [id(module) for module in fast.modules()] == modules
    losses, expected = gradients(eager)
    found_losses, found = gradients(fast)
    assert found_losses == pytest.approx(losses, rel=1e-5)  # float32, sums in another order
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=1e-3, atol=1e-5 * largest), name

    assert steps(fast, fast_optimiser, 0, 3) == pytest.approx(steps(eager, eager_optimiser, 0, 3), rel=1e-4)
    images = next(tiny_batches(9, 10))[0]
    eager.eval(), fast.eval()
    with merged(eager.vit), merged(fast.vit):
        assert torch.allclose(fast.scores(images), eager.scores(images), atol=1e-4)
    save_checkpoint(tmp_path, fast, fast_optimiser, 3, fingerprint="f")
    rest = steps(fast, fast_optimiser, 3, 5)
    again, again_optimiser = prepare()
    compile_blocks(again.vit, CPU)
    assert load_checkpoint(tmp_path, again, again_optimiser, fingerprint="f") == 3
    assert steps(again, again_optimiser, 3, 5) == rest, "the same trial, bit for bit"
    assert digest(dict(again.state_dict())) == digest(dict(fast.state_dict()))
    eager_again, optimiser = prepare()
    assert load_checkpoint(tmp_path, eager_again, optimiser, fingerprint="f") == 3, "its keys are those of eager"


def test_a_machine_that_cannot_compile_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(function: object) -> object:
        raise RuntimeError("No working C++ compiler found\nand a long story")

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(InputError) as caught:
        compile_blocks(tiny_segmentor().vit, CPU)
    assert str(caught.value) == ("training.compile: torch cannot compile for this device (cpu): No working C++ compiler "
                                 "found; install a C++ compiler, or leave the setting out")
