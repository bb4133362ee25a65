"""The known differences from the released code: each where it applies, and the settings that make things exact."""

import json
import re
from pathlib import Path

import pytest

from recyclelora.cli import main
from recyclelora.config import Config
from recyclelora.settings import Settings, known_keys, read_settings
from recyclelora.spaces.space_file import read_space
from recyclelora.trials import fidelity
from recyclelora.trials.fidelity import differences

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "experiments" / "published.yaml"
BASES = ["gtav", "cityscapes", "eva02", "gtav_synthia", "gtav_synthia_urbansyn", "gtav_synthia_urbansyn_1024",
         "cityscapes_sixteenth", "acdc"]
EXACT = {"head.start": "mmdet", "data.label_resize": "cv2", "training.schedule": "mmengine", "evaluation.absent_classes": "zero",
         "evaluation.window": [512, 512]}


def resolve(**given: object) -> Config:
    return Settings({**EXACT, **{key.replace("__", "."): value for key, value in given.items()}}).resolve()  # type: ignore[dict-item]


def names(config: Config) -> set[str]:
    return {each.what for each in differences(config)}


@pytest.mark.parametrize(("what", "settings"), [
    ("first weights of the head", {"head__start": "transformers"}),
    ("parameters counted as trainable", {"backbone__name": "dinov2_base"}),
    ("feature pyramid", {"adapter__method": "frozen"}),
    ("feature pyramid", {"adapter__method": "rein", "adapter__link": False}),
    ("position embedding of a window that is not of the crop's size", {"evaluation__window": [1024, 1024]}),
    ("frozen weights after an evaluation", {}),
    ("which images of GTAV", {"data__train_images": 12403}),
    ("which images of GTAV", {"data__source": "gtav+synthia", "data__train_images": [12403, None]}),
    ("resizing of training labels", {"data__label_resize": "nearest"}),
    ("spans of warm-up and decay", {"training__schedule": "plain"}),
    ("weights of the class loss", {"training__accumulate": 2}),
    ("classes that are predicted and that no label of a domain holds", {"evaluation__absent_classes": "skip"}),
    ("test images smaller than a window", {"evaluation__scales": [0.5, 1.0]}),
    ("test images smaller than a window", {"evaluation__size": [256, 512]})])
def test_a_difference_is_said_where_it_is(what: str, settings: dict[str, object]) -> None:
    assert what in names(resolve(**settings))


@pytest.mark.parametrize(("what", "settings"), [
    ("first weights of the head", {}), ("parameters counted as trainable", {"backbone__name": "eva02_large"}),
    ("feature pyramid", {}), ("feature pyramid", {"adapter__method": "rein"}),
    ("position embedding of a window that is not of the crop's size", {}),
    ("frozen weights after an evaluation", {"adapter__method": "frozen"}), ("which images of GTAV", {}),
    ("which images of GTAV", {"data__source": "cityscapes", "data__train_images": 186}),
    ("resizing of training labels", {}), ("spans of warm-up and decay", {}), ("weights of the class loss", {}),
    ("classes that are predicted and that no label of a domain holds", {}),
    ("test images smaller than a window", {"evaluation__size": [512, 1024]}),
    ("test images smaller than a window", {"evaluation__size": "full", "evaluation__scales": [1.0, 1.5]})])
def test_a_difference_is_not_said_where_it_is_none(what: str, settings: dict[str, object]) -> None:
    assert what not in names(resolve(**settings))


def test_every_row_is_reached_by_a_trial() -> None:
    """By one that does everything otherwise; and no row says the same as another."""
    rows = [row.difference.what for row in fidelity._ROWS]
    worst = resolve(head__start="transformers", data__label_resize="nearest", training__schedule="plain", evaluation__absent_classes="skip",
                    training__accumulate=2, evaluation__window=[1024, 1024], evaluation__scales=[0.5],
                    data__train_images=5)
    assert names(worst) == {*rows, "frozen weights after an evaluation"} and len(set(rows)) == len(rows)


@pytest.mark.parametrize("row", [row for row in fidelity._ROWS if re.search(r"\w+\.\w+: \w+", row.difference.theirs)],
                         ids=lambda row: row.difference.what)
def test_the_setting_that_a_row_names_makes_it_exact(row: fidelity._Row) -> None:
    (key, value), = re.findall(r"(\w+\.\w+): (\w+)", row.difference.theirs)
    assert key in known_keys()
    assert row.difference.what not in names(resolve(**{key.replace(".", "__"): value}))


@pytest.mark.parametrize("base", BASES)
def test_the_published_rows_choose_what_is_exact(base: str) -> None:
    config = read_space(PUBLISHED, at=base).resolve({}, 0)
    for each in differences(config):
        for key in re.findall(r"(\w+\.\w+): \w+", each.theirs):
            pytest.fail(f"{base} could be exact in {each.what} by {key}")
    assert "random numbers" in names(config)


def test_all_bases_of_the_published_rows_are_looked_at() -> None:
    named = re.findall(r"^  (\w+):(?: \{base|\n    base)", PUBLISHED.read_text("utf-8"), flags=re.M)
    assert sorted(named) == sorted(BASES)


def test_the_small_bases_keep_the_start_that_their_results_have() -> None:
    for name in ("scenes", "camvid_dusk", "scenes_to_camvid"):
        assert read_settings(ROOT / "experiments" / "bases" / f"{name}.yaml").resolve().head.start == "transformers"


def test_show_lists_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    base = ROOT / "experiments" / "bases" / "scenes.yaml"
    assert main(["show", str(base), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)["differences"]
    assert found == [each._asdict() for each in differences(read_settings(base).resolve())]
    assert main(["show", str(base), "training.schedule=mmengine"]) == 0
    told = capfd.readouterr().out
    assert "known differences from the released code" in told and "OpenCV's bilinear" in told
    assert "first weights of the head" in told and "spans of warm-up and decay" not in told
