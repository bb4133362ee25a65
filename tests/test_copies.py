"""Copies that decode quickly: the same pixels, whatever the set; never instead of what the file now holds."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from recyclelora.data import copies
from recyclelora.data.datasets import DomainData, copies_of, find_set, open_domain
from recyclelora.data.loader import batches
from recyclelora.data.transforms import Recipe
from recyclelora.errors import InputError
from tests import trees

WRITERS: dict[str, Callable[[Path], Path]] = {
    "gtav": trees.write_gtav, "synthia": trees.write_synthia, "cityscapes": trees.write_cityscapes,
    "mapillary": trees.write_mapillary, "bdd100k": trees.write_bdd100k, "camvid": trees.write_camvid,
}


def opened(root: Path, domain: str = "gtav", *, originals: bool = False) -> DomainData:
    return open_domain(domain, "train", root=root, cache=root / "cache", originals=originals)


def make(root: Path, folder: Path, domain: str = "gtav", workers: int = 1) -> list[tuple[int, int]]:
    known = find_set(domain, root)
    assert known
    pairs, stored = known.list(folder, domain, "train")
    return list(copies.make_copies(pairs, stored, folder=folder, copies=copies_of(known, root / "cache"), workers=workers))


def files(root: Path) -> list[Path]:
    return sorted(path for path in (root / "cache" / "copies").rglob("*") if path.is_file())


def spoil(copy: Path) -> None:
    """Other pixels, made of the same file."""
    with Image.open(copy) as file:
        pixels, state = np.array(file), file.tag_v2[270]  # type: ignore[attr-defined]
    Image.fromarray(pixels ^ 1).save(copy, format="TIFF", compression="zstd", tiffinfo={270: state})


@pytest.mark.parametrize("domain", WRITERS)
def test_what_is_read_is_bitwise_the_same(tmp_path: Path, domain: str) -> None:
    folder = WRITERS[domain](tmp_path)
    before, name = list(opened(tmp_path, domain)), opened(tmp_path, domain).fingerprint()
    progress = make(tmp_path, folder, domain)
    assert progress[0] == (0, len(before)) and progress[-1] == (len(before), len(before))
    pairs, _ = find_set(domain, tmp_path).list(folder, domain, "train")  # type: ignore[union-attr]
    png = [path for pair in pairs for path in (pair.image, pair.label) if path.suffix == ".png"]
    assert len(files(tmp_path)) == len(png) and len(png) in (len(pairs), 2 * len(pairs))
    for one, two in zip(before, opened(tmp_path, domain), strict=True):
        assert one.name == two.name and one.image.dtype == two.image.dtype == np.uint8
        assert np.array_equal(one.image, two.image) and np.array_equal(one.label, two.label)
        assert two.image.flags.writeable and two.label.flags.writeable, "torch warns of what it may not write to"
    assert opened(tmp_path, domain).fingerprint() == name, "what a run is does not change"


def test_copies_are_what_is_read_and_a_check_reads_the_files_themselves(tmp_path: Path) -> None:
    folder = trees.write_gtav(tmp_path)
    before = opened(tmp_path)[0].image
    make(tmp_path, folder)
    spoil(tmp_path / "cache" / "copies" / "gtav" / "images" / "00001.png.tif")
    assert np.array_equal(opened(tmp_path)[0].image, before ^ 1)
    assert np.array_equal(opened(tmp_path, originals=True)[0].image, before)


def test_a_copy_of_what_was_counts_for_nothing_and_is_made_again(tmp_path: Path) -> None:
    folder = trees.write_gtav(tmp_path)
    make(tmp_path, folder)
    path = folder / "images" / "00001.png"
    with Image.open(path) as file:
        other = np.array(file)[::-1]
    Image.fromarray(other).save(path)
    os.utime(path, ns=(1, 1))
    assert np.array_equal(opened(tmp_path)[0].image, other)
    assert make(tmp_path, folder)[0] == (11, 12), "the others are there"
    spoil(tmp_path / "cache" / "copies" / "gtav" / "images" / "00001.png.tif")
    assert np.array_equal(opened(tmp_path)[0].image, other ^ 1)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("content", [b"", b"II*\0", b"nonsense"])
def test_a_torn_copy_is_passed_over_and_mended(tmp_path: Path, content: bytes) -> None:
    folder = trees.write_gtav(tmp_path)
    before = opened(tmp_path)[0].image
    make(tmp_path, folder)
    copy = tmp_path / "cache" / "copies" / "gtav" / "images" / "00001.png.tif"
    whole = copy.read_bytes()
    copy.write_bytes(content or whole[:200])
    assert np.array_equal(opened(tmp_path)[0].image, before)
    assert make(tmp_path, folder)[0] == (11, 12)
    assert copy.read_bytes() == whole


def test_interrupted_it_goes_on_and_done_it_does_nothing(tmp_path: Path) -> None:
    folder, known = trees.write_gtav(tmp_path), find_set("gtav", tmp_path)
    assert known
    pairs, stored = known.list(folder, "gtav", "train")
    where = copies_of(known, tmp_path / "cache")
    running = copies.make_copies(pairs, stored, folder=folder, copies=where, workers=2)
    assert [next(running) for _ in range(3)] == [(0, 12), (1, 12), (2, 12)]
    with pytest.raises(InputError, match="another process is writing"):
        make(tmp_path, folder)
    running.close()
    (where / "images" / ".unfinished-torn").write_bytes(b"half a file")
    assert make(tmp_path, folder)[0][0] >= 2
    assert len(files(tmp_path)) == 24
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path)}
    assert make(tmp_path, folder) == [(12, 12)]
    assert {path: path.stat().st_mtime_ns for path in files(tmp_path)} == before


def test_a_file_replaced_while_it_is_copied_is_read_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trees.write_gtav(tmp_path)
    path = folder / "images" / "00001.png"
    other, decode = opened(tmp_path)[0].image[::-1], copies.decode_pair

    def replaced_after(*given: Any) -> Any:
        pixels = decode(*given)
        Image.fromarray(other).save(path)
        os.utime(path, ns=(1, 1))
        return pixels

    known = find_set("gtav", tmp_path)
    assert known
    pairs, stored = known.list(folder, "gtav", "train")
    monkeypatch.setattr(copies, "decode_pair", replaced_after)
    lacking = (pairs[0], [pairs[0].image, pairs[0].label])
    copies._copy(lacking, stored=stored, folder=folder, copies=copies_of(known, tmp_path / "cache"))
    assert len(files(tmp_path)) == 2
    assert np.array_equal(opened(tmp_path)[0].image, other)


def test_a_broken_file_and_a_full_disk_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trees.write_gtav(tmp_path)
    monkeypatch.setattr(copies.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(InputError, match=r"copies need up to .* GB, and .* are free; choose another cache folder"):
        make(tmp_path, folder)
    monkeypatch.undo()
    label = folder / "labels" / "00003.png"
    label.write_bytes(label.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"cannot read label .*00003.png"):
        make(tmp_path, folder)


def test_training_sees_the_same_batches(tmp_path: Path) -> None:
    def made() -> list[tuple[torch.Tensor, torch.Tensor]]:
        return list(batches(opened(tmp_path), Recipe((16, 16)), batch_size=3, seed=0, stop=5, mean=(0.5,) * 3, std=(0.2,) * 3))

    folder = trees.write_gtav(tmp_path)
    before = made()
    make(tmp_path, folder)
    for one, two in zip(before, made(), strict=True):
        assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])


def test_another_file_of_the_same_name_size_and_time_is_not_taken_for_it(tmp_path: Path) -> None:
    """As in a second data root with the same cache, or after `cp -p`."""
    folder = trees.write_gtav(tmp_path)
    path = folder / "labels" / "00001.png"
    for ids in (3, 5):
        Image.fromarray(np.full((24, 32), ids, np.uint8)).save(path)
        Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(folder / "images" / "00001.png")
        os.utime(path, ns=(1, 1))
        if ids == 3:
            make(tmp_path, folder)
            size = path.stat().st_size
    assert path.stat().st_size == size
    here, files_themselves = (opened(tmp_path, originals=originals)[0].label for originals in (False, True))
    assert np.array_equal(here, files_themselves)


def test_a_copy_with_other_axes_is_passed_over(tmp_path: Path) -> None:
    folder = trees.write_gtav(tmp_path)
    before = opened(tmp_path)[0]
    make(tmp_path, folder)
    copy = tmp_path / "cache" / "copies" / "gtav" / "images" / "00001.png.tif"
    with Image.open(copy) as file:
        state = file.tag_v2[270]  # type: ignore[attr-defined]
    Image.fromarray(before.label).save(copy, format="TIFF", tiffinfo={270: state})
    assert np.array_equal(opened(tmp_path)[0].image, before.image)
