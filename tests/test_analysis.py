"""The analysis that a trial ends with: its numbers, its files, its picture, and the same again from a finished folder."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch import Tensor, nn

from recyclelora.adapters import adapt, adapted_layers, load_adapter, measure_model, summarise
from recyclelora.adapters.diagnostics import mean_cosines
from recyclelora.errors import InputError
from recyclelora.models.timm_backbones import build_backbone
from recyclelora.trials import build
from recyclelora.trials.analysis import (
    analyse,
    analyse_finished,
    draw_feature_change,
    feature_change,
    keep_analysis,
    principal_colours,
)
from recyclelora.trials.analysis_files import FILES, read_analysis, series_of
from recyclelora.trials.artifacts import load_model
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.trials.trial import run
from recyclelora.writing import UNFINISHED
from tests.narrow import backbone, images, perturb
from tests.tiny_config import tiny


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Record, Path]:
    """A trial of two iterations, and its folder."""
    paths = Paths(tmp_path_factory.mktemp("ended"), cache, None)
    record = run(tiny(training__iterations=2, evaluation__every=2), paths)
    return record, paths.trial(record.fingerprint)


@pytest.fixture
def copied(ended: tuple[Record, Path], tmp_path: Path) -> Path:
    """The folder of that trial without its analysis."""
    folder = tmp_path / "copied"
    shutil.copytree(ended[1], folder, ignore=shutil.ignore_patterns(*FILES))
    return folder


# ------------------------------------------------------------------------------------------------ numbers and files


def test_a_trial_ends_with_its_analysis(ended: tuple[Record, Path], cache: Path, dinov2_small: Path) -> None:
    record, folder = ended
    found = read_analysis(folder)
    assert found is not None
    kept = {name: value for name, value in record.metrics.items() if name.startswith(("adapter/", "adapter_start/"))}
    assert kept == found.summary and len(kept) == 37
    vit = build_backbone("dinov2_small", patch_size=14, image_size=(42, 56), weights=dinov2_small)
    load_adapter(vit, folder / "adapter.safetensors")
    assert [name for name, _ in found.layers] == list(adapted_layers(vit))
    for start, prefix in ((False, "adapter/"), (True, "adapter_start/")):
        expected = summarise(measure_model(vit, start=start))
        assert {name: value for name, value in kept.items() if name.startswith(prefix)} == {
            f"{prefix}{name}": value for name, value in expected.items()}
    assert found.cosines.keys() == {f"{at}{letter}_{which}" for at in ("", "start/") for letter in "ab"
                                    for which in ("main", "sub")}
    torch.testing.assert_close(torch.from_numpy(found.cosines["b_main"]), mean_cosines(vit)["b_main"].float())
    assert kept["adapter_start/rank_efficiency/both"] == pytest.approx(1, abs=1e-6)
    assert kept["adapter_start/grassmann/between_b"] < 1e-9 < kept["adapter/grassmann/between_b"]
    assert 0 < kept["adapter/drift/sub"] and 1 < kept["adapter/column_ratio/main"]


def test_a_finished_trial_gives_what_it_wrote_itself(ended: tuple[Record, Path], copied: Path, cache: Path) -> None:
    assert read_analysis(copied) is None
    found = analyse_finished(copied, cache)
    written = read_analysis(ended[1])
    assert written is not None and found.summary == written.summary and found.layers == written.layers
    for name in FILES:
        assert (copied / name).read_bytes() == (ended[1] / name).read_bytes(), name
    assert not list(copied.glob(f"{UNFINISHED}*"))


def test_series_are_the_layers_in_order(ended: tuple[Record, Path]) -> None:
    found = read_analysis(ended[1])
    assert found is not None
    series = series_of(found)
    assert series["drift/main"] == [numbers["adapter/drift/main"] for _, numbers in found.layers]
    assert len(series["drift/main"]) == 48 and not any("start" in name for name in series)
    assert np.mean(series["cosine_b/sub"]) == pytest.approx(found.summary["adapter/cosine_b/sub"])


def test_without_the_data_there_is_no_picture(copied: Path, cache: Path) -> None:
    config = (copied / "config.yaml").read_text()
    (copied / "config.yaml").write_text(config.replace("- scenes-night", "- camvid"))
    assert analyse_finished(copied, cache).layers
    assert [(copied / name).exists() for name in FILES] == [True, True, False]


def test_a_frozen_backbone_has_nothing_to_analyse(tmp_path: Path, cache: Path) -> None:
    paths = Paths(tmp_path, cache, None)
    record = run(tiny(adapter__method="frozen", training__iterations=1, evaluation__every=1), paths)
    folder = paths.trial(record.fingerprint)
    assert not any(name.startswith("adapter") for name in record.metrics)
    assert analyse_finished(folder, cache) == ({}, [], {}) and read_analysis(folder) is None
    assert not any((folder / name).exists() for name in FILES)


@pytest.mark.parametrize(("name", "content"), [("analysis.json", b'{"summary": {'), ("analysis.json", b"[1, 2]"),
                                               ("analysis.json", b'{"summary": {}}'), ("analysis.safetensors", b"torn")])
def test_a_damaged_analysis_is_refused(ended: tuple[Record, Path], copied: Path, name: str, content: bytes) -> None:
    for each in FILES[:2]:
        shutil.copy(ended[1] / each, copied)
    (copied / name).write_bytes(content)
    with pytest.raises(InputError, match="is damaged .*; delete both") as caught:
        read_analysis(copied)
    assert "\n" not in str(caught.value)


def test_what_is_not_a_number_never_gets_into_a_file(tmp_path: Path, cache: Path) -> None:
    record = run(tiny(adapter__init="kaiming", adapter__sub__rank=1, training__iterations=1, evaluation__every=1),
                 Paths(tmp_path, cache, None))
    assert record.outcome == "finished"
    text = (tmp_path / "trials" / record.fingerprint / FILES[0]).read_text()
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} in the file"))
    assert "adapter/drift/main" not in record.metrics and record.metrics["adapter/drift_norm/main"] > 0


# ------------------------------------------------------------------------------------------------ the feature change


def twin_features(plain: nn.Module, vit: nn.Module, trained: tuple[str, ...], inputs: Tensor) -> np.ndarray:
    """Last block of W0 + the trained changes s (B A - B0 A0) of the adapters named, as one plain model; (B, h, w, c)."""
    twin = copy.deepcopy(plain)
    seen: list[Tensor] = []
    twin.blocks[-1].register_forward_hook(lambda module, args, output: seen.append(output))
    with torch.no_grad():
        for name, layer in adapted_layers(vit).items():
            for which in trained:
                (a, b), start = layer.factors(which), layer.start[which]
                twin.get_submodule(name).weight += layer.scales[which] * (b @ a - start.b @ start.a)
        twin.forward_features(inputs)
    side = inputs.shape[-1] // twin.patch_embed.patch_size[0]
    return seen[0][:, -side * side:].reshape(len(inputs), side, side, -1).double().numpy()


def colours_by_hand(change: np.ndarray) -> np.ndarray:
    rows = change.reshape(-1, change.shape[-1])
    rows = rows - rows.mean(0)
    axes = np.linalg.svd(rows, full_matrices=False)[2][:3]
    for axis in axes:
        axis *= np.sign(axis[np.argmax(np.abs(axis))])
    scores = rows @ axes.T
    low, high = np.percentile(scores, [1, 99], axis=0)
    return np.clip((scores - low) / (high - low), 0, 1).reshape(*change.shape[:-1], 3)


@pytest.mark.parametrize(("which", "left"), [("both", ()), ("main", ("sub",)), ("sub", ("main",))])
def test_feature_change_against_plain_models(which: str, left: tuple[str, ...]) -> None:
    plain = backbone()
    vit = copy.deepcopy(plain)
    adapt(vit, main_rank=5, sub_rank=3, scaling=1.0)
    perturb(vit, 0.1)
    inputs = images(vit)
    before = {name: tensor.clone() for name, tensor in vit.state_dict().items()}
    found = feature_change(vit, inputs, which)  # type: ignore[arg-type]
    change = twin_features(plain, vit, ("main", "sub"), inputs) - twin_features(plain, vit, left, inputs)
    np.testing.assert_allclose(found.numpy(), colours_by_hand(change - change.mean((1, 2), keepdims=True)), atol=5e-3)
    assert found.shape == (2, 4, 4, 3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in vit.state_dict().items())


def test_principal_colours() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 3, generator=generator) * torch.tensor([9.0, 3.0, 1.0]) @ torch.randn(3, 12, generator=generator)
    found = principal_colours(features)
    np.testing.assert_allclose(found.numpy(), colours_by_hand(features.double().numpy()), atol=1e-5)
    torch.testing.assert_close(principal_colours(7 * features + 3), found, rtol=0, atol=1e-4)
    assert found.min() == 0 and found.max() == 1
    assert torch.equal(principal_colours(torch.zeros(2, 3, 4, 8)), torch.full((2, 3, 4, 3), 0.5)), "nothing: grey"
    along_one = principal_colours(torch.arange(10.0)[:, None] * torch.ones(8))
    assert (along_one[:, 1:] == 0.5).all() and (along_one[:, 0].diff() > 0).all()


def test_the_picture(ended: tuple[Record, Path], cache: Path, tmp_path: Path) -> None:
    with PillowImage.open(ended[1] / FILES[2]) as picture:
        assert picture.format == "PNG" and picture.width == 12 + 4 * 252
        pixels = np.asarray(picture.convert("RGB"))
    model = load_model(ended[1], cache)
    domains = build.open_domains(model.config, Paths(tmp_path, cache, None))
    data = domains.targets["scenes-night"]
    before = {name: tensor.clone() for name, tensor in model.segmentor.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    again = np.asarray(draw_feature_change(model.segmentor, model.config, data))
    assert np.array_equal(again, pixels)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.segmentor.state_dict().items())
    one = draw_feature_change(model.segmentor, model.config, data, num_rows=1)
    assert pixels.shape[0] - one.height == one.height - 24, "a row for each of the two images, and the note"
    patch = pixels[24:204, 264:504].reshape(3, 60, 4, 60, 3)  # 180 x 240 pixels, 3 x 4 patches
    assert (patch == patch[:, :1, :, :1]).all() and len(np.unique(patch[:, 0, :, 0].reshape(-1, 3), axis=0)) > 6


def test_one_adapter_has_one_column(tmp_path: Path, cache: Path) -> None:
    record = run(tiny(adapter__sub__rank=0, training__iterations=1, evaluation__every=1), Paths(tmp_path, cache, None))
    assert not any("between" in name or name.endswith(("/sub", "/both")) for name in record.metrics if "adapter/" in name)
    folder = tmp_path / "trials" / record.fingerprint
    with PillowImage.open(folder / FILES[2]) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert (pixels[:200, 12 + 2 * 252:] == 255).all() and not (pixels[:200, :12 + 2 * 252] == 255).all()


def test_a_model_in_memory() -> None:
    vit = backbone()
    assert analyse(vit) == ({}, [], {})
    adapt(vit, main_rank=4, sub_rank=2)
    assert analyse(vit).summary["adapter/drift_norm/both"] == pytest.approx(0, abs=1e-9)


def test_keeping_without_data(ended: tuple[Record, Path], cache: Path, tmp_path: Path) -> None:
    model = load_model(ended[1], cache)
    keep_analysis(model.segmentor, model.config, None, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES[:2])
