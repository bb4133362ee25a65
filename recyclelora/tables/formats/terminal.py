"""A sheet as plain text for a terminal, however narrow: no cell is left out."""

import io
import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from recyclelora.tables.formats.entries import Style, line, sentences, show
from recyclelora.tables.sheet import Entry, Number, Sheet

_BLANK = "\ufdd0"  # in place of a blank until rich, which takes blanks from the end of a line, is done; in no text
# A value and the mark behind it; or a line that stands below a value.
_FIGURE = re.compile(r"^([<±]?[-+]?[\d,.]+|±?[-+]?∞|\[[^]]*\])([*_]?)")
_FOLD = 32  # characters of text in a column, where there is little room


class _Strip(NamedTuple):
    """One column as text."""

    head: str
    cells: list[str]
    numeric: bool


def terminal(sheet: Sheet, width: int = 160) -> Text:
    """The table as text of at most `width` columns. Where it is wider, its headings lose what all domains share and
    are wrapped, then ± and intervals go below their values, then columns go below others."""
    page = io.StringIO()
    console = Console(file=page, width=width, color_system=None, force_terminal=False, legacy_windows=False)
    for table in _tables(sheet, console):
        console.print(table)
    for sentence in (*_legend(sheet), *sentences(sheet)):
        console.print(Text(sentence))
    rows = page.getvalue().replace(_BLANK, " ").splitlines()
    return Text("\n".join(row.rstrip() for row in rows), no_wrap=True, overflow="ignore")


def _tables(sheet: Sheet, console: Console) -> Iterator[Table]:
    """The sheet as one table if it fits, else as several with the same rows."""
    apart = [row.apart for row in sheet.rows]
    for short, stacked in ((False, False), (True, False), (True, True)):
        label, *strips = _strips(sheet, short, stacked)
        table = _draw([label, *strips], apart, short)
        if _fits(table, console):
            yield table
            return
    start, end = 0, max(1, len(strips))
    while start < end:
        stop = next((stop for stop in range(end, start + 1, -1)
                     if _fits(_draw([label, *strips[start:stop]], apart, True), console)), start + 1)
        yield _draw([label, *strips[start:stop]], apart, True)
        start = stop


def _fits(table: Table, console: Console) -> bool:
    return Measurement.get(console, console.options.update(width=100_000), table).maximum <= console.width


def _draw(strips: Sequence[_Strip], apart: Sequence[bool], short: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    for strip in strips:
        table.add_column(Text(strip.head), justify="right" if strip.numeric else "left", overflow="fold",
                         max_width=None if strip.numeric or not short else _FOLD)
    for number, cells in enumerate(zip(*(strip.cells for strip in strips), strict=True)):
        if number and apart[number] != apart[number - 1]:
            table.add_section()
        table.add_row(*map(Text, cells))
    return table


def _strips(sheet: Sheet, short: bool, stacked: bool) -> list[_Strip]:
    """The columns, that of the labels first."""
    style = _STYLE._replace(spread="\n±{}".format, interval="\n[{}, {}]".format) if stacked else _STYLE
    shared = _shared([column.heading for column in sheet.columns if column.numeric]) if short else ""

    def head(text: str) -> str:
        text = line(text)
        return text.removeprefix(shared).replace(".", ".\n").replace(" ", "\n") if short else text

    strips = [_Strip(head(sheet.corner), [show(row.label, style) for row in sheet.rows], False)]
    for place, column in enumerate(sheet.columns):
        entries = [row.entries[place] for row in sheet.rows]
        cells = [show(entry, style) for entry in entries]
        strips.append(_Strip(head(column.heading), _aligned(entries, cells) if column.numeric else cells,
                             column.numeric))
    return strips


def _aligned(entries: Sequence[Entry], cells: Sequence[str]) -> list[str]:
    """The cells of a column of numbers, their values below each other: where some have a mark, ±, an interval or a note
    behind the value, the others have blanks there."""
    stacked = any("\n" in cell for cell in cells)
    rows = [[_parted(line, stacked) for line in cell.split("\n")] if isinstance(entry, Number) else []
            for entry, cell in zip(entries, cells, strict=True)]
    marks, rests = (max((cell_len(parts[place]) for row in rows for parts in row), default=0) for place in (1, 2))
    return ["\n".join(parts[0] + (_filled(parts[1], marks) + _filled(parts[2], rests) if parts[0] else parts[2])
                      for parts in row) or cell for row, cell in zip(rows, cells, strict=True)]


def _parted(text: str, stacked: bool) -> tuple[str, str, str]:
    """A line's value, its mark, and the rest, to which the mark belongs where ± stands in a line of its own; what is no
    number is all rest."""
    found = _FIGURE.match(text)
    if not found:
        return "", "", text
    rest = text[found.end():]
    return (found[1], "", found[2] + rest) if stacked else (found[1], found[2], rest)


def _filled(text: str, width: int) -> str:
    return text + _BLANK * (width - cell_len(text))


def _shared(headings: Sequence[str]) -> str:
    """What the names of several domains begin with, up to a hyphen: `scenes-`."""
    domains = [heading for heading in map(line, headings) if "-" in heading]
    first, hyphen, _ = os.path.commonprefix(domains).rpartition("-")
    return first + hyphen if len(domains) > 1 else ""


def _legend(sheet: Sheet) -> list[str]:
    """What the marks mean: nothing else in plain text tells."""
    found = {entry.mark for row in sheet.rows for entry in row.entries if isinstance(entry, Number)}
    meant = [f"{sign} {name}" for sign, name in (("*", "best"), ("_", "second")) if name in found]
    return [f"{', '.join(meant)} of a column."] if meant else []


_STYLE = Style(text=line, figure=str, best="{}*".format, second="{}_".format, spread="±{}".format,
               interval=" [{}, {}]".format, note=str)
