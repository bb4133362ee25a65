"""The label space in which each domain of a trial is scored, and the mapping of its classes: one tag, read by
tables."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from recyclelora.data.labels import NO_COUNTERPART, LabelSpace, common_space, members

MAX_CHARACTERS = 5000  # of a tag in the store; classes beyond that are not spelled out

Classes = dict[str, tuple[str, ...]]  # class of the common space -> classes that it holds; "": those not scored


class Scoring(NamedTuple):
    """`spaces`: domain (or `source`) -> the space it is scored in. `maps`: that space -> each other space whose classes
    were put into it -> those classes that are not simply one class of the same name."""

    spaces: dict[str, str]
    maps: dict[str, dict[str, Classes]]


def scoring_of(model: LabelSpace, labels: Mapping[str, LabelSpace]) -> Scoring:
    """How a model of one label space is scored on domains of others, given by name. Raises InputError as
    `common_space`."""
    spaces: dict[str, str] = {}
    maps: dict[str, dict[str, Classes]] = {}
    for domain, space in labels.items():
        common = common_space(model, space)
        spaces[domain] = common.space.name
        for side, lut in ((model, common.source_lut), (space, common.target_lut)):
            if side.name != common.space.name:
                renamed = {name: held for name, held in members(side, lut, common.space).items() if held != (name,)}
                maps.setdefault(common.space.name, {})[side.name] = renamed
    return Scoring(spaces, maps)


def label_tags(model: LabelSpace, labels: Mapping[str, LabelSpace]) -> dict[str, str]:
    """`label_space`, the names of the spaces in which there are scores, and `label_mapping`, all of Scoring."""
    scoring = scoring_of(model, labels)
    text = json.dumps(scoring._asdict(), separators=(",", ":"))
    if len(text) > MAX_CHARACTERS:
        text = json.dumps(scoring._replace(maps={})._asdict(), separators=(",", ":"))
    return {"label_space": "+".join(sorted(set(scoring.spaces.values()))), "label_mapping": text}


def read_scoring(tags: Mapping[str, str]) -> Scoring | None:
    """What `label_tags` wrote; None for a run that was recorded without it."""
    try:
        found = json.loads(tags.get("label_mapping", ""))
        maps = {common: {space: {name: tuple(held) for name, held in classes.items()}
                         for space, classes in each.items()} for common, each in found["maps"].items()}
        return Scoring(dict(found["spaces"]), maps)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def describe(scored: Mapping[str, Sequence[str]], maps: Mapping[str, Mapping[str, Classes]]) -> str:
    """`source in cityscapes19; camvid-day, camvid-dusk in camvid11 (of cityscapes19 sign: traffic light, traffic sign;
    ...)`, where `scored` is label space -> domains. The name alone where all are scored in one space as it is."""
    said = []
    for space, domains in scored.items():
        mapped = "; ".join(f"of {other} {_spell(classes)}" for other, classes in maps.get(space, {}).items())
        named = space if len(scored) == 1 else f"{', '.join(domains)} in {space}"
        said.append(f"{named} ({mapped})" if mapped else named)
    return "; ".join(said)


def _spell(classes: Classes) -> str:
    """`sign: traffic light, traffic sign; tree: ...; others by name`, and last what is not scored."""
    kept = [f"{name}: {', '.join(held)}" for name, held in classes.items() if name not in ("", NO_COUNTERPART)]
    lost = [f"not scored: {', '.join(classes[''])}"] if "" in classes else []
    wrong = [f"always wrong: {', '.join(classes[NO_COUNTERPART])}"] if NO_COUNTERPART in classes else []
    return "; ".join([*kept, "others by name", *lost, *wrong])
