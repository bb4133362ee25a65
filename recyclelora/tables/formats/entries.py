"""Shared by all formats: text on one line, the digits of a number, and the order of the parts of an entry."""

import math
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

from recyclelora.runs.encoding import clean
from recyclelora.tables.sheet import Entry, Number, RunRef, Sheet

Link = Callable[[Sequence[RunRef]], str | None]  # the address of the page that shows these runs

UNKNOWN = "–"
_JOINERS = "\u200c\u200d"  # hidden too, but parts of words and of emoji


class Style(NamedTuple):
    """How one format writes plain text, a figure such as `-0.31`, the marks, what follows the value, and a note."""

    text: Callable[[str], str]
    figure: Callable[[str], str]
    best: Callable[[str], str]
    second: Callable[[str], str]
    spread: Callable[[str], str]
    interval: Callable[[str, str], str]
    note: Callable[[str], str]


class Figures(NamedTuple):
    """The parts of a number, rounded; "" for one that is not known."""

    value: str
    sd: str
    low: str
    high: str


def show(entry: Entry, style: Style) -> str:
    """One entry of a table in that style. Blank text is as unknown as None: a cell always shows something."""
    if not isinstance(entry, Number):
        return style.text(line(entry or "") or UNKNOWN)
    value, sd, low, high = (_figure(text, style) for text in figures(entry))
    mark = {"best": style.best, "second": style.second}.get(entry.mark, str)
    unknown = style.text(UNKNOWN)
    text = mark(value) if value else unknown
    text += style.spread(sd) if sd else ""
    text += style.interval(low or unknown, high or unknown) if low or high else ""
    note = line(entry.note)
    return text + (style.note(style.text(note)) if note else "")


def _figure(text: str, style: Style) -> str:
    """A figure, and the sign `<` before one as text, which some formats spell otherwise."""
    return style.text("<") + style.figure(text[1:]) if text.startswith("<") else style.figure(text)


def figures(number: Number) -> Figures:
    """The number's parts to its digits, thousands apart, with an ASCII minus and ∞; a rounded zero has no minus."""
    sign = "+" if number.signed else ""

    def rounded(value: float, sign: str = sign) -> str:
        return "" if math.isnan(value) else f"{value:{sign}z,.{number.digits}f}".replace("inf", "∞")

    tiny = 0 <= number.value < number.least
    value = "<" + rounded(number.least, "") if tiny else rounded(number.value)
    return Figures(value, rounded(number.sd, ""), rounded(number.low), rounded(number.high))


def sentences(sheet: Sheet) -> list[str]:
    """The caption, without blanks."""
    return [text for text in map(line, sheet.caption) if text]


def line(text: str) -> str:
    """Text on one line, all of it to be seen: white space and control characters of any kind become one space, and
    what would turn the text around or hide in it (Unicode's category Cf) is named, as in `<U+202E>`."""
    return " ".join("".join(map(_visible, clean(text))).split())


def _visible(sign: str) -> str:
    kind = unicodedata.category(sign)
    if kind == "Cf" and sign not in _JOINERS:
        return named(sign)
    return " " if kind == "Cc" else sign


def named(sign: str) -> str:
    """A character by its number, for where it cannot be shown."""
    return f"<U+{ord(sign):04X}>"
