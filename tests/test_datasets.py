import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recyclelora import scenes
from recyclelora.data.datasets import DOMAINS, DomainData, open_domain
from recyclelora.data.labels import CAMVID11, CITYSCAPES19
from recyclelora.errors import InputError

SCENES = next(iter(scenes.DOMAINS))
NAMES = ("0001TP_1", "0001TP_2", "0006R0_1", "0016E5_1", "0016E5_2", "Seq05VD_1")


def make_camvid(root: Path, names: tuple[str, ...] = NAMES, split: str = "train", suffix: str = ".png") -> Path:
    """A folder in CamVid's layout with tiny images; label ids 0 to 11."""
    rng = np.random.default_rng(0)
    for folder in (split, f"{split}annot"):
        (root / "camvid" / folder).mkdir(parents=True)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(image_file(root, name, suffix, split))
        Image.fromarray(rng.integers(0, 12, (6, 8), dtype=np.uint8)).save(label_file(root, name, split))
    return root


def image_file(root: Path, name: str, suffix: str = ".png", split: str = "train") -> Path:
    return root / "camvid" / split / f"{name}{suffix}"


def label_file(root: Path, name: str, split: str = "train") -> Path:
    return root / "camvid" / f"{split}annot" / f"{name}.png"


def open_camvid(
    root: Path | None, domain: str = "camvid", split: str = "train", limit: int | None = None
) -> DomainData:
    return open_domain(domain, split, root=root, cache=(root or Path("unused")) / "cache", limit=limit)


def open_scenes(cache: Path, split: str = "train", limit: int | None = None) -> DomainData:
    return open_domain(f"scenes-{SCENES}", split, root=None, cache=cache, limit=limit)


def error_of(data: DomainData, index: int = 0) -> str:
    with pytest.raises(InputError) as caught:
        data[index]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def error_at_opening(root: Path | None, domain: str = "camvid", split: str = "train", limit: int | None = None) -> str:
    with pytest.raises(InputError) as caught:
        open_camvid(root, domain, split, limit)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what is read


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_sample_is_its_files_with_unlabelled_pixels_ignored(tmp_path: Path, suffix: str) -> None:
    data = open_camvid(make_camvid(tmp_path, suffix=suffix))
    assert data.space == CAMVID11 and data.names == NAMES
    for name, sample in zip(NAMES, data, strict=True):
        ids = np.array(Image.open(label_file(tmp_path, name)))
        assert (ids == 11).any()
        assert np.array_equal(sample.image, np.array(Image.open(image_file(tmp_path, name, suffix))))
        assert np.array_equal(sample.label, np.where(ids == 11, 255, ids))
        assert sample.image.dtype == sample.label.dtype == np.uint8
        assert (sample.domain, sample.name) == ("camvid", name)


