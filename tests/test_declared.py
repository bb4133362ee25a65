"""Data sets that a file declares: read as it says, refused where it says nothing sensible."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recyclelora.data.datasets import DomainData, find_set, open_domain
from recyclelora.data.labels import CITYSCAPES19, common_space, members
from recyclelora.data.pairs import ForeignIds
from recyclelora.errors import Absent, InputError
from tests import trees

WHOLE = """\
images: images/{split}/*/cam_*.png
labels: gt/{split}/*/ids_*.png
splits: {train: 4, val: 2}
classes:
  track: [128, 64, 128]
  plants: "#6b8e23"
  beast: [1, 2, 3]
groups:
  cityscapes19: {track: road, plants: [vegetation, terrain]}
ids: {track: [1, 2], plants: 7, beast: 9, ignore: others}
licence: CC BY 4.0
"""
IDS = {1: 0, 2: 0, 7: 1, 9: 2}


def write(root: Path, text: str = WHOLE, name: str = "trails") -> Path:
    """Two walks of two frames a split."""
    for split in ("train", "val"):
        for walk in ("a", "b"):
            for frame in "12"[: 2 if split == "train" else 1]:
                trees.draw_image(root / name / "images" / split / walk / f"cam_{frame}.png")
                trees.draw_label(root / name / "gt" / split / walk / f"ids_{frame}.png", [0, 1, 2, 7, 9, 40])
    (root / name / "dataset.yaml").write_text(text)
    return root / name


def opened(root: Path, split: str = "train", name: str = "trails", limit: int | None = None) -> DomainData:
    return open_domain(name, split, root=root, cache=root / "cache", limit=limit)


def test_a_declared_set_is_read_as_its_file_says(tmp_path: Path) -> None:
    folder = write(tmp_path)
    data = opened(tmp_path)
    assert data.names == ("a/1", "a/2", "b/1", "b/2") and len(opened(tmp_path, "val")) == 2
    assert data.space.name == data.domain == "trails" and data.space.classes == ("track", "plants", "beast")
    assert data.space.palette == ((128, 64, 128), (107, 142, 35), (1, 2, 3))
    for sample in data:
        walk, frame = sample.name.split("/")
        raw = np.array(Image.open(folder / "gt" / "train" / walk / f"ids_{frame}.png"))
        assert sample.label.tolist() == [[IDS.get(int(value), 255) for value in row] for row in raw]
        assert np.array_equal(sample.image, np.array(Image.open(folder / "images/train" / walk / f"cam_{frame}.png")))


def test_capitals_in_an_ending_leave_no_file_out(tmp_path: Path) -> None:
    folder = write(tmp_path)
    before = opened(tmp_path).fingerprint()
    for path, ending in zip(sorted(folder.rglob("*.png")), (".PNG", ".Png", ".pNG") * 9, strict=False):
        path.rename(path.with_suffix(ending))
    assert opened(tmp_path).names == ("a/1", "a/2", "b/1", "b/2") and opened(tmp_path).fingerprint() == before
    trees.draw_image(folder / "images/train/a/cam_1.png")
    with pytest.raises(InputError, match="holds both images/train/a/cam_1.P.* and images/train/a/cam_1.png, which are one"):
        opened(tmp_path)


def test_capitals_count_everywhere_else(tmp_path: Path) -> None:
    folder = write(tmp_path)
    trees.draw_image(folder / "images/train/a/CAM_3.png")
    assert len(opened(tmp_path)) == 4


def test_an_id_that_is_not_declared_says_how_to_ignore_it(tmp_path: Path) -> None:
    folder = write(tmp_path, WHOLE.replace(", ignore: others", ", ignore: [0, 40]"))
    trees.draw_label(folder / "gt/train/a/ids_1.png", [1, 255])
    with pytest.raises(InputError, match=r"has ids 255: .* or ignore them there \(ignore: 255\)"):
        opened(tmp_path)[0]
    assert pickle.loads(pickle.dumps(ForeignIds("x"))).args == ("x",)


def test_it_is_compared_with_other_spaces_by_its_groups(tmp_path: Path) -> None:
    write(tmp_path)
    common = common_space(CITYSCAPES19, opened(tmp_path).space)
    assert members(CITYSCAPES19, common.source_lut, common.space)["plants"] == ("vegetation", "terrain")
    assert common.target_lut[:3].tolist() == [0, 1, 255]


def test_a_space_that_is_known_is_reused_with_ids_or_without(tmp_path: Path) -> None:
    text = "images: images/{split}/*/cam_*.png\nlabels: gt/{split}/*/ids_*.png\nsplits: [train]\nspace: cityscapes19\n"
    write(tmp_path, text + "ids: {road: [1, 2], car: 7, sky: 9, ignore: [0, 40]}\n")
    assert opened(tmp_path).space == CITYSCAPES19 and set(np.unique(opened(tmp_path)[0].label)) == {0, 10, 13, 255}
    write(tmp_path, text)
    with pytest.raises(InputError, match="has ids 40: its encoding has 0 to 18, 255 only"):
        opened(tmp_path)[0]


def test_val_may_be_held_out_of_train(tmp_path: Path) -> None:
    write(tmp_path, WHOLE.replace("{train: 4, val: 2}", "[train]\nhold_out: true"))
    assert set(opened(tmp_path, "val").names) < set(opened(tmp_path).names) and len(opened(tmp_path, "val")) == 1


@pytest.mark.parametrize(("old", "new", "changes"), [
    ("plants: 7", "plants: [7, 8]", True), ("beast: [1, 2, 3]", "animal: [1, 2, 3]", True),
    ("track: road", "track: [road, sidewalk]", True), ("CC BY 4.0", "CC BY", False), ("[1, 2, 3]", "[3, 2, 1]", False),
    ("{train: 4, val: 2}", "[train, val]", False)])
def test_what_is_declared_of_the_labels_is_part_of_the_fingerprint(tmp_path: Path, old: str, new: str,
                                                                  changes: bool) -> None:
    write(tmp_path)
    before = opened(tmp_path).fingerprint()
    text = WHOLE.replace(old, new).replace("beast: 9", "animal: 9" if "animal" in new else "beast: 9")
    write(tmp_path, text)
    assert (opened(tmp_path).fingerprint() != before) == changes
    write(tmp_path / "elsewhere", text)
    assert opened(tmp_path / "elsewhere").fingerprint() == opened(tmp_path).fingerprint()


SPOILT: list[tuple[str, str, str, str]] = [
    ("unknown key", "licence:", "license:", ":11: license: unknown key of a data set; did you mean licence?"),
    ("a key twice", "licence:", "ids: {}\nlicence:", ":11: ids: given twice"),
    ("no pattern", "images: images/{split}/*/cam_*.png\n", "", "dataset.yaml: images: is needed, such as images/"),
    ("pattern that leads out", "gt/{split}", "../gt/{split}", ":2: labels: '../gt/{split}/*/ids_*.png': must lead down"),
    ("absolute pattern", "gt/{split}", "/gt/{split}", "must lead down"),
    ("deep pattern", "images/{split}/*", "images/{split}/**", "must lead down"),
    ("one file", "gt/{split}/*/ids_*.png", "gt/{split}.png", "names one file"),
    ("other braces", "gt/{split}/*", "gt/{split}/{city}", ":2: labels: 'gt/{split}/{city}/ids_*.png': braces are for"),
    ("stars that do not correspond", "gt/{split}/*/ids_*.png", "gt/{split}/ids_*.png", ":2: labels: has 1 * and images"),
    ("no place for the split", "gt/{split}/*", "gt/*", "has no {split}"),
    ("nothing there", "gt/{split}", "labels/{split}", "holds no labels/train/*/ids_*.png"),
    ("no splits", "splits: {train: 4, val: 2}", "splits: []", ":3: splits: expected names"),
    ("split that is a path", "{train: 4, val: 2}", "[train, ../val]", ":3: splits: '../val': expected plain names"),
    ("split twice", "{train: 4, val: 2}", "[train, train]", "each once"),
    ("count that is none", "val: 2}", "val: many}", ":3: splits: val: 'many': expected the number"),
    ("val held out beside a val", "licence", "hold_out: true\nlicence", ":11: hold_out: takes val from train"),
    ("hold_out that is no answer", "licence", "hold_out: 1\nlicence", ":11: hold_out: 1: expected true or false"),
    ("space and classes", "licence", "space: camvid11\nlicence", ":4: classes: means nothing beside space"),
    ("colour that is none", '"#6b8e23"', "6b8e23", ":6: classes: plants: '6b8e23' is no colour"),
    ("colour read as a number", '"#6b8e23"', "804080", "804080 is no colour"),
    ("colour out of range", "[1, 2, 3]", "[1, 2, 300]", ":7: classes: beast: [1, 2, 300] is no colour"),
    ("colour twice", "[1, 2, 3]", "[128, 64, 128]", "is that of another class"),
    ("black", "[1, 2, 3]", "[0, 0, 0]", "is that of ignored pixels"),
    ("a reserved class", "  beast: [1", "  ignore: [1", ":7: classes: ignore: is no name for a class"),
    ("a class that is no metric", "  beast: [1", "  'b/e*a+st': [1", "is no name for a class"),
    ("unknown space in groups", "cityscapes19: {", "cityscape: {", ":9: groups: cityscape: is no label space that is "
     "known; did you mean cityscapes19?"),
    ("unknown class in groups", "track: road", "trakc: road", "'trakc' is no class; did you mean track?"),
    ("unknown fine class", "track: road", "track: raod", ":9: groups: cityscapes19: track: 'raod' is no class; did you "
     "mean road?"),
    ("a fine class in two", "[vegetation, terrain]", "[road, terrain]", "road is held by track already"),
    ("groups that are none", "  cityscapes19: {track: road, plants: [vegetation, terrain]}", "  cityscapes19: 3",
     "expected classes, such as"),
    ("id of an unknown class", "beast: 9", "baest: 9", ":10: ids: baest: 'baest' is no class; did you mean beast?"),
    ("id above a byte", "beast: 9", "beast: 900", ":10: ids: beast: 900 is no id"),
    ("id that is a fraction", "beast: 9", "beast: 9.5", "9.5 is no id"),
    ("id of two classes", "beast: 9", "beast: 7", "7 is given to plants already"),
    ("class without an id", "beast: 9, ", "", ":10: ids: beast has none"),
    ("licence that is none", "CC BY 4.0", "[]", ":11: licence: []: expected text"),
]


@pytest.mark.parametrize(("old", "new", "complaint"), [case[1:] for case in SPOILT], ids=[case[0] for case in SPOILT])
def test_a_bad_declaration_is_refused_in_one_line(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert WHOLE.count(old) == 1
    write(tmp_path, WHOLE.replace(old, new))
    with pytest.raises(InputError) as refused:
        opened(tmp_path)
    assert complaint in str(refused.value) and "\n" not in str(refused.value) and "dataset.yaml" in str(refused.value) or (
        "holds no" in complaint)


def test_a_set_may_be_declared_on_another_machine(tmp_path: Path) -> None:
    """What is like no known name is absent, whatever the root; without a root, so is what is like one."""
    cases = [("trails", None, r"DATA_ROOT/trails/dataset.yaml, which would declare it, is missing \(set DATA_ROOT or"),
             ("trails", tmp_path, f"{tmp_path}/trails/dataset.yaml, which would declare it, is missing, or the name"),
             ("cityscapes-c", None, r"or the name is wrong \(did you mean 'cityscapes'\?\); known: ")]
    for name, root, complaint in cases:
        with pytest.raises(Absent, match=complaint):
            find_set(name, root)
    with pytest.raises(InputError, match=r"no domain 'cityscapes-c' \(did you mean 'cityscapes'\?\)") as refused:
        find_set("cityscapes-c", tmp_path)
    assert not isinstance(refused.value, Absent)
    write(tmp_path)
    found = find_set("trails", tmp_path)
    assert found is not None and found.name == "trails"


def test_images_and_labels_that_do_not_pair(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "gt/train/b/ids_2.png").unlink()
    with pytest.raises(InputError, match="cam_2.png has no label in"):
        opened(tmp_path)


def test_names_and_splits_that_there_are_not(tmp_path: Path) -> None:
    write(tmp_path)
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: opened(tmp_path, name="trial"), r"did you mean 'trails'\?"),
        (lambda: opened(tmp_path, name="../trails"), "there is no domain"),
        (lambda: opened(tmp_path, "test"), "domain trails has no split 'test'; it has train, val"),
        (lambda: open_domain("../far", "train", root=None, cache=tmp_path), "declared in DATA_ROOT/NAME/dataset.yaml"),
        (lambda: open_domain("scenes-dya", "train", root=None, cache=tmp_path), r"did you mean 'scenes-day'\?")]
    for act, complaint in cases:
        with pytest.raises(InputError, match=complaint) as refused:
            act()
        assert not isinstance(refused.value, Absent), "wrong on any machine"
    write(tmp_path, name="camvid11")
    with pytest.raises(InputError, match="a label space is called camvid11; give the folder another name"):
        opened(tmp_path, name="camvid11")
    for name, complaint in {"source": "the scores of every run are called source", "target_mean": "every run are called",
                            "a+b": r"\+ joins the names of sources; give the folder another"}.items():
        write(tmp_path, name=name)
        with pytest.raises(InputError, match=complaint):
            opened(tmp_path, name=name)
