import hashlib
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from recyclelora.errors import InputError
from recyclelora.training.loop import Diverged, Step, Update, mix, train
from recyclelora.training.optim import Schedule, apply_schedule, build_optimiser
from recyclelora.training.precision import check_precision
from tests.tiny import groups_of, tiny_batches, tiny_segmentor

CPU = torch.device("cpu")
SIX = Schedule(6)


def prepare(lr: float = 1e-3, **shape: int) -> tuple[nn.Module, torch.optim.AdamW]:
    segmentor = tiny_segmentor(**shape)
    return segmentor, build_optimiser(groups_of(segmentor, lr=lr, weight_decay=0.05))


def run(segmentor: nn.Module, optimiser: torch.optim.AdamW, start: int = 0, stop: int = 3,
        schedule: Schedule = SIX, **given: object) -> list[Step]:
    settings = {"seed": 7, "device": CPU, **given}
    return list(train(segmentor, optimiser, tiny_batches(start, stop), schedule, start=start, stop=stop, **settings))


def weights(segmentor: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in segmentor.named_parameters()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_steps_count_from_one_and_carry_losses_and_rates() -> None:
    steps = run(*prepare())
    assert [step.iteration for step in steps] == [1, 2, 3]
    assert [step.lr["main"] for step in steps] == pytest.approx([1e-3 * (1 - t / 6) ** 0.9 for t in range(3)])
    assert steps[0].lr["sub"] == pytest.approx(0.5e-3)
    assert all(math.isfinite(value) for step in steps for value in step.losses.values())
    assert "total" in steps[0].losses


def test_it_is_the_plain_loop() -> None:
    """A twin written out: seed, forward, backward, clip, step."""
    ours, optimiser = prepare()
    run(ours, optimiser, update=Update(clip=0.1))
    twin, optimiser = prepare()
    twin.train()
    twin.vit.eval()
    for iteration, (images, labels) in enumerate(tiny_batches(0, 3), start=1):
        apply_schedule(optimiser, iteration, schedule=Schedule(6))
        torch.manual_seed(mix(7, iteration))
        optimiser.zero_grad()
        twin.loss(images, labels)["total"].backward()
        torch.nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], 0.1)
        optimiser.step()
    assert same(weights(ours), weights(twin))


def test_training_learns_its_batch() -> None:
    segmentor, optimiser = prepare(lr=1e-2)
    batch = next(tiny_batches(0, 1))
    steps = list(train(segmentor, optimiser, [batch] * 12, start=0, stop=12, schedule=Schedule(12), seed=0, device=CPU))
    assert steps[-1].losses["total"] < 0.9 * steps[0].losses["total"]


def test_frozen_tensors_stay_and_every_trained_one_moves() -> None:
    segmentor, optimiser = prepare()
    before = weights(segmentor)
    run(segmentor, optimiser)
    after = weights(segmentor)
    for name, parameter in segmentor.named_parameters():
        assert torch.equal(before[name], after[name]) != parameter.requires_grad, name


@pytest.mark.parametrize("between", ["draws", "evaluation mode", "nothing"])
def test_what_the_caller_does_between_two_steps_changes_nothing(between: str) -> None:
    segmentor, optimiser = prepare()
    torch.manual_seed(123)
    for _ in train(segmentor, optimiser, tiny_batches(0, 3), start=0, stop=3, schedule=Schedule(6), seed=7, device=CPU):
        if between == "draws":
            torch.rand(5)
        elif between == "evaluation mode":
            segmentor.eval()
    twin, optimiser = prepare()
    run(twin, optimiser)
    assert same(weights(segmentor), weights(twin))


def test_the_callers_random_numbers_are_left_alone() -> None:
    segmentor, optimiser = prepare()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(segmentor, optimiser)
    assert torch.equal(torch.rand(3), expected)


def test_seed_and_iteration_both_choose_the_points() -> None:
    batch = next(tiny_batches(0, 1))

    def first_loss(start: int, seed: int) -> float:
        segmentor, optimiser = prepare()
        steps = train(segmentor, optimiser, [batch], start=start, stop=start + 1, schedule=Schedule(6), seed=seed, device=CPU)
        return next(steps).losses["total"]

    assert first_loss(0, 7) == first_loss(0, 7)
    assert len({first_loss(0, 7), first_loss(0, 8), first_loss(1, 7)}) == 3


def test_mixing_is_what_is_documented_and_never_repeats() -> None:
    assert mix(3, 40) == int.from_bytes(hashlib.sha256(b"3/40").digest()[:8], "little")
    assert len({mix(seed, iteration) for seed in range(20) for iteration in range(1, 501)}) == 10_000


