"""Finds the runs behind a number in a table."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from recyclelora.documents import nearest
from recyclelora.errors import InputError
from recyclelora.runs.planned_cells import PlannedCell
from recyclelora.runs.run import Sweep
from recyclelora.spaces.columns import BY_KEY, UNKNOWN, Fact, Quantity, code_of
from recyclelora.spaces.statement import Statement
from recyclelora.tables.cells import Cell, group
from recyclelora.tables.comparisons import baseline_of
from recyclelora.tables.formats.entries import Style, line, show
from recyclelora.tables.measures import scale_of
from recyclelora.tables.results_table import show as show_setting
from recyclelora.tables.sheet import Column, Entry, Number, Sheet, SheetRow
from recyclelora.tables.targets import beside
from recyclelora.trials.record import Record

Address = Callable[[Sequence[str]], str | None]  # run ids -> the page that shows them


class Source(NamedTuple):
    """One planned run and what it gave: `value` with all its digits, "" where it has none. `counted` runs are those
    that the number was computed from."""

    cell: str
    seed: int
    value: str
    counted: bool
    outcome: str  # finished, pruned, failed, not run
    reason: str
    run_id: str
    fingerprint: str
    commit: str
    url: str | None
    duplicates: str


class Change(NamedTuple):
    """A setting in which the row's cell differs from the baseline."""

    key: str
    here: str
    baseline: str


class Explanation(NamedTuple):
    """`printed` as it stands in the table, `formula` how it was computed; `url` shows all its runs at once."""

    table: str
    row: str
    column: str
    printed: str
    formula: str
    sources: tuple[Source, ...]
    baseline: str
    changes: tuple[Change, ...]
    url: str | None


def explain(sheets: Sequence[Sheet], sweep: Sweep, plan: Sequence[PlannedCell], records: Sequence[Record],
            statement: Statement, table: str, row: str, column: str, address: Address) -> Explanation:
    """What stands in a cell of a table, and where it comes from. `row` is a label or the beginning of one, `column` the
    key or the heading of one. Raises InputError, with what there is, for a cell that is not there."""
    sheet = find_sheet(sheets, table)
    found, place = find_row(sheet, row), find_column(sheet, column)
    chosen = sheet.columns[place]
    cells = group(sweep.name, plan, records) if plan else []
    kind = sheet.name.removeprefix(sweep.name).removeprefix(".")
    concerned = _concerned(kind, found, cells, statement, records)
    if chosen.key.endswith(" published") and not found.apart:
        concerned = []
    fingerprints = {(planned.cell, planned.seed): planned.fingerprint for planned in plan}
    sources = [source for cell in concerned for source in _sources(cell, chosen, fingerprints, address)]
    if kind in ("differences", "effects"):
        sources = _paired(sources)
    own = next((cell for cell in cells if cell.label == found.label), None)
    baseline = baseline_of(cells, statement) if cells else None
    ids = [source.run_id for source in sources if source.counted and source.run_id]
    counted = len({source.seed for source in sources if source.counted})
    return Explanation(
        sheet.name, found.label, chosen.key, _printed(found.entries[place]),
        _formula(kind, found, chosen, concerned, statement, counted), tuple(sources),
        baseline.label if baseline else "", _changes(own, baseline) if own and baseline and sources else (),
        address(ids) if ids else None)


def lines(explanation: Explanation) -> list[str]:
    """The explanation as text, one fact a line."""
    told = [line(f"{explanation.table}, row {explanation.row}, column {explanation.column}: {explanation.printed}"),
            line(explanation.formula)]
    cells = list(dict.fromkeys(source.cell for source in explanation.sources))
    for cell in cells:
        told.append(f"{line(cell)}:")
        told += [f"  {line(_line(source))}" for source in explanation.sources if source.cell == cell]
    if explanation.changes:
        told.append(f"settings that differ from {line(explanation.baseline)}:")
        told += [f"  {line(change.key)}: {line(change.here) or 'not set'} (there: {line(change.baseline) or 'not set'})"
                 for change in explanation.changes]
    if explanation.url and sum(source.counted for source in explanation.sources) > 1:
        told.append(f"all together: {explanation.url}")
    return told


