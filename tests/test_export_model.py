"""A trained model exported, and each format loaded again as somebody would who reads the card."""

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from recyclelora.adapters import adapt, merged, save_peft
from recyclelora.cli import BAD_INPUT, DONE, main
from recyclelora.config import Config
from recyclelora.data.labels import CAMVID11, CITYSCAPES19, LabelSpace
from recyclelora.documents import dump
from recyclelora.errors import InputError
from recyclelora.exchange import timm_files
from recyclelora.exchange.export_model import TOLERANCES, _check, _difference, choose_formats, export_model
from recyclelora.exchange.graph_export import run_onnx, run_program
from recyclelora.methods import METHODS
from recyclelora.models.catalogue import BACKBONES
from recyclelora.models.pretrained_weights import Weights
from recyclelora.models.timm_backbones import build_backbone
from recyclelora.settings import read_settings
from recyclelora.trials import build
from recyclelora.trials.artifacts import Model
from tests.narrow import assert_same_output, backbone, features, perturb
from tests.tiny_config import TINY, tiny


def a_model(config: Config, cache: Path, space: LabelSpace = CITYSCAPES19) -> tuple[Model, Weights]:
    """As after training: real weights, adapters and head away from their start."""
    weights = build.find_weights(config, cache)
    segmentor = build.build(config, weights.path, cache, len(space.classes))
    perturb(segmentor, std=0.01)
    return Model(segmentor.eval(), config, space, "0123456789abcdef"), weights


@pytest.mark.parametrize("patch", [14, 16])
def test_timm_and_peft_load_the_real_backbone(tmp_path: Path, cache: Path, patch: int) -> None:
    size = [3 * patch, 4 * patch]
    config = tiny(backbone__patch_size=patch, data__crop=size, evaluation__window=size, evaluation__stride=size)
    model, weights = a_model(config, cache)
    vit, out = model.segmentor.vit, tmp_path / "out"
    made = export_model(model, weights, None, {}, ("peft", "timm"), out)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(3))
    adapted, start = timm_files.last_features(vit, images), timm_files.last_features(
        build_backbone("dinov2_small", patch_size=patch, image_size=config.data.crop, weights=weights.path), images)
    assert float((adapted - start).abs().max()) > 0.01 * float(start.abs().max()), "the adapters must matter here"

    again = timm.create_model("vit_small_patch14_dinov2", num_classes=0, patch_size=patch, img_size=size,
                              dynamic_img_size=True).eval()
    again.load_state_dict(load_file(out / "timm" / "model.safetensors"), strict=True)
    with merged(vit):
        assert torch.equal(timm_files.last_features(again, images), timm_files.last_features(vit, images))
        whole = {f"vit.{name}": tensor for name, tensor in load_file(out / "timm" / "model.safetensors").items()}
        whole |= load_file(out / "head.safetensors")
        expected = model.segmentor.state_dict()
        assert whole.keys() == expected.keys() and all(torch.equal(whole[name], expected[name]) for name in whole)
    # float32 through twelve blocks, the products grouped otherwise: 1e-5 of the largest feature; 2e-6 was measured.
    for found in (timm_files.read_timm(out / "timm"),
                  timm_files.read_peft(out / "peft", weights.path, "vit_small_patch14_dinov2", timm_files.build_arguments(vit))):
        assert_same_output(timm_files.last_features(found, images), adapted)
    assert made.differences["timm"] == 0 and made.differences.keys() == {"merge", "peft", "timm"}
    with safe_open(out / "timm" / "model.safetensors", "pt") as file:
        origin = json.loads(file.metadata()["origin"])
    assert origin == {"backbone": "dinov2_small", "weights_sha256": weights.sha256, "fingerprint": model.fingerprint,
                      "label_space": "cityscapes19"}
    assert json.loads((out / "timm" / "config.json").read_text())["pretrained_cfg"]["mean"] == list(
        BACKBONES["dinov2_small"].mean)


@pytest.mark.parametrize("name", ["eva02_tiny_patch14_224", "eva02_base_patch14_224", "vit_giant_patch14_dinov2"])
def test_other_shapes_leave_too(tmp_path: Path, name: str) -> None:
    plain_vit, vit = backbone(name), backbone(name)
    save_file(plain_vit.state_dict(), tmp_path / "pretrained.safetensors")
    adapt(vit, main_rank=4, sub_rank=2)
    perturb(vit)
    adapted = features(vit)
    save_peft(vit, tmp_path / "peft")
    timm_files.save_embeddings(vit, tmp_path / "peft" / timm_files.EMBEDDINGS)
    theirs = timm_files.read_peft(tmp_path / "peft", tmp_path / "pretrained.safetensors", name, timm_files.build_arguments(vit))
    assert_same_output(features(theirs), adapted)
    with merged(vit):
        timm_files.save_timm(vit, tmp_path / "timm", {})
        assert torch.equal(features(timm_files.read_timm(tmp_path / "timm")), features(vit))
    assert_same_output(features(timm_files.read_timm(tmp_path / "timm")), adapted)
    assert not torch.allclose(features(plain_vit), adapted, atol=1e-2)


