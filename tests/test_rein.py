"""Rein: against its formula written out slowly, its parameter count, its link to the head, its file, its training."""

import copy
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recyclelora.adapters import (
    AdapterError,
    Reins,
    adapt,
    attach_rein,
    load_rein,
    rein_parameters,
    reins_of,
    save_rein,
)
from recyclelora.errors import InputError
from recyclelora.methods.rein import Rein
from recyclelora.models.segmentor import HeadShape, Segmentor, build_segmentor
from recyclelora.models.timm_backbones import build_backbone
from recyclelora.settings import Settings
from recyclelora.training.optim import parameter_groups
from recyclelora.trials import build
from recyclelora.trials.artifacts import load_model
from recyclelora.trials.paths import Paths
from recyclelora.trials.trial import run
from tests.narrow import backbone, images, trained
from tests.tiny import tiny_batches, tiny_segmentor
from tests.tiny_config import TINY, tiny

SHAPE = HeadShape(hidden=32, queries=6, pixel_layers=1, pixel_ffn=32, decoder_layers=2, decoder_ffn=32, heads=2, points=64)
NAMES = ("vit_small_patch14_dinov2", "eva02_tiny_patch14_224", "eva02_base_patch14_224", "vit_small_patch16_dinov3")


def with_rein(name: str = NAMES[0], scale: float = 0.5, query_width: int | None = 32) -> nn.Module:
    vit = backbone(name)
    attach_rein(vit, tokens=6, rank=3, scale=scale, query_width=query_width, seed=1)
    return vit


def literal(reins: Reins, features: Tensor, block: int) -> Tensor:
    """One patch at a time, as the paper's equations read."""
    tokens = reins.tokens_a[block] @ reins.tokens_b[block]
    out = features.clone()
    for image in range(features.shape[0]):
        for patch in range(features.shape[1]):
            f = features[image, patch]
            weights = torch.tensor([math.exp(float(f @ token) / math.sqrt(len(f))) for token in tokens])
            weights = weights / weights.sum()
            delta = torch.zeros_like(f)
            for i in range(1, len(tokens)):  # token 0 gives nothing
                delta = delta + weights[i] * (reins.token_mlp.weight @ tokens[i] + reins.token_mlp.bias)
            out[image, patch] = f + reins.scale * (reins.feature_mlp.weight @ (delta + f) + reins.feature_mlp.bias)
    return out


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_every_block_is_followed_by_the_formula(name: str) -> None:
    vit, plain = with_rein(name), backbone(name)
    reins = reins_of(vit)
    assert reins is not None
    given = images(vit)[:1]
    refined = vit.forward_intermediates(given, norm=False, output_fmt="NLC", intermediates_only=True,
                                        return_prefix_tokens=True)
    prefix = plain.num_prefix_tokens

    def slowly(index: int) -> object:
        return lambda block, args, output: torch.cat([output[:, :prefix], literal(reins, output[:, prefix:], index)], 1)

    for index, block in enumerate(plain.blocks):
        block.register_forward_hook(slowly(index))
    expected = plain.forward_intermediates(given, norm=False, output_fmt="NLC", intermediates_only=True,
                                           return_prefix_tokens=True)
    for (patches, tokens), (patches_expected, tokens_expected) in zip(refined, expected, strict=True):
        assert torch.allclose(patches, patches_expected, atol=1e-4 * float(patches_expected.abs().max()))
        assert torch.allclose(tokens, tokens_expected, atol=1e-4 * float(tokens_expected.abs().max()))


def test_the_papers_parameter_count() -> None:
    """38,400 + 393,216 tokens, two MLPs of 1,049,600, 262,400 + 196,864 of the link, 1 scale."""
    with torch.device("meta"):
        reins = Reins(blocks=24, width=1024, patch_size=16, tokens=100, rank=16, scale=0.001, query_width=256)
    assert sum(p.numel() for p in reins.parameters()) == 2_990_081
    for name in ("dinov2_large", "eva02_large"):
        config = Settings({"adapter.method": "rein", "backbone.name": name}).resolve()
        assert build.count_parameters(config) == {"layers": 24, "adapter": 2_990_081}


