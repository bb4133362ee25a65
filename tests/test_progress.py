"""News of what takes long, and silence about what does not."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recyclelora.cli import BAD_INPUT, main
from recyclelora.documents import dump
from recyclelora.trials.build import all_parts, open_domains
from recyclelora.trials.paths import Paths
from recyclelora.verbs import progress
from tests import trees
from tests.test_declared import write
from tests.tiny_config import TINY, tiny


def test_what_takes_long_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    heard: list[str] = []

    def slow() -> Iterator[int]:
        yield from range(1200)
        deadline = time.monotonic() + 30
        while not heard and time.monotonic() < deadline:
            time.sleep(0.01)
            heard.extend(filter(None, [capsys.readouterr().err]))
        yield 1200

    seen = []
    for item in progress.announced(slow(), 2000, "hashing gtav train", "remembered in [CACHE]"):
        seen.append(item)
    assert seen == list(range(1201))
    assert heard[0].endswith(" of 2,000; remembered in [CACHE]\n") and heard[0].startswith("hashing gtav train: ")
    assert len(heard) == 1 and capsys.readouterr().err == ""


def test_what_is_quick_is_not_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.3)
    assert list(progress.announced(range(5), 5, "what", "note")) == [0, 1, 2, 3, 4]
    with pytest.raises(ZeroDivisionError):
        list(progress.announced((1 // each for each in (1, 0)), 2, "what", "note"))
    time.sleep(0.5)
    assert capsys.readouterr().err == ""


def test_a_trials_data_are_hashed_once_and_their_hashes_are_those_of_its_identity(tmp_path: Path, cache: Path) -> None:
    trees.write_camvid(tmp_path)
    config = tiny(data__source="camvid", data__train_images=None, data__targets=["scenes-fog"],
                  backbone__weights=str(cache / "weights" / "none"))
    paths = Paths(tmp_path / "results", tmp_path / "cache", tmp_path)
    progress.hash_data([config], paths)  # weights that are not there: nothing is hashed, and nothing said
    assert not (tmp_path / "cache").exists()
    paths = paths._replace(cache=cache)
    config = tiny(data__source="camvid", data__train_images=None, data__targets=["scenes-fog"])
    progress.hash_data([config], paths)
    asked: list[object] = []
    parts = list(all_parts(open_domains(config, paths)))
    assert [(part.domain, part.split) for part in parts] == [
        ("camvid", "train"), ("camvid", "val"), ("scenes-fog", "val")]
    for part in parts:
        part.fingerprint(lambda digests: asked.append(digests) or digests)  # type: ignore[func-returns-value]
    assert not asked, "they are known by now"


def test_hashing_is_told_by_the_verbs(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch,
                                      capfd: pytest.CaptureFixture[str]) -> None:
    """With no patience at all every set is told of, on the error stream."""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECYCLELORA_CACHE", str(cache))
    trees.write_camvid(tmp_path, n=64)
    write(tmp_path)
    (tmp_path / "config.yaml").write_text(dump({**TINY, "data.source": "camvid", "data.targets": ["trails"],
                                                "data.train_images": None}))
    (tmp_path / "space.yaml").write_text("base: config.yaml\nmethod: grid\n"
                                         "parameters: {adapter.init: {values: [kaiming]}}\n")
    assert main(["sweep", "space.yaml", "--dry-run", "--data-root", str(tmp_path)]) == 0
    output, errors = capfd.readouterr()
    assert "hashing" not in output
    assert "hashing camvid train: " in errors and f"of 64; remembered in {cache}" in errors
    assert main(["data", "check", "camvid", "--split", "val", "--json", "--data-root", str(tmp_path)]) == 0
    assert main(["train", "config.yaml", "data.source=gtav", "--data-root", str(tmp_path)]) == BAD_INPUT
    assert "gtav needs" in capfd.readouterr().err