def test_sequences_make_the_domains(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    day, dusk = open_camvid(tmp_path, "camvid-day"), open_camvid(tmp_path, "camvid-dusk")
    assert dusk.names == ("0001TP_1", "0001TP_2")
    assert set(day.names) | set(dusk.names) == set(NAMES) and not set(day.names) & set(dusk.names)
    assert {sample.domain for sample in dusk} == {"camvid-dusk"}


def test_the_folder_does_not_decide_the_domain(tmp_path: Path) -> None:
    data = open_camvid(make_camvid(tmp_path / "0001TP" / "dusk"), "camvid-day")
    assert {sample.domain for sample in data} == {"camvid-day"} and len(data) == 4


def test_a_palette_label_is_read_by_its_index(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    with Image.open(label_file(tmp_path, NAMES[0])) as label:
        ids = np.array(label)
        label.putpalette([(7 * i) % 256 for i in range(768)])
        label.save(label_file(tmp_path, NAMES[0]))
    with Image.open(label_file(tmp_path, NAMES[0])) as label:
        assert label.mode == "P"
    assert np.array_equal(open_camvid(tmp_path)[0].label, np.where(ids == 11, 255, ids))


def test_data_can_be_sent_to_worker_processes(tmp_path: Path) -> None:
    for data in (open_camvid(make_camvid(tmp_path)), open_scenes(tmp_path / "cache")):
        copy = pickle.loads(pickle.dumps(data))
        assert np.array_equal(copy[1].image, data[1].image)


def test_real_camvid_has_the_counts_of_its_readme(camvid_root: Path) -> None:
    expected = {
        "camvid": {"train": 367, "val": 101, "test": 233},
        "camvid-day": {"train": 305, "val": 101, "test": 171},
        "camvid-dusk": {"train": 62, "test": 62},
    }
    for domain, splits in expected.items():
        assert {split: len(open_camvid(camvid_root, domain, split)) for split in DOMAINS[domain]} == splits
    sample = open_camvid(camvid_root, "camvid-dusk", "test")[7]
    assert sample.image.shape == (360, 480, 3) and sample.label.shape == (360, 480)
    assert set(np.unique(sample.label)) <= {*range(11), 255}


# --- limit


def test_limits_are_nested_and_end_at_the_whole_split(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    whole = open_camvid(tmp_path)
    subsets = [open_camvid(tmp_path, limit=limit).names for limit in range(1, 7)]
    assert [len(names) for names in subsets] == [1, 2, 3, 4, 5, 6]
    assert all(set(small) < set(large) for small, large in zip(subsets, subsets[1:], strict=False))
    assert subsets[-1] == whole.names and open_camvid(tmp_path, limit=6).fingerprint() == whole.fingerprint()


def test_a_limit_chooses_the_same_samples_for_ever() -> None:
    total = scenes.SPLITS["train"]
    chosen = np.random.RandomState(0).permutation(total)[:5]
    data = open_domain(f"scenes-{SCENES}", "train", root=None, cache=Path("unused"), limit=5)
    assert [int(name) for name in data.names] == sorted(chosen)


@pytest.mark.parametrize("limit", [0, -1, 7])
def test_a_limit_that_cannot_be_met_is_refused(tmp_path: Path, limit: int) -> None:
    make_camvid(tmp_path)
    assert f"limit {limit}" in error_at_opening(tmp_path, limit=limit)


# --- fingerprint


def test_the_fingerprint_follows_content_not_place_or_time(tmp_path: Path) -> None:
    first = open_camvid(make_camvid(tmp_path / "a")).fingerprint()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert open_camvid(tmp_path / "b").fingerprint() == first
    for path in (image_file(tmp_path / "b", NAMES[3]), label_file(tmp_path / "b", NAMES[3])):
        before = path.read_bytes()
        path.write_bytes(before[:60] + bytes([before[60] ^ 1]) + before[61:])
        assert open_camvid(tmp_path / "b").fingerprint() != first
        path.write_bytes(before)
    for path in (image_file(tmp_path / "b", NAMES[3]), label_file(tmp_path / "b", NAMES[3])):
        path.rename(path.with_stem("0016E5_9"))
    assert open_camvid(tmp_path / "b").fingerprint() != first


def test_fingerprints_differ_between_domains_splits_and_limits(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    make_camvid(tmp_path, split="test")
    data = [open_camvid(tmp_path, split=split, limit=limit) for split in ("train", "test") for limit in (1, 2, None)]
    data += [open_camvid(tmp_path, "camvid-dusk"), open_camvid(tmp_path, "camvid-dusk", "test")]
    for name in scenes.DOMAINS:
        data += [open_domain(f"scenes-{name}", "train", root=None, cache=tmp_path, limit=limit) for limit in (1, 2, 3)]
    assert len({item.fingerprint() for item in data}) == len(data)


def test_the_fingerprint_of_scenes_needs_no_rendering(tmp_path: Path) -> None:
    open_domain(f"scenes-{SCENES}", "train", root=None, cache=tmp_path / "cache").fingerprint()
    assert not (tmp_path / "cache").exists()


# --- scenes and their cache


def test_scenes_are_what_is_rendered_on_first_and_on_later_use(tmp_path: Path) -> None:
    data = open_scenes(tmp_path, "test")
    assert data.space == CITYSCAPES19 and len(data) == scenes.SPLITS["test"]
    image, label = scenes.render(SCENES, "test", 2)
    for _ in range(2):
        sample = data[2]
        assert np.array_equal(sample.image, image) and np.array_equal(sample.label, label)
        assert (sample.domain, sample.name) == (f"scenes-{SCENES}", "00002")
    assert {path.name for path in tmp_path.rglob("*.*")} == {"00002.png", "00002_label.png"}
    assert all(f"scenes-v{scenes.VERSION}" in path.parts for path in tmp_path.rglob("*.png"))


def test_limited_scenes_are_those_of_the_whole_split(tmp_path: Path) -> None:
    sample = open_scenes(tmp_path, limit=3)[1]
    assert np.array_equal(sample.image, scenes.render(SCENES, "train", int(sample.name))[0])


def test_scenes_are_read_from_the_cache(tmp_path: Path) -> None:
    data = open_scenes(tmp_path)
    data[0]
    black = np.zeros_like(data[0].image)
    Image.fromarray(black).save(next(tmp_path.rglob("00000.png")))
    assert np.array_equal(data[0].image, black)


@pytest.mark.parametrize("which", ["00000.png", "00000_label.png"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_a_torn_cached_scene_is_rendered_again(tmp_path: Path, which: str, kept: float) -> None:
    data = open_scenes(tmp_path)
    good = data[0]
    path = next(tmp_path.rglob(which))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    sample = data[0]
    assert np.array_equal(sample.image, good.image) and np.array_equal(sample.label, good.label)
    assert path.read_bytes() == content


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands where the folder should be")
    assert "cannot write scene cache" in error_of(open_scenes(tmp_path / "cache"))


# --- bad input, at opening


def test_an_unknown_domain_names_the_nearest(tmp_path: Path) -> None:
    message = error_at_opening(tmp_path, "camvid-dask")
    assert "did you mean 'camvid-dusk'?" in message and "camvid-dask" in message


def test_an_unknown_split_names_those_there_are(tmp_path: Path) -> None:
    assert "did you mean 'train'?" in error_at_opening(tmp_path, split="trian")
    message = error_at_opening(tmp_path, "camvid-dusk", "val")
    assert "no split 'val'" in message and "it has train, test" in message


def test_a_missing_root_says_how_to_give_one(tmp_path: Path) -> None:
    assert "DATA_ROOT" in error_at_opening(None) and "--data-root" in error_at_opening(None)
    assert "DATA_ROOT" in error_at_opening(tmp_path)  # a root without camvid/


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    assert str(tmp_path / "camvid" / "test") in error_at_opening(tmp_path, split="test")
    shutil.rmtree(tmp_path / "camvid" / "trainannot")
    assert str(tmp_path / "camvid" / "trainannot") in error_at_opening(tmp_path)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    make_camvid(tmp_path, names=())
    assert str(tmp_path / "camvid" / "train") in error_at_opening(tmp_path)


def test_an_image_without_label_is_named(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    label_file(tmp_path, NAMES[2]).unlink()
    message = error_at_opening(tmp_path)
    assert str(image_file(tmp_path, NAMES[2])) in message and "no label" in message


def test_labels_without_image_are_named_and_counted(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    for name in NAMES[1:3]:
        image_file(tmp_path, name).unlink()
    message = error_at_opening(tmp_path)
    assert str(label_file(tmp_path, NAMES[1])) in message and "no image" in message and "2 such labels" in message


def test_two_images_of_one_stem_are_refused(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    shutil.copy(image_file(tmp_path, NAMES[0]), image_file(tmp_path, NAMES[0], ".jpg"))
    assert f"{NAMES[0]}.jpg and {NAMES[0]}.png" in error_at_opening(tmp_path)


def test_a_file_of_no_sequence_is_refused(tmp_path: Path) -> None:
    make_camvid(tmp_path, names=(*NAMES, "holiday"))
    for domain in ("camvid", "camvid-dusk"):
        assert "holiday.png" in error_at_opening(tmp_path, domain)


def test_a_domain_without_a_single_image_is_refused(tmp_path: Path) -> None:
    make_camvid(tmp_path, names=NAMES[2:])
    assert "0001TP" in error_at_opening(tmp_path, "camvid-dusk")


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    for folder in ("train", "trainannot"):
        (tmp_path / "camvid" / folder / "._0001TP_1.png").write_bytes(b"left by a file manager")
        (tmp_path / "camvid" / folder / "Thumbs.db").write_bytes(b"")
    assert len(open_camvid(tmp_path)) == len(NAMES)


# --- bad input, at reading


def test_ids_outside_the_encoding_are_named(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    ids = np.zeros((6, 8), dtype=np.uint8)
    ids[0, :3] = (34, 12, 255)
    Image.fromarray(ids).save(label_file(tmp_path, NAMES[0]))
    message = error_of(open_camvid(tmp_path))
    assert "ids 12, 34, 255:" in message and str(label_file(tmp_path, NAMES[0])) in message


def test_sizes_must_agree(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    Image.fromarray(np.zeros((8, 6), dtype=np.uint8)).save(label_file(tmp_path, NAMES[0]))
    message = error_of(open_camvid(tmp_path))
    assert "8x6" in message and "6x8" in message


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_label_must_have_one_channel(tmp_path: Path, mode: str) -> None:
    make_camvid(tmp_path)
    label = Image.open(label_file(tmp_path, NAMES[0]))
    label.convert(mode).save(label_file(tmp_path, NAMES[0]))
    message = error_of(open_camvid(tmp_path))
    assert f"has mode {mode}:" in message and str(label_file(tmp_path, NAMES[0])) in message


@pytest.mark.parametrize(("mode", "suffix"), [("L", ".png"), ("RGBA", ".png"), ("P", ".png"), ("CMYK", ".jpg")])
def test_an_image_must_be_rgb(tmp_path: Path, mode: str, suffix: str) -> None:
    make_camvid(tmp_path, suffix=suffix)
    path = image_file(tmp_path, NAMES[0], suffix)
    Image.open(path).convert(mode).save(path)
    message = error_of(open_camvid(tmp_path))
    assert f"has mode {mode}:" in message and str(path) in message


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_truncated_image_is_named_wherever_it_ends(tmp_path: Path, suffix: str) -> None:
    make_camvid(tmp_path, suffix=suffix)
    path = image_file(tmp_path, NAMES[0], suffix)
    content = path.read_bytes()
    for kept in range(0, len(content) - 40, 7):  # the last bytes are checksums and end marks, not pixels
        path.write_bytes(content[:kept])
        assert f"cannot read image {path}" in error_of(open_camvid(tmp_path))


def test_damaged_bytes_give_a_message_or_a_picture_never_a_crash(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    path, rng = label_file(tmp_path, NAMES[0]), np.random.default_rng(0)
    content = path.read_bytes()
    for _ in range(300):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            open_camvid(tmp_path)[0]
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error)


def test_a_text_file_is_no_image(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    label_file(tmp_path, NAMES[0]).write_text("not a picture")
    assert f"cannot read label {label_file(tmp_path, NAMES[0])}" in error_of(open_camvid(tmp_path))


def test_a_jpeg_label_is_refused_whatever_its_name(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    Image.fromarray(np.zeros((6, 8), dtype=np.uint8)).save(label_file(tmp_path, NAMES[0]), format="JPEG")
    assert "cannot read label" in error_of(open_camvid(tmp_path))


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    data = open_camvid(tmp_path)
    image_file(tmp_path, NAMES[0]).unlink()
    assert str(image_file(tmp_path, NAMES[0])) in error_of(data)
    with pytest.raises(InputError, match="cannot read"):
        data.fingerprint()


def test_samples_end_where_the_data_ends(tmp_path: Path) -> None:
    data = open_camvid(make_camvid(tmp_path))
    assert data[-1].name == NAMES[-1]
    with pytest.raises(IndexError):
        data[len(NAMES)]
