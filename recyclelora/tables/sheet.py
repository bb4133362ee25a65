"""A table independent of its format: columns, rows of entries, and the runs behind each row."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

Mark = Literal["", "best", "second"]


class RunRef(NamedTuple):
    """One run behind a number."""

    run_id: str
    fingerprint: str
    seed: int


@dataclass(frozen=True)
class Number:
    """A value as it is printed: `value`, with ± `sd` or [`low`, `high`] where these are known (nan: not), to so many
    `digits`; `signed` prints a plus; a value from 0 up to `least` is printed as `<least`. `mark` says that it leads its
    column; `note` is a short mark behind it."""

    value: float
    sd: float = math.nan
    low: float = math.nan
    high: float = math.nan
    digits: int = 2
    signed: bool = False
    mark: Mark = ""
    note: str = ""
    least: float = 0.0


Entry = str | Number | None  # None: not known, printed as a dash


class Column(NamedTuple):
    """`key` is the metric or setting by its full name (CSV, `explain`), `heading` what is printed."""

    key: str
    heading: str
    numeric: bool = True


@dataclass(frozen=True)
class SheetRow:
    """`label` names the row and is printed in front of its `entries`, under the sheet's `corner`. `runs` are those
    behind its numbers, which every cell links to. `apart` rows stand below a rule (chance)."""

    label: str
    entries: tuple[Entry, ...]
    runs: tuple[RunRef, ...] = ()
    apart: bool = False


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """`name` is the stem of its files, such as `initialisation-scenes.differences`. `columns` and each row's `entries`
    have one length: the rows' labels stand before them, in a column of their own headed `corner`. `caption` is a list
    of sentences."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[SheetRow, ...]
    caption: tuple[str, ...] = ()
    corner: str = "cell"

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.entries) != len(self.columns):
                raise ValueError(f"{self.name}: row {row.label!r} has {len(row.entries)} entries for "
                                 f"{len(self.columns)} columns")