def test_the_vit_rests_in_eval_mode() -> None:
    segmentor, optimiser = prepare()
    segmentor.vit.train()
    run(segmentor, optimiser)
    assert segmentor.training
    assert not any(module.training for module in segmentor.vit.modules())


def test_clipping_bounds_the_gradient_and_is_off_by_default() -> None:
    def norm(clip: float | None) -> float:
        segmentor, optimiser = prepare()
        run(segmentor, optimiser, stop=1, update=Update(clip=clip))
        gradients = [p.grad for p in segmentor.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))

    free = norm(None)
    assert norm(free / 10) == pytest.approx(free / 10, rel=1e-4)
    assert norm(free * 10) == pytest.approx(free)


@pytest.mark.parametrize("knob", [
    {"seed": 8}, *({"schedule": Schedule(**{"total": 6, **changed})} for changed in (
        {"total": 5}, {"power": 2.0}, {"warmup": 2}, {"weight_decay_end": 0.5}, {"warmup": 2, "warmup_start": 0.5})),
    {"update": Update(clip=1e-3)}, {"update": Update(precision="bfloat16")}, {"update": Update(precision="float16")},
    {"update": Update(accumulate=2)}])
def test_every_knob_is_live(knob: dict[str, object]) -> None:
    plain, changed = prepare(), prepare()
    run(*plain)
    run(*changed, **knob)
    assert not same(weights(plain[0]), weights(changed[0]))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_16_bits_keep_weights_gradients_and_state_in_float32(precision: str) -> None:
    segmentor, optimiser = prepare()
    seen = set()
    segmentor.vit.blocks[0].mlp.register_forward_hook(lambda module, given, made: seen.add(made.dtype))
    steps = run(segmentor, optimiser, update=Update(precision=precision))
    assert seen == {getattr(torch, precision)}
    for parameter in segmentor.parameters():
        if parameter.requires_grad:
            tensors = [parameter, parameter.grad, *optimiser.state[parameter].values()]
            assert {tensor.dtype for tensor in tensors} == {torch.float32}
    exact = run(*prepare())
    assert steps[0].losses["total"] == pytest.approx(exact[0].losses["total"], rel=0.05)


def test_float16_is_the_plain_loop_with_torchs_scaler() -> None:
    ours, optimiser = prepare()
    run(ours, optimiser, update=Update(clip=0.1, precision="float16"))
    twin, optimiser = prepare()
    twin.train()
    twin.vit.eval()
    scaler = torch.amp.GradScaler("cpu")
    for iteration, (images, labels) in enumerate(tiny_batches(0, 3), start=1):
        apply_schedule(optimiser, iteration, schedule=Schedule(6))
        torch.manual_seed(mix(7, iteration))
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            loss = twin.loss(images, labels)["total"]
        assert loss.dtype == torch.float32
        scaler.scale(loss).backward()
        scaler.unscale_(optimiser)
        torch.nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], 0.1)
        scaler.step(optimiser)
        scaler.update()
    assert same(weights(ours), weights(twin))


def test_a_float16_update_that_overflows_is_skipped_and_the_scale_falls() -> None:
    segmentor, optimiser = prepare()
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)  # at torch's 65536 this model overflows by itself
    victim, overflow = next(p for p in segmentor.head.parameters() if p.dim() > 1), [math.inf, 1.0, 1.0]
    victim.register_hook(lambda gradient: gradient * overflow.pop(0))
    before, scale = weights(segmentor), scaler.get_scale()
    for step in train(segmentor, optimiser, tiny_batches(0, 3), start=0, stop=3, schedule=Schedule(6), seed=7, device=CPU, update=Update(clip=1.0, precision="float16"),
                      scaler=scaler):
        assert same(before, weights(segmentor)) == (step.iteration == 1)
    assert scaler.get_scale() == scale / 2


def test_a_float16_gradient_that_overflows_at_every_scale_is_divergence() -> None:
    segmentor, optimiser = prepare()
    next(p for p in segmentor.head.parameters() if p.dim() > 1).register_hook(lambda gradient: gradient * math.inf)
    batch = next(tiny_batches(0, 1))
    with pytest.raises(Diverged, match="iteration 17: the gradient norm is"):  # 2**16 halved 16 times is 1
        list(train(segmentor, optimiser, [batch] * 20, start=0, stop=20, schedule=Schedule(20), seed=7, device=CPU,
                   update=Update(precision="float16")))


def test_a_precision_that_the_device_lacks_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for given in ("float32", "bfloat16", "float16"):
        check_precision(given, CPU)
    monkeypatch.setattr(torch.nn.functional, "linear", lambda *given: torch.ones(1))  # a device that stays in float32
    with pytest.raises(InputError) as caught:
        check_precision("float16", CPU)
    assert str(caught.value) == "training.precision: float16 is not possible on this device (cpu); use float32"


