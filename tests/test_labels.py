import numpy as np
import pytest

from recyclelora.data.labels import (
    CAMVID11,
    CITYSCAPES19,
    IDDLITE7,
    NO_COUNTERPART,
    SPACES,
    Grouping,
    LabelSpace,
    colourise,
    common_space,
    members,
)
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


@pytest.mark.parametrize("space", SPACES.values())
def test_classes_and_colours_of_a_space_are_distinct(space: LabelSpace) -> None:
    assert len(set(space.classes)) == len(set(space.palette)) == len(space.classes)
    assert (0, 0, 0) not in space.palette  # the colour of ignored pixels


@pytest.mark.parametrize("space", SPACES.values())
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


@pytest.mark.parametrize("coarse", [CAMVID11, IDDLITE7])
def test_a_grouping_covers_both_spaces(coarse: LabelSpace) -> None:
    lut = common_space(CITYSCAPES19, coarse).source_lut
    assert [grouping.fine for grouping in coarse.groups] == ["cityscapes19"]
    assert dict(coarse.groups[0].pairs).keys() == set(CITYSCAPES19.classes)
    assert set(lut[:19].tolist()) == set(range(len(coarse.classes)))
    assert (lut[19:] == 255).all()


@pytest.mark.parametrize(
    ("cityscapes", "camvid"),
    [("road", "road"), ("sidewalk", "pavement"), ("wall", "building"), ("traffic light", "sign"), ("terrain", "tree"),
     ("bus", "car"), ("train", "car"), ("person", "pedestrian"), ("rider", "bicyclist"), ("motorcycle", "bicyclist")],
)  # fmt: skip
def test_cityscapes_classes_join_the_camvid_class_of_the_same_things(cityscapes: str, camvid: str) -> None:
    lut = common_space(CITYSCAPES19, CAMVID11).source_lut
    assert CAMVID11.classes[lut[CITYSCAPES19.classes.index(cityscapes)]] == camvid


@pytest.mark.parametrize(("cityscapes", "iddlite"), [
    ("road", "drivable"), ("sidewalk", "non-drivable"), ("terrain", "non-drivable"), ("rider", "living thing"),
    ("bicycle", "vehicle"), ("wall", "roadside object"), ("traffic light", "roadside object"),
    ("building", "far object"), ("vegetation", "far object"), ("sky", "sky")])
def test_cityscapes_classes_join_the_class_of_idd_that_holds_them(cityscapes: str, iddlite: str) -> None:
    lut = common_space(CITYSCAPES19, IDDLITE7).source_lut
    assert IDDLITE7.classes[lut[CITYSCAPES19.classes.index(cityscapes)]] == iddlite


def toy(name: str, classes: str, **groups: str) -> LabelSpace:
    """`toy("x", "a b", fine="p:a q:b")`: classes a and b; a holds class p of space fine, b holds q."""
    palette = tuple((10 + index, 20, 30) for index in range(len(classes.split())))
    pairs = {fine: tuple(tuple(pair.split(":")) for pair in text.split()) for fine, text in groups.items()}
    return LabelSpace(name, tuple(classes.split()), palette,
                      tuple(Grouping(fine, each) for fine, each in pairs.items()))  # type: ignore[arg-type]


def merge_literally(pairs: list[tuple[str, str]]) -> set[frozenset[tuple[int, str]]]:
    """Classes of two sides, merged pair by pair for as long as two merged classes share one."""
    merged = [{(0, one), (1, other)} for one, other in pairs]
    for _ in range(len(pairs)):
        for place, each in enumerate(merged):
            for other in merged[:place]:
                if other & each:
                    other |= each
                    each.clear()
    return {frozenset(each) for each in merged if each}


@pytest.mark.parametrize("seed", range(20))
def test_the_join_is_what_merging_pair_by_pair_gives(seed: int) -> None:
    """Random partitions of the Cityscapes classes, some of which no class holds."""
    rng = np.random.default_rng(seed)
    spaces = []
    for name in ("one", "two"):
        wide = sorted(rng.choice(list("abcdefghi"), size=rng.integers(5, 10), replace=False))
        text = " ".join(f"{fine.replace(' ', '_')}:{rng.choice(wide)}" for fine in CITYSCAPES19.classes if rng.random() < 0.5)
        made = toy(name, " ".join(wide), cityscapes19=text)
        pairs = tuple((fine.replace("_", " "), coarse) for fine, coarse in made.groups[0].pairs)
        spaces.append(made._replace(groups=(Grouping("cityscapes19", pairs),)))
    one, two = (dict(space.groups[0].pairs) for space in spaces)
    expected = merge_literally([(one[fine], two[fine]) for fine in one.keys() & two.keys()])
    try:
        common = common_space(*spaces)
    except InputError as error:
        assert len(expected) < 2 and "would remain, and two are needed" in str(error)
        return
    found = [members(space, lut, common.space) for space, lut in zip(spaces, common[1:], strict=True)]
    assert expected == {frozenset([*((0, name) for name in found[0][cls]), *((1, name) for name in found[1][cls])])
                        for cls in common.space.classes if cls != NO_COUNTERPART}
    assert set(found[0].get(NO_COUNTERPART, ())) == set(spaces[0].classes) - {name for part in expected
                                                                             for side, name in part if side == 0}
    assert set(found[1].get("", ())) == set(spaces[1].classes) - {name for part in expected
                                                                for side, name in part if side == 1}
    assert len(set(common.space.classes)) == len(set(common.space.palette)) == len(common.space.classes)
    backward = common_space(*reversed(spaces))
    assert backward.space.name == common.space.name and set(backward.space.classes) - {NO_COUNTERPART} == (
        set(common.space.classes) - {NO_COUNTERPART})


