"""What a declaration says of the labels: the classes, the classes of other spaces that they hold, the ids in files."""

import re
from collections.abc import Iterator
from typing import TypeGuard

from recyclelora.data.labels import IGNORE, NO_COUNTERPART, SPACES, Grouping, LabelSpace
from recyclelora.documents import Document, Plain, nearest
from recyclelora.errors import InputError

IGNORED, OTHERS = "ignore", "others"
RESERVED = (IGNORED, OTHERS, NO_COUNTERPART)
MOST_CLASSES = 254  # 255 is ignored, and one is kept for predictions without counterpart
CLASS = re.compile(r"[\w.-]+( [\w.-]+)*")


def read_space(document: Document, name: str) -> LabelSpace:
    """The label space of a declaration: one that is known, or its own, called `name`. Raises InputError with the
    line."""
    if "space" in document.data:
        for key in ("classes", "groups"):
            if key in document.data:
                raise _wrong(document, "means nothing beside space; leave one of them out", key)
        chosen = document.data["space"]
        if not isinstance(chosen, str) or chosen not in SPACES:
            raise _wrong(document, f"{chosen!r} is not known{nearest(str(chosen), SPACES)}", "space")
        return SPACES[chosen]
    given = document.data.get("classes")
    if not isinstance(given, dict) or not 2 <= len(given) <= MOST_CLASSES:
        raise _wrong(document, f"expected 2 to {MOST_CLASSES} names with colours, such as road: [128, 64, 128]; or "
                     f"space: {next(iter(SPACES))}", "classes")
    palette: list[tuple[int, int, int]] = []
    for cls, value in given.items():
        if not CLASS.fullmatch(cls) or cls in RESERVED:
            raise _wrong(document, "is no name for a class; use letters, digits, spaces, -, . and _, and none of "
                         f"{', '.join(RESERVED)}", "classes", cls)
        colour = _colour(document, cls, value)
        if colour in palette or colour == (0, 0, 0):
            whose = "another class" if colour in palette else "ignored pixels"
            raise _wrong(document, f"its colour {value!r} is that of {whose}; choose another", "classes", cls)
        palette.append(colour)
    return LabelSpace(name, tuple(given), tuple(palette), tuple(_groups(document, tuple(given))))


def read_ids(document: Document, space: LabelSpace) -> dict[int, int]:
    """Id in the label files -> train id; the train ids themselves where nothing is said. Raises InputError with the
    line."""
    train_ids = {cls: train_id for train_id, cls in enumerate(space.classes)} | {IGNORED: IGNORE}
    if "ids" not in document.data:
        return {train_id: train_id for train_id in train_ids.values()}
    given = document.data["ids"]
    if not isinstance(given, dict) or not given:
        raise _wrong(document, "expected classes with their ids in the label files, such as "
                     f"{{{space.classes[0]}: [1, 2], {space.classes[1]}: 7, {IGNORED}: {OTHERS}}}", "ids")
    owner: dict[int, str] = {}
    for cls, values in given.items():
        _require(document, cls, tuple(train_ids), "ids", cls)
        for value in [] if (cls, values) == (IGNORED, OTHERS) else _listed(values):
            if not _is_byte(value):
                raise _wrong(document, f"{value!r} is no id; expected whole numbers from 0 to 255", "ids", cls)
            if owner.setdefault(value, cls) != cls:
                raise _wrong(document, f"{value} is given to {owner[value]} already; choose one", "ids", cls)
    without = [cls for cls in space.classes if cls not in owner.values()]
    if without and "classes" in document.data:
        raise _wrong(document, f"{without[0]} has none; give each class its ids, or leave the class out", "ids")
    others = dict.fromkeys(range(256), IGNORE) if given.get(IGNORED) == OTHERS else {}
    return others | {value: train_ids[cls] for value, cls in owner.items()}


def _groups(document: Document, classes: tuple[str, ...]) -> Iterator[Grouping]:
    given = document.data.get("groups", {})
    if not isinstance(given, dict):
        raise _wrong(document, f"expected a label space with classes, such as cityscapes19: {{{classes[0]}: [road]}}",
                     "groups")
    for fine, held in given.items():
        if fine not in SPACES:
            raise _wrong(document, f"is no label space that is known{nearest(fine, SPACES)}", "groups", fine)
        if not isinstance(held, dict):
            raise _wrong(document, f"expected classes, such as {{{classes[0]}: [road]}}", "groups", fine)
        owner: dict[str, str] = {}
        for cls, names in held.items():
            _require(document, cls, classes, "groups", fine, cls)
            for name in map(str, _listed(names)):
                _require(document, name, SPACES[fine].classes, "groups", fine, cls)
                if owner.setdefault(name, cls) != cls:
                    raise _wrong(document, f"{name} is held by {owner[name]} already; choose one", "groups", fine, cls)
        yield Grouping(fine, tuple(owner.items()))


def _colour(document: Document, cls: str, given: Plain) -> tuple[int, int, int]:
    if isinstance(given, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", given):
        return int(given[1:3], 16), int(given[3:5], 16), int(given[5:], 16)
    values = [value for value in _listed(given) if _is_byte(value)]
    if isinstance(given, list) and len(given) == len(values) == 3:
        return values[0], values[1], values[2]
    raise _wrong(document, f"{given!r} is no colour; expected three numbers from 0 to 255, such as [128, 64, 128], or "
                 'quoted text such as "#804080"', "classes", cls)


def _require(document: Document, name: str, known: tuple[str, ...], *keys: str) -> None:
    if name not in known:
        raise _wrong(document, f"{name!r} is no class{nearest(name, known)}", *keys)


def _listed(value: Plain) -> list[Plain]:
    return value if isinstance(value, list) else [value]


def _is_byte(value: Plain) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _wrong(document: Document, message: str, *keys: str) -> InputError:
    return InputError(f"{document.where(*keys)}: {': '.join(keys)}: {message}")
