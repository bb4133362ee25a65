"""Hashing once: the index changes what is read, never what is found."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from recyclelora.data.datasets import DomainData, open_domain
from recyclelora.errors import InputError
from tests import trees


def opened(root: Path, cache: Path, limit: int | None = None) -> DomainData:
    return open_domain("bdd100k", "train", root=root, cache=cache, limit=limit)


def index(cache: Path) -> Path:
    return cache / "contents" / "bdd100k.txt"


def settle(folder: Path, seconds: float = 10) -> None:
    """Make the files look written a while ago."""
    when = time.time() - seconds
    for path in folder.rglob("*.*"):
        os.utime(path, (when, when))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    trees.write_bdd100k(tmp_path, n=5)
    settle(tmp_path)
    return tmp_path


def fingerprint_literally(root: Path) -> str:
    """As it was defined before there was an index, from the files alone."""
    whole = hashlib.sha256(b"bdd100k\ntrain\ncityscapes19\n")
    for image in sorted((root / "bdd100k/images/10k/train").iterdir()):
        label = root / "bdd100k/labels/sem_seg/masks/train" / f"{image.stem}.png"
        both = b"".join(hashlib.sha256(path.read_bytes()).digest() for path in (image, label))
        whole.update(f"{image.stem} {hashlib.sha256(both).hexdigest()}\n".encode())
    return whole.hexdigest()


def test_the_value_is_that_of_the_files_with_and_without_an_index(tree: Path) -> None:
    cache = tree / "cache"
    cold = opened(tree, cache).fingerprint()
    assert len(index(cache).read_text().splitlines()) == 10
    assert opened(tree, cache).fingerprint() == cold == fingerprint_literally(tree)
    assert len(index(cache).read_text().splitlines()) == 10, "nothing was hashed again"


def test_a_known_file_is_not_read_again(tree: Path) -> None:
    """Content changed behind the index's back (same size, same time) is the one change it cannot see."""
    cache = tree / "cache"
    before = opened(tree, cache).fingerprint()
    path = tree / "bdd100k/labels/sem_seg/masks/train/t0000000-7c39d841.png"
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:60] + bytes([content[60] ^ 1]) + content[61:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert opened(tree, cache).fingerprint() == before
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert opened(tree, cache).fingerprint() == fingerprint_literally(tree) != before


def test_a_file_changed_a_moment_ago_is_not_remembered(tree: Path) -> None:
    cache = tree / "cache"
    path = tree / "bdd100k/images/10k/train/t0000001-7c39d841.jpg"
    moment, content = time.time() + 600, path.read_bytes()  # still so when a slow machine comes to look
    os.utime(path, (moment, moment))
    first = opened(tree, cache).fingerprint()
    assert "t0000001-7c39d841.jpg" not in index(cache).read_text() and "t0000001-7c39d841.png" in index(cache).read_text()
    path.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])  # at the same tick of the clock
    os.utime(path, (moment, moment))
    assert opened(tree, cache).fingerprint() == fingerprint_literally(tree) != first


def test_a_copy_that_kept_its_times_is_known(tree: Path, tmp_path: Path) -> None:
    cache = tree / "cache"
    before = opened(tree, cache).fingerprint()
    shutil.copytree(tree / "bdd100k", tmp_path / "scratch" / "bdd100k")
    lines = index(cache).read_text()
    assert opened(tmp_path / "scratch", cache).fingerprint() == before and index(cache).read_text() == lines


def test_a_subset_is_hashed_alone_and_known_to_the_whole(tree: Path) -> None:
    cache = tree / "cache"
    opened(tree, cache, limit=2).fingerprint()
    assert len(index(cache).read_text().splitlines()) == 4
    assert opened(tree, cache).fingerprint() == fingerprint_literally(tree)
    assert len(index(cache).read_text().splitlines()) == 10


