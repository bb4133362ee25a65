"""The table of a search: its trials, the best first. They are single runs, ranked by the metric that chose them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from recyclelora.errors import InputError
from recyclelora.runs.run import Sweep
from recyclelora.spaces.columns import UNKNOWN, Quantity, quantity
from recyclelora.spaces.statement import Statement
from recyclelora.tables.captions import describe_columns, describe_origin
from recyclelora.tables.cells import Cell, refuse_mixtures
from recyclelora.tables.measures import digits_for, metrics_of
from recyclelora.tables.results_table import Layout, Strip, lay_out, quantity_strip, tabulate_chance
from recyclelora.tables.sheet import Column, Number, RunRef, Sheet, SheetRow
from recyclelora.trials.record import Record

GOALS = ("maximize", "minimize")
TOP = 20  # trials that the table lists


def tabulate_search(sweep: Sweep, records: Sequence[Record], statement: Statement) -> Sheet:
    """A row per trial. Those stopped early stand last, without a rank. Raises InputError when the trials were not
    measured alike, and where the sweep does not tell which way it ranks."""
    ranked = rank(sweep, records)
    ended = [record for _, record in ranked]
    refuse_mixtures(sweep.name, ended)
    by_label = dict(ranked[:TOP])
    status = Strip(Column("trial", "trial", numeric=False), lambda cell: _status(by_label[cell.label]))
    layout = Layout(statement.columns, differing(ended), metrics_of(ended, statement), status)
    strips = [*lay_out(layout)]
    if sweep.objective not in {strip.column.key for strip in strips}:  # what the trials are ranked by is always shown
        strips.append(quantity_strip(_objective(sweep.objective, ended)))
    columns = tuple(strip.column for strip in strips)
    rows = [SheetRow(label, tuple(strip.entry(_cell(label, record)) for strip in strips),
                     (RunRef(record.tags.get("run_id", ""), record.fingerprint, seed_of(sweep, record)),))
            for label, record in by_label.items()]
    shown = [_cell(label, record) for label, record in by_label.items()]
    caption = [f"Search {sweep.name}: {len(rows)} of {len(ended)} trials, ranked by {sweep.objective} ({sweep.goal}), "
               "those stopped early last; mIoU in %.",
               "Single runs, chosen by the number shown, which is therefore too good: confirm them in a grid over "
               "seeds.", *describe_columns(statement.columns, shown), *describe_origin(ended, layout.metrics),
               _counts(records)]
    return Sheet(name=sweep.name, columns=columns, rows=(*rows, *tabulate_chance(ended, layout.metrics, columns)),
                 caption=tuple(caption), corner="rank")


def tabulate_importances(name: str, importances: Mapping[str, float]) -> Sheet:
    """A row per knob of a search, the most important first."""
    rows = [SheetRow(knob, (Number(100 * share, digits=1),)) for knob, share in importances.items()]
    return Sheet(name=name, columns=(Column("importance", "importance, %"),), rows=tuple(rows), corner="knob",
                 caption=("Importance: the share of the variance of the objective over the finished trials that a knob "
                          "explains by itself (fANOVA, Hutter et al. 2014, by Optuna); of the knobs that all trials "
                          "have. A search visits good regions more often, so this is no main effect of a design.",))


def rank(sweep: Sweep, records: Sequence[Record]) -> list[tuple[str, Record]]:
    """The trials that have not failed, the best first, each with its rank: in brackets where it was stopped early.
    Raises InputError where the sweep does not tell which way it ranks."""
    if sweep.goal not in GOALS:
        raise InputError(f"sweep {sweep.name}: its run {sweep.run_id} does not tell whether {sweep.objective or 'it'} "
                         f"was to be maximized or minimized (goal: {sweep.goal or 'unknown'}); start the search again, "
                         "which writes it")
    ended = sorted((record for record in records if record.outcome != "failed"), key=lambda each: _order(each, sweep))
    return [(str(place) if record.outcome == "finished" else f"({place})", record)
            for place, record in enumerate(ended, 1)]


def differing(records: Sequence[Record]) -> tuple[str, ...]:
    """The settings in which the trials differ; what they ran on is none."""
    keys = sorted({key for record in records for key in record.config if not key.startswith("resources.")})
    return tuple(key for key in keys if len({repr(record.config.get(key)) for record in records}) > 1)


def _objective(metric: str, records: Sequence[Record]) -> Quantity:
    """The column of what was searched for: mIoU as elsewhere, any other with four figures of the largest."""
    found = quantity(metric)
    return found if found.unit else replace(found, digits=digits_for(map(found.of, records), 4))


def _cell(label: str, record: Record) -> Cell:
    """A trial as a cell of one run, whose numbers are shown though it was stopped early."""
    return Cell(label, {}, (0,), {0: replace(record, outcome="finished")})


def _order(record: Record, sweep: Sweep) -> tuple[bool, float, str]:
    sign = 1.0 if sweep.goal == "minimize" else -1.0
    value = record.metrics.get(sweep.objective, math.nan)
    return record.outcome != "finished", sign * value if math.isfinite(value) else math.inf, record.fingerprint


def _status(record: Record) -> str:
    return "finished" if record.outcome == "finished" else f"pruned at {record.iteration or UNKNOWN}"


def seed_of(sweep: Sweep, record: Record) -> int:
    """Raises InputError for a trial that does not tell."""
    seed = record.config.get("seed")
    if isinstance(seed, int):
        return seed
    raise InputError(f"sweep {sweep.name}: run {record.tags.get('run_id') or record.fingerprint} does not tell its "
                     "seed, so it is damaged; delete it in MLflow, and start the search again")


def _counts(records: Sequence[Record]) -> str:
    outcomes = [record.outcome for record in records]
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("finished", "pruned", "failed"))
    repeated = sum(bool(record.tags.get("duplicates")) for record in records)
    several = f" {repeated} with several runs, of which the oldest finished counts." if repeated else ""
    return f"{len(records)} trials: {counts}.{several}"