def test_a_frozen_model_and_another_label_space(tmp_path: Path, cache: Path) -> None:
    model, weights = a_model(tiny(adapter__method="frozen"), cache, CAMVID11)
    made = export_model(model, weights, None, {}, choose_formats(["timm"], METHODS["frozen"].LACKS), tmp_path / "out")
    about = json.loads((tmp_path / "out" / "model.json").read_text())
    assert about["label_space"] == "camvid11" and about["classes"] == list(CAMVID11.classes)
    assert about["palette"] == [list(colour) for colour in CAMVID11.palette]
    assert about["output"]["shape"] == ["batch", 11, 42, 56] and made.differences == {"timm": 0.0}
    assert load_file(tmp_path / "out" / "head.safetensors")["head.class_predictor.weight"].shape[0] == 12
    assert "with a trained head" in (card := (tmp_path / "out" / "README.md").read_text()) and "adapters (" not in card


def test_settings_come_back_without_this_machine(tmp_path: Path, cache: Path, dinov2_small: Path) -> None:
    config = tiny(backbone__weights=str(dinov2_small), resources__workers=1)
    model, weights = a_model(config, cache)
    export_model(model, weights, None, {}, ("timm",), tmp_path / "out")
    again = read_settings(tmp_path / "out" / "config.yaml").resolve()
    assert replace(again, resources=config.resources) == tiny(resources__workers=1)
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or str(dinov2_small.parent).encode() not in path.read_bytes(), path


