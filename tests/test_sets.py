"""Every data set in its official layout and encoding, read through the one way in."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recyclelora.data.datasets import DomainData, open_domain
from recyclelora.errors import InputError
from tests import trees


def opened(root: Path, domain: str, split: str = "train", limit: int | None = None) -> DomainData:
    return open_domain(domain, split, root=root, cache=root / "cache", limit=limit)


# Table of method.md 7, written out again: (raw, train id)
CITYSCAPES_RAW = [(7, 0), (8, 1), (11, 2), (12, 3), (13, 4), (17, 5), (19, 6), (20, 7), (21, 8), (22, 9), (23, 10),
                  (24, 11), (25, 12), (26, 13), (27, 14), (28, 15), (31, 16), (32, 17), (33, 18)]


def translate(ids: np.ndarray, table: list[tuple[int, int]]) -> np.ndarray:
    """Pixel by pixel, the slow way."""
    known = dict(table)
    return np.array([[known.get(int(i), 255) for i in row] for row in ids], dtype=np.uint8)


@pytest.mark.parametrize("folder", ["gtav", "gta"])
def test_gtav_palette_labels_are_read_by_their_raw_ids(tmp_path: Path, folder: str) -> None:
    trees.write_gtav(tmp_path, n=3, folder=folder)
    data = opened(tmp_path, "gtav")
    assert data.names == ("00001", "00002", "00003")
    for sample in data:
        with Image.open(tmp_path / folder / "labels" / f"{sample.name}.png") as file:
            assert file.mode == "P"
            raw = np.array(file)
        assert np.array_equal(sample.label, translate(raw, CITYSCAPES_RAW)) and set(np.unique(raw)) == set(range(35))
        assert np.array_equal(sample.image, np.array(Image.open(tmp_path / folder / "images" / f"{sample.name}.png")))


def test_converted_copies_beside_official_labels_change_nothing(tmp_path: Path) -> None:
    for write, domain in ((trees.write_gtav, "gtav"), (trees.write_cityscapes, "cityscapes")):
        write(tmp_path / "official")
        write(tmp_path / "both")
        write(tmp_path / "both", train_ids=True)
        first, second = opened(tmp_path / "official", domain), opened(tmp_path / "both", domain)
        assert first.fingerprint() == second.fingerprint() and len(first) == len(second)


def test_converted_labels_alone_are_read(tmp_path: Path) -> None:
    folder = trees.write_cityscapes(tmp_path, train_ids=True)
    for path in folder.rglob("*_labelIds.png"):
        path.unlink()
    trees.write_gtav(tmp_path, train_ids=True)
    for domain in ("gtav", "cityscapes"):
        assert set(np.unique(opened(tmp_path, domain)[0].label)) == {*range(19), 255}


def test_cityscapes_cities_are_read_with_their_raw_ids(tmp_path: Path) -> None:
    folder = trees.write_cityscapes(tmp_path)
    data = opened(tmp_path, "cityscapes")
    assert data.names == ("aachen_000000_000019", "aachen_000001_000019", "zurich_000000_000019", "zurich_000001_000019")
    raw = np.array(Image.open(folder / "gtFine/train/zurich/zurich_000001_000019_gtFine_labelIds.png"))
    assert np.array_equal(data[3].label, translate(raw, CITYSCAPES_RAW))
    assert len(opened(tmp_path, "cityscapes", "val")) == 4
    with pytest.raises(InputError, match="no split 'test'"):
        opened(tmp_path, "cityscapes", "test")


def test_held_out_images_are_those_a_limit_takes_last(tmp_path: Path) -> None:
    trees.write_gtav(tmp_path, n=40)
    val, train = opened(tmp_path, "gtav", "val"), opened(tmp_path, "gtav")
    assert len(val) == 4 and set(val.names) < set(train.names)
    assert not set(val.names) & set(opened(tmp_path, "gtav", limit=36).names)
    assert set(val.names) & set(opened(tmp_path, "gtav", limit=37).names)
    order = np.random.RandomState(0).permutation(40)
    assert val.names == tuple(f"{i + 1:05d}" for i in sorted(order[-4:]))
