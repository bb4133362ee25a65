import numpy as np
import pytest

from recyclelora.data.labels import CAMVID11, CITYSCAPES19, GROUPINGS, LabelSpace, colourise, common_space
from recyclelora.errors import InputError

CITYSCAPES_COLOURS = {  # as in the label table of the Cityscapes dataset
    "road": (128, 64, 128), "sidewalk": (244, 35, 232), "building": (70, 70, 70), "wall": (102, 102, 156),
    "fence": (190, 153, 153), "pole": (153, 153, 153), "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0), "vegetation": (107, 142, 35), "terrain": (152, 251, 152),
    "sky": (70, 130, 180), "person": (220, 20, 60), "rider": (255, 0, 0), "car": (0, 0, 142), "truck": (0, 0, 70),
    "bus": (0, 60, 100), "train": (0, 80, 100), "motorcycle": (0, 0, 230), "bicycle": (119, 11, 32),
}  # fmt: skip
CAMVID_CLASSES = "sky building pole road pavement tree sign fence car pedestrian bicyclist".split()


def test_cityscapes_has_the_standard_order_and_colours() -> None:
    assert dict(zip(CITYSCAPES19.classes, CITYSCAPES19.palette, strict=True)) == CITYSCAPES_COLOURS
    assert CITYSCAPES19.classes == tuple(CITYSCAPES_COLOURS)


def test_camvid_has_the_ids_of_its_label_files() -> None:
    assert CAMVID11.classes == tuple(CAMVID_CLASSES)


@pytest.mark.parametrize("space", [CITYSCAPES19, CAMVID11])
def test_classes_and_colours_of_a_space_are_distinct(space: LabelSpace) -> None:
    assert len(set(space.classes)) == len(set(space.palette)) == len(space.classes)
    assert (0, 0, 0) not in space.palette  # the colour of ignored pixels


@pytest.mark.parametrize("space", [CITYSCAPES19, CAMVID11])
def test_a_space_is_compared_with_itself_as_it_is(space: LabelSpace) -> None:
    common = common_space(space, space)
    assert common.space == space
    for lut in (common.source_lut, common.target_lut):
        assert lut.dtype == np.uint8 and lut.tolist() == list(range(256))


def test_the_coarser_space_is_common_whichever_side_it_is_on() -> None:
    forward, backward = common_space(CITYSCAPES19, CAMVID11), common_space(CAMVID11, CITYSCAPES19)
    assert forward.space == backward.space == CAMVID11
    assert np.array_equal(forward.source_lut, backward.target_lut)
    assert forward.target_lut.tolist() == backward.source_lut.tolist() == list(range(256))


@pytest.mark.parametrize(("fine", "coarse"), GROUPINGS)
def test_a_grouping_covers_both_spaces(fine: LabelSpace, coarse: LabelSpace) -> None:
    lut = common_space(fine, coarse).source_lut
    assert GROUPINGS[fine, coarse].keys() == set(fine.classes)
    assert set(lut[: len(fine.classes)].tolist()) == set(range(len(coarse.classes)))
    assert (lut[len(fine.classes) :] == 255).all()


@pytest.mark.parametrize(
    ("cityscapes", "camvid"),
    [("road", "road"), ("sidewalk", "pavement"), ("wall", "building"), ("traffic light", "sign"), ("terrain", "tree"),
     ("bus", "car"), ("train", "car"), ("person", "pedestrian"), ("rider", "bicyclist"), ("motorcycle", "bicyclist")],
)  # fmt: skip
def test_cityscapes_classes_join_the_camvid_class_of_the_same_things(cityscapes: str, camvid: str) -> None:
    lut = common_space(CITYSCAPES19, CAMVID11).source_lut
    assert CAMVID11.classes[lut[CITYSCAPES19.classes.index(cityscapes)]] == camvid


def test_spaces_without_a_grouping_are_refused() -> None:
    other = LabelSpace("toy2", ("a", "b"), ((1, 1, 1), (2, 2, 2)))
    with pytest.raises(InputError, match=r"^label spaces toy2 and camvid11 cannot be compared.*$"):
        common_space(other, CAMVID11)


def test_colours_are_those_of_the_palette_pixel_by_pixel() -> None:
    label = np.random.default_rng(0).choice([*range(11), 200, 255], size=(7, 9)).astype(np.uint8)
    picture = colourise(label, CAMVID11)
    assert picture.shape == (7, 9, 3) and picture.dtype == np.uint8
    for place, train_id in np.ndenumerate(label):
        assert tuple(picture[place]) == (CAMVID11.palette[train_id] if train_id < 11 else (0, 0, 0))
