"""Checkpoints of the authors' RecycleLoRA code, of SoMA and of Rein become models that give what those codes give."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from recyclelora.adapters import adapt, adapted_layers, attach_rein, reins_of
from recyclelora.cli import main
from recyclelora.errors import Absent, InputError
from recyclelora.exchange import import_checkpoint as import_module
from recyclelora.exchange.dinov2_names import from_dinov2, image_side
from recyclelora.exchange.import_checkpoint import Given, import_checkpoint
from recyclelora.methods.rein import Rein
from recyclelora.models import pyramid
from recyclelora.models.segmentor import HeadShape, Segmentor, build_segmentor
from recyclelora.models.timm_backbones import build_backbone
from recyclelora.trials.artifacts import BACKBONE, Model, load_model
from recyclelora.trials.stated import known_settings
from tests.foreign_layouts import checkpoint

SIDE = 64  # 4x4 patches of 16
SHAPE = HeadShape(hidden=32, queries=6, pixel_layers=2, pixel_ffn=48, decoder_layers=3, decoder_ffn=40, heads=4)
GIVEN = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))


def plain(weights: Path) -> nn.Module:
    return build_backbone("dinov2_small", patch_size=16, image_size=(SIDE, SIDE), weights=weights)


def with_head(vit: nn.Module, queries: Any = None, seed: int = 0) -> Segmentor:
    """19 classes, every tensor of the head random: a fresh one has many zeros, which prove nothing."""
    torch.manual_seed(seed)
    segmentor = build_segmentor(vit, num_classes=19, head=SHAPE, queries=queries)
    for parameter in segmentor.head.parameters():
        nn.init.normal_(parameter, std=0.2)
    return segmentor.eval()


def noise(shape: torch.Size, std: float, seed: int) -> Tensor:
    return std * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def write(folder: Path, content: dict[str, Any], name: str = "iter_40000.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


def imported(file: Path, cache: Path, given: Given | None = None) -> tuple[Model, list[str]]:
    out = file.parent / "model"
    found = import_checkpoint(file, out, given or Given(), cache)
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []
    return load_model(out, cache), found.notes


class AsTheAuthors(nn.Module):
    """RecycleLoRA's layer: weight and raw factors, s = alpha / total rank."""

    def __init__(self, linear: nn.Linear, start: Any, seed: int, alpha: float) -> None:
        super().__init__()
        rank = sum(len(factors.a) for factors in start.values())
        change = sum(factors.b @ factors.a for factors in start.values())
        self.weight, self.bias, self.s = linear.weight - alpha / rank * change, linear.bias, alpha / rank
        self.factors = {f"lora_{kind}_{which}": tensor + noise(tensor.shape, 0.1, seed + at)
                        for which, factors in start.items() for at, (kind, tensor) in enumerate(zip("AB", factors, strict=True))
                        if tensor.numel()}

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight, self.bias)
        for which in ("main", "sub"):
            if f"lora_A_{which}" in self.factors:
                y = y + (x @ self.factors[f"lora_A_{which}"].T) @ self.factors[f"lora_B_{which}"].T * self.s
        return y

    def merged(self) -> Tensor:
        return self.weight + self.s * sum(self.factors[f"lora_B_{w}"] @ self.factors[f"lora_A_{w}"]
                                          for w in ("main", "sub") if f"lora_A_{w}" in self.factors)


def recyclelora(weights: Path, cache: Path, *, merged: bool = False, alpha: float = 1.0, main_rank: int = 4,
                sub_rank: int = 2, skip: int = 0) -> tuple[Segmentor, dict[str, Any]]:
    """A model as the authors' code runs it, and the checkpoint it writes."""
    vit = plain(weights)
    adapt(vit, main_rank=main_rank, sub_rank=sub_rank, alpha=alpha, skip_blocks=skip, cache=cache)
    state = plain(weights).state_dict()
    for seed, (name, layer) in enumerate(adapted_layers(vit).items()):
        theirs = AsTheAuthors(_linear(state, name), layer.start, 10 * seed, alpha)
        parent, _, child = name.rpartition(".")
        setattr(vit.get_submodule(parent), child, theirs)
        state[f"{name}.weight"] = theirs.merged() if merged else theirs.weight
        state |= {f"{name}.{key}": tensor for key, tensor in theirs.factors.items()}
    segmentor = with_head(vit)
    state["mask_token"] = torch.zeros(1, 384)
    return segmentor, checkpoint(state, segmentor.head.state_dict(), cfg=f"backbone = dict(lora_alpha={alpha})")