@pytest.mark.parametrize("harm", [
    lambda text: text[: len(text) // 2], lambda text: "\0" * 300 + text, lambda text: text.replace(" ", "  ", 9),
    lambda text: "", lambda text: text[:100] + text, lambda text: text + "0123 4 5"])
def test_a_damaged_index_costs_time_and_nothing_else(tree: Path, harm) -> None:
    cache = tree / "cache"
    before = opened(tree, cache).fingerprint()
    index(cache).write_text(harm(index(cache).read_text()))
    for _ in range(2):
        assert opened(tree, cache).fingerprint() == before


def test_what_was_hashed_before_an_error_is_kept(tmp_path: Path) -> None:
    folder = trees.write_bdd100k(tmp_path, n=200)
    settle(tmp_path)
    last = sorted((folder / "images/10k/train").iterdir())[-1]
    content = last.read_bytes()
    last.write_bytes(content[:-30])
    with pytest.raises(InputError, match=f"cannot read image {last}: it is cut off"):
        opened(tmp_path, tmp_path / "cache").fingerprint()
    assert len(index(tmp_path / "cache").read_text().splitlines()) == 2 * 128
    last.write_bytes(content)
    assert opened(tmp_path, tmp_path / "cache").fingerprint() == fingerprint_literally(tmp_path)


@pytest.mark.parametrize("kept", [0, 20, 100, -200, -13, -1])
@pytest.mark.parametrize("name", ["labels/sem_seg/masks/train/t0000002-7c39d841.png", "images/10k/train/t0000002-7c39d841.jpg"])
def test_cut_off_files_are_found_before_training(tree: Path, name: str, kept: int) -> None:
    path = tree / "bdd100k" / name
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=f"cannot read (label|image) {path}"):
        opened(tree, tree / "cache").fingerprint()


def test_what_follows_the_end_of_a_picture_does_no_harm(tree: Path) -> None:
    path = tree / "bdd100k/images/10k/train/t0000002-7c39d841.jpg"  # some telephones hang a film behind it
    path.write_bytes(path.read_bytes() + bytes(100_000))
    assert opened(tree, tree / "cache").fingerprint() == fingerprint_literally(tree)


def test_a_cache_that_cannot_be_written_is_said(tree: Path) -> None:
    (tree / "cache").write_text("a file stands where the folder should be")
    with pytest.raises(InputError, match="cache"):
        opened(tree, tree / "cache").fingerprint()


def test_trials_that_start_together_write_one_sound_index(tree: Path) -> None:
    code = ("import sys; from pathlib import Path; from recyclelora.data.datasets import open_domain; root = Path(sys.argv[1])\n"
            "print(open_domain('bdd100k', 'train', root=root, cache=root / 'cache').fingerprint())")
    running = [subprocess.Popen([sys.executable, "-c", code, str(tree)], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert {process.communicate()[0].strip() for process in running} == {fingerprint_literally(tree)}
    assert all(len(line.split(" ")) == 8 for line in index(tree / "cache").read_text().splitlines())


def test_labels_are_looked_at_as_labels(tree: Path) -> None:
    path = tree / "bdd100k/labels/sem_seg/masks/train/t0000002-7c39d841.png"
    Image.new("L", trees.SIZE[::-1]).save(path, format="JPEG")
    with pytest.raises(InputError, match="cannot read label .*: it is no PNG file"):
        opened(tree, tree / "cache").fingerprint()


def test_a_camera_s_jpeg_with_a_second_picture_is_one_image(tree: Path) -> None:
    """Pillow calls it MPO, and not JPEG, though it was told to open JPEG alone."""
    path = sorted((tree / "bdd100k/images/10k/train").iterdir())[0]
    with Image.open(path) as picture:
        picture.load()
        picture.save(path, "MPO", save_all=True, append_images=[picture])
    with Image.open(path, formats=("JPEG",)) as written:
        assert written.format == "MPO"
    assert opened(tree, tree / "cache").fingerprint() == fingerprint_literally(tree)
    assert opened(tree, tree / "cache")[0].image.shape == (*trees.SIZE, 3)
