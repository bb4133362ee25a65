"""A sheet as CSV: twelve figures, one number a column, and the runs behind each row."""

import csv
import io
import math
import re
from collections.abc import Iterable

from recyclelora.tables.formats.entries import line
from recyclelora.tables.sheet import Entry, Number, Sheet

RUNS = ("seeds", "fingerprints", "run_ids")  # the last columns; several values are parted by spaces
_PARTS = ("", "sd", "low", "high", "mark")
_FIGURE = re.compile(r"[-+]?((\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|inf)")
_FORMULA = re.compile(r"'*[=+\-@＝＋－＠]")  # one with an apostrophe gets another, so that both are known


def comma_separated(sheet: Sheet) -> str:
    """The text of a `.csv` file. Behind a column `<key>` stand, where some row has them, `<key> sd`, `<key> low`,
    `<key> high` and `<key> mark` (best or second, and the note). What is not known is left empty, so that a column of
    numbers stays one to who reads it."""
    columns = [[sheet.corner, *(row.label for row in sheet.rows)]]
    for place, column in enumerate(sheet.columns):
        split = [_split(row.entries[place]) for row in sheet.rows]
        for index, part in enumerate(_PARTS):
            cells = [parts[index] for parts in split]
            if index == 0 or any(cells):
                columns.append([f"{column.key} {part}".strip(), *cells])
    heads, *rows = zip(*columns, strict=True)
    return csv_text([[*_distinct(map(line, heads)), *RUNS], *(
        [*own, *(" ".join(map(str, some)) for some in (
            (run.seed for run in row.runs), (run.fingerprint for run in row.runs), (run.run_id for run in row.runs)))]
        for row, own in zip(sheet.rows, rows, strict=True))])


def csv_text(rows: Iterable[Iterable[str]]) -> str:
    """The text of a CSV file with these rows, in which no field is taken for a formula."""
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    for row in rows:
        writer.writerow(map(_text, row))
    return page.getvalue()


def _split(entry: Entry) -> tuple[str, ...]:
    """An entry as the fields of `_PARTS`; text is all in the first."""
    if not isinstance(entry, Number):
        return entry or "", "", "", "", ""
    figures = ("" if math.isnan(value) else f"{value:.12g}"
               for value in (entry.value, entry.sd, entry.low, entry.high))
    mark = "" if math.isnan(entry.value) else entry.mark
    return *figures, f"{mark} {entry.note}".strip()


def _distinct(heads: Iterable[str]) -> list[str]:
    """No two alike, and none like those of the runs: a reader that goes by names would lose one of them."""
    taken: dict[str, None] = dict.fromkeys(RUNS)
    for head in heads:
        name, count = head, 1
        while name in taken:
            count += 1
            name = f"{head} ({count})"
        taken[name] = None
    return list(taken)[len(RUNS):]


def _text(value: str) -> str:
    """Text that a spreadsheet takes for text: one that it would run as a formula gets an apostrophe in front."""
    text = line(value)
    return f"'{text}" if _FORMULA.match(text) and not _FIGURE.fullmatch(text) else text