def gradients(segmentor: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in segmentor.named_parameters() if parameter.grad is not None}


def test_a_batch_in_parts_has_the_loss_and_the_gradient_of_the_whole() -> None:
    """The points too are those of the whole batch: nothing differs but the order of sums in float32."""
    batch = [torch.cat(pair) for pair in zip(*tiny_batches(0, 2), strict=True)]
    batch[1][3] = 255  # an image without a label, and one with a single class: parts differ in their weights
    batch[1][2] = 1
    found = []
    for parts in (1, 2, 4):
        segmentor, optimiser = prepare()
        (step,) = train(segmentor, optimiser, [batch], start=0, stop=1, schedule=Schedule(6), seed=7, device=CPU, update=Update(accumulate=parts))
        found.append((step.losses, gradients(segmentor)))
    largest = max(float(gradient.abs().max()) for gradient in found[0][1].values())
    for losses, given in found[1:]:
        assert losses == pytest.approx(found[0][0], rel=1e-5)
        for name, gradient in found[0][1].items():
            assert torch.allclose(given[name], gradient, rtol=1e-3, atol=1e-6 * largest), name


def test_a_batch_is_not_cut_unevenly() -> None:
    with pytest.raises(ValueError, match="a batch of 2 cannot be cut into 3 equal parts"):
        run(*prepare(), update=Update(accumulate=3))


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_it_spreads(poison: float) -> None:
    segmentor, optimiser = prepare()

    def poisoned() -> Iterator[tuple[Tensor, Tensor]]:
        first, second = tiny_batches(0, 2)
        yield first
        yield second[0] * poison, second[1]

    steps = train(segmentor, optimiser, poisoned(), start=0, stop=2, schedule=Schedule(6), seed=7, device=CPU)
    next(steps)
    sound = weights(segmentor)
    with pytest.raises(Diverged, match="iteration 2: the loss is nan") as caught:
        next(steps)
    assert caught.value.iteration == 2 and caught.value.reason == "the loss is nan"
    assert same(sound, weights(segmentor))


def test_a_gradient_that_is_not_finite_stops_before_it_spreads() -> None:
    segmentor, optimiser = prepare()
    victim = next(parameter for parameter in segmentor.head.parameters() if parameter.dim() > 1)
    victim.register_hook(lambda gradient: gradient * math.inf)
    sound = weights(segmentor)
    with pytest.raises(Diverged, match="iteration 1: the gradient norm is"):
        run(segmentor, optimiser, update=Update(clip=1.0))
    assert same(sound, weights(segmentor))


def test_a_last_update_that_overflows_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    segmentor = tiny_segmentor()
    segmentor.head.register_parameter("spare", nn.Parameter(torch.tensor(3e38)))  # near the end of float32
    plain = segmentor.loss
    monkeypatch.setattr(segmentor, "loss", lambda *batch: {
        name: loss + 0 * segmentor.head.spare for name, loss in plain(*batch).items()})
    optimiser = build_optimiser(groups_of(segmentor, lr=1e3, weight_decay=0.05))  # the decay multiplies by -49
    with pytest.raises(Diverged, match="iteration 1: the update left a weight that is not finite"):
        run(segmentor, optimiser, stop=1)


def test_close_leaves_whole_steps() -> None:
    segmentor, optimiser = prepare()
    steps = train(segmentor, optimiser, tiny_batches(0, 5), start=0, stop=5, schedule=Schedule(6), seed=7, device=CPU)
    next(steps), next(steps)
    steps.close()
    assert list(steps) == []
    twin, twin_optimiser = prepare()
    run(twin, twin_optimiser, stop=2)
    assert same(weights(segmentor), weights(twin))
    run(segmentor, optimiser, start=2, stop=3)  # and training goes on from there
    run(twin, twin_optimiser, start=2, stop=3)
    assert same(weights(segmentor), weights(twin))


def test_too_few_batches_are_an_error_and_no_batch_too_many_is_drawn() -> None:
    with pytest.raises(RuntimeError, match="batches ended before iteration 3 of 4"):
        segmentor, optimiser = prepare()
        list(train(segmentor, optimiser, tiny_batches(0, 2), start=0, stop=4, schedule=Schedule(6), seed=7, device=CPU))
    source = tiny_batches(0, 3)
    list(train(segmentor, optimiser, source, start=0, stop=2, schedule=Schedule(6), seed=7, device=CPU))
    assert len(list(source)) == 1


def test_nothing_left_to_do_does_nothing() -> None:
    assert run(*prepare(), start=6, stop=6) == []
