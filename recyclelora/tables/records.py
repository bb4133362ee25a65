"""Records -> the content of a table: which runs make which row, and what has to be said beneath them."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from recyclelora.errors import InputError
from recyclelora.sweeps.plan import PlannedCell
from recyclelora.sweeps.record import Record
from recyclelora.sweeps.runs import Sweep
from recyclelora.sweeps.space import label_of
from recyclelora.tables.statistics import evidence, mean_sd, paired_difference

TOP = 20  # trials of a search that its table lists
NEVER_MIXED = {"protocol": "evaluation protocols", "selection": "selection rules"}  # tag -> what it is


@dataclass(frozen=True)
class Measure:
    """One metric of one row, by seed. `best` in its column, and `clear` of the next best."""

    values: dict[int, float]
    best: bool = False
    clear: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell of an ablation, or one trial of a search. `status` says how much of it was run."""

    label: str
    status: str = ""
    planned: int = 0
    knobs: dict[str, object] = field(default_factory=dict)
    params: float | None = None
    measures: dict[str, Measure] = field(default_factory=dict)  # metric name -> measure
    fingerprints: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under `label` (left out of print unless `labelled`), `knobs`, `status`, adapter parameters and `metrics`."""

    name: str
    label: str
    labelled: bool
    knobs: tuple[str, ...]
    status: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    chance: Row | None
    caption: tuple[str, ...]


def build(sweep: Sweep, plan: Sequence[PlannedCell], records: Sequence[Record]) -> Table:
    """The table of a sweep: a row per planned cell, or for a search a row per trial, the best first.

    Raises InputError when its runs were not measured alike."""
    if plan:
        planned = {cell.fingerprint for cell in plan}
        records = [record for record in records if record.fingerprint in planned]
    _refuse_mixtures(sweep.name, [record for record in records if record.outcome != "failed"])
    return _ablation(sweep.name, plan, records) if plan else _search(sweep, records)


def title(metric: str) -> str:
    """A metric's column heading."""
    return metric.removeprefix("miou/").replace("target_mean", "target mean")


def _ablation(name: str, plan: Sequence[PlannedCell], records: Sequence[Record]) -> Table:
    found = {record.fingerprint: record for record in records}
    cells: dict[str, list[PlannedCell]] = {}
    for planned in plan:
        cells.setdefault(planned.cell, []).append(planned)
    metrics = _metrics(records)
    knobs = tuple(dict.fromkeys(key for planned in plan for key in planned.knobs))
    rows = [_row(trials, found, knobs, metrics) for trials in cells.values()]
    varied = tuple(key for key in knobs if len({repr(row.knobs[key]) for row in rows if key in row.knobs}) > 1)
    distinct = len({repr([row.knobs.get(key) for key in varied]) for row in rows}) == len(rows) and bool(varied)
    derived = all(label_of(trials[0].knobs) == label for label, trials in cells.items())  # type: ignore[arg-type]
    rows = _mark_best(rows, metrics)
    return Table(name=name, label="cell", labelled=not (derived and distinct), knobs=varied, status="seeds",
                 metrics=metrics, rows=tuple(rows), chance=_chance(records, metrics),
                 caption=tuple(_ablation_caption(name, plan, records, rows)))


def _ablation_caption(name: str, plan: Sequence[PlannedCell], records: Sequence[Record],
                      rows: Sequence[Row]) -> Iterator[str]:
    seeds = [str(seed) for seed in sorted({planned.seed for planned in plan})]
    yield f"Sweep {name}: mIoU in %, " + (f"mean ± sample s.d. over seeds {', '.join(seeds)}." if len(seeds) > 1
                                          else f"seed {seeds[0]}.")
    most = max(len(row.fingerprints) for row in rows)
    if most:
        yield f"{most} seed{'s' if most > 1 else ''} a cell: {evidence(most)}."
    if any(measure.best for row in rows for measure in row.measures.values()):
        yield ("Marked: the highest mean of a column among complete cells; †: n.s., the 95 % interval of its lead over "
               "the next, paired by seed, includes 0.")
    yield from _provenance(records)
    missing = len({planned.fingerprint for planned in plan}) - len(records)
    yield _counts(records, missing)


