"""Layers that compute something else than x W^T + b are refused by name, and the model stays as it was."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn.utils import parametrizations, prune

from recyclelora.adapters import AdapterError, adapt, adapted_layers, load_adapter, save_adapter
from tests.narrow import backbone, features

NAME = "blocks.1.mlp.fc1"


class Doubled(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


class Params4bit(nn.Parameter):
    """As bitsandbytes keeps packed weights: a class of its own over bytes."""


def layer(vit: nn.Module) -> nn.Linear:
    return vit.get_submodule(NAME)  # type: ignore[return-value]


def replace(vit: nn.Module, module: nn.Module) -> None:
    vit.blocks[1].mlp.fc1 = module


def subclass(vit: nn.Module) -> None:
    layer(vit).__class__ = Doubled


def bytes_for_weights(vit: nn.Module) -> None:
    layer(vit).weight = nn.Parameter(torch.zeros(192, 48, dtype=torch.int8), requires_grad=False)


def packed(vit: nn.Module) -> None:
    layer(vit).weight = Params4bit(layer(vit).weight.detach().clone())


def float8(vit: nn.Module) -> None:
    layer(vit).weight = nn.Parameter(layer(vit).weight.detach().to(torch.float8_e4m3fn), requires_grad=False)


def sparse(vit: nn.Module) -> None:
    layer(vit).weight = nn.Parameter(layer(vit).weight.detach().to_sparse())


def dynamically_quantised(vit: nn.Module) -> None:
    replace(vit, torch.ao.nn.quantized.dynamic.Linear.from_float(_prepared(layer(vit))))


def quantisation_aware(vit: nn.Module) -> None:
    replace(vit, torch.ao.nn.qat.Linear.from_float(_prepared(layer(vit), torch.ao.quantization.get_default_qat_qconfig())))


def _prepared(linear: nn.Linear, qconfig: object = torch.ao.quantization.default_dynamic_qconfig) -> nn.Linear:
    linear.qconfig = qconfig  # type: ignore[assignment]
    return linear


def forward_hook(vit: nn.Module) -> None:
    layer(vit).register_forward_hook(lambda module, given, output: output + 1)


def pre_hook(vit: nn.Module) -> None:
    layer(vit).register_forward_pre_hook(lambda module, given: (given[0] + 1,))


def backward_hook(vit: nn.Module) -> None:
    layer(vit).register_full_backward_hook(lambda module, given, gradients: None)


def backward_pre_hook(vit: nn.Module) -> None:
    layer(vit).register_full_backward_pre_hook(lambda module, gradients: None)


def other_forward(vit: nn.Module) -> None:
    one = layer(vit)
    one.forward = lambda x: nn.functional.linear(x, one.weight) + 1  # type: ignore[method-assign]


def parametrized(vit: nn.Module) -> None:
    parametrizations.weight_norm(layer(vit))


def old_weight_norm(vit: nn.Module) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(layer(vit))


def pruned(vit: nn.Module) -> None:
    prune.l1_unstructured(layer(vit), "weight", amount=0.5)


def tied(vit: nn.Module) -> None:
    layer(vit).weight = vit.blocks[0].mlp.fc1.weight


def twice(vit: nn.Module) -> None:
    replace(vit, vit.blocks[0].mlp.fc1)


def block_twice(vit: nn.Module) -> None:
    vit.blocks[1] = vit.blocks[0]


def head_of_the_same(vit: nn.Module) -> None:
    vit.extra = layer(vit)


def convolution(vit: nn.Module) -> None:
    replace(vit, nn.Conv2d(48, 192, 1))


FIRST = "blocks.0.mlp.fc1"
CASES: list[tuple[Callable[[nn.Module], None], str, str]] = [
    (subclass, NAME, r"is a tests\.test_replaceable\.Doubled, which may compute something else.*put a plain one"),
    (convolution, NAME, "is a torch.nn.modules.conv.Conv2d, which may compute"),
    (dynamically_quantised, NAME, r"is a torch\.ao\.nn\.quantized.*dequantised, if it is quantised"),
    (quantisation_aware, NAME, r"is a torch\.ao\.nn\.qat"),
    (bytes_for_weights, NAME, r"its weight is quantised.*torch.int8.*load the model in bfloat16 or float32"),
    (float8, NAME, r"its weight is quantised.*float8_e4m3fn"),
    (packed, NAME, r"its weight is quantised.*Params4bit"),
    (sparse, NAME, r"its weight is quantised or otherwise no plain tensor.*sparse"),
    (forward_hook, NAME, r"has a forward hook \(forward_hook.*lambda.*remove it by its handle"),
    (pre_hook, NAME, "has a forward pre-hook"),
    (backward_hook, NAME, "has a backward hook"),
    (backward_pre_hook, NAME, "has a backward pre-hook"),
    (other_forward, NAME, "its forward was replaced on the object"),
    (parametrized, NAME, r"its weight is computed by a parametrization.*remove_parametrizations\(layer, 'weight'\)"),
    (old_weight_norm, NAME, "its weight is no parameter but computed before each pass"),
    (pruned, NAME, "its weight is no parameter but computed before each pass"),
    (tied, FIRST, r"its weight is also blocks\.1\.mlp\.fc1\.weight \(tied\).*give each its own"),
    (twice, FIRST, r"is also blocks\.1\.mlp\.fc1: adapting one would leave the other"),
    (block_twice, "blocks.0.attn.qkv", r"is also blocks\.1\.attn\.qkv"),
    (head_of_the_same, NAME, "is also extra"),
]


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated")
@pytest.mark.parametrize(("change", "name", "said"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_layer_that_computes_something_else_is_refused(change: Callable[[nn.Module], None], name: str,
                                                         said: str) -> None:
    vit = backbone()
    change(vit)
    before, flags = repr(vit), [parameter.requires_grad for parameter in vit.parameters()]
    with pytest.raises(AdapterError, match=f"^{name}: {said}") as caught:
        adapt(vit, main_rank=2, sub_rank=1)
    assert "\n" not in str(caught.value)
    assert repr(vit) == before and [parameter.requires_grad for parameter in vit.parameters()] == flags


def test_a_layer_that_is_not_adapted_may_be_anything_that_can_be_hashed() -> None:
    vit = backbone()
    forward_hook(vit)
    before = features(vit)
    names = adapt(vit, main_rank=2, sub_rank=1, roles=("qkv", "proj"))
    assert len(names) == 4 and torch.allclose(features(vit), before, atol=1e-4)


def test_loading_refuses_it_too(tmp_path: Path) -> None:
    vit = backbone()
    adapt(vit, main_rank=2, sub_rank=1)
    save_adapter(vit, tmp_path / "adapter.safetensors")
    for change in (forward_hook, subclass):
        other = backbone()
        change(other)
        with pytest.raises(AdapterError, match=f"^{NAME}: "):
            load_adapter(other, tmp_path / "adapter.safetensors")
        assert not adapted_layers(other) and all(parameter.requires_grad for parameter in other.parameters())


def test_the_refusal_says_what_helps() -> None:
    """What the message says to do is done, and the model is adapted."""
    vit = backbone()
    parametrized(vit)
    nn.utils.parametrize.remove_parametrizations(layer(vit), "weight")
    twin = copy.deepcopy(vit)
    twice(twin)
    twin.blocks[1].mlp.fc1 = copy.deepcopy(twin.blocks[0].mlp.fc1)
    peft = get_peft_model(backbone(), LoraConfig(target_modules=["fc1"])).merge_and_unload()
    for model in (vit, twin, peft):
        before = features(model)
        adapt(model, main_rank=2, sub_rank=1)
        assert torch.allclose(features(model), before, atol=1e-4)


def test_a_model_that_peft_adapted_is_refused() -> None:
    from peft import inject_adapter_in_model

    config = LoraConfig(target_modules=["fc1"])
    with pytest.raises(AdapterError, match=r"wrapped by PEFT \(PeftModel\); take it off first: model = model.merge_and"):
        adapt(get_peft_model(backbone(), config))
    with pytest.raises(AdapterError, match=r"blocks\.0\.mlp\.fc1.*merge_and_unload\(\)"):
        adapt(inject_adapter_in_model(config, backbone()))