def _linear(state: dict[str, Tensor], name: str) -> nn.Linear:
    linear = nn.Linear(1, 1)
    linear.weight, linear.bias = nn.Parameter(state[f"{name}.weight"], False), nn.Parameter(state[f"{name}.bias"], False)
    return linear


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert torch.allclose(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize("case", [{"alpha": 3.0, "skip": 2}, {"merged": True}, *(
    pytest.param(case, marks=pytest.mark.slow)
    for case in ({}, {"main_rank": 0}, {"sub_rank": 0}, {"merged": True, "alpha": 2.5}))], ids=str)
def test_recyclelora_stays_adapters(case: dict[str, Any], dinov2_small: Path, cache: Path, tmp_path: Path) -> None:
    theirs, content = recyclelora(dinov2_small, cache, **case)
    model, notes = imported(write(tmp_path, content), cache)
    ours = model.segmentor
    found, expected = (pyramid.block_features(segmentor.vit, GIVEN, (2, 11)) for segmentor in (ours, theirs))
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)
    assert_close(ours.scores(GIVEN), theirs.scores(GIVEN))
    for name, tensor in content["state_dict"].items():  # trained factors: the very same numbers
        if ".lora_" in name:
            layer, _, key = name.removeprefix("backbone.").rpartition(".")
            assert torch.equal(ours.vit.get_parameter(f"{layer}.{key.lower()}"), tensor), name
    for name, layer in adapted_layers(ours.vit).items():  # and the residual is that of training
        assert float((layer.residual - theirs.vit.get_submodule(name).weight).abs().max()) < 1e-6
    assert model.config.adapter.alpha == case.get("alpha", 1.0)
    assert ("merged weights" if case.get("merged") else "are residuals") in " ".join(notes)
    assert model.space.name == "cityscapes19" and model.config.evaluation.stride == (43, 43)
    assert model.config.evaluation.absent_classes == "zero", "as MMSegmentation, which these codes test with"


@torch.no_grad()
def test_the_start_is_read_off_the_residual_as_a_factorisation_would_give_it(dinov2_small: Path, cache: Path,
                                                                             tmp_path: Path) -> None:
    _, content = recyclelora(dinov2_small, cache)
    model, _ = imported(write(tmp_path, content), cache)
    vit = plain(dinov2_small)
    adapt(vit, main_rank=4, sub_rank=2, cache=cache)
    for name, layer in adapted_layers(vit).items():
        for which, factors in adapted_layers(model.segmentor.vit)[name].start.items():
            assert torch.equal(factors.a, layer.start[which].a), (name, which)
            assert float((factors.b - layer.start[which].b).abs().max()) < 1e-5


