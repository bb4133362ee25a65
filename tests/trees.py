"""Data sets as they are downloaded, made at tiny sizes: official folders, names and encodings, random content.

Each `write_<set>(root, n)` writes `n` images of each split below `root` (which may hold other sets too) and returns the
folder of the set. Images are RGB noise; labels hold every id that occurs in the real files.
"""

import struct
import zlib
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


def write_synthia(root: Path, n: int = 12, train_ids: bool = False) -> Path:
    """16-bit RGB labels: class in the first channel, instance in the second, as the generator wrote them."""
    for i in range(n):
        draw_image(root / "synthia" / "RGB" / f"{i:07d}.png")
        path = root / "synthia" / "GT" / "LABELS" / f"{i:07d}.png"
        if train_ids:
            draw_label(path.with_stem(f"{path.stem}_labelTrainIds"), [*range(19), 255])
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        instance = _random(path).integers(0, 65536, SIZE)
        path.write_bytes(encode_png16(np.stack([draw_ids(path, list(range(23))), instance, instance * 0], -1)))
    return root / "synthia"


def encode_png16(pixels: Ids) -> bytes:
    """A 16-bit RGB PNG of (H, W, 3), by the letter of the specification: no library here writes one."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)  # 0: no filter
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)  # depth 16, colour type 2 (RGB)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)


def write_urbansyn(root: Path, n: int = 12, prefixed: bool = True) -> Path:
    for i in range(1, n + 1):
        image, label = (f"rgb_{i:04d}", f"ss_{i:04d}") if prefixed else (f"{i:04d}", f"{i:04d}")
        draw_image(root / "urbansyn" / "rgb" / f"{image}.png")
        draw_label(root / "urbansyn" / "ss" / f"{label}.png", list(range(20)))
    return root / "urbansyn"


def write_bdd100k(root: Path, n: int = 3, first_release: bool = False) -> Path:
    folder = root / "bdd100k"
    for split in ("train", "val"):
        for i in range(n):
            stem = f"{split[0]}{i:07x}-7c39d841"
            if first_release:
                draw_image(folder / "seg" / "images" / split / f"{stem}.jpg")
                draw_label(folder / "seg" / "labels" / split / f"{stem}_train_id.png", [*range(19), 255])
            else:
                draw_image(folder / "images" / "10k" / split / f"{stem}.jpg")
                draw_label(folder / "labels" / "sem_seg" / "masks" / split / f"{stem}.png", [*range(19), 255])
    return folder


def write_mapillary(root: Path, n: int = 3, v2: bool = False, half: bool = True) -> Path:
    """Palette labels of 66 ids at mixed (odd, too) sizes; `v2` in the folders of the 2.0 download, which holds both
    versions. `half` adds the copies of val as the compared methods' scripts leave them."""
    folder = root / "mapillary"
    for split in ("training", "validation"):
        for i in range(n):
            size, stem = (SIZE[0] + 2 * i + 1, SIZE[1] + 4 * i + 1), f"{split[0]}{i}-_8VB5ZXxmV"
            draw_image(folder / split / "images" / f"{stem}.jpg", size)
            for version in ("v1.2", "v2.0") if v2 else ("",):
                labels = folder / split / version / "labels"
                draw_label(labels / f"{stem}.png", list(range(124 if version == "v2.0" else 66)), size, palette=True)
            if half and split == "validation":
                size = (size[0] // 2, size[1] // 2)
                draw_image(folder / "half" / "val_img" / f"{stem}.jpg", size)
                draw_label(folder / "half" / "val_label" / f"{stem}.png", [*range(19), 255], size)
    return folder


def write_acdc(root: Path, n: int = 2) -> Path:
    """All four kinds of label files, and the reference images under good conditions, which have no labels."""
    folder = root / "acdc"
    for place, condition in enumerate(("fog", "night", "rain", "snow")):
        for split in ("train", "val", "test"):
            for i in range(n):
                sequence = f"GOPR{400 + place}"
                stem = f"{sequence}_frame_{i:06d}"
                draw_image(folder / "rgb_anon" / condition / split / sequence / f"{stem}_rgb_anon.png")
                draw_image(folder / "rgb_anon" / condition / f"{split}_ref" / sequence / f"{stem}_rgb_ref_anon.png")
                if split != "test":
                    labels = folder / "gt" / condition / split / sequence
                    draw_label(labels / f"{stem}_gt_labelTrainIds.png", [*range(19), 255])
                    draw_label(labels / f"{stem}_gt_labelIds.png", list(range(34)))
                    draw_image(labels / f"{stem}_gt_labelColor.png", mode="RGBA")
                    draw_label(labels / f"{stem}_gt_invIds.png", [0, 1])
    return folder


def write_idd(root: Path, n: int = 3, level3: bool = False, masks: bool = True) -> Path:
    """Drives with polygons, and the masks that the authors' script draws from them; image numbers repeat."""
    folder = root / "IDD_Segmentation"
    for split in ("train", "val"):
        for i in range(n):
            drive, stem = str(i % 2), f"{i // 2:06d}"
            draw_image(folder / "leftImg8bit" / split / drive / f"{stem}_leftImg8bit.png")
            labels = folder / "gtFine" / split / drive
            labels.mkdir(parents=True, exist_ok=True)
            (labels / f"{stem}_gtFine_polygons.json").write_text("{}")
            if masks and level3:
                draw_label(labels / f"{stem}_gtFine_labellevel3Ids.png", [*range(26), 255])
            elif masks:
                draw_label(labels / f"{stem}_gtFine_labelcsTrainIds.png", [*range(19), 255])
    return folder


def write_iddlite(root: Path, n: int = 3) -> Path:
    folder = root / "idd20k_lite"
    for split in ("train", "val", "test"):
        for i in range(n):
            drive, stem = str(i % 2), f"{i // 2:06d}"
            draw_image(folder / "leftImg8bit" / split / drive / f"{stem}_image.jpg")
            if split != "test":
                draw_label(folder / "gtFine" / split / drive / f"{stem}_label.png", [*range(7), 255])
                draw_label(folder / "gtFine" / split / drive / f"{stem}_inst_label.png", [0, 1])
    return folder