def _row(trials: Sequence[PlannedCell], found: Mapping[str, Record], knobs: Sequence[str],
         metrics: Sequence[str]) -> Row:
    """The row of one cell, from its finished runs alone: a run stopped early is no member of a mean."""
    recorded = {planned.seed: found[planned.fingerprint] for planned in trials if planned.fingerprint in found}
    full = {seed: record for seed, record in recorded.items() if record.outcome == "finished"}
    config = next((record.config for record in recorded.values()), None)
    known = knobs if config is not None else trials[0].knobs  # of a cell not run only its own knobs are known
    outcomes = [record.outcome for record in recorded.values()]
    params = [record.metrics["params/adapter"] for record in full.values() if "params/adapter" in record.metrics]
    return Row(label=trials[0].cell, planned=len(trials), status=_status(outcomes, len(trials)),
               knobs={**{key: (config or {}).get(key) for key in known}, **trials[0].knobs},
               params=mean_sd(params).mean if params else None,
               measures={metric: Measure(_values(full, metric)) for metric in metrics},
               fingerprints=tuple(record.fingerprint for record in full.values()))


def _status(outcomes: Sequence[str], planned: int) -> str:
    done = outcomes.count("finished")
    if not outcomes:
        return "not run"
    notes = ["single run"] if done == 1 else []
    notes += [f"{outcomes.count(outcome)} {outcome}" for outcome in ("pruned", "failed") if outcome in outcomes]
    seeds = str(done) if done == planned else f"{done} of {planned} seeds"
    return f"{seeds} ({', '.join(notes)})" if notes else seeds


def _values(records: Mapping[int, Record], metric: str) -> dict[int, float]:
    values = {seed: record.metrics.get(metric, math.nan) for seed, record in records.items()}
    return {seed: value for seed, value in values.items() if math.isfinite(value)}


def _metrics(records: Iterable[Record]) -> tuple[str, ...]:
    """The targets in the order of the configs, their mean, and the source: metric names."""
    targets: dict[str, None] = {}
    for record in records:
        named = record.config.get("data.targets")
        targets.update(dict.fromkeys(map(str, named)) if isinstance(named, list | tuple) else {})
    return *(f"miou/{target}" for target in targets), "miou/target_mean", "miou/source"


def _mark_best(rows: Sequence[Row], metrics: Sequence[str]) -> list[Row]:
    marked = list(rows)
    for metric in metrics:
        complete = [index for index, row in enumerate(rows) if 0 < row.planned == len(row.measures[metric].values)]
        if len(complete) < 2:
            continue
        means = {index: mean_sd(rows[index].measures[metric].values.values()).mean for index in complete}
        first, second, *_ = sorted(means, key=means.__getitem__, reverse=True)
        best, following = rows[first].measures[metric].values, rows[second].measures[metric].values
        measure = Measure(best, best=True, clear=paired_difference(best, following).clear)
        marked[first] = replace(marked[first], measures={**marked[first].measures, metric: measure})
    return marked


def _chance(records: Iterable[Record], metrics: Sequence[str]) -> Row | None:
    """What guessing scores, as the runs measured it on their data."""
    known: dict[str, float] = {}
    for record in records:
        known = {**{name: value for name, value in record.metrics.items() if name.startswith("chance/")}, **known}
    scores = {metric: known[name] for metric in metrics if (name := metric.replace("miou/", "chance/", 1)) in known}
    targets = [scores[metric] for metric in metrics[:-2] if metric in scores]
    if targets and len(targets) == len(metrics) - 2:
        scores["miou/target_mean"] = sum(targets) / len(targets)
    measures = {metric: Measure({0: value}) for metric, value in scores.items()}
    return Row(label="chance", measures=measures) if measures else None