@torch.no_grad()
def test_recyclelora_is_merged_where_its_weights_are_not_here(dinov2_small: Path, cache: Path, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, content = recyclelora(dinov2_small, cache)
    real = import_module.resolve_weights

    def absent(name: str, *, file: Path | None, cache: Path) -> Any:
        if file is None:
            raise Absent("no weights")
        return real(name, file=file, cache=cache)

    monkeypatch.setattr(import_module, "resolve_weights", absent)
    model, notes = imported(write(tmp_path, content), cache)
    assert_close(model.segmentor.scores(GIVEN), theirs.scores(GIVEN))
    assert (tmp_path / "model" / BACKBONE).is_file() and "merged into the backbone" in notes[0]


class Split(nn.Module):
    """SoMA's q, k and v, each with an adapter of its own: y = x W^T + b + (x A^T) B^T alpha / r."""

    def __init__(self, state: dict[str, Tensor], name: str, scale: float) -> None:
        super().__init__()
        self.parts = [[state[f"{name}.{kind}"] for kind in ("weight", "bias", "lora_A.weight", "lora_B.weight")]
                      for name in ([name] if "qkv" not in name else [name.replace("qkv", w) for w in "qkv"])]
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([F.linear(x, w, b) + (x @ a.T) @ lb.T * self.scale for w, b, a, lb in self.parts], -1)


def soma(weights: Path, alpha: float | None = None, rank: int = 4) -> tuple[Segmentor, dict[str, Tensor]]:
    """A model as SoMA's code runs it, with trained biases in its blocks 8 to 11, and its backbone's state."""
    vit = plain(weights)
    state = {}
    for name, tensor in vit.state_dict().items():
        if ".attn.qkv." in name:
            state |= {name.replace("qkv", which): part for which, part in zip("qkv", tensor.chunk(3), strict=True)}
        else:
            state[name] = tensor
    for block in range(8, 12):
        for at, kind in enumerate(("attn.q", "attn.k", "attn.v", "attn.proj", "mlp.fc1", "mlp.fc2")):
            name = f"blocks.{block}.{kind}"
            rows, columns = state[f"{name}.weight"].shape
            state[f"{name}.lora_A.weight"] = noise(torch.Size((rank, columns)), 0.1, 20 * block + at)
            state[f"{name}.lora_B.weight"] = noise(torch.Size((rows, rank)), 0.1, 200 + 20 * block + at)
            state[f"{name}.bias"] = state[f"{name}.bias"] + noise(torch.Size((rows,)), 0.1, 500 + 20 * block + at)
        scale = (alpha or rank) / rank
        vit.blocks[block].attn.qkv = Split(state, f"blocks.{block}.attn.qkv", scale)
        for module, child in ((vit.blocks[block].attn, "proj"), (vit.blocks[block].mlp, "fc1"),
                              (vit.blocks[block].mlp, "fc2")):
            path = "attn" if child == "proj" else "mlp"
            setattr(module, child, Split(state, f"blocks.{block}.{path}.{child}", scale))
    state["mask_token"] = torch.zeros(1, 384)
    return with_head(vit), state


@torch.no_grad()
@pytest.mark.parametrize(("alpha", "extracted"), [
    (None, False), (None, True), pytest.param(2.0, False, marks=pytest.mark.slow),
    pytest.param(2.0, True, marks=pytest.mark.slow)], ids=str)
def test_soma_is_merged(alpha: float | None, extracted: bool, dinov2_small: Path, cache: Path, tmp_path: Path) -> None:
    """Whole as training writes it, or what its extraction script keeps: adapters, their layers' biases, mask token."""
    theirs, state = soma(dinov2_small, alpha)
    if extracted:
        state = {name: tensor for name, tensor in state.items() if "lora" in name or name == "mask_token"
                 or (name.endswith("bias") and any(kind in name for kind in ("q", "k", "v", "proj", "fc1", "fc2")))}
    content = checkpoint(state, theirs.head.state_dict(), prefix="backbone.model.",
                         cfg=f"lora_alpha = {alpha}" if alpha else "")
    model, notes = imported(write(tmp_path, content), cache, Given(crop=SIDE if extracted else None))
    assert_close(model.segmentor.scores(GIVEN), theirs.scores(GIVEN))
    assert model.config.adapter.method == "frozen" and ("taken to be the rank" in notes[-1]) == (alpha is None)
    assert model.config.backbone.name == "dinov2_small"


def rein(weights: Path, linked: bool) -> tuple[Segmentor, dict[str, Tensor]]:
    return rein_of(plain(weights), linked)


def rein_of(vit: nn.Module, linked: bool) -> tuple[Segmentor, dict[str, Tensor]]:
    attach_rein(vit, tokens=6, rank=3, scale=0.5, query_width=32 if linked else None)
    reins = reins_of(vit)
    assert reins is not None
    names = {"tokens_a": "learnable_tokens_a", "tokens_b": "learnable_tokens_b", "scale": "scale",
             "token_mlp": "mlp_token2feat", "feature_mlp": "mlp_delta_f", "transform": "transform", "merge": "merge"}
    state = {f"reins.{names[name.partition('.')[0]]}{''.join(name.partition('.')[1:])}": tensor
             for name, tensor in reins.state_dict().items()}
    if not linked:
        state |= {"reins.transform.weight": torch.ones(32, 384), "reins.transform.bias": torch.ones(32),
                  "reins.merge.weight": torch.ones(32, 96), "reins.merge.bias": torch.ones(32)}
    return with_head(vit, Rein().queries(vit) if linked else None), state


@torch.no_grad()
@pytest.mark.parametrize(("linked", "whole"), [
    (True, False), pytest.param(False, False, marks=pytest.mark.slow), pytest.param(True, True, marks=pytest.mark.slow)])
def test_rein_comes_back_bit_for_bit(linked: bool, whole: bool, dinov2_small: Path, cache: Path, tmp_path: Path) -> None:
    """Training writes tokens and head alone; its script for full weights adds the converted backbone."""
    theirs, state = rein(dinov2_small, linked)
    if whole:
        state |= plain(dinov2_small).state_dict()
    content = checkpoint(state, theirs.head.state_dict())
    model, _ = imported(write(tmp_path, content), cache, Given(crop=None if whole else SIDE))
    assert torch.equal(model.segmentor.scores(GIVEN), theirs.scores(GIVEN))
    assert model.config.adapter.method == "rein" and model.config.adapter.link == linked
    assert model.config.head.queries == 6


@torch.no_grad()
def test_rein_on_eva02(cache: Path, tmp_path: Path) -> None:
    """Its adapters do not tell DINOv2 from EVA02: the backbone is said, its weights are a file."""
    vit = build_backbone("eva02_tiny", patch_size=16, image_size=(SIDE, SIDE), weights=None)
    save_file(vit.state_dict(), tmp_path / "eva.safetensors")
    theirs, state = rein_of(vit, True)
    file = write(tmp_path, checkpoint(state, theirs.head.state_dict()))
    given = Given(backbone="eva02_tiny", weights=tmp_path / "eva.safetensors", crop=SIDE)
    model, _ = imported(file, cache, given)
    assert torch.equal(model.segmentor.scores(GIVEN), theirs.scores(GIVEN))
    with pytest.raises(InputError, match="tokens of 12 blocks 192 wide, on a backbone of 12 384 wide; give the right"):
        import_checkpoint(file, tmp_path / "other", Given(backbone="dinov2_small"), cache)
    with pytest.raises(InputError, match="adapters do not say which it was; give --backbone"):
        import_checkpoint(file, tmp_path / "other", Given(), cache)
    with pytest.raises(InputError, match="--alpha means nothing for a rein checkpoint; leave it out"):
        import_checkpoint(file, tmp_path / "other", given._replace(alpha=1.0), cache)
    with pytest.raises(InputError, match="--crop 65: not a multiple of the patch size 16"):
        import_checkpoint(file, tmp_path / "other", given._replace(crop=65), cache)


@torch.no_grad()
def test_a_frozen_backbone_comes_back_bit_for_bit(dinov2_small: Path, cache: Path, tmp_path: Path) -> None:
    theirs = with_head(plain(dinov2_small))
    model, _ = imported(write(tmp_path, checkpoint(theirs.vit.state_dict(), theirs.head.state_dict())), cache)
    assert torch.equal(model.segmentor.scores(GIVEN), theirs.scores(GIVEN))


@pytest.mark.slow
def test_where_it_came_from_is_in_the_folder(dinov2_small: Path, cache: Path, tmp_path: Path) -> None:
    import hashlib

    _, content = recyclelora(dinov2_small, cache)
    file = write(tmp_path, content)
    imported(file, cache)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    for name in ("adapter.safetensors", "head.safetensors"):
        with safe_open(tmp_path / "model" / name, "pt") as opened:
            about = opened.metadata()
        assert about["source_layout"] == "recyclelora" and about["source_file"] == "iter_40000.pth"
        assert about["source_sha256"] == sha256 and about["fingerprint"] == f"import-{sha256[:12]}"
    assert sha256 in (tmp_path / "model" / "config.yaml").read_text()


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_giant_patch14_dinov2"])
def test_dinov2s_names_as_timm_converts_them(name: str) -> None:
    small: dict[str, Any] = {"depth": 2, "embed_dim": 48, "num_heads": 2, "img_size": 28, "num_classes": 0}
    vit = timm.create_model(name, **small)
    theirs = {key: torch.randn(tensor.shape) for key, tensor in vit.state_dict().items()}
    if "reg4" in name:
        theirs["register_tokens"] = theirs.pop("reg_token")
        theirs["pos_embed"] = torch.randn(1, 5, 48)
    theirs = {key.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3") if "giant" in name else key: tensor
              for key, tensor in theirs.items()} | {"mask_token": torch.zeros(1, 48)}
    from timm.models.vision_transformer import checkpoint_filter_fn
    expected = checkpoint_filter_fn(dict(theirs), vit)
    chunked = {key.replace("blocks.", "blocks.0.", 1) if key.startswith("blocks.") else key: tensor
               for key, tensor in theirs.items()}
    for given in (theirs, chunked):
        found = from_dinov2(given)
        assert found.keys() == vit.state_dict().keys()
        assert all(torch.equal(found[key], expected[key]) for key in found)


Change = Callable[[dict[str, Any]], None]


def _swap(old: str, new: str) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["state_dict"] = {name.replace(old, new): tensor for name, tensor in content["state_dict"].items()}
    return change


def _drop(part: str) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["state_dict"] = {name: tensor for name, tensor in content["state_dict"].items() if part not in name}
    return change


def _set(name: str, make: Callable[[Tensor], Tensor]) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["state_dict"][name] = make(content["state_dict"].get(name, torch.ones(1)))
    return change


@pytest.mark.parametrize(("change", "complaint"), [
    (_swap(".norm1.", ".norm_one."), r"24 of \d+ tensors belong to no known layout \(backbone.blocks.0.norm_one.weight, "
                                     r".*, \.\.\.\); nearest layout recyclelora, which \d+ fit"),
    (_set("norm.weight", lambda t: t), r"1 of \d+ tensors belong to no known layout \(norm.weight\); nearest layout recyclelora"),
    (_swap("decode_head.", "neck."), "belong to no known layout .*nearest layout recyclelora"),
    (_drop("decode_head."), r"holds no head \(no decode_head.\* tensors\)"),
    (_drop("backbone.blocks.11."), "a ViT of 11 blocks, 384 wide: no DINOv2; known sizes: 12 x 384, 12 x 768"),
    (_drop("cls_token"), "a ViT of 12 blocks, 0 wide"),
    (_drop("norm1.bias"), "blocks.0.norm1.bias is missing, or of another size"),
    (_drop("fc1.lora_B_main"), "blocks.0.mlp.fc1: lora_A_main and lora_B_main do not fit each other and its weight"),
    (_drop("blocks.3.mlp.fc1.weight"), "blocks.3.mlp.fc1: adapters without the weight they sit on"),
    (_drop("mask_embed.2"), "2 tensors of its head are missing, too many or of another size, the first transformer_mod"),
    (_drop("cls_embed"), "no Mask2Former head: it has no class_predictor.weight"),
    (_set("decode_head.pixel_decoder.level_encoding.weight", lambda t: torch.ones(4, 32)), "of 4 levels; this head has 3"),
    (_set("decode_head.cls_embed.weight", lambda t: torch.ones(134, 32)), "a head for 133 classes; known label spaces"),
    (_set("backbone.patch_embed.proj.weight", lambda t: t[..., :14, :14]), "patch_embed.proj.weight differs from the pretrained"),
    (_set("backbone.pos_embed", lambda t: torch.ones(1, 1 + 37 * 37, 384)),
     "patch kernels of 16 pixels beside positions of 37x37 patches, which belong to kernels of 14"),
    (_set("backbone.blocks.0.attn.qkv.weight", lambda t: t + 0.01), "is no RRQR residual of the pretrained weights"),
    (_set("backbone.blocks.0.norm1.bias", lambda t: t + 0.1), "blocks.0.norm1.bias differs from the pretrained weights'"),
    (_set("backbone.reins.scale", lambda t: t), "holds adapters of recyclelora and rein at once"),
    (_set("backbone.blocks.0.attn.qkv.lora_A_main", lambda t: t[:2]), "do not fit each other"),
    (_set("backbone.blocks.0.attn.qkv.lora_A_main", lambda t: t * float("inf")), "values that are not finite"),
])
def test_bad_checkpoints(change: Change, complaint: str, dinov2_small: Path, cache: Path, tmp_path: Path) -> None:
    content = _kept(dinov2_small, cache)
    change(content)
    file = write(tmp_path, content)
    with pytest.raises(InputError, match=complaint) as caught:
        import_checkpoint(file, tmp_path / "model", Given(), cache)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [file.name], "nothing is left behind"


_CONTENT: dict[str, Any] = {}


def _kept(weights: Path, cache: Path) -> dict[str, Any]:
    if not _CONTENT:
        _CONTENT.update(recyclelora(weights, cache)[1])
    return {**_CONTENT, "state_dict": dict(_CONTENT["state_dict"])}


@pytest.mark.parametrize(("given", "complaint"), [
    (Given(backbone="dinov2_tiny"), "'dinov2_tiny' is not known; did you mean dinov2"),
    (Given(backbone="dinov2_large"), "holds a dinov2_small by depth and width, not the dinov2_large"),
    (Given(crop=64), "--crop means nothing: the file's position embedding says the size"),
    (Given(alpha=2.0), "--alpha 2: its weights say 1; leave it out"),
    (Given(alpha=float("nan")), "--alpha nan: must be a number above 0"),
    (Given(alpha=-1.0), "--alpha -1.0: must be a number above 0"),
    (Given(weights=Path("absent.safetensors")), "absent.safetensors: no such weights file"),
])
def test_bad_requests(given: Given, complaint: str, dinov2_small: Path, cache: Path, tmp_path: Path) -> None:
    file = write(tmp_path, _kept(dinov2_small, cache))
    with pytest.raises(InputError, match=complaint):
        import_checkpoint(file, tmp_path / "model", given, cache)


def test_sizes_said_by_the_tensors() -> None:
    def vit(patch: int, grid: int) -> dict[str, Tensor]:
        return {"patch_embed.proj.weight": torch.ones(4, 3, patch, patch), "pos_embed": torch.ones(1, 1 + grid**2, 4)}

    assert image_side(vit(16, 32)) == (16, 512) and image_side(vit(16, 64)) == (16, 1024)
    assert image_side(vit(14, 37)) == (14, 518)
    with pytest.raises(InputError, match="convert both"):
        image_side(vit(14, 32))


@pytest.mark.slow
def test_a_bare_backbone_is_weights_for_another(dinov2_small: Path, cache: Path, tmp_path: Path) -> None:
    """DINOv2's own file is no model, but may be given as the pretrained weights, unconverted."""
    _, content = recyclelora(dinov2_small, cache)
    bare = write(tmp_path, load_file(dinov2_small) | {"mask_token": torch.zeros(1, 384)}, "dinov2_vits14_pretrain.pth")
    file = write(tmp_path, content)
    with pytest.raises(InputError, match="a bare backbone, not a trained model; give it with --weights"):
        import_checkpoint(bare, tmp_path / "model", Given(), cache)
    model, notes = imported(file, cache, Given(weights=bare))
    assert model.config.adapter.method == "recyclelora" and (tmp_path / "model" / BACKBONE).is_file()


def test_the_verb_and_what_takes_its_model(dinov2_small: Path, cache: Path, tmp_path: Path, capsys: Any,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECYCLELORA_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    write(tmp_path, _kept(dinov2_small, cache), "best.pth")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 96, 3), dtype=np.uint8)).save("street.png")
    assert main(["import", "best.pth"]) == 0
    said = capsys.readouterr().out
    assert "layout: recyclelora, backbone: dinov2_small" in said and "results/imported/best" in said
    assert main(["predict", "results/imported/best", "street.png", "--out", "drawn"]) == 0
    label = np.array(Image.open("drawn/street_label.png"))
    assert label.shape == (80, 96) and label.max() < 19
    assert main(["evaluate", "results/imported/best", "scenes-day", "--images", "1", "--split", "val"]) == 0
    assert main(["import", "best.pth"]) == 2
    assert "is there already and not empty" in capsys.readouterr().err
    Path("here").mkdir()
    monkeypatch.chdir("here")
    assert main(["import", "../best.pth", "--out", "."]) == 0 and (tmp_path / "here/config.yaml").exists()
    monkeypatch.chdir(tmp_path)
    Path("results/imported/best").rename("moved")
    assert main(["predict", "moved", "street.png", "--out", "drawn"]) == 0