def test_tokens_start_within_the_authors_bound_and_the_rest_as_torch_draws_it() -> None:
    reins = Reins(blocks=4, width=1024, patch_size=16, tokens=100, rank=16, scale=0.001, query_width=256)
    bound = math.sqrt(6 / (3 * 16**2 + math.sqrt(1024 * 16)))
    for tokens in (reins.tokens_a, reins.tokens_b):
        assert bound * 0.99 < float(tokens.detach().abs().max()) <= bound
    for layer in (reins.token_mlp, reins.feature_mlp):
        assert 0.99 / 32 < float(layer.weight.detach().abs().max()) <= 1 / 32  # Kaiming-uniform, a = sqrt(5)
    assert float(reins.scale.detach()) == pytest.approx(0.001)


def tiny_with_rein() -> Segmentor:
    vit = tiny_segmentor(0, 0).vit
    attach_rein(vit, tokens=6, rank=3, scale=0.5, query_width=32)
    return linked(vit)


def linked(vit: nn.Module, shape: HeadShape = SHAPE) -> Segmentor:
    """A head whose queries are made of the tokens."""
    return build_segmentor(vit, num_classes=5, head=shape, queries=Rein().queries(vit))


def test_the_backbone_is_frozen_and_every_rein_parameter_gets_a_gradient() -> None:
    segmentor = tiny_with_rein()
    segmentor.loss(*next(tiny_batches(0, 1)))["total"].backward()
    names = trained(segmentor.vit)
    assert names and all(name.startswith("reins.") for name in names)
    for name, parameter in trained(segmentor).items():
        if not name.startswith("vit.") and ".queries_" not in name:
            continue  # some of the head's get none at the start, with whatever adapters
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name


def test_the_link_is_max_mean_and_last_of_the_tokens() -> None:
    vit = with_rein()
    segmentor = linked(vit)
    reins = reins_of(vit)
    assert reins is not None and reins.transform is not None and reins.merge is not None
    rows = []
    for token in range(6):
        each = [reins.transform.weight @ (reins.tokens_a[i] @ reins.tokens_b[i])[token] + reins.transform.bias
                for i in range(2)]
        drawn = [value for c in range(32) for value in (max(each[0][c], each[1][c]), (each[0][c] + each[1][c]) / 2,
                                                        each[-1][c])]
        rows.append(reins.merge.weight @ torch.stack(drawn) + reins.merge.bias)
    queries = torch.stack(rows)
    module = segmentor.head.transformer_module
    assert torch.allclose(module.queries_embedder.weight, queries, atol=1e-5)
    project = module.queries_features.project
    assert torch.allclose(module.queries_features.weight, queries @ project.weight.T + project.bias, atol=1e-5)
    head = {name for name in segmentor.state_dict() if "queries" in name}
    assert head == {f"head.transformer_module.queries_features.project.{kind}" for kind in ("weight", "bias")}


def test_without_a_link_the_head_keeps_its_own_queries() -> None:
    segmentor = build_segmentor(with_rein(query_width=None), num_classes=5, head=SHAPE)
    assert "head.transformer_module.queries_embedder.weight" in segmentor.state_dict()
    assert not [name for name in segmentor.state_dict() if ".transform." in name or ".merge." in name]


def test_groups_follow_the_authors_rule() -> None:
    """wd 0 for tokens, scale, norms and level_embed; everything else decays, the linear layers of tokens too."""
    segmentor = linked(with_rein())
    groups = parameter_groups(segmentor, Rein(lr_multiplier=3.0).groups(segmentor.vit), lr=1e-4, weight_decay=0.05)
    names = {id(parameter): name for name, parameter in segmentor.named_parameters()}
    found = {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(found) == len(trained(segmentor))
    for name in ("tokens_a", "tokens_b", "scale"):
        assert found[f"vit.reins.{name}"] == (pytest.approx(3e-4), 0.0)
    for name in ("token_mlp.weight", "feature_mlp.bias", "transform.weight", "merge.weight"):
        assert found[f"vit.reins.{name}"] == (pytest.approx(3e-4), 0.05)
    assert found["head.transformer_module.queries_features.project.weight"] == (1e-4, 0.05)
    assert found["head.transformer_module.level_embed.weight"] == (1e-4, 0.0)
    assert {kind: len(members) for kind, members in rein_parameters(segmentor.vit).items()} == {
        "rein_tokens": 3, "rein": 8}


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES[:2])
def test_a_saved_rein_comes_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    vit = with_rein(name)
    save_rein(vit, tmp_path / "a.safetensors", metadata={"x": "y"})
    other = backbone(name)
    load_rein(other, tmp_path / "a.safetensors")
    assert torch.equal(vit.forward_features(images(vit)), other.forward_features(images(vit)))
    with pytest.raises(AdapterError, match="belongs to another base"):
        load_rein(backbone(name, seed=5), tmp_path / "a.safetensors")