def _search(sweep: Sweep, records: Sequence[Record]) -> Table:
    sign = 1.0 if sweep.goal == "minimize" else -1.0

    def order(record: Record) -> tuple[bool, float, str]:
        value = record.metrics.get(sweep.objective, math.nan)
        return record.outcome != "finished", sign * value if math.isfinite(value) else math.inf, record.fingerprint

    ended = sorted((record for record in records if record.outcome != "failed"), key=order)
    metrics = _metrics(records)
    metrics = metrics if sweep.objective in metrics else (sweep.objective, *metrics)
    knobs = _varied(ended)
    rows = [Row(label=str(rank) if record.outcome == "finished" else "", planned=1,
                status="finished" if record.outcome == "finished" else f"pruned at {record.iteration}",
                knobs={key: record.config.get(key) for key in knobs}, params=record.metrics.get("params/adapter"),
                measures={metric: Measure(_values({0: record}, metric)) for metric in metrics},
                fingerprints=(record.fingerprint,)) for rank, record in enumerate(ended[:TOP], 1)]
    caption = [
        f"Search {sweep.name}: {len(rows)} of {len(ended)} trials, ranked by {sweep.objective} ({sweep.goal}), those "
        "stopped early last; mIoU in %.",
        "Single runs, chosen by the number shown, which is therefore too good: confirm them in a grid over seeds.",
        *_provenance(records), _counts(records)]
    return Table(name=sweep.name, label="rank", labelled=True, knobs=knobs, status="trial", metrics=metrics,
                 rows=tuple(rows), chance=_chance(ended, _metrics(records)), caption=tuple(caption))


def _varied(records: Sequence[Record]) -> tuple[str, ...]:
    """The settings in which the trials differ; what they ran on is none."""
    keys = sorted({key for record in records for key in record.config if not key.startswith("resources.")})
    return tuple(key for key in keys if len({repr(record.config.get(key)) for record in records}) > 1)


def _refuse_mixtures(name: str, records: Iterable[Record]) -> None:
    for tag, what in NEVER_MIXED.items():
        runs: dict[str, list[str]] = {}
        for record in records:
            run = f"{record.tags.get('cell', '')} {record.fingerprint}".strip()
            runs.setdefault(record.tags.get(tag, ""), []).append(run)
        if len(runs) > 1:
            listed = "; ".join(f"{value or 'unknown'!r}: {', '.join(some[:3])}{' ...' if len(some) > 3 else ''}"
                               for value, some in sorted(runs.items()))
            raise InputError(f"sweep {name}: its runs mix {what}, which no table may ({listed}); "
                             "use one sweep file for each")


def _provenance(records: Sequence[Record]) -> list[str]:
    """Sentences that say how the numbers were taken, and from what."""
    if not records:
        return []

    def every(values: Iterable[object]) -> str:
        return ", ".join(sorted({str(value) for value in values if value})) or "unknown"

    def tag(name: str, length: int | None = None) -> str:
        return every(record.tags.get(name, "")[:length] for record in records)

    changed = {"true": " (modified)"}
    commits = every(record.tags["commit"] + changed.get(record.tags.get("dirty", ""), "")
                    for record in records if record.tags.get("commit"))
    return [f"Source: {every(record.config.get('data.source') for record in records)}. "
            f"Selection: {tag('selection')}. Protocol: {tag('protocol')}. Label space: {tag('label_space')}.",
            f"Weights: sha256 {tag('weights_sha256', 12)}. Data: {tag('data_fingerprint', 12)}. Code: {commits}."]


def _counts(records: Sequence[Record], missing: int | None = None) -> str:
    outcomes = [record.outcome for record in records]
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("finished", "pruned", "failed"))
    left = "" if missing is None else f", {missing} not run"
    repeated = sum("duplicates" in record.tags for record in records)
    several = f" {repeated} with several runs, of which the oldest finished counts." if repeated else ""
    return f"{len(records) + (missing or 0)} trials: {counts}{left}.{several}"