def test_two_spaces_that_group_a_third_are_compared_in_their_join() -> None:
    """CamVid's building holds walls, which are roadside objects for IDD-Lite, whose buildings are far objects; ..."""
    common = common_space(CAMVID11, IDDLITE7)
    assert common.space.name == "camvid11/iddlite7" == common_space(IDDLITE7, CAMVID11).space.name
    still = "non-drivable or roadside object or far object"
    assert members(CAMVID11, common.source_lut, common.space) == {
        "sky": ("sky",), still: ("building", "pole", "pavement", "tree", "sign", "fence"), "drivable": ("road",),
        "living thing or vehicle": ("car", "pedestrian", "bicyclist")}
    assert members(IDDLITE7, common.target_lut, common.space) == {
        "sky": ("sky",), still: ("non-drivable", "roadside object", "far object"), "drivable": ("drivable",),
        "living thing or vehicle": ("living thing", "vehicle")}
    assert common.source_lut[11:].tolist() == [255] * 245 and common.target_lut[7:].tolist() == [255] * 249


def test_a_class_without_counterpart_is_ignored_as_label_and_wrong_as_prediction() -> None:
    wild = toy("wild", "track bush beast", cityscapes19="road:track sidewalk:track vegetation:bush terrain:bush")
    labels, predictions = common_space(CITYSCAPES19, wild), common_space(wild, CITYSCAPES19)
    assert labels.space.classes == ("track", "bush", NO_COUNTERPART)  # cars and skies, which the model may predict
    assert labels.target_lut[:4].tolist() == [0, 1, 255, 255]
    assert labels.source_lut[:3].tolist() == [0, 0, 2] and labels.source_lut[255] == 255
    assert predictions.space.classes == ("track", "bush", NO_COUNTERPART)
    assert predictions.source_lut[:4].tolist() == [0, 1, 2, 255] and predictions.target_lut[2] == 255


def test_a_chain_may_be_longer_than_one_step() -> None:
    """Through CamVid's classes, which group those of Cityscapes, which those of IDD-Lite group as well."""
    ground = toy("ground", "flat above", camvid11="road:flat sky:above")
    common = common_space(ground, IDDLITE7)
    assert common.space.name == "ground/iddlite7" and common.space.classes == ("flat", "above")
    assert members(IDDLITE7, common.target_lut, common.space) == {
        "flat": ("drivable",), "above": ("sky",), "": IDDLITE7.classes[1:6]}


def test_a_word_that_means_two_things_names_no_two_classes() -> None:
    one = toy("one", "thing b c", cityscapes19="road:thing sky:b car:c truck:c")
    two = toy("two", "x y thing z", cityscapes19="road:x sidewalk:x sky:y car:thing truck:z")
    common = common_space(one, two)
    assert len(set(common.space.classes)) == len(common.space.classes) == 3


def test_spaces_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(InputError, match=r"^label spaces toy2 and camvid11 cannot be compared.*both group a third$"):
        common_space(toy("toy2", "a b"), CAMVID11)
    everything = toy("all", "all", cityscapes19=" ".join(f"{name}:all" for name in ("road", "sky", "car")))
    with pytest.raises(InputError, match=r"^label spaces all and camvid11 cannot be compared: 1 common class would"):
        common_space(CAMVID11, everything)
    nothing = toy("nothing", "a b", cityscapes19="")
    with pytest.raises(InputError, match=r"0 common classes would remain, and two are needed$"):
        common_space(nothing, IDDLITE7)
    with pytest.raises(InputError, match=r"^two label spaces have the name camvid11 and different classes"):
        common_space(CAMVID11, toy("camvid11", "a b"))


def test_colours_are_those_of_the_palette_pixel_by_pixel() -> None:
    label = np.random.default_rng(0).choice([*range(11), 200, 255], size=(7, 9)).astype(np.uint8)
    picture = colourise(label, CAMVID11)
    assert picture.shape == (7, 9, 3) and picture.dtype == np.uint8
    for place, train_id in np.ndenumerate(label):
        assert tuple(picture[place]) == (CAMVID11.palette[train_id] if train_id < 11 else (0, 0, 0))