def test_bad_files_and_requests(tmp_path: Path) -> None:
    vit = with_rein()
    path = tmp_path / "a.safetensors"
    with pytest.raises(AdapterError, match="no Rein tokens to save"):
        save_rein(backbone(), path)
    with pytest.raises(AdapterError, match="cannot be read as safetensors"):
        load_rein(backbone(), tmp_path / "absent.safetensors")
    save_file({"x": torch.ones(1)}, path)
    with pytest.raises(AdapterError, match="not a file of Rein tokens"):
        load_rein(backbone(), path)
    save_rein(vit, path)
    from safetensors import safe_open
    with safe_open(path, "pt") as file:
        about = file.metadata()
    save_file({**load_file(path), "scale": torch.tensor(2.0)}, path, about)
    with pytest.raises(AdapterError, match="damaged"):
        load_rein(backbone(), path)
    for arguments, complaint in (({"tokens": 1}, "needs 2 or more"), ({"rank": 0}, "rank 0"), ({"rank": 60}, "give 1 to 48")):
        with pytest.raises(AdapterError, match=complaint):
            attach_rein(backbone(), **arguments)
    for adapted in (vit, backbone()):
        if adapted is not vit:
            adapt(adapted, main_rank=2, sub_rank=1)
        with pytest.raises(AdapterError, match="adapted already"):
            attach_rein(adapted)
    with pytest.raises(InputError, match="makes 6 queries 32 wide, and the head takes 7 queries 32 wide"):
        linked(with_rein(), HeadShape(**{**vars(SHAPE), "queries": 7}))
    with pytest.raises(InputError, match="adapter.tokens: 100 tokens cannot make the 20 queries of head.queries"):
        Settings({"adapter.method": "rein", "head.queries": 20}).resolve()


@torch.no_grad()
def test_a_copy_has_tokens_of_its_own() -> None:
    segmentor, given = tiny_with_rein(), next(tiny_batches(0, 1))[0]
    before = segmentor(given).masks[-1]
    other: Segmentor = copy.deepcopy(segmentor)
    reins = reins_of(other.vit)
    assert reins is not None
    reins.tokens_a.mul_(3)
    assert torch.equal(segmentor(given).masks[-1], before)
    assert not torch.equal(other(given).masks[-1], before)


def test_the_width_of_the_vit_and_meta() -> None:
    with torch.device("meta"):
        vit = build_backbone("eva02_tiny", patch_size=None, image_size=(224, 224), weights=None)
    assert attach_rein(vit) == 12
    assert all(parameter.is_meta for parameter in vit.parameters())


@pytest.mark.slow
def test_a_trial_trains_saves_and_loads(tmp_path: Path, cache: Path) -> None:
    config = tiny(adapter__method="rein", adapter__tokens=20, adapter__rank=4, training__iterations=3)
    paths = Paths(tmp_path, cache, None)
    record = run(config, paths)
    assert record.outcome == "finished" and record.metrics["params/adapter"] > 0
    model = load_model(paths.trial(record.fingerprint), cache)
    assert run(config, paths).metrics == record.metrics, "found, not trained again"
    from recyclelora.trials.scores import score_finally
    domains = build.open_domains(config, paths)
    again = score_finally(model.segmentor, config, domains, torch.device("cpu"), tmp_path)
    assert {key: value for key, value in record.metrics.items() if key in again} == again


def test_tiny_rein_is_another_trial_than_tiny_frozen() -> None:
    assert TINY["head.queries"] == 20
    assert tiny(adapter__method="rein", adapter__tokens=20) != tiny(adapter__method="frozen")
