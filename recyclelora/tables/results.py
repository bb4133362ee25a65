"""The table of results: the scores of each cell, with marks on leads that are more than noise."""

from collections.abc import Mapping, Sequence

from recyclelora.spaces.statement import Statement
from recyclelora.tables.captions import describe_results
from recyclelora.tables.cells import Cell
from recyclelora.tables.leads import Marks, mark_leads
from recyclelora.tables.measures import domains_of, metrics_of, recorded, scale_of, title
from recyclelora.tables.sheet import Column, Entry, Mark, Number, RunRef, Sheet, SheetRow
from recyclelora.tables.statistics import mean_sd
from recyclelora.tables.targets import Targets, against, beside, published, sentences, target_columns
from recyclelora.trials.record import Record

PARAMS = "params/adapter"


def tabulate_results(name: str, cells: Sequence[Cell], statement: Statement) -> Sheet:
    """A row per cell, and one for chance: varied settings, seeds, adapter parameters, and the metrics, each followed by
    its published number and the difference from it where the statement has one."""
    records = recorded(cells)
    metrics = metrics_of(records, statement)
    knobs = varied(cells)
    targets = beside(statement)
    marks = mark_leads(cells, metrics, records)
    columns = [*(Column(knob, knob, numeric=False) for knob in knobs), Column("status", "seeds", numeric=False),
               Column(PARAMS, "adapter params")]
    for metric in metrics:
        columns += [Column(metric, title(metric)), *target_columns(metric, targets)]
    rows = [SheetRow(cell.label, (*(show(setting(cell, knob)) or None for knob in knobs), status_of(cell),
                                  parameters(cell), *_scores(cell, metrics, targets, marks)), runs_of(cell))
            for cell in cells]
    rows += tabulate_chance(records, metrics, columns)
    return Sheet(name=name, columns=tuple(columns), rows=tuple(rows),
                 caption=(*describe_results(name, cells, marks), *sentences(statement)))


def _scores(cell: Cell, metrics: Sequence[str], targets: Targets, marks: Marks) -> list[Entry]:
    targeted = {metric for _, metric in targets}
    entries: list[Entry] = []
    for metric in metrics:
        values = cell.values(metric)
        entries.append(score(values, metric, marks.of.get((cell.label, metric), "")))
        if metric in targeted:
            target = targets.get((cell.label, metric))
            entries += [published(target), against(values, target)] if target else [None, None]
    return entries


def score(values: Mapping[int, float], metric: str, mark: Mark = "") -> Number | None:
    """Mean ± sample s.d. over seeds, as it is printed."""
    if not values:
        return None
    mean, sd, _ = mean_sd(values.values())
    scale = scale_of(metric)
    return Number(scale * mean, sd=scale * sd, mark=mark)


def parameters(cell: Cell) -> Number | None:
    """How many parameters the adapters have: the same number for every seed."""
    counts = cell.values(PARAMS)
    return Number(mean_sd(counts.values()).mean, digits=0) if counts else None


def runs_of(*cells: Cell) -> tuple[RunRef, ...]:
    """The finished runs of these cells."""
    return tuple(RunRef(record.tags.get("run_id", ""), record.fingerprint, seed)
                 for cell in cells for seed, record in cell.finished.items())


def status_of(cell: Cell) -> str:
    """How much of a cell was run: `5`, `3 of 5 seeds (1 failed)`, `not run`."""
    if not cell.records:
        return "not run"
    outcomes = [record.outcome for record in cell.records.values()]
    done, planned = outcomes.count("finished"), len(cell.planned)
    notes = ["single run"] if done == 1 else []
    notes += [f"{outcomes.count(outcome)} {outcome}" for outcome in ("pruned", "failed") if outcome in outcomes]
    seeds = str(done) if done == planned else f"{done} of {planned} seeds"
    return f"{seeds} ({', '.join(notes)})" if notes else seeds


# settings


def varied(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The knobs in which cells differ, in the order of the plan."""
    keys = dict.fromkeys(key for cell in cells for key in cell.knobs)
    return tuple(key for key in keys if len({show(setting(cell, key), None) for cell in cells}) > 1)


def setting(cell: Cell, key: str) -> object:
    """A cell's value of a knob; of a cell that was not run only its own knobs are known."""
    if key in cell.knobs:
        return cell.knobs[key]
    return next((record.config.get(key) for record in cell.records.values()), None)


def show(value: object, digits: int | None = 6) -> str:
    """A setting's value as it would stand in a config file, "" for one that is not set; floats to so many digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.{digits}g}" if digits else repr(value)
    return f"[{', '.join(show(item, digits) for item in value)}]" if isinstance(value, list | tuple) else str(value)


# chance


def tabulate_chance(records: Sequence[Record], metrics: Sequence[str], columns: Sequence[Column]) -> list[SheetRow]:
    """The row of chance."""
    scores = chance_of(records, metrics)
    entries = tuple(Number(scale_of(column.key) * scores[column.key]) if column.key in scores else None
                    for column in columns)
    return [SheetRow("chance", entries, apart=True)] if scores else []


def chance_of(records: Sequence[Record], metrics: Sequence[str]) -> dict[str, float]:
    """Metric -> what guessing scores, as the runs measured it on their data; not where they differ in it."""
    found: dict[str, set[float]] = {}
    for record in records:
        for metric in metrics:
            value = record.metrics.get(metric.replace("miou/", "chance/", 1))
            if value is not None:
                found.setdefault(metric, set()).add(value)
    scores = {metric: values.pop() for metric, values in found.items() if len(values) == 1}
    domains = [f"miou/{domain}" for domain in domains_of(records)]
    if domains and all(domain in scores for domain in domains):
        scores["miou/target_mean"] = sum(scores[domain] for domain in domains) / len(domains)
    return scores
