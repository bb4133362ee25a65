"""Half-size copies: what the authors' scripts make, whole or not at all, whatever is interrupted."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recyclelora.data.datasets import open_domain
from recyclelora.data.sets.mapillary import RAW_IDS, prepare_mapillary
from recyclelora.errors import InputError
from tests import trees


def val(root: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    data = open_domain("mapillary", "val", root=root, cache=root / "cache")
    return [(sample.name, sample.image, sample.label) for sample in data]


def halve_literally(folder: Path, stem: str, scratch: Path) -> tuple[np.ndarray, np.ndarray]:
    """Step by step as published: label to train ids on disk, then both files halved with Pillow and saved."""
    raw = np.array(Image.open(folder / "validation" / "labels" / f"{stem}.png"))
    converted = np.full(raw.shape, 255, np.uint8)
    for old, new in RAW_IDS.ids.items():
        converted[raw == old] = new
    width, height = Image.fromarray(converted).size
    label = Image.fromarray(converted).resize((width // 2, height // 2), resample=Image.NEAREST)
    image = Image.open(folder / "validation" / "images" / f"{stem}.jpg")
    image.resize((width // 2, height // 2), resample=Image.BICUBIC).save(scratch / "x.jpg")
    return np.array(Image.open(scratch / "x.jpg")), np.array(label)


def test_copies_are_those_of_the_published_scripts(tmp_path: Path) -> None:
    folder = trees.write_mapillary(tmp_path, n=3, half=False)
    assert list(prepare_mapillary(folder, workers=2)) == [(0, 3), (1, 3), (2, 3), (3, 3)]
    samples = val(tmp_path)
    assert len(samples) == 3
    for stem, image, label in samples:
        expected = halve_literally(folder, stem, tmp_path)
        assert np.array_equal(image, expected[0]) and np.array_equal(label, expected[1])
    assert {path.name for path in (folder / "half").iterdir()} == {"val_img", "val_label"}
    before = {path: path.stat().st_mtime_ns for path in (folder / "half").rglob("*")}
    assert list(prepare_mapillary(folder, workers=1)) == [(3, 3)], "all is there"
    assert {path: path.stat().st_mtime_ns for path in (folder / "half").rglob("*")} == before


def test_an_interrupted_preparation_is_not_read_and_goes_on(tmp_path: Path) -> None:
    folder = trees.write_mapillary(tmp_path, n=4, half=False)
    running = prepare_mapillary(folder, workers=1)
    assert next(running) == (0, 4) and next(running) == (1, 4)
    running.close()
    with pytest.raises(InputError, match="data prepare mapillary"):
        val(tmp_path)
    (folder / "half.part" / "val_img" / ".unfinished-torn").write_bytes(b"half a file")
    done = {path: path.stat().st_mtime_ns for path in (folder / "half.part").rglob("*.png")}
    assert done
    first = next(iter(steps := list(prepare_mapillary(folder, workers=1))))
    assert first[0] >= 1 and steps[-1] == (4, 4)
    for path, changed in done.items():
        assert (folder / "half" / path.relative_to(folder / "half.part")).stat().st_mtime_ns == changed
    assert len(val(tmp_path)) == 4 and not list((folder / "half").rglob(".*"))


def test_a_broken_pair_is_named_and_nothing_is_called_done(tmp_path: Path) -> None:
    folder = trees.write_mapillary(tmp_path, n=2, half=False)
    label = folder / "validation" / "labels" / "v1-_8VB5ZXxmV.png"
    label.write_bytes(label.read_bytes()[:-40])
    with pytest.raises(InputError, match="cannot read label .*v1-_8VB5ZXxmV.png"):
        list(prepare_mapillary(folder, workers=1))
    assert not (folder / "half").exists()


def test_two_preparations_do_not_meet(tmp_path: Path) -> None:
    folder = trees.write_mapillary(tmp_path, n=2, half=False)
    running = prepare_mapillary(folder, workers=1)
    next(running)
    with pytest.raises(InputError, match="another process is writing"):
        list(prepare_mapillary(folder, workers=1))
    running.close()


def test_a_file_where_the_copies_should_grow_is_said(tmp_path: Path) -> None:
    folder = trees.write_mapillary(tmp_path, n=2, half=False)
    (folder / "half.part").write_text("in the way")
    with pytest.raises(InputError, match="cannot write .*half.part"):
        list(prepare_mapillary(folder, workers=1))
