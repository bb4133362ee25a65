"""Images of anybody's: whatever Pillow opens and has 8 or 16 bits becomes RGB, upright; the rest is refused in a line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from recyclelora.data.contact_sheet import GAP, LINE, PAPER, Prediction, draw_predictions, lay_over
from recyclelora.data.labels import CAMVID11
from recyclelora.data.photos import name_photos, read_photo
from recyclelora.errors import InputError
from recyclelora.verbs.photo_predictions import save_label

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = PIXELS[..., 0]


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    found = read_photo(saved(tmp_path / ("x.tif" if mode == "CMYK" else "x.png"), image))
    assert found.shape == (6, 9, 3) and found.dtype == np.uint8 and found.flags.writeable
    assert np.array_equal(found, np.asarray(image.convert("RGB")))


def test_a_palette_with_a_transparent_colour_is_read(tmp_path: Path) -> None:
    assert read_photo(saved(tmp_path / "x.png", Image.fromarray(PIXELS).quantize(8), transparency=b"\x00\x80")).shape == (
        6, 9, 3)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_cut_to_the_upper_eight(tmp_path: Path, suffix: str) -> None:
    deep = Image.fromarray(GREY.astype(np.uint16) * 256 + 77)
    assert np.array_equal(read_photo(saved(tmp_path / f"x.{suffix}", deep)), np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotations_are_undone(tmp_path: Path, orientation: int) -> None:
    """What is stored, so turned that the tag puts it upright."""
    undo = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.transpose(1, 0, 2),
            6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1)}
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](PIXELS)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(read_photo(saved(tmp_path / "x.png", stored, exif=exif)), PIXELS)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.png", Image.fromarray(np.resize(PIXELS, (60, 90, 3)))).read_bytes()
    (tmp_path / "torn.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    saved(tmp_path / "real.tif", Image.fromarray(GREY.astype(np.float32)))
    saved(tmp_path / "wide.tif", Image.fromarray(GREY.astype(np.int32) - 70000))
    for name, complaint in {"torn.png": "cannot be read", "text.jpg": "no image of a known kind",
                            "empty.png": "no image", "real.tif": "mode F, whose range", "wide.tif": "mode I, whose",
                            "absent.png": "No such file"}.items():
        with pytest.raises(InputError, match=complaint) as refused:
            read_photo(tmp_path / name)
        assert "\n" not in str(refused.value) and name in str(refused.value)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_a_damaged_avif_is_refused(tmp_path: Path) -> None:
    whole = bytearray(saved(tmp_path / "whole.avif", Image.fromarray(np.resize(PIXELS, (60, 90, 3)))).read_bytes())
    start = whole.index(b"mdat") + 4
    whole[start:] = bytes(len(whole) - start)
    (tmp_path / "damaged.png").write_bytes(whole)
    with pytest.raises(InputError, match="damaged.png: cannot be read"):
        read_photo(tmp_path / "damaged.png")


def test_a_link_to_itself_is_refused_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to("loop.png")
    saved(tmp_path / "whole.png", Image.fromarray(PIXELS))
    found, problems = name_photos([tmp_path])
    assert list(found) == ["loop", "whole"] and not problems
    with pytest.raises(InputError, match="loop.png: cannot be read .Too many levels of symbolic links"):
        read_photo(found["loop"])


def test_no_two_images_have_one_name(tmp_path: Path) -> None:
    names = ["one/a.png", "one/a.jpg", "one/deep/a.png", "two/a.png", "two/deep_a.PNG", "two/.hidden.png", "two/x.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "one/circle").symlink_to(tmp_path / "one")
    (tmp_path / "two/same.png").symlink_to(tmp_path / "two/a.png")
    (tmp_path / "bare").mkdir()
    found, problems = name_photos([tmp_path / "one", tmp_path / "two/a.png", tmp_path / "two", tmp_path / "two/a.png",
                                   tmp_path / "bare", tmp_path / "absent.png"])
    assert {name: path.relative_to(tmp_path).as_posix() for name, path in found.items()} == {
        "a": "one/a.jpg", "a_2": "one/a.png", "deep_a": "one/deep/a.png", "a_3": "two/a.png", "deep_a_2": "two/deep_a.PNG"}
    assert len(problems) == 2 and "bare: holds no image" in problems[0] and "absent.png: no such file" in problems[1]


def test_a_label_image_holds_the_train_ids_and_shows_the_colours(tmp_path: Path) -> None:
    label = np.array([[0, 3, 10], [255, 200, 1]], dtype=np.uint8)
    save_label(label, CAMVID11, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as file:
        assert file.mode == "P" and np.array_equal(np.asarray(file), label)
        colours = np.asarray(file.convert("RGB"))
    assert tuple(colours[0, 1]) == CAMVID11.palette[3] and tuple(colours[1, 0]) == tuple(colours[1, 1]) == (0, 0, 0)


def test_a_prediction_is_laid_over_half_and_half_with_lines_between() -> None:
    image, label = np.full((4, 6, 3), 100, np.uint8), np.zeros((4, 6), np.uint8)
    label[:, 3:] = 3
    found = lay_over(image, label, CAMVID11)
    for column, train_id in ((0, 0), (5, 3)):
        assert found[0, column].tolist() == [(100 + value) // 2 for value in CAMVID11.palette[train_id]]
    assert (found[:, 3] <= 35 * 2).all() and (found[:, 3] < found[:, 4]).all()


def test_the_sheet_shows_each_image_and_what_covers_most_first() -> None:
    label = np.zeros((30, 40), np.uint8)
    label[10:] = 3
    sheet = np.asarray(draw_predictions([Prediction("a", np.zeros((30, 40, 3), np.uint8), label)] * 2, CAMVID11, width=80))
    assert sheet.shape == (LINE + 2 * (60 + LINE + GAP) + LINE + GAP, GAP + 2 * (80 + GAP), 3)
    legend = sheet[-LINE - GAP :, GAP + 2]
    swatches = [tuple(pixel) for pixel in legend.tolist() if tuple(pixel) != PAPER]
    assert set(swatches) == {CAMVID11.palette[3]}, "road, of train id 3, before sky"