def _line(source: Source) -> str:
    if source.outcome == "not run":
        return f"seed {source.seed}: not run (fingerprint {source.fingerprint})"
    value = [source.value + ("" if source.counted else " (not counted)")] if source.value else []
    parts = [*value, source.outcome + (f" ({source.reason})" if source.reason else ""),
             f"run {source.run_id or 'unknown'}", f"fingerprint {source.fingerprint}",
             f"commit {source.commit or 'unknown'}", *([source.url] if source.url else []),
             *([f"other runs of this trial, which do not count: {source.duplicates}"] if source.duplicates else [])]
    return f"seed {source.seed}: {' · '.join(parts)}"


# finding


def find_sheet(sheets: Sequence[Sheet], name: str) -> Sheet:
    """Raises InputError, naming the tables there are."""
    for sheet in sheets:
        if sheet.name == name:
            return sheet
    names = [sheet.name for sheet in sheets]
    raise InputError(f"table {name!r}: there is none of that name{_guess(name, names)}; tables: {', '.join(names)}")


def find_row(sheet: Sheet, label: str) -> SheetRow:
    """The row of that label, or the one whose label begins so. Raises InputError for none and for several."""
    exact = [row for row in sheet.rows if row.label == label] or [
        row for row in sheet.rows if row.label.casefold() == label.casefold()]
    found = exact or [row for row in sheet.rows if label and row.label.casefold().startswith(label.casefold())]
    if len(found) == 1:
        return found[0]
    labels = [row.label for row in (found or sheet.rows)]
    if found:
        raise InputError(f"{sheet.name}: row {label!r} could be {_listed(labels)}; give more of its label")
    raise InputError(f"{sheet.name}: no row is called {label!r}{_guess(label, labels)}; rows: {_listed(labels)}")


def find_column(sheet: Sheet, name: str) -> int:
    """The place of the column with that key or heading. Raises InputError for none and for several."""
    wanted = name.casefold()
    found = [place for place, column in enumerate(sheet.columns) if column.key.casefold() == wanted] or [
        place for place, column in enumerate(sheet.columns) if column.heading.casefold() == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{sheet.name}: column {name!r} could be "
                         f"{_listed([sheet.columns[place].key for place in found])}")
    headings = [column.heading for column in sheet.columns]
    close = _guess(name, [*headings, *(column.key for column in sheet.columns)])
    raise InputError(f"{sheet.name}: no column is called {name!r}{close}; columns: {_listed(headings)}")


def _guess(word: str, known: Iterable[str]) -> str:
    close = nearest(word, dict.fromkeys(known))
    return close if close.startswith("; did") else ""


