"""Picture files as they come: every reader reads them by the same rules, whatever the depth of their samples, their EXIF
orientation, and what lies beside the pixels."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from recyclelora.data.copies import is_copied, make_copies
from recyclelora.data.datasets import DomainData, copies_of, find_set, open_domain
from recyclelora.data.inspection import Census, inspect
from recyclelora.data.photos import read_photo
from recyclelora.data.pictures import open_picture, orientation_of, turn
from recyclelora.errors import InputError
from tests import trees

SIZE = (16, 24)
NOISE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
DECLARATION = "images: images/*.{kind}\nlabels: labels/*.png\nsplits: [train]\nspace: camvid11\n"


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(samples: np.ndarray, depth: int, palette: bool = False) -> bytes:
    """A grey or palette PNG of any depth, written out by hand."""
    height, width = samples.shape
    bits = (samples[..., None].astype(np.int64) >> np.arange(depth - 1, -1, -1)) & 1
    rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    header = struct.pack(">IIBBBBB", width, height, depth, 3 if palette else 0, 0, 0, 0)
    colours = chunk(b"PLTE", bytes(i * 7 % 256 for i in range(3 * (1 << depth)))) if palette else b""
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + colours + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def write_declared(root: Path, image: bytes, label: bytes, kind: str = "png") -> DomainData:
    folder = root / "trails"
    for place, content, ending in (("images", image, kind), ("labels", label, "png")):
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / f"1.{ending}").write_bytes(content)
    (folder / "dataset.yaml").write_text(DECLARATION.replace("{kind}", kind))
    return open_domain("trails", "train", root=root, cache=root / "cache")


def write_built_in(root: Path, image: bytes, label: bytes, kind: str = "png") -> DomainData:
    for place, content, ending in (("train", image, kind), ("trainannot", label, "png")):
        (root / "camvid" / place).mkdir(parents=True, exist_ok=True)
        (root / "camvid" / place / f"0001TP_1.{ending}").write_bytes(content)
    return open_domain("camvid", "train", root=root, cache=root / "cache")


def write_copied(root: Path, image: bytes, label: bytes, kind: str = "png") -> DomainData:
    data = write_declared(root, image, label, kind)
    known = find_set("trails", root)
    assert known
    folder, copies = root / "trails", copies_of(known, root / "cache")
    pairs, stored = known.list(folder, "trails", "train")
    list(make_copies(pairs, stored, folder=folder, copies=copies, workers=1))
    assert is_copied(pairs[0].label, folder, copies) and is_copied(pairs[0].image, folder, copies) == (kind == "png")
    return data


Write = Callable[..., DomainData]
READERS = [write_declared, write_built_in, write_copied]


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


@pytest.mark.parametrize("write", READERS)
@pytest.mark.parametrize("palette", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_ids_are_the_samples_as_stored_whatever_their_depth(tmp_path: Path, depth: int, palette: bool, write: Write) -> None:
    if palette and depth == 16:
        pytest.skip("there is no such PNG")
    samples = np.random.default_rng(depth).integers(0, min(11, 1 << depth), SIZE)
    data = write(tmp_path, encoded(NOISE), png(samples, depth, palette))
    assert np.array_equal(data[0].label, samples) and data[0].label.dtype == np.uint8
    assert data.fingerprint()
    (finding,) = inspect(data, 1)
    assert finding.pixels is not None and np.array_equal(finding.pixels, np.bincount(samples.ravel(), minlength=256))


def test_ids_of_sixteen_bits_are_not_cut(tmp_path: Path) -> None:
    data = write_declared(tmp_path, encoded(NOISE), png(np.full(SIZE, 26001), 16))
    with pytest.raises(InputError, match="has ids 26001: its encoding has 0 to 10, 255 only"):
        data[0]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_photograph_of_few_bits_is_stretched_over_the_range(tmp_path: Path, depth: int) -> None:
    """There a sample is a brightness: the highest is white."""
    samples = np.random.default_rng(depth).integers(0, 1 << depth, SIZE)
    (tmp_path / "x.png").write_bytes(png(samples, depth))
    assert np.array_equal(read_photo(tmp_path / "x.png")[..., 0], samples * 255 // ((1 << depth) - 1))


TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # what is to be done to the stored pixels, in the words of EXIF
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1), 7: lambda a: np.swapaxes(np.rot90(a, 2), 0, 1), 8: np.rot90}


@pytest.mark.parametrize("write", READERS)
@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize("orientation", TURNS)
def test_training_and_predict_see_the_same_upright_image(tmp_path: Path, orientation: int, kind: str, write: Write) -> None:
    name = {"png": "PNG", "jpg": "JPEG"}[kind]
    image = encoded(NOISE, name, exif=exif(orientation))
    expected = TURNS[orientation](np.array(Image.open(io.BytesIO(encoded(NOISE, name)))))
    ids = np.random.default_rng(1).integers(0, 11, expected.shape[:2]).astype(np.uint8)
    data = write(tmp_path, image, encoded(ids), kind)
    assert np.array_equal(data[0].image, expected) and np.array_equal(data[0].label, ids) and data.fingerprint()
    (tmp_path / f"photo.{kind}").write_bytes(image)
    assert np.array_equal(read_photo(tmp_path / f"photo.{kind}"), expected)
    census = Census()
    census.count(*inspect(data, 1))
    assert census.turned == (orientation != 1) and not census.problems


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "PNG", "JPEG"])
@pytest.mark.parametrize("orientation", TURNS)
def test_photographs_of_every_kind_are_turned_once(tmp_path: Path, orientation: int, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    (tmp_path / "x").write_bytes(encoded(NOISE, kind, exif=exif(orientation), **options))
    stored = NOISE if kind != "JPEG" else np.array(Image.open(io.BytesIO(encoded(NOISE, kind))))
    assert np.array_equal(read_photo(tmp_path / "x"), TURNS[orientation](stored))


@pytest.mark.parametrize("orientation", TURNS)
def test_labels_are_turned_by_their_own_orientation(tmp_path: Path, orientation: int) -> None:
    ids = np.random.default_rng(1).integers(0, 11, SIZE).astype(np.uint8)
    expected = TURNS[orientation](ids)
    image = np.random.default_rng(2).integers(0, 256, (*expected.shape, 3), dtype=np.uint8)
    data = write_copied(tmp_path, encoded(image), encoded(ids, exif=exif(orientation)))
    assert np.array_equal(data[0].label, expected) and data.fingerprint()


@pytest.mark.parametrize("orientation", [3, 6])
def test_wide_labels_are_turned_too(tmp_path: Path, orientation: int) -> None:
    folder = trees.write_synthia(tmp_path, n=10)
    path = sorted((folder / "GT" / "LABELS").iterdir())[0]
    data = open_domain("synthia", "train", root=tmp_path, cache=tmp_path / "cache")
    before, content = data[0].label, path.read_bytes()
    path.write_bytes(content[:33] + chunk(b"eXIf", exif(orientation).tobytes()[6:]) + content[33:])
    if orientation == 6:
        with pytest.raises(InputError, match="sizes must agree"):
            data[0]
    else:
        assert np.array_equal(data[0].label, TURNS[orientation](before))


def test_a_label_of_the_stored_image_is_refused_where_its_size_tells(tmp_path: Path) -> None:
    data = write_declared(tmp_path, encoded(NOISE, exif=exif(6)), encoded(NOISE[..., 0] % 11))
    for act in (lambda: data[0], data.fingerprint):
        with pytest.raises(InputError, match="is 16x24 but its label .* is 24x16: sizes must agree .files are turned"):
            act()


def test_the_fingerprint_tells_turned_pixels_from_those_read_as_they_lay_before(tmp_path: Path) -> None:
    import hashlib

    image, label = encoded(NOISE, exif=exif(3)), encoded(NOISE[..., 0] % 11)
    data = write_declared(tmp_path, image, label)
    as_it_lay = hashlib.sha256(hashlib.sha256(image).digest() + hashlib.sha256(label).digest()).hexdigest()
    assert list(data.digests()) != [as_it_lay]
    assert list(write_declared(tmp_path / "b", encoded(NOISE), label).digests()) == [hashlib.sha256(
        hashlib.sha256(encoded(NOISE)).digest() + hashlib.sha256(label).digest()).hexdigest()]


@pytest.mark.parametrize("damaged", [b"no EXIF", b"MM\0*", b"II*\0\xff\xff\xff\xff", exif(77).tobytes()[6:]])
def test_damaged_or_senseless_exif_in_a_sound_picture_turns_nothing(tmp_path: Path, damaged: bytes) -> None:
    plain = encoded(NOISE)
    image = plain[:33] + chunk(b"eXIf", damaged) + plain[33:]
    data = write_declared(tmp_path, image, encoded(NOISE[..., 0] % 11))
    assert np.array_equal(data[0].image, NOISE) and data.fingerprint()
    (tmp_path / "x.png").write_bytes(image)
    assert np.array_equal(read_photo(tmp_path / "x.png"), NOISE)


def info(**options: Any) -> dict[str, Any]:
    found = PngImagePlugin.PngInfo()
    for keyword, (text, compressed) in options.items():
        found.add_text(keyword, text, zip=compressed)
    return {"pnginfo": found}


LARGE = "x" * (2 << 20)  # twice what Pillow takes
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
BESIDE: dict[str, Callable[[], dict[str, Any]]] = {
    "compressed text": lambda: info(comment=(LARGE, True)), "text": lambda: info(comment=(LARGE, False)),
    "colour profile": lambda: {"icc_profile": PROFILE + bytes(2 << 20)},
    "many texts": lambda: info(**{f"comment{i}": ("y" * 1_000_000, True) for i in range(70)})}


@pytest.mark.parametrize("write", READERS)
@pytest.mark.parametrize("which", BESIDE)
def test_what_lies_beside_the_pixels_keeps_no_reader_from_them(tmp_path: Path, which: str, write: Write) -> None:
    options = BESIDE[which]()
    ids = NOISE[..., 0] % 11
    image, label = encoded(NOISE, **options), encoded(ids, **options)
    with pytest.raises(ValueError, match="too large|exceeded|decompressed|Decompressed|memory") if which != "text" else (
            open_picture(image)):  # uncompressed text has no limit
        Image.open(io.BytesIO(image)).load()
    data = write(tmp_path, image, label)
    assert np.array_equal(data[0].image, NOISE) and np.array_equal(data[0].label, ids) and data.fingerprint()
    (tmp_path / "x.png").write_bytes(image)
    assert np.array_equal(read_photo(tmp_path / "x.png"), NOISE)


def moved_behind(content: bytes, kind: bytes) -> bytes:
    """A PNG file with one chunk behind its pixels, where it may be as well."""
    start = content.index(kind) - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    return content[:start] + content[end:-12] + content[start:end] + content[-12:]


XMP = '<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize("content", [
    moved_behind(encoded(NOISE, exif=exif(6)), b"eXIf"), encoded(NOISE, exif=exif(6), **info(comment=(LARGE, True))),
    encoded(NOISE, **info(**{"Raw profile type exif": ("\nexif\n      32\n" + exif(6).tobytes().hex() + "\n", True)})),
    encoded(NOISE)[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.encode()) + encoded(NOISE)[33:]],
    ids=["behind the pixels", "beside a large text", "as ImageMagick writes it", "in XMP"])
def test_the_orientation_of_a_png_is_found_without_decoding_it(content: bytes) -> None:
    with open_picture(content) as file:
        assert orientation_of(file) == 6
        assert file.tile, "the pixels are not loaded yet"  # type: ignore[attr-defined]
        assert np.array_equal(turn(np.array(file), 6), TURNS[6](NOISE))


@pytest.mark.parametrize("text", [("Raw profile type exif", LARGE), ("XML:com.adobe.xmp", LARGE)])
def test_a_text_too_large_to_hold_an_orientation_is_not_asked_for_one(text: tuple[str, str]) -> None:
    with open_picture(encoded(NOISE, **info(**{text[0]: (text[1], True)}))) as file:
        assert orientation_of(file) == 1 and np.array_equal(np.array(file), NOISE)


def test_a_picture_without_anything_beside_is_handed_on_as_it_is_and_a_cut_one_refused() -> None:
    plain = encoded(NOISE)
    for content in (plain, plain + b"anything may follow", plain + encoded(NOISE, **info(comment=(LARGE, True)))):
        with open_picture(content) as file:
            assert np.array_equal(np.array(file), NOISE)
    large = encoded(NOISE, **info(comment=(LARGE, True)))
    for kept in range(8, len(large) - 12 - 8, 29):
        with pytest.raises((OSError, SyntaxError, ValueError)), open_picture(large[:kept]) as file:
            file.load()
