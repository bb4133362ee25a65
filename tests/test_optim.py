import math

import pytest
import torch
from torch import nn

from recyclelora.methods.recyclelora import Main, RecycleLoRA, Sub
from recyclelora.training.groups import Group
from recyclelora.training.optim import (
    Schedule,
    apply_schedule,
    build_optimiser,
    parameter_groups,
    poly_lr,
    weight_decay_at,
)
from tests.tiny import groups_of, tiny_segmentor

RATES = {"lr": 1e-4, "weight_decay": 0.05}


def names_by_group(segmentor: nn.Module, groups: list[dict]) -> dict[str, set[str]]:
    names = {id(parameter): name for name, parameter in segmentor.named_parameters()}
    return {group["name"]: {names[id(parameter)] for parameter in group["params"]} for group in groups}


def mmdet_group(name: str, module: nn.Module) -> tuple[float, float]:
    """(lr, decay) multipliers by the authors' rule, on the name that the tensor has in mmdet: the longest key wins."""
    for ours, theirs in (("transformer_module.queries_embedder", "query_embed"),
                         ("transformer_module.queries_features", "query_feat"),
                         ("transformer_module.level_embed", "level_embed"),
                         ("decoder.level_embed", "level_encoding"),
                         ("lora_a_", "lora_A_"), ("lora_b_", "lora_B_")):
        name = name.replace(ours, theirs)
    if name.startswith("vit."):
        name = "backbone." + name
    keys = {"backbone": (0.5, 1), "norm": (1, 0), "query_embed": (1, 0), "level_embed": (1, 0), "lora_A_main": (1, 0),
            "lora_B_main": (1, 0), "lora_A_sub": (0.5, 0), "lora_B_sub": (0.5, 0)}
    hits = [key for key in sorted(keys, key=len, reverse=True) if key in name]
    if hits:
        return keys[hits[0]]
    return (1, 0) if isinstance(module, nn.LayerNorm | nn.GroupNorm) else (1, 1)  # norm_decay_mult=0


def test_every_trainable_tensor_has_the_rates_of_the_authors_rule() -> None:
    segmentor = tiny_segmentor()
    groups = groups_of(segmentor, **RATES)
    names = {id(parameter): name for name, parameter in segmentor.named_parameters()}
    given = {names[id(p)]: (g["lr"] / 1e-4, g["weight_decay"] / 0.05) for g in groups for p in g["params"]}
    for name, parameter in segmentor.named_parameters():
        if parameter.requires_grad:
            assert given.pop(name) == pytest.approx(mmdet_group(name, segmentor.get_submodule(name.rpartition(".")[0])))
    assert not given, "frozen tensors in the optimiser"


def test_each_trainable_tensor_is_in_exactly_one_group() -> None:
    segmentor = tiny_segmentor()
    grouped = [id(parameter) for group in groups_of(segmentor, **RATES) for parameter in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in segmentor.parameters() if parameter.requires_grad}


def test_the_head_tensors_without_decay_that_are_no_norm() -> None:
    segmentor = tiny_segmentor()
    chosen = names_by_group(segmentor, groups_of(segmentor, **RATES))["head_no_decay"]
    norms = {f"{name}.{kind}" for name, module in segmentor.named_modules() for kind in ("weight", "bias")
             if isinstance(module, nn.LayerNorm | nn.GroupNorm)}
    assert sorted(name.rpartition("transformer_module.")[2] for name in chosen - norms) == [
        "level_embed.weight", "queries_embedder.weight"]
    assert chosen & norms, "the head has norms"


def test_groups_without_parameters_are_left_out() -> None:
    assert [g["name"] for g in groups_of(tiny_segmentor(sub_rank=0), **RATES)] == [
        "main", "head", "head_no_decay"]
    assert [g["name"] for g in groups_of(tiny_segmentor(main_rank=0, sub_rank=0), **RATES)] == [
        "head", "head_no_decay"]


def test_a_trained_tensor_that_no_group_claims_is_an_error() -> None:
    segmentor = tiny_segmentor()
    segmentor.vit.norm.weight.requires_grad_(True)
    with pytest.raises(ValueError, match="norm.weight: is trained, and is in 0 of the groups main, sub"):
        groups_of(segmentor, **RATES)


