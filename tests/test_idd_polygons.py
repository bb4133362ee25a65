"""IDD's label files: what its authors' script draws of the polygons, whole or not there, and read as any label."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recyclelora.cli import main
from recyclelora.data.datasets import open_domain
from recyclelora.data.sets.idd import IDS, draw_polygons, prepare_idd
from recyclelora.errors import InputError
from tests import trees

Corners = list[list[float]]


def box(top: int, left: int, bottom: int, right: int) -> Corners:
    """A rectangle whose border belongs to it."""
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def annotated(*objects: tuple[str, Corners]) -> dict[str, Any]:
    return {"imgWidth": trees.SIZE[1], "imgHeight": trees.SIZE[0],
            "objects": [{"label": name, "polygon": polygon, "deleted": 0, "draw": True} for name, polygon in objects]}


def write(root: Path, n: int = 3) -> dict[str, list[tuple[str, tuple[int, int, int, int]]]]:
    """IDD as downloaded, with three random boxes in each file; name of the sample -> what is in it."""
    folder, rng = trees.write_idd(root, n, masks=False), np.random.default_rng(0)
    drawn = {}
    for path in sorted(folder.rglob("*_polygons.json")):
        boxes = [(str(rng.choice(list(IDS))), (int(t := rng.integers(8)), int(left := rng.integers(12)),
                                               int(t + rng.integers(8)), int(left + rng.integers(12)))) for _ in range(3)]
        path.write_text(json.dumps(annotated(*((name, box(*corners)) for name, corners in boxes))))
        drawn[f"{path.parent.parent.name} {path.parent.name}_{path.name.partition('_')[0]}"] = boxes
    return drawn


def test_classes_are_those_of_the_authors_table() -> None:
    assert len(IDS) == 40 and sorted({*IDS.values()}) == [*range(19), 255]
    assert (IDS["non-drivable fallback"], IDS["train"], IDS["motorcycle"]) == (9, 16, 17) and "terrain" not in IDS
    assert sum(train_id == 255 for train_id in IDS.values()) == 21


def test_every_file_is_drawn_as_its_boxes_say_pixel_by_pixel(tmp_path: Path) -> None:
    drawn = write(tmp_path)
    for split in ("train", "val"):
        assert list(prepare_idd(tmp_path / "IDD_Segmentation", split, workers=2))[-1] == (3, 3)
        data = open_domain("idd", split, root=tmp_path, cache=tmp_path / "cache")
        assert len(data) == 3
        for sample in data:
            expected = np.full(trees.SIZE, 255, np.uint8)
            for name, (top, left, bottom, right) in drawn[f"{split} {sample.name}"]:
                for y in range(top, bottom + 1):
                    for x in range(left, right + 1):
                        expected[y, x] = IDS[name]
            assert np.array_equal(sample.label, expected)


def test_later_covers_earlier_groups_are_their_kind_and_deleted_is_left_out() -> None:
    annotation = annotated(("sky", box(0, 0, 9, 9)), ("cargroup", box(2, 2, 5, 5)), ("road", box(0, 0, 9, 9)))
    annotation["objects"][2]["deleted"] = 1
    label = np.array(draw_polygons(annotation))
    assert label.shape == trees.SIZE and label[0, 0] == IDS["sky"] and label[3, 3] == IDS["car"] and label[12, 12] == 255
    slanted = np.array(draw_polygons(annotated(("road", [[0.0, 0.0], [15.0, 0.0], [0.0, 15.0]]))))
    inside = [(y, x) for y in range(16) for x in range(24) if x + y < 14]
    outside = [(y, x) for y in range(16) for x in range(24) if x + y > 16]
    assert all(slanted[place] == 0 for place in inside) and all(slanted[place] == 255 for place in outside)


def test_interrupted_it_goes_on_and_done_it_does_nothing(tmp_path: Path) -> None:
    write(tmp_path, 4)
    folder = tmp_path / "IDD_Segmentation"
    running = prepare_idd(folder, "train", workers=1)
    assert [next(running), next(running)] == [(0, 4), (1, 4)]
    running.close()
    (folder / "gtFine" / "train" / "0" / ".unfinished-torn").write_bytes(b"half a file")
    done = {path: path.stat().st_mtime_ns for path in folder.rglob("*TrainIds.png")}
    assert done
    steps = list(prepare_idd(folder, "train", workers=1))
    assert steps[0] == (len(done), 4) and steps[-1] == (4, 4)  # one step where all were drawn before it was closed
    assert all(path.stat().st_mtime_ns == changed for path, changed in done.items()) and not list(folder.rglob(".unfinished-torn"))
    (folder / "gtFine" / "train" / "0" / ".of_the_user").write_text("not ours")
    assert list(prepare_idd(folder, "train", workers=1)) == [(4, 4)]
    assert (folder / "gtFine" / "train" / "0" / ".of_the_user").exists()


def unknown(annotation: dict[str, Any]) -> None:
    annotation["objects"][0]["label"] = "spaceship"


@pytest.mark.parametrize(("spoil", "complaint"), [
    (unknown, "an object is called 'spaceship'"), (lambda a: a.pop("imgWidth"), "KeyError: 'imgWidth'"),
    (lambda a: a["objects"][0].update(polygon=[[1, 2]]), "at least 2 coordinates"),
    (lambda a: a.update(objects=3), "TypeError"), (lambda a: a.update(imgWidth=-3), "ValueError")])
def test_a_file_that_is_none_of_idds_is_named(spoil: Callable[[dict[str, Any]], object], complaint: str,
                                              tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "IDD_Segmentation" / "gtFine" / "val" / "1" / "000000_gtFine_polygons.json"
    annotation = json.loads(path.read_text())
    spoil(annotation)
    path.write_text(json.dumps(annotation))
    with pytest.raises(InputError, match="000000_gtFine_polygons.json: not a file of IDD's polygons") as caught:
        list(prepare_idd(tmp_path / "IDD_Segmentation", "val", workers=1))
    assert complaint in str(caught.value) and "\n" not in str(caught.value)
    assert not path.with_name("000000_gtFine_labelcsTrainIds.png").exists()


def test_the_verb_draws_and_leaves_other_labels_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a")
    monkeypatch.setenv("RECYCLELORA_CACHE", str(tmp_path / "cache"))
    assert main(["data", "prepare", "idd", "--data-root", str(tmp_path / "a")]) == 0
    told = " ".join(capfd.readouterr().out.split())
    assert told.count("3 label files, drawn from the polygons, are in") == 2 and "idd val: 3 images and labels" in told
    assert main(["data", "check", "idd", "--data-root", str(tmp_path / "a")]) == 0
    folder = trees.write_idd(tmp_path / "b", level3=True)
    before = sorted(folder.rglob("*"))
    assert main(["data", "prepare", "idd", "--data-root", str(tmp_path / "b")]) == 0
    assert sorted(folder.rglob("*")) == before
    assert Image.open(next(folder.rglob("*level3Ids.png"))).mode == "L"
