"""The runs behind the tables of a sweep as one long CSV file, `<sweep>.long.csv`: a line per run and metric, from which
anybody can compute every mean, interval and p of the tables again."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from recyclelora.errors import InputError
from recyclelora.runs.run import Sweep
from recyclelora.spaces.columns import COLUMNS, UNKNOWN, Quantity
from recyclelora.spaces.statement import Statement
from recyclelora.tables.cells import Cell
from recyclelora.tables.comparisons import baseline_of, metrics_compared
from recyclelora.tables.formats import csv_text
from recyclelora.tables.search import rank
from recyclelora.trials.record import Record
from recyclelora.writing import write_text

HEAD = ("sweep", "cell", "seed", "outcome", "metric", "value", "fingerprint", "device", "baseline", "compared")
LEFT_OUT = ("iou/", "loss/", "lr/")  # by class, and of training: no table prints them


def long_csv(sweep: Sweep, cells: Sequence[Cell], records: Sequence[Record], statement: Statement) -> str:
    """The text of the file. `value` has every digit and the unit in which it was recorded: IoU as a fraction, times in
    seconds, memory in bytes. A run without metrics, and a planned one that was not run, have one line without metric
    and value. Differences are taken against cell `baseline`; `compared` says `yes` for the metrics whose differences
    are tested together. Only runs with outcome `finished` count. A search has its trials for cells, by their rank."""
    rows = _rows_of(cells, statement) if cells else (
        row for label, record in rank(sweep, records)
        for row in _lines(label, str(record.config.get("seed", UNKNOWN)), record, "", ()))
    return csv_text([HEAD, *((sweep.name, *row) for row in rows)])


def write_long_csv(text: str, folder: Path, name: str) -> Path:
    """Write it as `<name>.long.csv`. Raises InputError where that fails."""
    path = folder / f"{name}.long.csv"
    try:
        write_text(path, text)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def _rows_of(cells: Sequence[Cell], statement: Statement) -> Iterator[tuple[str, ...]]:
    baseline, compared = baseline_of(cells, statement).label, metrics_compared(cells, statement)
    for cell in cells:
        for seed in cell.planned:
            yield from _lines(cell.label, str(seed), cell.records.get(seed), baseline, compared)


def _lines(cell: str, seed: str, record: Record | None, baseline: str,
           compared: Sequence[str]) -> Iterator[tuple[str, ...]]:
    if record is None:
        yield cell, seed, "not run", "", "", "", UNKNOWN, baseline, ""
        return
    run = record.fingerprint, record.tags.get("device") or UNKNOWN, baseline
    values = _values(record)
    if not values:
        yield cell, seed, record.outcome, "", "", *run, ""
    for metric, value in values.items():
        yield cell, seed, record.outcome, metric, repr(value), *run, "yes" if metric in compared else "no"


def _values(record: Record) -> Mapping[str, float]:
    """The metrics that tables can print, those that columns derive from others among them, by name."""
    derived = {entry.key: entry.of(record) for entry in COLUMNS if isinstance(entry, Quantity)}
    found = {key: value for key, value in derived.items() if not math.isnan(value)} | record.metrics
    return {key: float(found[key]) for key in sorted(found) if not key.startswith(LEFT_OUT)}
