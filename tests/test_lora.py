"""The dual adapter on one layer and on whole backbones, against its literal twin, PEFT, and what must never change."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from peft import LoraConfig
from peft.tuners.lora.layer import Linear as PeftLinear
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from recyclelora.adapters import (
    EVERY_LINEAR,
    AdapterError,
    DualLoRALinear,
    adapt,
    adapted_layers,
    adapter_parameters,
    base_digest,
    linears,
    lowrank,
    merge,
    merged,
)
from tests.literal_adapter import LiteralDualAdapter
from tests.narrow import BACKBONES, assert_same_output, backbone, features, images, perturb, trained

INITS = [("rrqr", None, None), ("rrqr", "major", "minor"), ("svd", None, None), ("svd", "major", "minor"),
         ("kaiming", None, None)]


def layer_of(out_features: int = 40, in_features: int = 24, bias: bool = True, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(in_features, out_features, bias=bias)


def dual(linear: nn.Linear, main_rank: int = 6, sub_rank: int = 3, alpha: float = 1.0) -> DualLoRALinear:
    scale = alpha / (main_rank + sub_rank)
    start = {"main": lowrank(linear.weight, main_rank, "rrqr", "minor"),
             "sub": lowrank(linear.weight, sub_rank, "rrqr", "major")}
    return DualLoRALinear(linear, start, {"main": scale, "sub": scale})


# ---------------------------------------------------------------------------------------------- the start is identity


@pytest.fixture(scope="module")
def factors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Factorisations shared by the tests on the same random backbones."""
    return tmp_path_factory.mktemp("factors")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors this small only make threads wait for one another
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize(("init", "main_end", "sub_end"), INITS)
def test_the_output_starts_unchanged(name: str, init: str, main_end: str | None, sub_end: str | None,
                                     factors: Path) -> None:
    plain = backbone(name)
    before = features(plain)
    for roles in (EVERY_LINEAR, *((role,) for role in EVERY_LINEAR)):
        vit = copy.deepcopy(plain)
        adapt(vit, init=init, main_rank=8, sub_rank=3, main_end=main_end, sub_end=sub_end, roles=roles, cache=factors)
        assert_same_output(features(vit), before)


@pytest.mark.parametrize(("init", "skip_blocks"), [("rrqr", 0), ("svd", 10), ("kaiming", 10)])
def test_the_output_of_real_weights_starts_unchanged(init: str, skip_blocks: int, dinov2_small: Path,
                                                     cache: Path) -> None:
    vit = timm.create_model("vit_small_patch14_dinov2", num_classes=0).eval()
    vit.load_state_dict(load_file(dinov2_small))
    vit.set_input_size(img_size=112)
    image = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = vit.forward_features(image)
        assert len(adapt(vit, init=init, skip_blocks=skip_blocks, cache=cache)) == 4 * (12 - skip_blocks)
        assert_same_output(vit.forward_features(image), before)


def test_bfloat16_weights_start_within_their_own_rounding() -> None:
    linear = layer_of().bfloat16()
    layer = dual(linear)
    assert layer.residual.dtype == torch.bfloat16 and layer.lora_a_main.dtype == torch.float32
    change = sum(layer.scales[which] * start.b @ start.a for which, start in layer.start.items())
    rounding = 2.0**-8 * layer.residual.float().abs()  # 8 significant bits: half a unit in the last place
    assert ((layer.residual.float() + change - linear.weight.float()).abs() <= rounding + 1e-7).all()
    x = torch.randn(5, 24).bfloat16()
    assert layer(x).dtype == torch.bfloat16


# ------------------------------------------------------------------------------- one layer, against other ways to do it


