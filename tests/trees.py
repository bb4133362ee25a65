"""Data sets as they are downloaded, made at tiny sizes: official folders, names and encodings, random content.

Each `write_<set>(root, n)` writes `n` images of each split below `root` (which may hold other sets too) and returns the
folder of the set. Images are RGB noise; labels hold every id that occurs in the real files.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = (16, 24)  # (height, width)
Ids = NDArray[np.integer]


def draw_image(path: Path, size: tuple[int, int] = SIZE, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = _random(path).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))


def draw_label(path: Path, ids: list[int], size: tuple[int, int] = SIZE, palette: bool = False) -> None:
    """An 8-bit PNG with each of `ids` in it; `palette` stores them as indices of a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    label = Image.fromarray(draw_ids(path, ids, size).astype(np.uint8))
    if palette:
        label.putpalette([(7 * i + 11) % 256 for i in range(768)])
    label.save(path)


def draw_ids(path: Path, ids: list[int], size: tuple[int, int] = SIZE) -> Ids:
    """The same ids for the same file name, each of them at least once."""
    pixels = np.resize(ids, size[0] * size[1])
    assert len(ids) <= len(pixels)
    return _random(path).permutation(pixels).reshape(size)


def _random(path: Path) -> np.random.Generator:
    return np.random.default_rng(list(path.name.encode()))


def write_gtav(root: Path, n: int = 12, folder: str = "gtav", train_ids: bool = False) -> Path:
    """Palette labels with the raw ids of Cityscapes; or, with `train_ids`, those that converters write beside."""
    for i in range(1, n + 1):
        draw_image(root / folder / "images" / f"{i:05d}.png")
        if train_ids:
            draw_label(root / folder / "labels" / f"{i:05d}_labelTrainIds.png", [*range(19), 255])
        else:
            draw_label(root / folder / "labels" / f"{i:05d}.png", list(range(35)), palette=True)
    return root / folder


def write_cityscapes(root: Path, n: int = 4, train_ids: bool = False) -> Path:
    """Nested cities, and all five kinds of files of gtFine; `train_ids` adds those of the official script."""
    folder = root / "cityscapes"
    for split, cities in {"train": ("aachen", "zurich"), "val": ("lindau",), "test": ("berlin",)}.items():
        for i in range(n):
            city = cities[i % len(cities)]
            stem = f"{city}_{i // len(cities):06d}_000019"
            draw_image(folder / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
            labels = folder / "gtFine" / split / city
            raw = list(range(34)) if split != "test" else [0, 1, 3]
            draw_label(labels / f"{stem}_gtFine_labelIds.png", raw)
            draw_image(labels / f"{stem}_gtFine_color.png", mode="RGBA")
            Image.fromarray(np.zeros(SIZE, np.uint16)).save(labels / f"{stem}_gtFine_instanceIds.png")
            (labels / f"{stem}_gtFine_polygons.json").write_text("{}")
            if train_ids:
                draw_label(labels / f"{stem}_gtFine_labelTrainIds.png", [*range(19), 255])
    return folder


def write_camvid(root: Path, n: int = 4) -> Path:
    names = ("0001TP_00{}", "0006R0_f{}", "0016E5_0{}", "Seq05VD_f{}")
    for split in ("train", "val", "test"):
        for i in range(n):
            stem = names[i % 4].format(f"{i:04d}")
            draw_image(root / "camvid" / split / f"{stem}.png")
            draw_label(root / "camvid" / f"{split}annot" / f"{stem}.png", list(range(12)))
    return root / "camvid"
