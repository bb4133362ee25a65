"""The table of a search: its trials, the best first. They are single runs, ranked by the metric that chose them."""

import math
from collections.abc import Mapping, Sequence

from recyclelora.runs.run import Sweep
from recyclelora.spaces.statement import Statement
from recyclelora.tables.captions import describe_origin
from recyclelora.tables.cells import refuse_mixtures
from recyclelora.tables.measures import digits_for, metrics_of, scale_of, title
from recyclelora.tables.results import PARAMS, show, tabulate_chance
from recyclelora.tables.sheet import Column, Entry, Number, RunRef, Sheet, SheetRow
from recyclelora.trials.record import Record

TOP = 20  # trials that the table lists


def tabulate_search(sweep: Sweep, records: Sequence[Record], statement: Statement) -> Sheet:
    """A row per trial. Those stopped early stand last, without a rank. Raises InputError when the trials were not
    measured alike."""
    ended = sorted((record for record in records if record.outcome != "failed"), key=lambda each: _order(each, sweep))
    refuse_mixtures(sweep.name, ended)
    metrics = metrics_of(ended, statement)
    metrics = metrics if sweep.objective in metrics else (sweep.objective, *metrics)
    knobs = differing(ended)
    columns = (*(Column(knob, knob, numeric=False) for knob in knobs), Column("trial", "trial", numeric=False),
               Column(PARAMS, "adapter params"), *(Column(metric, title(metric)) for metric in metrics))
    rows = [SheetRow(label_trial(place, record),
                     (*(show(record.config.get(knob)) or None for knob in knobs), _status(record),
                      _number(record, PARAMS, 0), *(_number(record, metric, digits_of(metric, ended))
                                                    for metric in metrics)),
                     (RunRef(record.tags.get("run_id", ""), record.fingerprint, _seed(record)),))
            for place, record in enumerate(ended[:TOP], 1)]
    caption = [f"Search {sweep.name}: {len(rows)} of {len(ended)} trials, ranked by {sweep.objective} ({sweep.goal}), "
               "those stopped early last; mIoU in %.",
               "Single runs, chosen by the number shown, which is therefore too good: confirm them in a grid over "
               "seeds.", *describe_origin(ended, metrics), _counts(records)]
    return Sheet(name=sweep.name, columns=columns, rows=(*rows, *tabulate_chance(ended, metrics, columns)),
                 caption=tuple(caption), corner="rank")


def tabulate_importances(name: str, importances: Mapping[str, float]) -> Sheet:
    """A row per knob of a search, the most important first."""
    rows = [SheetRow(knob, (Number(100 * share, digits=1),)) for knob, share in importances.items()]
    return Sheet(name=name, columns=(Column("importance", "importance, %"),), rows=tuple(rows), corner="knob",
                 caption=("Importance: the share of the variance of the objective over the finished trials that a knob "
                          "explains by itself (fANOVA, Hutter et al. 2014, by Optuna); of the knobs that all trials "
                          "have. A search visits good regions more often, so this is no main effect of a design.",))


def label_trial(place: int, record: Record) -> str:
    """Its rank, in brackets if it has none."""
    return str(place) if record.outcome == "finished" else f"({place})"


def differing(records: Sequence[Record]) -> tuple[str, ...]:
    """The settings in which the trials differ; what they ran on is none."""
    keys = sorted({key for record in records for key in record.config if not key.startswith("resources.")})
    return tuple(key for key in keys if len({repr(record.config.get(key)) for record in records}) > 1)


def digits_of(metric: str, records: Sequence[Record]) -> int:
    """Two for mIoU in %, otherwise enough for four figures of the largest."""
    return 2 if metric.startswith("miou/") else digits_for(
        (record.metrics.get(metric, math.nan) for record in records), 4)


def _order(record: Record, sweep: Sweep) -> tuple[bool, float, str]:
    sign = 1.0 if sweep.goal == "minimize" else -1.0
    value = record.metrics.get(sweep.objective, math.nan)
    return record.outcome != "finished", sign * value if math.isfinite(value) else math.inf, record.fingerprint


def _status(record: Record) -> str:
    return "finished" if record.outcome == "finished" else f"pruned at {record.iteration}"


def _number(record: Record, metric: str, digits: int) -> Entry:
    value = record.metrics.get(metric, math.nan)
    return Number(scale_of(metric) * value, digits=digits) if math.isfinite(value) else None


def _seed(record: Record) -> int:
    seed = record.config.get("seed")
    return seed if isinstance(seed, int) else 0


def _counts(records: Sequence[Record]) -> str:
    outcomes = [record.outcome for record in records]
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("finished", "pruned", "failed"))
    repeated = sum(bool(record.tags.get("duplicates")) for record in records)
    several = f" {repeated} with several runs, of which the oldest finished counts." if repeated else ""
    return f"{len(records)} trials: {counts}.{several}"
