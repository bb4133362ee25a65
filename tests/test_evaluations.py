"""The windows of a trial's evaluations, counted without data, held against those that really go through a model."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recyclelora.cli import BAD_INPUT, main
from recyclelora.costs import evaluations
from recyclelora.costs.evaluations import Scored, count_windows, native_size, windows_of
from recyclelora.data.labels import Common
from recyclelora.documents import dump
from recyclelora.settings import Settings
from recyclelora.training.evaluation import Inference, num_windows
from recyclelora.trials.build import Paths, open_domains
from recyclelora.trials.scores import moments, score_during, score_finally
from recyclelora.verbs.console import CONSOLE
from tests.test_evaluation import FIVE, KEEP, Seer, draw, scan
from tests.tiny_config import TINY, tiny

CPU = torch.device("cpu")


@pytest.mark.parametrize("size", [None, (40, 100), (24, 30)])
@pytest.mark.parametrize(("scales", "flip"), [((1.0,), False), ((0.5, 1.0, 1.75), False), ((0.75, 1.25), True)])
def test_windows_are_those_that_the_model_sees(size: tuple[int, int] | None, scales: tuple[float, ...],
                                               flip: bool) -> None:
    for height, width in [(64, 96), (31, 47), (96, 64), (33, 49)]:
        seer, given = Seer(5), {"size": size, "scales": scales, "flip": flip, "window": (32, 48), "stride": (16, 24)}
        scan(seer, [draw(height, width, 5)], common=Common(FIVE, KEEP, KEEP), **given)
        inference = Inference(**given, mean=(), std=())
        assert num_windows((height, width), inference) == sum(shape[0] for shape in seer.seen)


@pytest.mark.parametrize("selection", ["last", "oracle"])
def test_a_trial_is_scored_as_often_as_counted(cache: Path, tmp_path: Path, selection: str) -> None:
    """All of a trial's evaluations, with a model that only counts: two sources, one target with fewer images than a
    panel has rows, two views of each scale."""
    config = tiny(data__source="scenes-day+scenes-dusk", data__targets=["scenes-fog"], data__train_images=None,
                  evaluation__images=2, evaluation__size=[90, 120], evaluation__scales=[0.5, 1.0],
                  evaluation__flip=True, evaluation__selection=selection, training__iterations=7)
    domains, during, final = open_domains(config, Paths(tmp_path, cache, None)), Seer(19), Seer(19)
    for iteration in range(1, 8):
        if iteration % 3 == 0 or iteration == 7:
            score_during(during, config, domains, CPU)
    score_finally(final, config, domains, CPU, tmp_path)
    source = [count_windows(config, name, 2, config.data.source) for name in config.data.sources]
    counted = evaluations.count(config, source, [count_windows(config, "scenes-fog", 2)])
    assert moments(config) == 3
    assert counted == (sum(shape[0] for shape in during.seen), sum(shape[0] for shape in final.seen), (), ())


def test_images_of_many_sizes_are_not_undercounted() -> None:
    rng = np.random.default_rng(0)
    config = Settings({"evaluation.size": "full", "evaluation.window": [512, 768],
                       "evaluation.stride": [300, 341]}).resolve()
    most = count_windows(config, "mapillary", 2000)
    found = [windows_of(config, (int(height), int(width)), (1024, 2048))
             for height, width in rng.integers(200, 5000, (500, 2))]
    assert most.at_most and max(found) <= (most.windows or 0) < 2 * max(found)
    assert native_size("mapillary") is None and native_size("scenes-fog") == (240, 320) and native_size("own") is None


def test_windows_by_hand() -> None:
    """GTAV as it is (1914 x 1052: 3 x 6), Cityscapes (3 x 6), BDD100K (2 x 4), and what is not known left out."""
    config = Settings({"evaluation.size": "full", "training.iterations": 40_000}).resolve()
    source, *targets = (count_windows(config, *each) for each in [
        ("gtav", 500), ("cityscapes", 500), ("bdd100k", 1000), ("acdc", None), ("mapillary", 10)])
    counted = evaluations.count(config, [source], targets)
    assert counted.during == 10 * 500 * 18
    assert counted.final == 503 * 18 + 503 * 18 + 1003 * 8 + 13 * 18
    assert (counted.at_most, counted.unknown) == (("mapillary",), ("acdc",))
    native = Settings({"evaluation.size": None}).resolve()
    assert count_windows(native, "mapillary", 2000) == Scored("mapillary", 2000, None, False)
    assert evaluations.count(native, [count_windows(native, "idd", 5)], []) == (0, 0, (), ("idd",))


def test_counts_grow_with_what_they_count() -> None:
    each = Scored("one", 7, 3, False)
    few, many = (evaluations.count(tiny(training__iterations=count), [each], [each]) for count in (6, 12))
    assert many.during == 2 * few.during and many.final == few.final == 2 * (7 + 3) * 3
    oracle = evaluations.count(tiny(training__iterations=6, evaluation__selection="oracle"), [each], [each])
    assert oracle.during == 2 * few.during


def show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_ROOT", raising=False)
    monkeypatch.setattr(CONSOLE, "width", 200)
    (tmp_path / "config.yaml").write_text(dump({**TINY, "adapter.init": "kaiming"}))
    return main(["show", "config.yaml", *words])


def test_show_tells_what_evaluation_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                          capfd: pytest.CaptureFixture[str]) -> None:
    assert show(tmp_path, monkeypatch, "--json") == 0
    needs = json.loads(capfd.readouterr().out)["needs"]
    told = needs["evaluation"]
    assert (told["during"], told["final"], told["at_most"], told["unknown"]) == (2 * 2, 3 * (2 + 2), [], [])
    flops = needs["window_flops"] * (4 + 12)
    assert told["estimated_hours"]["A100"] == pytest.approx(flops / (0.4 * 19.5e12) / 3600)
    half = ["evaluation.images=null", "evaluation.size=full", "training.precision=bfloat16",
            'data.targets=["mapillary", "acdc"]', "data.source=gtav"]
    assert show(tmp_path, monkeypatch, *half) == 0
    output = " ".join(capfd.readouterr().out.replace("│", " ").split())
    assert "evaluation at 40% of the data sheet's float32" in output and "data sheet's bfloat16" in output
    assert "counted as the largest" in output and "mapillary" in output and "not counted" in output and "acdc" in output


def test_show_tells_classes_and_counts_without_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                        capfd: pytest.CaptureFixture[str]) -> None:
    """The multi-source counts are those of the authors' code, and a head has the classes of its source."""
    given = ["data.source=gtav+synthia+urbansyn", "data.train_images=[12403, null, null]", 'data.targets=["scenes-fog"]']
    heads = []
    for source, classes in ((given, 19), (["data.source=idd-lite", 'data.targets=["camvid"]'], 7)):
        assert show(tmp_path, monkeypatch, "--json", *source) == 0
        told = json.loads(capfd.readouterr().out)
        heads.append(sum(group["parameters"] for group in told["groups"]))
        if classes == 19:
            trained = [each["num"] or each["official"] for each in told["data"] if each["role"] == "train"]
            assert trained == [12403, 9400, 7539] and {each["space"] for each in told["data"]} == {"cityscapes19"}
        else:
            assert {each["role"]: each["space"] for each in told["data"]} == {
                "train": "iddlite7", "source": "iddlite7", "target": "camvid11"}
    assert heads[0] - heads[1] == (19 - 7) * (Settings(TINY).resolve().head.width + 1)  # the classifier's rows


def test_show_refuses_a_protocol_without_the_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capfd: pytest.CaptureFixture[str]) -> None:
    assert show(tmp_path, monkeypatch, "evaluation.size=full") == BAD_INPUT
    assert "evaluation.size: full has no size for scenes-day" in capfd.readouterr().err