@torch.no_grad()
def test_what_a_checkpoint_does_not_say_is_unknown_everywhere(dinov2_small: Path, cache: Path, tmp_path: Path, capsys: Any,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """A default of config.py is no fact about a model that somebody else trained."""
    import json

    monkeypatch.setenv("RECYCLELORA_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    theirs = with_head(plain(dinov2_small))
    torch.save(checkpoint(theirs.vit.state_dict(), theirs.head.state_dict()), "best.pth", _use_new_zipfile_serialization=False)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 96, 3), dtype=np.uint8)).save("street.png")
    assert main(["import", "best.pth", "--out", "model"]) == 0
    assert "not verified: torch's old format, which has no checksums" in " ".join(capsys.readouterr().out.split())
    model = load_model(tmp_path / "model", cache)
    stated = known_settings(model.config, model.stated)
    assert stated["backbone.name"] == "dinov2_small" and stated["head.queries"] == 6 and stated["data.crop"] == [64, 64]
    assert not {"data.source", "data.targets", "seed", "training.lr", "training.iterations", "evaluation.size"} & stated.keys()

    assert main(["evaluate", "model", "scenes-day", "--images", "1", "--split", "val"]) == 0
    assert main(["predict", "model", "street.png", "--out", "drawn"]) == 0
    out = capsys.readouterr().out
    assert "source unknown, in cityscapes19" in out and "gtav" not in out
    assert main(["evaluate", "model", "scenes-day", "--images", "1", "--split", "val", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"] is None

    assert main(["show", "model/config.yaml"]) == 0
    shown = {line.split("│")[1].strip(): line for line in capsys.readouterr().out.splitlines() if line.count("│") > 2}
    assert all("unknown" in shown[key] and "not stated by the import" in shown[key] for key in ("data.source", "seed", "training.lr"))
    assert "dinov2_small" in shown["backbone.name"] and not any("gtav" in line or "default" in line for line in shown.values())
    assert main(["show", "model/config.yaml", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["config"].keys() == stated.keys() and "data.source" in told["unknown"]

    assert main(["export", "model", "--to", "timm", "--out", "out"]) == 0
    card, about = Path("out/README.md").read_text(), json.loads(Path("out/model.json").read_text())
    assert "Source unknown: imported from a checkpoint" in card and "an image was taken at a size that is unknown" in card
    assert "What is not given here is not known." in card and about["size"] == "unknown"
    for default in ("gtav", "GTAV", "cityscapes,", "bdd100k", "training.", "40000", "seed"):
        assert default not in card, default
    settings = Path("out/config.yaml").read_text()
    assert "gtav" not in settings and "training" not in settings and "backbone.name: dinov2_small" in settings
