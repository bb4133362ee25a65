"""Picture files, opened in one way by everybody who reads them: training sets, built-in or declared, their copies and
checks, and `predict`.

One rule for EXIF: a file is read as viewers show it, turned upright as the orientation in the file itself says. An
image with an orientation is thus turned before anything else sees it, and its label must belong to the upright picture:
what people saw when they drew it, and what cv2.imread and with it mmcv's pipelines train on. A label file is turned by
its own orientation alone, which label files hardly ever have. `data check` counts the files that were turned; a label
of the stored image is refused by its size wherever the turn changes that.
"""

import io
import struct
import warnings
import zlib
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, UnidentifiedImageError
from PIL import Image as PillowImage

Pixels = NDArray[Any]
UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, zlib.error, PillowImage.DecompressionBombError)
UPRIGHT = 1  # the EXIF orientation of a file that need not be turned

# Pillow stretches the grey samples of fewer than 8 bits over 0 to 255: what it multiplies them by, by its raw mode.
_STRETCHED = {"L;2": 85, "L;4": 17}

_PNG = b"\x89PNG\r\n\x1a\n"
_BESIDE = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")  # chunks that say nothing of the pixels, and that Pillow has limits for
_EXIF = b"eXIf"
_TURNING = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")  # keywords of the texts that may hold an orientation
_MOST = 1 << 16  # bytes of such a text: a JPEG file holds no more EXIF
_INFLATED = 1 << 20  # bytes of a text that Pillow takes
_MAY_HOLD_EXIF = {"exif", "xmp", "Raw profile type exif", "XML:com.adobe.xmp"}  # as Pillow calls what it found
_WARNINGS = Lock()  # what is to be done with warnings is one setting of all threads


def open_picture(source: Path | bytes, formats: tuple[str, ...] | None = None) -> PillowImage.Image:
    """The picture of a file, or of the content of one; to be closed by `with`. Texts and colour profiles of a PNG file
    are passed over, however large they are: Pillow alone would refuse the file for them. Raises one of UNREADABLE."""
    content = source if isinstance(source, bytes) else source.read_bytes()
    return PillowImage.open(io.BytesIO(_without_texts(content)), formats=formats)


def _without_texts(content: bytes) -> bytes:
    """A PNG file without its texts and colour profile. What may hold the orientation is kept, and put before the
    pixels, so that it is known without decoding them. Any other file is left as it is."""
    if not content.startswith(_PNG):
        return content
    early: list[bytes] = []
    others: list[bytes] = []
    place = len(_PNG)
    while (end := place + 12 + int.from_bytes(content[place : place + 4], "big")) < len(content):
        kind = content[place + 4 : place + 8]
        if kind == b"IEND":
            break
        if kind == _EXIF or (kind in _BESIDE and _may_turn(content[place:end])):
            early += [content[place:end]] if len(early) <= len(_TURNING) else []
        elif kind not in _BESIDE:
            others.append(content[place:end])
        place = end
    if place == len(_PNG) + sum(map(len, others)):
        return content
    return b"".join([_PNG, *others[:1], *early, *others[1:], content[place:]])


def _may_turn(chunk: bytes) -> bool:
    """Whether a text of a PNG file may hold an orientation, and is none that Pillow would refuse."""
    kind, text = chunk[4:8], chunk[8:-4]
    keyword = next((keyword for keyword in _TURNING if text.startswith(keyword)), None)
    if keyword is None or len(text) > _MOST:
        return False
    rest = text[len(keyword) :]
    if kind == b"zTXt":
        try:
            return len(zlib.decompressobj().decompress(rest[1:], _INFLATED)) < _INFLATED
        except zlib.error:
            return False
    return kind == b"tEXt" or not rest.startswith(b"\1")  # 1: an iTXt chunk that is compressed, which XMP never is


def read_samples(file: PillowImage.Image) -> Pixels:
    """The samples of a label as they are stored, (H, W) or (H, W, channels): ids and indices of a palette, of 1, 2, 4
    or 8 bits as uint8, of 16 bits as uint16."""
    stretched = _STRETCHED.get(str(file.tile[0].args), 1) if file.tile else 1  # type: ignore[attr-defined]
    pixels = np.array(file)
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels // stretched if stretched > 1 else pixels


def orientation_of(file: PillowImage.Image) -> int:
    """The EXIF orientation by which the pixels of a file are still to be turned, 1 to 8; 1 where there is none or none
    that can be read, and for a TIFF file, which Pillow turns itself."""
    if file.format == "TIFF" or not _MAY_HOLD_EXIF & file.info.keys():
        return UPRIGHT
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of damaged EXIF in a sound picture
            # not the PNG file's own method, which decodes the pixels to look behind them: nothing is left there
            found = PillowImage.Image.getexif(file).get(ExifTags.Base.Orientation)
    except UNREADABLE:
        return UPRIGHT
    return found if isinstance(found, int) and 1 <= found <= 8 else UPRIGHT


def is_turned(path: Path) -> bool:
    """Whether a PNG or JPEG file has to be turned; False for one that cannot be read."""
    try:
        with open_picture(path, ("PNG", "JPEG")) as file:
            return orientation_of(file) != UPRIGHT
    except UNREADABLE:
        return False


def turn(pixels: Pixels, orientation: int) -> Pixels:
    """(H, W, ...) pixels as stored -> upright, by an EXIF orientation: (W, H, ...) for 5 to 8."""
    if orientation == UPRIGHT:
        return pixels
    turned = pixels.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else pixels
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def turned_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """The size of a picture that is stored in `size`, once it is upright; both (width, height)."""
    return (size[1], size[0]) if orientation in (5, 6, 7, 8) else size


def describe(error: Exception, kind: str) -> str:
    """What Pillow or the system said of a file, in one line."""
    if isinstance(error, UnidentifiedImageError):
        return "it is no PNG or JPEG file" if kind == "image" else "it is no PNG file"
    said = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return said.splitlines()[0]