def test_a_format_that_is_not_the_model_is_not_written(tmp_path: Path, cache: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    model, weights = a_model(tiny(), cache)
    monkeypatch.setitem(TOLERANCES, "merge", 0.0)
    with pytest.raises(InputError, match="merge differs from the model by .* nothing was written"):
        export_model(model, weights, None, {}, ("timm",), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_difference_is_relative_to_the_largest_value_and_never_hidden_by_nan() -> None:
    expected = torch.tensor([1.0, -4.0])
    for size in (1e-3, 1.0, 1e3):
        assert _difference(size * torch.tensor([1.0, -3.0]), size * expected) == pytest.approx(0.25)
    assert _difference(expected, expected) == 0 and _difference(torch.ones(2), torch.zeros(2)) > 1e20
    for bad in (float("nan"), float("inf")):
        for found, other in ((torch.tensor([bad, -4.0]), expected), (expected, torch.tensor([bad, -4.0]))):
            assert not _difference(found, other) <= 1e20


@pytest.mark.parametrize("name", TOLERANCES)
def test_each_format_is_held_to_its_own_tolerance(name: str) -> None:
    _check({name: TOLERANCES[name], "peft": None})
    for difference in (1.01 * TOLERANCES[name] + 1e-12, float("inf")):
        with pytest.raises(InputError, match=f"export: {name} differs from the model"):
            _check({name: difference})


@pytest.mark.parametrize(("asked", "method", "chosen"), [
    (["all"], "recyclelora", ("peft", "timm", "torch", "onnx")), (["all"], "frozen", ("timm", "torch", "onnx")),
    (["all"], "rein", ("torch", "onnx")), (["onnx", "timm", "onnx"], "recyclelora", ("timm", "onnx")),
    (["peft", "all"], "recyclelora", ("peft", "timm", "torch", "onnx"))])
def test_the_formats_asked_for(asked: list[str], method: str, chosen: tuple[str, ...]) -> None:
    assert choose_formats(asked, METHODS[method].LACKS) == chosen


def test_formats_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--to onx: unknown format; did you mean onnx?"):
        choose_formats(["onx"], METHODS["recyclelora"].LACKS)
    with pytest.raises(InputError, match="--to peft: this model's backbone is frozen"):
        choose_formats(["peft", "timm"], METHODS["frozen"].LACKS)
    with pytest.raises(InputError, match="--to timm: Rein's tokens cannot be merged"):
        choose_formats(["timm"], METHODS["rein"].LACKS)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="--to onnx: .* pip install onnxscript onnxruntime"):
        choose_formats(["all"], METHODS["recyclelora"].LACKS)
    assert choose_formats(["torch"], METHODS["recyclelora"].LACKS) == ("torch",)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, str]:
    """Results of a real run of two steps, as `train` leaves them, and its fingerprint."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "config.yaml").write_text(dump({**TINY, "training.iterations": 2, "evaluation.every": 2}))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RECYCLELORA_CACHE", str(cache))
        assert main(["train", f"{folder}/config.yaml", "--results", f"{folder}/results"]) == DONE
    (trial,) = (folder / "results" / "trials").iterdir()
    return folder / "results", trial.name


@pytest.fixture(autouse=True)
def _cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECYCLELORA_CACHE", str(cache))


def export(results: Path, model: str, *more: str) -> int:
    return main(["export", model, "--results", str(results), *more])


def snippets(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


@pytest.mark.slow
def test_the_card_of_a_real_run_holds_and_its_snippets_run(trained: tuple[Path, str], tmp_path: Path,
                                                          dinov2_small: Path) -> None:
    (results, name), out = trained, tmp_path / "out"
    assert export(results, name, "--out", str(out)) == DONE
    card, about = (out / "README.md").read_text(), json.loads((out / "model.json").read_text())
    record = json.loads((results / "trials" / name / "record.json").read_text())
    for domain in ("scenes-night", "scenes-fog"):
        score, chance = (100 * record["metrics"][f"{what}/{domain}"] for what in ("miou", "chance"))
        assert f"| {domain} | {score:.2f} | {chance:.2f} |" in card
    for said in (f"Run `{name}`", record["tags"]["protocol"], record["tags"]["data_fingerprint"], "One run (seed 0",
                 record["tags"]["weights_sha256"], "Code: commit "):
        assert said in card, said
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        *about["files"], "model.json"} and not {"segmentor.pt2", "segmentor.onnx"} - about["files"].keys()

    (out / "pretrained.safetensors").symlink_to(dinov2_small)
    codes = snippets(card)
    assert len(codes) == 4
    checks = "import torch\ntorch.set_num_threads(1)\n" + "\n".join(codes) + (
        "\nassert label.shape == (1, 42, 56) and label.max() < 19 and all(n.startswith('vit.') for n in vit_alone)\n")
    done = subprocess.run([sys.executable, "-c", checks], cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (out / "pretrained.safetensors").unlink()

    from recyclelora.trials.artifacts import load_model

    model = load_model(results / "trials" / name, dinov2_small.parent.parent)
    images = torch.randn(3, 3, 42, 56, generator=torch.Generator().manual_seed(9))
    with merged(model.segmentor.vit):
        expected = model.segmentor.scores(images)
    for found in (run_program(out / "segmentor.pt2", images), run_onnx(out / "segmentor.onnx", images)):
        assert torch.allclose(found, expected, rtol=0, atol=1e-4 * float(expected.max()))
        assert np.mean((found.argmax(1) == expected.argmax(1)).numpy()) > 0.999
    assert export(results, name, "--to", "timm", "--out", str(out)) == DONE, "takes the place of the earlier one"
    assert not (out / "segmentor.pt2").exists()


def unfinished(results: Path, name: str, out: Path) -> str:
    (results / "trials" / "unfinished").mkdir()
    (results / "trials" / "unfinished" / "config.yaml").write_text(dump(dict(TINY)))
    return "unfinished"


def failed(results: Path, name: str, out: Path) -> str:
    path = results / "trials" / name / "record.json"
    path.write_text(path.read_text().replace('"outcome": "finished"', '"outcome": "failed"'))
    return name


def of_another(results: Path, name: str, out: Path) -> str:
    path = results / "trials" / name / "record.json"
    path.write_text(path.read_text().replace(name, "f" * 16))
    return name


def occupied(results: Path, name: str, out: Path) -> str:
    out.mkdir()
    (out / "thesis.tex").write_text("")
    return name


def unknown(results: Path, name: str, out: Path) -> str:
    return "0" * 16


@pytest.mark.parametrize(("spoil", "said"), [
    (unfinished, "no whole head of a finished trial"), (failed, "only a finished trial is exported"),
    (of_another, "its record is of ffff"), (occupied, "holds thesis.tex"), (unknown, "neither a folder nor")])
def test_bad_input_is_one_line(trained: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
                               spoil: Callable[[Path, str, Path], str], said: str) -> None:
    import shutil

    results = tmp_path / "results"
    shutil.copytree(trained[0] / "trials", results / "trials")
    model = spoil(results, trained[1], tmp_path / "out")
    assert export(results, model, "--to", "timm", "--out", str(tmp_path / "out")) == BAD_INPUT
    complaint = capsys.readouterr().err.strip()
    assert said in complaint and "\n" not in complaint and not (tmp_path / "out" / "timm").exists()
