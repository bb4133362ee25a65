"""A part of a data set is shown as a part wherever a number of its images stands."""

from dataclasses import replace
from pathlib import Path

import pytest

from recyclelora import scenes
from recyclelora.cli import main
from recyclelora.config import flatten
from recyclelora.data.datasets import count_of
from recyclelora.documents import dump
from recyclelora.errors import InputError
from recyclelora.settings import Settings
from recyclelora.tables.captions import describe_origin
from recyclelora.tables.cells import refuse_mixtures
from recyclelora.trials import build
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from tests import trees
from tests.test_declared import write as declare
from tests.tiny_config import TINY


@pytest.mark.parametrize(("images", "official", "said"), [
    (10, 500, "10 of 500"), (500, 500, "500"), (24966, None, "24,966"), (2000, 18000, "2,000 of 18,000"),
    (501, 500, "501 of 500")])
def test_a_number_says_of_how_many(images: int, official: int | None, said: str) -> None:
    assert count_of(images, official) == said


def domains(root: Path, **changes: object) -> build.Domains:
    config = Settings({**TINY, "data.source": "gtav+trails", "data.targets": ["cityscapes", "scenes-night"],
                       "data.train_images": [4, None], "evaluation.images": None, "evaluation.split": "val",
                       **changes}).resolve()  # type: ignore[arg-type]
    return build.open_domains(config, Paths(root / "results", root / "cache", root))


def test_a_trial_records_how_many_images_it_saw_and_tables_repeat_it(tmp_path: Path) -> None:
    trees.write_gtav(tmp_path)
    trees.write_cityscapes(tmp_path, n=10)
    declare(tmp_path, "images: images/{split}/*/cam_*.png\nlabels: gt/{split}/*/ids_*.png\nsplits: {train: 4, val: 2}\n"
            "space: cityscapes19\nids: {road: [0, 1], car: [2, 7], ignore: others}\n")
    tag = build.images_tag(domains(tmp_path))
    assert tag == ("trained on gtav 4 of 24,966, trails 4; source val gtav 1 of 500, trails 2; "
                   f"cityscapes val 10 of 500; scenes-night val {scenes.SPLITS['val']}")
    record = Record(fingerprint="f", config=flatten(Settings(dict(TINY)).resolve()), outcome="finished",
                    metrics={"miou/cityscapes": 0.5}, tags={"images": tag})
    (said,) = (sentence for sentence in describe_origin([record], ["miou/cityscapes"]) if "Images" in sentence)
    assert said == f"Images: {tag}."
    assert not [sentence for sentence in describe_origin([replace(record, tags={})], []) if "Images" in sentence]


@pytest.mark.parametrize(("one", "other", "mixed"), [
    ("trained on gtav 4; cityscapes val 10 of 500", "trained on gtav 4; cityscapes val 500", "cityscapes val"),
    ("source val gtav 1 of 500, trails 2", "source val gtav 500, trails 2", "source val gtav, trails"),
    ("trained on gtav 4; cityscapes val 500", "trained on gtav 24,966; cityscapes val 500", ""),
    ("trained on gtav 4; cityscapes val 500", "trained on gtav 4; bdd100k val 1,000", ""),
    ("source val gtav 500; cityscapes val 500", "source val synthia 500; cityscapes val 500", "")])
def test_no_table_mixes_scores_of_parts_and_of_wholes(one: str, other: str, mixed: str) -> None:
    records = [Record(fingerprint=name, config={}, outcome="finished", tags={"images": tag})
               for name, tag in (("f", one), ("g", other), ("h", one))]
    if not mixed:
        return refuse_mixtures("s", records)
    with pytest.raises(InputError, match=f"its runs mix numbers of images of {mixed}, which no table may"):
        refuse_mixtures("s", records)


def test_show_says_of_how_many(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trees.write_cityscapes(tmp_path, n=10)
    (tmp_path / "config.yaml").write_text(dump({**TINY, "data.source": "cityscapes", "data.targets": ["cityscapes"],
                                                "data.train_images": None, "evaluation.images": None}))
    assert main(["show", str(tmp_path / "config.yaml"), "--data-root", str(tmp_path)]) == 0
    output = capfd.readouterr().out
    assert "10 of 2,975" in output and output.count("10 of 500") == 2
