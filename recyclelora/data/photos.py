"""Images of anybody's: found in files and folders, and read as the 8-bit RGB that a model sees."""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from recyclelora.data.labels import Image
from recyclelora.data.pictures import UNREADABLE, open_picture, orientation_of, turn
from recyclelora.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")  # Pillow's modes of grey images of more than 8 bits
PLAIN = ("RGB", "RGBA", "RGBX", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr")


def name_photos(paths: Iterable[Path]) -> tuple[dict[str, Path], list[str]]:
    """Name -> image file, each file once, in the order given; folders stand for the images below them. And what is
    wrong with the other paths, a line each.

    A name is the stem of a file, or the way from the folder given with `_` for `/`. Names that would be the same get a
    number, so that what is made of one never overwrites what is made of another."""
    files: dict[Path, str] = {}
    problems = []
    for path in paths:
        if path.is_dir():
            inside = sorted(_walk(path))
            files |= {file: "_".join(file.relative_to(path).with_suffix("").parts)
                      for file in inside if file not in files}
            problems += [] if inside else [f"{path}: holds no image ({', '.join(SUFFIXES)})"]
        elif path.exists():
            files.setdefault(path, path.stem)
        else:
            problems.append(f"{path}: no such file")
    named: dict[str, Path] = {}
    seen: set[str] = set()
    for file, name in files.items():
        if (real := os.path.realpath(file)) not in seen:
            seen.add(real)
            numbered = (f"{name}_{number}" for number in range(2, len(files) + 2))
            named[name if name not in named else next(each for each in numbered if each not in named)] = file
    return named, problems


def _walk(folder: Path) -> Iterable[Path]:
    """Images below a folder; hidden ones and links to folders, which may lead in circles, are passed over."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in files
                    if not name.startswith(".") and name.lower().endswith(SUFFIXES))


def read_photo(path: Path) -> Image:
    """(H, W, 3) RGB, upright as its EXIF tag says (see `pictures`). Grey, palette and CMYK images become RGB,
    transparency is dropped, 16 bits are cut to the upper 8. Raises InputError for what cannot be read, or not without
    guessing its range."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of odd tags: what matters raises
            with open_picture(path) as file:
                mode, pixels = file.mode, _to_rgb(file)
                if pixels is not None:
                    pixels = turn(pixels, orientation_of(file))
    except UnidentifiedImageError:
        raise InputError(f"{path}: is no image of a known kind") from None
    except (*UNREADABLE, RuntimeError, MemoryError) as error:  # RuntimeError: Pillow's, of AVIF
        said = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        raise InputError(f"{path}: cannot be read ({said})") from None
    if pixels is None:
        raise InputError(f"{path}: has mode {mode}, whose range is not known; save it with 8 or 16 bits a channel")
    return pixels


def _to_rgb(image: PillowImage.Image) -> Image | None:
    if image.mode in DEEP:
        deep = np.asarray(image).astype(np.int64)
        if deep.min() < 0 or deep.max() > 65535:
            return None
        return np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode not in PLAIN:
        return None
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # or Pillow warns of what is dropped
    return np.array(image.convert("RGB"))  # a copy: torch wants what it may write to