def step_through(layers: list[nn.Module], steps: int = 5) -> Iterator[list[tuple[Tensor, dict[str, Tensor]]]]:
    """The same AdamW steps on each layer; yields output and gradients of each, after each backward pass."""
    optimisers = [torch.optim.AdamW(trained(layer).values(), lr=1e-2) for layer in layers]
    for step in range(steps):
        x = torch.randn(2, 5, 24, generator=torch.Generator().manual_seed(step)).requires_grad_()
        results = []
        for layer, optimiser in zip(layers, optimisers, strict=True):
            optimiser.zero_grad()
            x.grad = None
            y = layer(x)
            (y.sin() * torch.arange(40.0).cos()).sum().backward()
            gradients = {name: parameter.grad.clone() for name, parameter in trained(layer).items()}
            results.append((y.detach(), {**gradients, "x": x.grad.clone()}))
            optimiser.step()
        yield results


@pytest.mark.parametrize("bias", [True, False])
def test_training_follows_the_literal_twin(bias: bool) -> None:
    linear = layer_of(bias=bias)
    linear.requires_grad_(False)
    for (y, gradients), (twin_y, twin_gradients) in step_through([dual(linear), LiteralDualAdapter(linear, 6, 3)]):
        assert torch.allclose(y, twin_y, atol=1e-5)
        assert gradients.keys() == twin_gradients.keys()
        assert all(torch.allclose(gradients[name], twin_gradients[name], atol=1e-5) for name in gradients)


def test_forward_and_gradients_are_those_of_pefts_stacked_layer() -> None:
    linear = layer_of()
    linear.requires_grad_(False)
    ours = dual(linear)
    config = LoraConfig(r=9, lora_alpha=1, init_lora_weights=False)
    theirs = PeftLinear(copy.deepcopy(linear), "default", config=config, r=9, lora_alpha=1)
    theirs.get_base_layer().weight.data.copy_(ours.residual)
    a, b = theirs.lora_A["default"].weight, theirs.lora_B["default"].weight
    a.data = torch.cat([ours.lora_a_main, ours.lora_a_sub]).detach().clone()
    b.data = torch.cat([ours.lora_b_main, ours.lora_b_sub], dim=1).detach().clone()
    for (y, gradients), (peft_y, peft_gradients) in step_through([ours, theirs]):
        assert torch.allclose(y, peft_y, atol=1e-5)
        assert torch.allclose(gradients["x"], peft_gradients["x"], atol=1e-5)
        stacked = {"lora_A.default.weight": torch.cat([gradients["lora_a_main"], gradients["lora_a_sub"]]),
                   "lora_B.default.weight": torch.cat([gradients["lora_b_main"], gradients["lora_b_sub"]], dim=1)}
        assert all(torch.allclose(stacked[name], peft_gradients[name], atol=1e-5) for name in stacked)


