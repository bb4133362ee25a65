"""Adapters in files: the saved model comes back bit for bit, on its own base only, and PEFT can read it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from recyclelora.adapters import (
    AdapterError,
    Factors,
    adapt,
    adapted_layers,
    adapter_parameters,
    base_digest,
    load_adapter,
    merge,
    merged,
    save_adapter,
    save_peft,
)
from recyclelora.adapters.lora import install
from tests.narrow import assert_same_output, backbone, features, perturb, trained


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors this small only make threads wait for one another
    yield
    torch.set_num_threads(before)


def saved(path: Path, name: str = "vit_small_patch14_dinov2", **arguments: object) -> nn.Module:
    """An adapted model away from its start, and its file."""
    vit = backbone(name)
    adapt(vit, **({"main_rank": 4, "sub_rank": 2} | arguments))  # type: ignore[arg-type]
    perturb(vit)
    save_adapter(vit, path)
    return vit


@pytest.mark.parametrize("arguments", [
    {}, {"init": "svd"}, {"init": "kaiming"}, {"main_rank": 0}, {"sub_rank": 0}, {"scaling": "per_adapter"},
    {"scaling": 0.3, "roles": ("qkv", "fc2"), "skip_blocks": 1}, {"main_end": "major", "sub_end": "minor"},
], ids=str)
def test_a_loaded_model_is_the_saved_one_bit_for_bit(arguments: dict[str, object], tmp_path: Path) -> None:
    vit = saved(tmp_path / "adapter.safetensors", **arguments)
    loaded = backbone()
    load_adapter(loaded, tmp_path / "adapter.safetensors")
    assert torch.equal(features(loaded), features(vit))
    assert loaded.adaptation == vit.adaptation and repr(loaded) == repr(vit)
    assert list(loaded.state_dict()) == list(vit.state_dict())
    assert all(torch.equal(tensor, vit.state_dict()[name]) for name, tensor in loaded.state_dict().items())
    assert trained(loaded).keys() == trained(vit).keys()
    for name, layer in adapted_layers(vit).items():  # drift can be measured after loading as before
        again = loaded.get_submodule(name)
        for which in ("main", "sub"):
            assert all(torch.equal(x, y) for x, y in zip(layer.start[which], again.start[which], strict=True))


@pytest.mark.parametrize("name", ["eva02_tiny_patch14_224", "eva02_base_patch14_224"])
def test_other_backbones_come_back_too(name: str, tmp_path: Path) -> None:
    vit = saved(tmp_path / "adapter.safetensors", name)
    loaded = backbone(name)
    load_adapter(loaded, tmp_path / "adapter.safetensors")
    assert torch.equal(features(loaded), features(vit))
    merge(vit)
    merge(loaded)
    assert torch.equal(features(loaded), features(vit)) and repr(loaded) == repr(backbone(name))


def test_the_start_comes_from_the_file_and_not_from_this_machines_lapack(tmp_path: Path) -> None:
    first = backbone()
    adapt(first, main_rank=4, sub_rank=2)
    elsewhere = backbone()  # a start no factorisation here would give, as after near ties decided otherwise
    starts = {}
    for name, layer in adapted_layers(first).items():
        main, sub = layer.start["main"], layer.start["sub"]
        starts[name] = {"main": Factors(main.a.roll(5, dims=1), -main.b.flip(0)), "sub": sub}
    install(elsewhere, starts, first.adaptation)
    perturb(elsewhere)
    save_adapter(elsewhere, tmp_path / "adapter.safetensors")
    loaded = backbone()
    load_adapter(loaded, tmp_path / "adapter.safetensors")
    assert torch.equal(features(loaded), features(elsewhere))


def test_the_file_says_what_it_is_and_holds_little(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "adapter.safetensors"
    vit = backbone()
    digest = base_digest(vit)
    adapt(vit, main_rank=4, sub_rank=2, alpha=2.0)
    save_adapter(vit, path, metadata={"fingerprint": "0123456789abcdef"})
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    settings = json.loads(header["recyclelora"])
    assert header["fingerprint"] == "0123456789abcdef" and settings["base"] == digest == base_digest(vit)
    assert {key: settings[key] for key in ("format", "init", "main_rank", "sub_rank", "main_end", "sub_end", "alpha",
                                           "scaling")} == {
        "format": 2, "init": "rrqr", "main_rank": 4, "sub_rank": 2, "main_end": "minor", "sub_end": "major",
        "alpha": 2.0, "scaling": "shared"}
    tensors = load_file(path)
    assert set(trained(vit)) < set(tensors) and len(tensors) == 2 * len(trained(vit))
    assert tensors["blocks.0.attn.qkv.start_a_main"].shape == (4,)  # where the ones are, not the zeros around them
    assert [file.name for file in path.parent.iterdir()] == ["adapter.safetensors"]


def test_the_base_is_the_blocks_before_adapting(tmp_path: Path) -> None:
    vit = backbone()
    digest = base_digest(vit)
    adapt(vit, main_rank=4, sub_rank=2)
    perturb(vit)
    assert base_digest(vit) == digest
    with merged(vit):
        assert base_digest(vit) != digest  # another model by now
    assert base_digest(vit) == digest != base_digest(backbone(seed=1))
    other_size = backbone()
    with torch.no_grad():
        other_size.pos_embed.mul_(2)  # resampled for another image size, say
        assert base_digest(other_size) == digest
        other_size.blocks[1].norm2.bias[0] += 1
    assert base_digest(other_size) != digest


def test_another_base_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "adapter.safetensors"
    saved(path)
    for other in (backbone(seed=1), backbone("vit_base_patch16_clip_224"), backbone().half()):
        before = repr(other)
        with pytest.raises(AdapterError, match="belongs to base .* build it with the weights"):
            load_adapter(other, path)
        assert repr(other) == before and not adapted_layers(other)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)


def scribble(path: Path) -> None:
    path.write_text("not safetensors")


def replace_by_a_checkpoint(path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, path)


def change_the_format(path: Path) -> None:
    save_file(load_file(path), path, {"recyclelora": json.dumps({"format": 1})})


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(("damage", "said"), [
    (truncate, "cannot be read as safetensors"), (flip_a_bit, "damaged since it was written"),
    (scribble, "cannot be read as safetensors"), (replace_by_a_checkpoint, "not an adapter file of format 2"),
    (change_the_format, "not an adapter file of format 2"), (remove, "cannot be read")])
def test_a_damaged_or_foreign_file_is_refused(damage: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    path = tmp_path / "adapter.safetensors"
    saved(path)
    damage(path)
    vit = backbone()
    before = repr(vit)
    with pytest.raises(AdapterError, match=f"adapter.safetensors: {said}") as caught:
        load_adapter(vit, path)
    assert "\n" not in str(caught.value) and repr(vit) == before and all(p.requires_grad for p in vit.parameters())


def test_only_adapted_models_are_saved_and_only_plain_ones_loaded(tmp_path: Path) -> None:
    path = tmp_path / "adapter.safetensors"
    vit = saved(path)
    with pytest.raises(AdapterError, match="adapted already"):
        load_adapter(vit, path)
    with merged(vit), pytest.raises(AdapterError, match="no adapters to save"):
        save_adapter(vit, tmp_path / "merged.safetensors")
    with pytest.raises(AdapterError, match="no adapters to save"):
        save_peft(backbone(), tmp_path / "peft")
    with torch.device("meta"):
        counted = backbone()
    adapt(counted, main_rank=4, sub_rank=2)
    with pytest.raises(AdapterError, match="no adapters to save"):
        save_adapter(counted, tmp_path / "counted.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["adapter.safetensors"]


@pytest.mark.parametrize("arguments", [{}, {"init": "svd", "scaling": "per_adapter"}, {"sub_rank": 0}], ids=str)
@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "eva02_base_patch14_224"])
def test_peft_reads_the_export(name: str, arguments: dict[str, object], tmp_path: Path) -> None:
    vit = saved(tmp_path / "adapter.safetensors", name, **arguments)
    save_peft(vit, tmp_path / "peft")
    assert sorted(file.name for file in (tmp_path / "peft").iterdir()) == ["adapter_config.json",
                                                                           "adapter_model.safetensors"]
    theirs = PeftModel.from_pretrained(backbone(name), tmp_path / "peft").eval()
    assert_same_output(features(theirs.base_model.model), features(vit))
    assert_same_output(features(theirs.merge_and_unload()), features(vit))


def test_loaded_adapters_train_on(tmp_path: Path) -> None:
    saved(tmp_path / "adapter.safetensors")
    loaded = backbone()
    load_adapter(loaded, tmp_path / "adapter.safetensors")
    features_of = loaded.forward_features(torch.randn(1, 3, 56, 56))
    features_of.square().mean().backward()
    for which in ("main", "sub"):
        assert all(parameter.grad.any() for parameter in adapter_parameters(loaded, which).values())
