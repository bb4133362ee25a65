"""`recyclelora data`: what is listed, and that whatever is wrong with a data set is found, all of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recyclelora.cli import main
from recyclelora.data.datasets import DOMAINS, open_domain
from recyclelora.data.faults import fault, summarise
from recyclelora.data.inspection import Census, inspect
from recyclelora.errors import InputError
from recyclelora.trials.paths import Paths
from recyclelora.verbs import data_preparation
from tests import trees
from tests.test_declared import WHOLE
from tests.test_declared import write as declare

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Exit code, output and errors of `recyclelora data ...` with `tmp_path` as data root."""
    monkeypatch.setenv("RECYCLELORA_CACHE", str(tmp_path / "cache"))

    def run(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(["data", *words, "--data-root", str(tmp_path)])
        return code, *capfd.readouterr()

    return run


def test_all_domains_are_listed_with_what_is_known_of_them(tmp_path: Path, call: Call) -> None:
    trees.write_camvid(tmp_path)
    declare(tmp_path)
    declare(tmp_path, WHOLE.replace("licence", "license"), name="spoilt")
    code, output, _ = call("--json")
    rows = {row["domain"]: row for row in json.loads(output)}
    assert code == 0 and list(rows) == [*DOMAINS, "spoilt", "trails"]
    assert rows["camvid"]["here"] == "camvid/" and rows["gtav"]["here"] == "no"
    assert rows["scenes-day"]["here"] == "rendered" and rows["gtav"]["splits"]["train"] == 24966
    assert rows["trails"] == {"domain": "trails", "splits": {"train": 4, "val": 2}, "found": {"train": 4, "val": 2},
                              "space": "trails", "here": "trails/", "licence": "CC BY 4.0"}
    assert "license: unknown key of a data set" in rows["spoilt"]["here"]
    code, output, _ = call()
    assert code == 0 and "24,966" in output and "CC BY 4.0: trails" in output


def test_a_part_of_a_set_is_never_shown_as_the_whole(tmp_path: Path, call: Call) -> None:
    folder = trees.write_cityscapes(tmp_path, n=10)
    rows = {row["domain"]: row for row in json.loads(call("--json")[1])}
    assert rows["cityscapes"]["splits"] == {"train": 2975, "val": 500}
    assert rows["cityscapes"]["found"] == {"train": 10, "val": 10} and rows["gtav"]["found"] == {}
    (line,) = (line for line in call()[1].splitlines() if line.split()[:1] == ["cityscapes"])
    assert "10 of 2,975" in line and "10 of 500" in line
    assert "10 of 500" in call("check", "cityscapes")[1]
    shutil.rmtree(folder / "gtFine" / "train")
    (line,) = (line for line in call()[1].splitlines() if line.split()[:1] == ["cityscapes"])
    assert "0 of 2,975" in line and "10 of 500" in line


def test_many_faults_of_a_kind_are_one_line_with_the_mend(tmp_path: Path, call: Call) -> None:
    folder = declare(tmp_path, WHOLE.replace(", ignore: others", ", ignore: [0, 40]"))
    for number in range(141):
        trees.draw_image(folder / f"images/train/a/cam_{number}.png")
        trees.draw_label(folder / f"gt/train/a/ids_{number}.png", [1, 2, 7, 9, 255])
    (folder / "images/train/b/cam_1.png").write_bytes(b"no picture")
    code, output, _ = call("check", "trails")
    told = [line for line in output.splitlines() if "255" in line and "splits" not in line]
    assert code == 1 and "142 faults" in output and len(told) == 1 and output.count("cam_1.png") == 1
    assert "141 labels, a/0, a/1, a/10 and 138 more: have ids 255" in told[0] and "(ignore: 255)" in told[0]
    found = json.loads(call("check", "trails", "--json")[1])
    assert len(found["problems"]) == 142 and len(found["summary"]) == 2, "all for a program, grouped for people"


def test_other_faults_are_grouped_too_and_kinds_are_capped(tmp_path: Path, call: Call) -> None:
    folder = trees.write_camvid(tmp_path, n=40)
    for path in sorted((folder / "train").iterdir()):
        path.write_bytes(b"no picture")
    code, output, _ = call("check", "camvid", "--split", "train")
    assert code == 1 and output.count("no PNG or JPEG") == 1 and "40 such faults: 0001TP_000000" in output
    kinds = summarise([fault(InputError(f"fault {i}"), str(i)) for i in range(25)])
    assert len(kinds) == 11 and kinds[-1] == "and 15 more of 15 other kinds"


def test_a_check_tells_of_images_that_exif_turns(tmp_path: Path, call: Call) -> None:
    folder = trees.write_camvid(tmp_path)
    path, exif = folder / "train" / "0001TP_000000.png", Image.Exif()
    exif[0x0112] = 3
    with Image.open(path) as image:
        image.load()
    image.save(path, exif=exif)
    code, output, _ = call("check", "camvid")
    assert code == 0 and output.count("EXIF") == 1 and "train: 1 samples have EXIF orientations" in output
    assert json.loads(call("check", "camvid", "--json")[1])["splits"]["train"]["turned"] == 1


def test_a_sound_set_is_counted(tmp_path: Path, call: Call) -> None:
    folder = trees.write_camvid(tmp_path)
    code, output, _ = call("check", "camvid", "--json", "--sheet", str(tmp_path / "sheet.png"))
    found = json.loads(output)
    assert code == 0 and found["problems"] == [] and list(found["splits"]) == ["train", "val", "test"]
    train = found["splits"]["train"]
    assert train["images"] == 4 and train["official"] == 367 and train["sizes"] == {"24x16": 4}
    raw = np.concatenate([np.array(Image.open(path)).ravel() for path in (folder / "trainannot").iterdir()])
    assert train["pixels"]["road"] == int((raw == 3).sum()) and train["pixels"]["ignored"] == int((raw == 11).sum())
    assert train["images_holding"]["road"] == 4
    opened = open_domain("camvid", "train", root=tmp_path, cache=tmp_path / "elsewhere")
    assert train["fingerprint"] == opened.fingerprint()
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 600 and sheet.height > 9 * 200  # three samples of each split
    code, output, _ = call("camvid", "--split", "val", "--images", "2")  # as it was called before `check`
    assert code == 0 and "what was read is sound: 2 of 101 official images" in output and "train" not in output


def spoil(folder: Path) -> list[str]:
    """Six things wrong with six files of CamVid; what is to be said of each."""
    images, labels = folder / "train", folder / "trainannot"
    (images / "0001TP_000000.png").write_bytes((images / "0001TP_000000.png").read_bytes()[:200])
    Image.new("L", (24, 16), 34).save(labels / "0006R0_f0001.png")
    Image.new("L", (20, 16), 3).save(labels / "0016E5_00002.png")
    Image.new("RGB", (24, 16)).save(labels / "Seq05VD_f0003.png")
    Image.new("L", (24, 16)).save(images / "0001TP_000004.png")
    (labels / "0006R0_f0005.png").write_text("no picture")
    return ["0001TP_000000", "has ids 34", "is 24x16 but its label", "has mode RGB", "has mode L", "it is no PNG file"]


def test_everything_wrong_is_listed_and_the_exit_code_is_1(tmp_path: Path, call: Call) -> None:
    complaints = spoil(trees.write_camvid(tmp_path, n=8))
    code, output, errors = call("check", "camvid", "--json")
    found = json.loads(output)
    assert code == 1 and len(found["problems"]) == 6 and "Traceback" not in errors
    for complaint in complaints:
        assert sum(complaint in problem for problem in found["problems"]) == 1, complaint
    assert found["splits"]["train"]["fingerprint"] == "" != found["splits"]["val"]["fingerprint"]
    assert found["splits"]["train"]["images"] == 8 and sum(found["splits"]["train"]["sizes"].values()) == 2
    code, output, _ = call("check", "camvid", "--sheet", str(tmp_path / "sheet.png"))
    assert code == 1 and output.count("trainannot") == 4 and "6 faults" in output and (tmp_path / "sheet.png").exists()


def test_a_split_that_cannot_be_listed_does_not_keep_the_others_from_being_read(tmp_path: Path, call: Call) -> None:
    folder = trees.write_camvid(tmp_path)
    (folder / "valannot" / "0001TP_000000.png").unlink()
    code, output, _ = call("check", "camvid")
    assert code == 1 and "val: image" in output and "has no label" in output and "1 fault\n" in output
    assert call("check", "camvid", "--split", "val")[0] == 2


def test_all_that_keeps_a_set_from_being_read_is_said_at_once(tmp_path: Path, call: Call) -> None:
    folder = trees.write_cityscapes(tmp_path)
    (folder / "leftImg8bit" / "train" / "loop").symlink_to(folder)
    next((folder / "leftImg8bit" / "val" / "lindau").iterdir()).unlink()
    code, _, error = call("check", "cityscapes")
    assert code == 2 and "train: " in error and "loop" in error and "; val: label" in error and error.count("\n") == 1
    assert call("check", "gtav")[2].count("needs") == 1  # not once for each split


def test_a_val_held_out_of_train_counts_once(tmp_path: Path, call: Call) -> None:
    trees.write_gtav(tmp_path)
    assert "what was read is sound: 12 of 24,966 official images" in call("check", "gtav")[1]
    assert "what was read is sound: 1 of 500 official images" in call("check", "gtav", "--split", "val")[1]


def test_a_fault_in_one_split_is_not_lost_where_the_other_cannot_be_listed(tmp_path: Path, call: Call) -> None:
    folder = declare(tmp_path)
    (folder / "images/train/a/cam_1.png").write_bytes(b"no picture")
    (folder / "gt/val/a/ids_1.png").unlink()
    code, output, _ = call("check", "trails", "--json")
    first, second = json.loads(output)["problems"]
    assert code == 1 and "cam_1.png" in first and second.startswith("val: image")


def test_several_domains_are_read_one_after_the_other(tmp_path: Path, call: Call) -> None:
    trees.write_camvid(tmp_path)
    folder = declare(tmp_path)
    code, output, _ = call("check", "camvid", "trails", "camvid", "--json")
    found = json.loads(output)
    assert code == 0 and [each["domain"] for each in found] == ["camvid", "trails"]
    for each in found:
        assert each == json.loads(call("check", each["domain"], "--json")[1]), "as alone"
    (folder / "images/train/a/cam_1.png").write_bytes(b"no picture")
    code, output, _ = call("check", "trails", "camvid")
    assert code == 1 and output.index("1 fault\n") < output.index("camvid") and "what was read is sound" in output
    for split in ("train", "val", "test"):
        (tmp_path / "camvid" / f"{split}annot" / "0001TP_000000.png").unlink()
    code, output, errors = call("check", "camvid", "trails", "--json")
    found = json.loads(output)
    assert code == 1 and errors == "" and len(found[0]["problems"]) == 3 and found[0]["splits"] == {}
    assert list(found[1]["splits"]) == ["train", "val"]
    assert "3 faults" in call("check", "camvid", "trails")[1] and call("check", "camvid")[0] == 2


def test_several_domains_are_prepared(tmp_path: Path, call: Call) -> None:
    trees.write_mapillary(tmp_path, n=3, half=False)
    trees.write_camvid(tmp_path)
    code, output, _ = call("prepare", "mapillary", "camvid")
    assert code == 0 and "3 half-size images and labels are in" in output and "camvid train: 4 images" in output


def test_faults_found_are_told_although_the_last_split_cannot_be_listed(tmp_path: Path, call: Call) -> None:
    folder = trees.write_bdd100k(tmp_path)
    shutil.rmtree(folder / "images/10k/val")
    torn = sorted((folder / "images/10k/train").iterdir())[0]
    torn.write_bytes(torn.read_bytes()[:100])
    code, output, errors = call("check", "bdd100k")
    assert code == 1 and "2 faults" in output and str(torn) in output and "val: there is no folder" in output and not errors
    shutil.rmtree(folder / "images/10k/train")
    code, _, errors = call("check", "bdd100k")
    assert code == 2 and errors.count("\n") == 1


@pytest.mark.parametrize(("words", "complaint"), [
    (["check", "scenes-day", "gtav"], "gtav needs"),
    (["check", "scenes-day", "scenes-fog", "--split", "vla"], "did you mean 'val'?"),
    (["check", "scenes-day", "scenes-fog", "--sheet", "x.png"],
     "--sheet draws one domain, found scenes-day, scenes-fog"),
    (["scenes-day", "scenes-fog"], "expected `data check DOMAIN`"),
    (["prepare"], "expected `data check DOMAIN`"),
    (["check", "camvid"], "DATA_ROOT or --data-root must hold camvid/"),
    (["chekc", "camvid"], "expected `data check DOMAIN` or `data prepare DOMAIN`; did you mean check?"),
    (["check"], "expected `data check DOMAIN`"),
    (["check", "scenes-dya"], "scenes-day"),
    (["prepare", "camvid"], "camvid needs"),
    (["prepare", "scenes-day"], "scenes-day is rendered: there is nothing to prepare"),
    (["prepare", "gtav", "--images", "3"], "--images belongs to `data check`"),
    (["prepare", "gtav", "--split", "vla"], "gtav has no split 'vla' (did you mean 'val'?)"),
    (["prepare", "mapillary"], "mapillary needs"),
    (["check", "scenes-day", "--split", "trian"], "did you mean 'train'?"),
    (["check", "scenes-day", "--split", "val", "--images", "1", "--sheet", "/nowhere/x.png"], "/nowhere/x.png: cannot"),
    (["check", "scenes-day", "--split", "val", "--images", "1", "--sheet", "x.wrong"], "x.wrong: cannot be written")])
def test_what_cannot_be_done_is_one_line(call: Call, words: list[str], complaint: str) -> None:
    code, _, errors = call(*words)
    assert code == 2 and complaint in errors and errors.count("\n") == 1


def test_large_png_files_without_copies_are_slow(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.write_gtav(tmp_path)
    trees.write_bdd100k(tmp_path)
    paths = Paths(tmp_path / "results", tmp_path / "cache", tmp_path)
    assert not data_preparation.is_slow("gtav", paths), "these are small"
    monkeypatch.setattr(data_preparation, "LARGE", 10)
    slow = ("gtav", "bdd100k", "scenes-day", "cityscapes", "nowhere")
    assert [name for name in slow if data_preparation.is_slow(name, paths)] == ["gtav"]
    code, output, _ = call("prepare", "gtav")
    assert code == 0 and "gtav train: 12 images and labels" in output and not data_preparation.is_slow("gtav", paths)


def test_half_size_copies_are_made_once(tmp_path: Path, call: Call) -> None:
    trees.write_mapillary(tmp_path, n=3, half=False)
    code, output, _ = call("check", "mapillary")
    assert code == 1 and "`recyclelora data prepare mapillary` makes these" in output
    for _ in range(2):
        code, output, _ = call("prepare", "mapillary")
        assert code == 0 and "3 half-size images and labels are in" in output
    assert call("check", "mapillary")[0] == 0


def test_every_sample_is_found_once_whatever_the_number_of_threads(tmp_path: Path) -> None:
    trees.write_camvid(tmp_path, n=11)
    data = open_domain("camvid", "train", root=tmp_path, cache=tmp_path / "cache")
    one, many = Census(), Census()
    for census, workers in ((one, 1), (many, 7)):
        names = []
        for finding in inspect(data, workers):
            census.count(finding)
            names.append(finding.name)
        assert sorted(names) == list(data.names)
    assert np.array_equal(one.pixels, many.pixels) and np.array_equal(one.holding, many.holding)
    assert one.sizes == many.sizes and one.images == many.images == 11