def test_gradients_are_the_finite_differences() -> None:
    layer = dual(layer_of(7, 5), 2, 1).double()
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    parameters = dict(trained(layer))

    def output(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(output, (x, *parameters.values()))


def test_each_adapter_has_its_own_scaling() -> None:
    linear = layer_of()
    start = {"main": lowrank(linear.weight, 4, "rrqr", "minor"), "sub": lowrank(linear.weight, 2, "rrqr", "major")}
    layer = DualLoRALinear(linear, start, {"main": 0.25, "sub": 0.5})
    x = torch.randn(3, 24)
    change = 0.25 * x @ layer.lora_a_main.T @ layer.lora_b_main.T + 0.5 * x @ layer.lora_a_sub.T @ layer.lora_b_sub.T
    assert torch.allclose(layer(x), F.linear(x, layer.residual, layer.bias) + change, atol=1e-6)
    assert torch.allclose(layer(x), linear(x), atol=1e-6)
    assert "main=4, sub=2, scaling=(0.25, 0.5)" in repr(layer)


@pytest.mark.parametrize("shape", [(24,), (7, 24), (2, 3, 24), (2, 4, 4, 24), (0, 24)])
def test_any_number_of_leading_dimensions(shape: tuple[int, ...]) -> None:
    linear = layer_of()
    x = torch.randn(shape)
    assert torch.allclose(dual(linear)(x), linear(x), atol=1e-5) and dual(linear)(x).shape == linear(x).shape
    wide = torch.randn(*shape[:-1], 48)[..., ::2]  # strided
    assert torch.allclose(dual(linear)(wide), linear(wide), atol=1e-5)


def test_code_that_reads_the_weight_trains_the_adapters_too() -> None:
    """`F.linear(x, layer.weight)`, as some of timm's attention does, gives the layer's own output and gradients."""
    linear = layer_of()
    called, read = dual(linear), dual(linear)
    x = torch.randn(6, 24)
    y, z = called(x), F.linear(x, read.weight, read.bias)
    y.square().sum().backward()
    z.square().sum().backward()
    assert torch.allclose(y, z, atol=1e-5)
    for name, parameter in trained(called).items():
        assert torch.allclose(parameter.grad, trained(read)[name].grad, atol=1e-4)


def test_autocast_computes_in_bfloat16_and_trains_in_float32() -> None:
    linear = layer_of(256, 128)
    layer, x = dual(linear, 16, 4), torch.randn(8, 128)
    with torch.autocast("cpu", torch.bfloat16):
        y, z = layer(x), F.linear(x, layer.weight, layer.bias)
        merged_weight = layer.merge().weight
    assert y.dtype == z.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert all(parameter.grad.dtype == torch.float32 and parameter.grad.any() for parameter in trained(layer).values())
    exact = linear(x).detach()
    for found in (y, z):  # inputs, weights and sums each rounded by 2^-8 at most
        assert torch.allclose(found.float(), exact, atol=2.0**-6 * float(exact.abs().max()))
    assert torch.equal(merged_weight, layer.merge().weight)  # merging is never rounded


def test_the_layer_compiles_in_one_graph() -> None:
    layer, x = dual(layer_of()), torch.randn(2, 5, 24)
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x), layer(x))


# ------------------------------------------------------------------------------------------------- on a whole backbone


@pytest.mark.parametrize("name", BACKBONES)
def test_every_adapter_of_every_backbone_gets_a_gradient(name: str) -> None:
    vit = backbone(name)
    names = adapt(vit, main_rank=4, sub_rank=2)
    assert len(names) == len({*names}) >= 8
    output = vit.forward_features(images(vit))
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    for parameter_name, parameter in trained(vit).items():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, parameter_name


@pytest.mark.parametrize("name", ["vit_small_patch16_dinov3", "eva02_tiny_patch14_224", "beit_base_patch16_224"])
def test_attention_that_reads_weights_is_told_to_call_the_layer(name: str) -> None:
    vit = backbone(name)
    assert not vit.blocks[0].attn.qkv_bias_separate
    adapt(vit, main_rank=4, sub_rank=2, skip_blocks=1)
    assert [block.attn.qkv_bias_separate for block in vit.blocks] == [False, True]
    perturb(vit)
    called = features(vit)
    with merged(vit):
        assert not vit.blocks[1].attn.qkv_bias_separate
    vit.blocks[1].attn.qkv_bias_separate = False  # the weight it would read is the effective one all the same
    assert_same_output(features(vit), called)
    vit.blocks[1].attn.qkv_bias_separate = True
    merge(vit)
    assert not vit.blocks[1].attn.qkv_bias_separate
    untouched = backbone(name)
    adapt(untouched, main_rank=4, sub_rank=2, roles=("proj",))
    assert not untouched.blocks[0].attn.qkv_bias_separate