def test_a_tensor_in_two_groups_and_one_that_is_not_trained_are_errors() -> None:
    segmentor = tiny_segmentor()
    groups = RecycleLoRA().groups(segmentor.vit)
    twice = {**groups, "again": groups["main"]}
    with pytest.raises(ValueError, match="lora_a_main: is trained, and is in 2 of the groups main, sub, again"):
        parameter_groups(segmentor, twice, **RATES)
    frozen = {**groups, "norm": Group([segmentor.vit.norm.weight], 1.0, 1.0)}
    with pytest.raises(ValueError, match="hold a parameter that is not trained"):
        parameter_groups(segmentor, frozen, **RATES)


@pytest.mark.parametrize(("method", "group"), [(RecycleLoRA(main=Main(lr_multiplier=3.0)), "main"),
                                               (RecycleLoRA(sub=Sub(lr_multiplier=3.0)), "sub")])
def test_a_multiplier_changes_its_group_alone(method: RecycleLoRA, group: str) -> None:
    segmentor = tiny_segmentor()
    before, after = (
        {g["name"]: g["lr"] for g in groups_of(segmentor, **RATES, method=given)} for given in (None, method))
    assert after.pop(group) == pytest.approx(3e-4) != before.pop(group)
    assert after == before


def test_soma_decays_its_adapters_and_not_its_queries() -> None:
    """Its code gives the whole backbone the base decay, and query_feat, which RecycleLoRA's does not list, none."""
    segmentor = tiny_segmentor()
    groups = groups_of(segmentor, **RATES, method=RecycleLoRA(weight_decay_multiplier=1.0),
                       decay_queries=False)
    assert {g["name"]: g["weight_decay"] for g in groups} == {"main": 0.05, "sub": 0.05, "head": 0.05, "head_no_decay": 0}
    plain = groups_of(segmentor, **RATES)
    moved = names_by_group(segmentor, groups)["head_no_decay"] - names_by_group(segmentor, plain)["head_no_decay"]
    assert moved == {"head.transformer_module.queries_features.weight"}
    optimiser = build_optimiser(groups)
    apply_schedule(optimiser, 11, schedule=Schedule(20))
    assert optimiser.param_groups[0]["weight_decay"] == pytest.approx((0.05 + 1e-5) / 2), "annealed, downwards"


def test_adamw_has_the_papers_constants() -> None:
    optimiser = build_optimiser(groups_of(tiny_segmentor(), **RATES))
    for group in optimiser.param_groups:
        assert (group["betas"], group["eps"], group["amsgrad"]) == ((0.9, 0.999), 1e-8, False)


@pytest.mark.parametrize("power", [0.9, 1.0, 2.0])
@pytest.mark.parametrize(("warmup", "first"), [(0, 1e-2), (4, 1e-2), (4, 1e-6)])
def test_the_learning_rate_is_torchs(power: float, warmup: int, first: float) -> None:
    total = 20
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimiser, total_iters=total - warmup, power=power)
    if warmup:
        rising = torch.optim.lr_scheduler.LinearLR(optimiser, start_factor=first, total_iters=warmup)
        schedule = torch.optim.lr_scheduler.SequentialLR(optimiser, [rising, schedule], [warmup])
    for t in range(total):
        assert 0.3 * poly_lr(t, Schedule(total, power, warmup=warmup, warmup_start=first)) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9)
        optimiser.step()
        schedule.step()
    assert poly_lr(total, Schedule(total, power, warmup=warmup)) == 0


def mmengine(total: int, power: float, warmup: int, first: float) -> list[float]:
    """MMEngine's recursions as its documentation and code define them, from one rate to the next: both spans are one
    iteration shorter than they are named."""
    rates, rate = [], 1.0
    for t in range(total):
        if t < warmup:
            grown = (warmup - 1) * first + (t - 1) * (1 - first)
            rate = first if t == 0 else rate * (1 + (1 - first) / grown)
        elif t > warmup:
            rate *= (1 - 1 / (total - warmup - 1 - (t - warmup) + 1)) ** power
        rates.append(rate)
    return rates


@pytest.mark.parametrize(("total", "warmup", "first"), [
    (40_000, 0, 1e-2), (40_000, 1500, 1e-2), (40_000, 10_000, 1e-6), (20, 4, 1e-2), (2, 0, 0.5)])
def test_the_schedule_of_mmengine_is_mmengines(total: int, warmup: int, first: float) -> None:
    schedule = Schedule(total, 0.9, warmup=warmup, warmup_start=first, counting="mmengine")
    ours = [poly_lr(t, schedule) for t in range(total)]
    assert ours == pytest.approx(mmengine(total, 0.9, warmup, first), abs=1e-9)
    assert ours[-1] == poly_lr(total, schedule) == 0