def _listed(names: Sequence[str], most: int = 24) -> str:
    return ", ".join(map(repr, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")


# what it rests on


def _concerned(kind: str, row: SheetRow, cells: Sequence[Cell], statement: Statement,
               records: Sequence[Record]) -> list[Cell]:
    """The cells whose runs the row is made of, its own first; a trial of a search is a cell of one run."""
    if row.apart:
        return []
    if not cells:
        by_fingerprint = {record.fingerprint: record for record in records}
        return [Cell(row.label, {}, (run.seed,), {run.seed: by_fingerprint[run.fingerprint]}) for run in row.runs]
    own = [cell for cell in cells if cell.label == row.label]
    if kind == "effects":
        behind = {run.fingerprint for run in row.runs}
        return [cell for cell in cells if any(record.fingerprint in behind for record in cell.records.values())]
    return [*own, baseline_of(cells, statement)] if kind == "differences" else own


def metric_of(key: str) -> str:
    """The metric that a column was computed from: `miou/source p` from `miou/source`."""
    for suffix in (" published", " difference", " p raw", " p holm", " g", " images"):
        if key.endswith(suffix):
            return key.removesuffix(suffix)
    return {"pairs": "miou/target_mean"}.get(key, key)


def _sources(cell: Cell, column: Column, fingerprints: Mapping[tuple[str, int], str],
             address: Address) -> Iterator[Source]:
    uncounted = ("nan", "inf", "-inf", *([""] if column.numeric else []))
    for seed in cell.planned:
        record = cell.records.get(seed)
        if record is None:
            yield Source(cell.label, seed, "", False, "not run", "", "", fingerprints.get((cell.label, seed), ""), "",
                         None, "")
            continue
        tags, value = record.tags, _value(record, metric_of(column.key))
        run_id = tags.get("run_id", "")
        yield Source(cell.label, seed, value, record.outcome == "finished" and value not in uncounted,
                     record.outcome, record.reason, run_id, record.fingerprint, code_of(record),
                     address([run_id]) if run_id else None, tags.get("duplicates", ""))


def _value(record: Record, metric: str) -> str:
    """A run's own value for a column, as it was recorded: of a metric, a fact or a setting."""
    entry = BY_KEY.get(metric)
    if isinstance(entry, Fact):
        return entry.of(record) or UNKNOWN
    if isinstance(entry, Quantity) and metric not in record.metrics:
        return repr(value) if math.isfinite(value := entry.of(record)) else ""
    if metric in record.metrics:
        return repr(record.metrics[metric])
    return show_setting(record.config.get(metric), None)


def _paired(sources: Iterable[Source]) -> list[Source]:
    """Only seeds that count in every cell count; a cell may have fewer planned than another."""
    sources = list(sources)
    counted: dict[str, set[int]] = {source.cell: set() for source in sources}
    for source in sources:
        if source.counted:
            counted[source.cell].add(source.seed)
    common = set.intersection(*counted.values()) if counted else set()
    return [source._replace(counted=source.seed in common) for source in sources]


def _changes(own: Cell, baseline: Cell) -> tuple[Change, ...]:
    """Settings in which two cells differ, seeds and what the runs ran on excepted; of cells that were not run, their
    knobs."""
    here, there = _config(own), _config(baseline)
    return tuple(Change(key, show_setting(here.get(key), None), show_setting(there.get(key), None))
                 for key in sorted(here.keys() | there.keys()) if here.get(key) != there.get(key)
                 and key != "seed" and not key.startswith("resources."))


def _config(cell: Cell) -> dict[str, object]:
    return {**next((record.config for record in cell.records.values()), {}), **cell.knobs}


# in words


_PLAIN = Style(text=line, figure=str, best="{}".format, second="{}".format, spread=" ± {}".format,
               interval=" [{}, {}]".format, note=" {}".format)


def _printed(entry: Entry) -> str:
    mark = {"best": ", marked as best", "second": ", marked as second"}
    return show(entry, _PLAIN) + (mark.get(entry.mark, "") if isinstance(entry, Number) else "")


def _formula(kind: str, row: SheetRow, column: Column, concerned: Sequence[Cell], statement: Statement,
             counted: int) -> str:
    """How the number was computed."""
    metric, key = metric_of(column.key), column.key
    scaled, entry = _scaled(metric), BY_KEY.get(metric)
    if row.apart:
        return f"what guessing scores, as the runs recorded it on their data ({metric.replace('miou/', 'chance/', 1)})"
    if kind == "differences":
        return _difference_in_words(key, scaled, concerned, counted)
    if kind == "effects":
        what = {" p raw": "p of the effect", "p holm": "Holm-adjusted p of the effect"}.get(key[-6:], "effect")
        return f"{what} on {scaled}, per seed a difference of the means of these cells, then mean over seeds [95 %]"
    if key.endswith((" published", " difference")):
        target = beside(statement).get((row.label, metric))
        if target is None:
            return "nothing was published for this cell"
        origin = f"published {target.value!r} ({target.source}; tier {target.tier})"
        return f"{origin}; not measured here" if key.endswith(" published") else (
            f"mean of {scaled} over {counted} seeds, minus {origin}; [95 % of the mean over seeds]")
    if not column.numeric:
        if isinstance(entry, Fact):
            return f"{entry.means}, as its runs recorded it"
        return "how many of its planned runs have finished" if key in ("status", "trial") else f"setting {key}"
    return f"mean ± sample s.d. of {scaled} over {counted} seeds" if counted > 1 else f"{scaled} of a single run"


def _scaled(metric: str) -> str:
    """The recorded value and what it is multiplied by before it is printed: `miou/source x 100`, `time/train in h`."""
    if scale_of(metric) != 1:
        return f"{metric} x 100"
    entry = BY_KEY.get(metric)
    return f"{metric} in {entry.unit}" if isinstance(entry, Quantity) and entry.scale != 1 else metric


def _difference_in_words(key: str, scaled: str, concerned: Sequence[Cell], pairs: int) -> str:
    own, baseline = concerned
    over = f"{scaled} of {own.label} minus that of {baseline.label}, over {pairs} pairs of equal seed"
    if key == "pairs":
        return f"seeds that both {own.label} and {baseline.label} have finished"
    for suffix, what in ((" p raw", "p of a paired t test: "),
                         (" p holm", "p of a paired t test, Holm-adjusted over the table: "),
                         (" g", "mean over s.d. with Hedges' correction: "),
                         (" images", "mean [95 % of a bootstrap over test images]: ")):
        if key.endswith(suffix):
            return what + over
    return f"mean [95 %, Student's t] of {over}"