def test_exactly_the_adapters_are_trained() -> None:
    vit = backbone()
    names = adapt(vit, main_rank=4, sub_rank=2)
    assert names == [f"blocks.{block}.{layer}" for block in range(2)
                     for layer in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")]
    main = {f"{name}.lora_{letter}_main" for name in names for letter in "ab"}
    sub = {f"{name}.lora_{letter}_sub" for name in names for letter in "ab"}
    assert set(trained(vit)) == main | sub
    assert set(adapter_parameters(vit, "main")) == main and set(adapter_parameters(vit, "sub")) == sub
    assert all(trained(vit)[name] is parameter for name, parameter in adapter_parameters(vit, "sub").items())


@pytest.mark.parametrize(("main_rank", "sub_rank", "left"), [(4, 0, "main"), (0, 4, "sub")])
def test_an_adapter_of_rank_0_is_absent(main_rank: int, sub_rank: int, left: str) -> None:
    vit = backbone()
    before = features(vit)
    adapt(vit, main_rank=main_rank, sub_rank=sub_rank)
    assert all(name.endswith(left) for name in trained(vit)) and len(trained(vit)) == 16
    assert_same_output(features(vit), before)


def test_a_training_step_leaves_frozen_tensors_bitwise_alone() -> None:
    vit = backbone()
    adapt(vit, main_rank=4, sub_rank=2)
    before = {name: tensor.clone() for name, tensor in vit.state_dict().items()}
    starts = {name: copy.deepcopy(layer.start) for name, layer in adapted_layers(vit).items()}
    optimiser = torch.optim.AdamW(vit.parameters(), lr=1e-2, weight_decay=0.5)
    vit.forward_features(images(vit)).square().mean().backward()
    optimiser.step()
    changed = {name for name, tensor in vit.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == set(trained(vit))
    for name, layer in adapted_layers(vit).items():  # the start stays what it was while the parameters leave it
        assert all(torch.equal(*pair) for which in starts[name]
                   for pair in zip(layer.start[which], starts[name][which], strict=True))


@pytest.mark.parametrize(("arguments", "scales"), [
    ({}, (1 / 36, 1 / 36)),
    ({"alpha": 36.0}, (1.0, 1.0)),
    ({"scaling": "per_adapter"}, (1 / 32, 1 / 4)),
    ({"scaling": "per_adapter", "alpha": 8.0}, (1 / 4, 2.0)),
    ({"scaling": 0.5}, (0.5, 0.5)),
    ({"sub_rank": 0}, (1 / 32, 1 / 32)),
    ({"sub_rank": 0, "scaling": "per_adapter"}, (1 / 32, 1 / 32)),
])
def test_scaling(arguments: dict[str, object], scales: tuple[float, float]) -> None:
    vit = backbone()
    adapt(vit, **arguments)  # type: ignore[arg-type]
    layer = vit.blocks[0].mlp.fc1
    assert (layer.scales["main"], layer.scales["sub"]) == pytest.approx(scales)


def test_the_start_of_each_adapter_is_the_one_asked_for() -> None:
    plain = backbone()
    for init, main_end, sub_end in INITS:
        vit = copy.deepcopy(plain)
        adapt(vit, init=init, main_rank=5, sub_rank=2, main_end=main_end, sub_end=sub_end)
        if init == "kaiming":
            continue
        for target in linears(plain):
            layer = vit.get_submodule(target.name)
            main = lowrank(target.module.weight, 5, init, main_end or "minor", scaling=1 / 7)
            sub = lowrank(target.module.weight, 2, init, sub_end or "major", scaling=1 / 7)
            for found, expected in ((layer.lora_a_main, main.a), (layer.lora_b_main, main.b),
                                    (layer.lora_a_sub, sub.a), (layer.lora_b_sub, sub.b)):
                assert torch.equal(found, expected)
            assert torch.equal(layer.start["main"].b, main.b) and layer.start["main"].b is not layer.lora_b_main


def test_kaiming_depends_on_seed_and_name_and_not_on_the_company() -> None:
    def drawn(seed: int, **arguments: object) -> dict[str, Tensor]:
        vit = backbone()
        adapt(vit, init="kaiming", main_rank=4, sub_rank=4, seed=seed, **arguments)  # type: ignore[arg-type]
        return {name: parameter for name, parameter in trained(vit).items() if ".lora_a_" in name}

    torch.manual_seed(0)
    whole = drawn(0)
    torch.manual_seed(1)
    part, other = drawn(0, roles=("fc2", "qkv"), skip_blocks=1), drawn(1)
    assert all(torch.equal(tensor, whole[name]) for name, tensor in part.items())
    assert not any(torch.equal(tensor, whole[name]) for name, tensor in other.items())
    assert len({tensor.flatten()[0].item() for tensor in whole.values()}) == len(whole)


def test_a_cache_changes_nothing_but_the_time(tmp_path: Path) -> None:
    cold, warm, without = backbone(), backbone(), backbone()
    adapt(cold, main_rank=4, sub_rank=2, cache=tmp_path)
    assert len(list((tmp_path / "factors").glob("*.safetensors"))) == 8  # one per layer, for both adapters
    adapt(warm, main_rank=4, sub_rank=2, cache=tmp_path)
    adapt(without, main_rank=4, sub_rank=2)
    for name, tensor in without.state_dict().items():
        assert torch.equal(cold.state_dict()[name], tensor) and torch.equal(warm.state_dict()[name], tensor)


@pytest.mark.parametrize(("name", "main", "sub", "layers"), [
    ("vit_large_patch14_dinov2", 12_582_912, 1_572_864, 96),  # the paper's 12.6 M and 1.6 M, 14,155,776 together
    ("eva02_large_patch14_224", 14_940_672, 1_867_584, 168),
])
def test_parameter_counts_of_large_backbones(name: str, main: int, sub: int, layers: int) -> None:
    with torch.device("meta"):
        vit = timm.create_model(name, num_classes=0)
    assert len(adapt(vit, main_rank=32, sub_rank=4)) == layers
    counts = {which: sum(parameter.numel() for parameter in adapter_parameters(vit, which).values())
              for which in ("main", "sub")}
    assert counts == {"main": main, "sub": sub}
    assert sum(parameter.numel() for parameter in trained(vit).values()) == main + sub
    assert all(parameter.is_meta for parameter in vit.parameters()) and base_digest(vit) is None
    merge(vit)
    assert all(parameter.is_meta for parameter in vit.parameters()) and not trained(vit)


@pytest.mark.parametrize(("arguments", "said"), [
    ({"main_rank": 49}, "blocks.0.attn.qkv: rank 49 does not fit a weight of 144x48; choose 0 to 48"),
    ({"main_rank": 0, "sub_rank": 0}, "give one of the adapters a rank of 1 or more"),
    ({"main_rank": 4, "sub_rank": -1}, "ranks 4 and -1"),
    ({"init": "olora"}, "init 'olora' is not known"),
    ({"main_end": "top"}, "end 'top' is not known to init rrqr"),
    ({"init": "kaiming", "sub_end": "major"}, "end 'major' means nothing to init kaiming"),
    ({"scaling": "own"}, "scaling 'own' is not known; known: shared, per_adapter, or a number"),
    ({"scaling": -1.0}, "scaling -1.0 must be a finite number above 0"),
    ({"alpha": 0.0}, "scaling 0.0 must be a finite number above 0"),
    ({"roles": ("q",)}, "role 'q' names no layer"),
    ({"skip_blocks": 2}, "skip_blocks 2 leaves none of the 2 blocks"),
])
def test_a_bad_request_is_refused_and_changes_nothing(arguments: dict[str, object], said: str) -> None:
    vit = backbone()
    before, flags = repr(vit), [parameter.requires_grad for parameter in vit.parameters()]
    with pytest.raises(AdapterError, match=said):
        adapt(vit, **arguments)  # type: ignore[arg-type]
    assert repr(vit) == before and [parameter.requires_grad for parameter in vit.parameters()] == flags


def test_broken_weights_are_named_before_anything_changes() -> None:
    vit = backbone()
    with torch.no_grad():
        vit.blocks[1].mlp.fc1.weight[3, 4] = float("nan")
    before = repr(vit)
    with pytest.raises(AdapterError, match="^blocks.1.mlp.fc1: the weight holds NaN"):
        adapt(vit)
    assert repr(vit) == before


def test_an_adapted_model_is_not_adapted_again() -> None:
    vit = backbone()
    adapt(vit, main_rank=4, sub_rank=2)
    with pytest.raises(AdapterError, match="adapted already"):
        adapt(vit)
    merge(vit)
    assert adapt(vit, main_rank=2, sub_rank=0)


def test_a_copy_is_independent() -> None:
    vit = backbone()
    adapt(vit, main_rank=4, sub_rank=2)
    twin = copy.deepcopy(vit)
    before = features(vit)
    perturb(twin)
    assert torch.equal(features(vit), before) and not torch.equal(features(twin), before)
    assert base_digest(twin) == base_digest(vit) and adapted_layers(twin).keys() == adapted_layers(vit).keys()


# --------------------------------------------------------------------------------------------------------- merging


@pytest.mark.parametrize("name", BACKBONES)
def test_merging_keeps_the_output_and_gives_timms_model_back(name: str) -> None:
    plain, vit = backbone(name), backbone(name)
    adapt(vit, main_rank=4, sub_rank=2)
    perturb(vit)
    before, weights = features(vit), {n: layer.weight.detach() for n, layer in adapted_layers(vit).items()}
    merge(vit)
    assert_same_output(features(vit), before)
    assert repr(vit) == repr(plain) and list(vit.state_dict()) == list(plain.state_dict())
    assert {type(module) for module in vit.modules()} == {type(module) for module in plain.modules()}
    assert all(torch.equal(vit.get_submodule(n).weight, weight) for n, weight in weights.items())
    assert not trained(vit)
    plain.load_state_dict(vit.state_dict())  # the very numbers run in timm's own model
    assert torch.equal(features(plain), features(vit))
    once = {n: tensor.clone() for n, tensor in vit.state_dict().items()}
    merge(vit)
    assert all(torch.equal(tensor, once[n]) for n, tensor in vit.state_dict().items())


def test_a_merged_start_is_the_base_again() -> None:
    plain, vit = backbone(), backbone()
    adapt(vit, main_rank=4, sub_rank=2)
    merge(vit)
    for name, tensor in plain.state_dict().items():
        assert torch.allclose(vit.state_dict()[name], tensor, atol=1e-6)


def test_merged_for_a_while_then_everything_is_as_it_was() -> None:
    vit = backbone("eva02_tiny_patch14_224")
    adapt(vit, main_rank=4, sub_rank=2)
    perturb(vit)
    modules = dict(vit.named_modules())
    state = {name: tensor.clone() for name, tensor in vit.state_dict().items()}
    before, digest = features(vit), base_digest(vit)
    with merged(vit) as inside:
        assert inside is vit and not adapted_layers(vit)
        assert repr(vit) == repr(backbone("eva02_tiny_patch14_224"))
        assert_same_output(features(vit), before)
        with merged(vit):
            assert not adapted_layers(vit)
        assert not adapted_layers(vit)  # the inner one leaves the outer one's work alone
        merge(vit)
    after = dict(vit.named_modules())
    assert after.keys() == modules.keys() and all(after[name] is module for name, module in modules.items())
    assert list(vit.state_dict()) == list(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in vit.state_dict().items())
    assert torch.equal(features(vit), before) and base_digest(vit) == digest


def test_an_error_inside_unmerges_all_the_same() -> None:
    vit = backbone()
    adapt(vit, main_rank=4, sub_rank=2)
    before = features(vit)
    with pytest.raises(KeyError), merged(vit):
        raise KeyError
    assert len(adapted_layers(vit)) == 8 and torch.equal(features(vit), before)


def test_merging_a_plain_model_does_nothing() -> None:
    vit = backbone()
    modules = dict(vit.named_modules())
    merge(vit)
    with merged(vit):
        assert dict(vit.named_modules()) == modules
    assert dict(vit.named_modules()) == modules and all(p.requires_grad for p in vit.parameters())