def test_a_span_of_one_iteration_is_as_plain() -> None:
    schedule = Schedule(3, warmup=1, warmup_start=0.5, counting="mmengine")
    assert [poly_lr(t, schedule) for t in range(3)] == [0.5, 1, 0]
    assert poly_lr(0, Schedule(1, counting="mmengine")) == 1


def test_the_optimiser_gets_the_counting_asked_for() -> None:
    optimiser = build_optimiser(groups_of(tiny_segmentor(), **RATES))
    plain, mmengine_like = (apply_schedule(optimiser, 10, Schedule(10, counting=counting))
                            for counting in ("plain", "mmengine"))  # type: ignore[arg-type]
    assert set(mmengine_like.values()) == {0.0} and min(plain.values()) > 0


@pytest.mark.parametrize(("warmup", "first"), [(0, 1e-2), (1500, 1e-2), (10000, 1e-6)])
def test_the_learning_rate_is_mmengines_but_for_one_iteration(warmup: int, first: float) -> None:
    """Where the closed form is held against the code of the publications: GTAV's, SoMA's from Cityscapes, and ACDC's."""
    total = 40_000
    theirs, ours = mmengine(total, 0.9, warmup, first), [poly_lr(t, Schedule(total, 0.9, warmup=warmup, warmup_start=first)) for t in range(total)]
    assert theirs[0] == ours[0] and theirs[-1] == pytest.approx(0, abs=1e-12)
    ahead = [their - our for their, our in zip(theirs, ours, strict=True)]
    if warmup:
        assert theirs[warmup - 1] == pytest.approx(1) and 0 < max(ahead[:warmup]) < 1 / warmup
    assert -1.000001 * (total - warmup) ** -0.9 <= min(ahead[warmup:]) <= max(ahead[warmup:]) < 1e-9
    shorter = [(1 - (t - warmup) / (total - warmup - 1)) ** 0.9 for t in range(warmup, total)]
    assert theirs[warmup:] == pytest.approx(shorter, abs=1e-9), "the recursion is understood"


def test_weight_decay_takes_the_published_values() -> None:
    """Figures of the authors' code, from MMEngine's scheduler."""
    found = [weight_decay_at(t, 40_000, 0.05) for t in (0, 10_000, 20_000, 30_000, 40_000)]
    assert found == pytest.approx([0.05, 0.0427, 0.0250, 0.0073, 1e-5], abs=5e-5)
    assert found[-1] == pytest.approx(1e-5, rel=1e-9)


def test_weight_decay_is_torchs_cosine() -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=50, eta_min=1e-3)
    for t in range(50):
        assert weight_decay_at(t, 50, 0.05, 1e-3) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9)
        optimiser.step()
        schedule.step()


def test_the_schedule_starts_each_group_from_its_own_values() -> None:
    optimiser = build_optimiser(groups_of(tiny_segmentor(), **RATES))
    start = {group["name"]: (group["lr"], group["weight_decay"]) for group in optimiser.param_groups}
    rates = apply_schedule(optimiser, 1, schedule=Schedule(10))
    assert rates == {name: lr for name, (lr, _) in start.items()}
    apply_schedule(optimiser, 10, schedule=Schedule(10))
    apply_schedule(optimiser, 6, schedule=Schedule(10))  # whatever ran before
    for group in optimiser.param_groups:
        lr, decay = start[group["name"]]
        assert group["lr"] == pytest.approx(lr * 0.5**0.9)
        assert group["weight_decay"] == pytest.approx((decay + 1e-5) / 2)
    adapter = next(group for group in optimiser.param_groups if group["name"] == "main")
    assert start["main"][1] == 0 and 0 < adapter["weight_decay"] < 1e-5, "annealed upwards, as in the paper"


def test_a_step_moves_by_the_rates_of_the_group() -> None:
    """AdamW's first step is lr * sign(gradient) and the decay lr * wd * weight, in every group."""
    segmentor = tiny_segmentor()
    optimiser = build_optimiser(groups_of(segmentor, lr=1e-2, weight_decay=0.5))
    apply_schedule(optimiser, 1, schedule=Schedule(10))
    before = [parameter.detach().clone() for group in optimiser.param_groups for parameter in group["params"]]
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    old = iter(before)
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            start = next(old)
            expected = start - group["lr"] * (1 + group["weight_decay"] * start)
            assert torch.allclose(parameter, expected, atol=1e-6)
    assert not math.isclose(optimiser.param_groups[0]["lr"], optimiser.param_groups[1]["lr"])
