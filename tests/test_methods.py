"""The contract that every adapter method keeps, over the list of them: a method is one file, and these are its tests."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache as once
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.config import Config, flatten
from recyclelora.errors import InputError
from recyclelora.exchange.export_model import FORMATS
from recyclelora.methods import DEFAULT, METHODS, NAMES, Method
from recyclelora.methods.method import trained_parameters
from recyclelora.models.segmentor import HeadShape, Segmentor, build_segmentor
from recyclelora.settings import Settings
from recyclelora.training.checkpoint import digest, load_checkpoint, save_checkpoint
from recyclelora.training.loop import train
from recyclelora.training.optim import Schedule, build_optimiser, parameter_groups
from recyclelora.trials.build import count_parameters
from tests.other_values import other, settings_of
from tests.tiny import CROP, tiny_batches

CPU = torch.device("cpu")
WIDTH = 64  # of ViT and head: the defaults of every method fit
QUERIES = 100
EVERY = pytest.mark.parametrize("name", NAMES)
KNOBS = [pytest.param(name, key, id=f"{name}-{key}") for name in NAMES
         for key, _, _ in settings_of(METHODS[name]()) if key != "method"]


def plain_vit(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    vit: nn.Module = timm.create_model(
        "vit_small_patch14_dinov2", pretrained=False, num_classes=0, img_size=CROP, patch_size=8, embed_dim=WIDTH,
        depth=4, num_heads=2, init_values=1.0, dynamic_img_size=True)
    return vit.requires_grad_(False).eval()


def adapted(method: Method, seed: int = 0, vit: nn.Module | None = None) -> nn.Module:
    vit = vit or plain_vit()
    method.attach(vit, cache=None, seed=seed, head_width=WIDTH)
    return vit


def segmentor_of(method: Method) -> Segmentor:
    vit = adapted(method)
    torch.manual_seed(0)
    shape = HeadShape(hidden=WIDTH, queries=QUERIES, pixel_layers=1, pixel_ffn=32, decoder_layers=2, decoder_ffn=32,
                      heads=2, points=64)
    return build_segmentor(vit, num_classes=5, head=shape, queries=method.queries(vit), merge=method.merged)


def prepared(name: str) -> tuple[Segmentor, torch.optim.AdamW]:
    method = METHODS[name]()
    segmentor = segmentor_of(method)
    groups = parameter_groups(segmentor, method.groups(segmentor.vit), lr=1e-3, weight_decay=0.05)
    return segmentor, build_optimiser(groups)


def steps(segmentor: Segmentor, optimiser: torch.optim.AdamW, start: int, stop: int) -> None:
    for _ in train(segmentor, optimiser, tiny_batches(start, stop), Schedule(6), start=start, stop=stop, seed=0,
                   device=CPU):
        pass


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors_of(module).items()}


@torch.no_grad()
def features(vit: nn.Module) -> Tensor:
    found: Tensor = vit.forward_features(torch.randn(2, 3, *CROP, generator=torch.Generator().manual_seed(3)))
    return found


@torch.no_grad()
def disturb(vit: nn.Module) -> None:
    """Other values than those of the start, as training leaves them."""
    generator = torch.Generator().manual_seed(7)
    for parameter in trained_parameters(vit).values():
        parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


@EVERY
def test_it_says_what_it_is(name: str) -> None:
    method = METHODS[name]
    assert method().method == name and method.__module__ == f"recyclelora.methods.{name}"
    assert all(text and "\n" not in text for text in (method.WORDS, method.SOURCE, method.TRAINED))
    assert set(method.LACKS) <= set(FORMATS) and all(method.LACKS.values())
    assert DEFAULT in METHODS and list(METHODS) == list(NAMES)


@EVERY
def test_exactly_the_grouped_tensors_are_trained(name: str) -> None:
    method, vit = METHODS[name](), plain_vit().requires_grad_(True)
    layers = method.attach(vit, cache=None, seed=0, head_width=WIDTH)
    grouped = [id(parameter) for group in method.groups(vit).values() for parameter in group.parameters]
    assert sorted(grouped) == sorted(map(id, trained_parameters(vit).values())), "each once, and nothing else"
    assert (layers > 0) == bool(grouped)


@EVERY
def test_the_meta_device_counts_what_the_cpu_trains(name: str) -> None:
    method = METHODS[name]()
    meta = plain_vit().to("meta")
    assert method.attach(meta, cache=None, seed=0, head_width=WIDTH) == method.attach(
        vit := plain_vit(), cache=None, seed=0, head_width=WIDTH)
    shapes = [{key: parameter.shape for key, parameter in trained_parameters(each).items()} for each in (meta, vit)]
    assert shapes[0] == shapes[1] and all(parameter.is_meta for parameter in meta.parameters())


@EVERY
def test_the_output_is_the_plain_models_at_the_start(name: str) -> None:
    method = METHODS[name]()
    difference = float((features(adapted(method)) - features(plain_vit())).abs().max())
    if method.IDENTITY:
        assert difference < 1e-4
    else:
        assert difference > 0, "it promises less than it holds"


@EVERY
def test_the_start_depends_on_the_seed_alone(name: str) -> None:
    torch.manual_seed(1)
    one = digest(tensors_of(adapted(METHODS[name](), seed=5)))
    torch.manual_seed(2)
    assert digest(tensors_of(adapted(METHODS[name](), seed=5))) == one


@EVERY
def test_training_moves_every_trained_tensor_and_no_other(name: str) -> None:
    segmentor, optimiser = prepared(name)
    before, trained = state_of(segmentor.vit), set(trained_parameters(segmentor.vit))
    steps(segmentor, optimiser, 0, 3)
    moved = {key for key, tensor in tensors_of(segmentor.vit).items() if not torch.equal(tensor, before[key])}
    assert moved == trained


@pytest.mark.parametrize(("name", "key"), KNOBS)
def test_every_knob_is_alive(name: str, key: str) -> None:
    """Two values give other tensors, another trained set, or other rates."""
    kind, value = next((kind, value) for each, kind, value in settings_of(METHODS[name]()) if each == key)
    changed = other(kind, value)
    along = {"head.queries": changed} if key == "tokens" else {}
    configs = [Settings({"adapter.method": name, "head.queries": QUERIES}).override(values, "x").resolve()
               for values in ({}, {f"adapter.{key}": changed, **along})]
    assert signature(configs[0].adapter) != signature(configs[1].adapter)


def signature(method: Method) -> Any:
    vit = adapted(method)
    groups = {key: (len(group.parameters), group.lr_multiplier, group.decay_multiplier)
              for key, group in method.groups(vit).items() if group.parameters}
    return digest(tensors_of(vit)), sorted(trained_parameters(vit)), groups, method.queries(vit) is None


@EVERY
def test_what_is_saved_comes_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    method, path = METHODS[name](), tmp_path / "adapter.safetensors"
    vit = adapted(method)
    disturb(vit)
    method.save(vit, path, {"fingerprint": "f"})
    assert path.exists() == bool(trained_parameters(vit))
    loaded = plain_vit()
    method.load(loaded, path, head_width=WIDTH)
    assert torch.equal(features(loaded), features(vit))
    assert {key: bool(parameter.requires_grad) for key, parameter in loaded.named_parameters()} == {
        key: bool(parameter.requires_grad) for key, parameter in vit.named_parameters()}
    if path.exists():
        again = adapted(method)
        method.copy(again, path)
        assert torch.equal(features(again), features(vit)), "and so does a second stage begin"


@EVERY
def test_a_file_of_another_base_or_a_damaged_one_is_refused(name: str, tmp_path: Path) -> None:
    method, path = METHODS[name](), tmp_path / "adapter.safetensors"
    method.save(adapted(method), path, {})
    if not path.exists():
        return
    with pytest.raises(AdapterError, match="belongs to"):
        method.load(plain_vit(seed=9), path, head_width=WIDTH)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        about = file.metadata()
    spoilt = {key: tensor + 1 for key, tensor in load_file(path).items()}
    save_file(spoilt, path, about)
    for read in (lambda: method.load(plain_vit(), path, head_width=WIDTH), lambda: method.copy(adapted(method), path)):
        with pytest.raises(AdapterError, match="damaged"):
            read()


@EVERY
def test_merged_it_computes_the_same_or_it_says_why_not(name: str) -> None:
    method, vit = METHODS[name](), adapted(METHODS[name]())
    disturb(vit)
    before, kept = features(vit), state_of(vit)
    with method.merged(vit):
        assert torch.allclose(features(vit), before, atol=1e-3, rtol=1e-3)
        plain = set(vit.state_dict()) == set(plain_vit().state_dict())
        assert plain == (not method.KEEPS), "merged, a ViT has the plain model's tensors; else KEEPS says why"
    assert torch.equal(features(vit), before)
    assert {key: torch.equal(tensor, kept[key]) for key, tensor in tensors_of(vit).items()} == dict.fromkeys(kept, True)


@EVERY
def test_a_resumed_training_is_the_uninterrupted_one(name: str, tmp_path: Path) -> None:
    whole, optimiser = prepared(name)
    steps(whole, optimiser, 0, 4)
    first, optimiser = prepared(name)
    steps(first, optimiser, 0, 2)
    save_checkpoint(tmp_path, first, optimiser, 2, fingerprint="f")
    second, optimiser = prepared(name)
    assert load_checkpoint(tmp_path, second, optimiser, fingerprint="f") == 2
    steps(second, optimiser, 2, 4)
    assert digest(tensors_of(second)) == digest(tensors_of(whole))


def rules() -> Iterator[Any]:
    for name in NAMES:
        for rule in METHODS[name].NEEDS:
            yield pytest.param(name, rule, id=f"{name}-{rule.key}-beside-{rule.other}")


@once
def types_of(name: str) -> dict[str, tuple[Any, Any]]:
    return {f"adapter.{key}": (kind, value) for key, kind, value in settings_of(METHODS[name]())}


@pytest.mark.parametrize(("name", "rule"), list(rules()))
def test_a_setting_without_effect_is_refused_and_an_override_clears_it(name: str, rule: Any) -> None:
    kind, value = types_of(name)[rule.other]
    off = next(each for each in (None, *_options(kind), 2.0, 0) if rule.off(each))
    given = other(*types_of(name)[rule.key])
    inherited = Settings({"adapter.method": name, rule.key: given})
    assert flatten(inherited.override({rule.other: off}, "x").resolve())[rule.key] is None
    with pytest.raises(InputError, match="means nothing when"):
        Settings({"adapter.method": name, rule.key: given, rule.other: off}).resolve()


def _options(kind: Any) -> Iterator[Any]:
    from typing import Literal, get_args, get_origin

    for one in (kind, *get_args(kind)):
        if get_origin(one) is Literal:
            yield from get_args(one)


def test_the_settings_of_another_method_go_with_it() -> None:
    for before in NAMES:
        for after in NAMES:
            if before != after:
                given = {f"adapter.{key}": value for key, _, value in settings_of(METHODS[before]())
                         if value is not None and key != "method"}
                changed = Settings({"adapter.method": before, **given}).override({"adapter.method": after}, "x")
                assert changed.resolve().adapter == METHODS[after]()


@EVERY
def test_its_parameters_at_dinov2_large_can_be_counted(name: str) -> None:
    counts = count_parameters(replace(Config(), adapter=METHODS[name]()))
    known = {"recyclelora": (96, 14_155_776), "frozen": (0, 0), "rein": (24, 2_990_081)}
    if name in known:
        assert (counts["layers"], counts["adapter"]) == known[name]
    assert (counts["layers"] > 0) == (counts["adapter"] > 0)
