"""How a trial says in which label space each of its domains was scored."""

import json

import pytest

from recyclelora.data.labels import CAMVID11, CITYSCAPES19, IDDLITE7, Grouping, LabelSpace
from recyclelora.trials.label_mapping import Scoring, describe, label_tags, read_scoring, scoring_of

WILD = LabelSpace("wild", ("track", "bush", "beast"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)),
                  (Grouping("cityscapes19", (("road", "track"), ("vegetation", "bush"), ("terrain", "bush"))),))


@pytest.mark.parametrize(("model", "target"), [(CITYSCAPES19, CAMVID11), (CAMVID11, CITYSCAPES19),
                                               (CAMVID11, IDDLITE7), (CITYSCAPES19, WILD), (WILD, CITYSCAPES19)])
def test_a_tag_holds_all_of_it(model: LabelSpace, target: LabelSpace) -> None:
    labels = {"source": model, "x": target, "y": target}
    assert read_scoring(label_tags(model, labels)) == scoring_of(model, labels)


def say(scoring: Scoring) -> str:
    scored: dict[str, list[str]] = {}
    for domain, space in scoring.spaces.items():
        scored.setdefault(space, []).append(domain)
    return describe(scored, scoring.maps)


def test_what_is_said() -> None:
    assert say(scoring_of(CAMVID11, {"source": CAMVID11, "x": CAMVID11})) == "camvid11"
    assert say(scoring_of(CITYSCAPES19, {"source": CITYSCAPES19, "day": CAMVID11, "dusk": CAMVID11})) == (
        "source in cityscapes19; day, dusk in camvid11 (of cityscapes19 building: building, wall; pavement: sidewalk; "
        "tree: vegetation, terrain; sign: traffic light, traffic sign; car: car, truck, bus, train; pedestrian: person; "
        "bicyclist: rider, motorcycle, bicycle; others by name)")
    assert say(scoring_of(IDDLITE7, {"source": IDDLITE7, "x": CITYSCAPES19})).startswith("iddlite7 (of cityscapes19 dri")
    joined = say(scoring_of(CAMVID11, {"source": CAMVID11, "x": IDDLITE7}))
    assert joined.startswith("source in camvid11; x in camvid11/iddlite7 (of camvid11 ") and "; of iddlite7 " in joined
    assert "always wrong: sidewalk, building" in say(scoring_of(CITYSCAPES19, {"x": WILD}))
    assert "not scored: beast" in say(scoring_of(CITYSCAPES19, {"x": WILD}))
    assert "always wrong: beast" in say(scoring_of(WILD, {"x": CITYSCAPES19}))


def test_a_mapping_too_long_for_a_tag_is_left_out_and_the_spaces_are_told() -> None:
    classes = tuple(f"{'a long name of a class ' * 4}{number}" for number in range(100))
    pairs = tuple(zip(CITYSCAPES19.classes, classes, strict=False))
    wide = LabelSpace("wide", classes, tuple((9, 9, number) for number in range(100)), (Grouping("cityscapes19", pairs),))
    tags = label_tags(CITYSCAPES19, {"x": wide})
    assert len(tags["label_mapping"]) < 200 and tags["label_space"] == "cityscapes19/wide"
    assert read_scoring(tags) == Scoring({"x": "cityscapes19/wide"}, {})


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"spaces": 1, "maps": {}}', json.dumps({"maps": []})])
def test_runs_of_before_and_foreign_tags_say_nothing(text: str) -> None:
    assert read_scoring({"label_mapping": text}) is None and read_scoring({}) is None
