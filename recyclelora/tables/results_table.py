"""The table of results: the scores of each cell, with marks on leads that are more than noise."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from recyclelora.spaces.columns import BY_KEY, SETTINGS, STATUS, TARGETS, Fact, Quantity, facts_of, quantity
from recyclelora.spaces.statement import Statement
from recyclelora.tables.captions import describe_columns, describe_results
from recyclelora.tables.cells import Cell
from recyclelora.tables.leads import Marks, mark_leads
from recyclelora.tables.measures import TARGET_MEAN, domains_of, metrics_of, recorded, scale_of
from recyclelora.tables.sheet import Column, Entry, Number, RunRef, Sheet, SheetRow
from recyclelora.tables.statistics import mean_sd
from recyclelora.tables.targets import Targets, against, beside, published, sentences, target_columns
from recyclelora.trials.record import Record


@dataclass(frozen=True)
class Strip:
    """One column of the table, and what stands in it for a cell."""

    column: Column
    entry: Callable[[Cell], Entry]


@dataclass(frozen=True)
class Layout:
    """What the sweep decides of the columns that were `chosen` by their names: the settings in which its cells differ,
    the mIoU `metrics` that it has (each target domain, the mean, the source), and what stands beside these."""

    chosen: Sequence[str]
    knobs: Sequence[str]
    metrics: Sequence[str]
    status: Strip
    targets: Targets = field(default_factory=dict)
    marks: Marks = Marks({}, (), 0)


def tabulate_results(name: str, cells: Sequence[Cell], statement: Statement) -> Sheet:
    """A row per cell, and one for chance; the statement's columns, a metric followed by its published number and the
    difference from it where the statement has one. Leads are tested over all metrics, whichever are shown."""
    records = recorded(cells)
    metrics = metrics_of(records, statement)
    marks = mark_leads(cells, metrics, records)
    strips = list(lay_out(Layout(statement.columns, varied(cells), metrics,
                                 Strip(Column(STATUS, "seeds", numeric=False), status_of), beside(statement), marks)))
    columns = tuple(strip.column for strip in strips)
    rows = [SheetRow(cell.label, tuple(strip.entry(cell) for strip in strips), runs_of(cell)) for cell in cells]
    shown = {column.key for column in columns}
    marks = marks._replace(undecided=tuple(metric for metric in marks.undecided if metric in shown))
    return Sheet(name=name, columns=columns, rows=(*rows, *tabulate_chance(records, metrics, columns)),
                 caption=(*describe_results(name, cells, marks), *describe_columns(statement.columns, cells),
                          *sentences(statement)))


def lay_out(layout: Layout) -> Iterator[Strip]:
    """The columns in the order of their names; a name of a group gives several."""
    for key in layout.chosen:
        entry = BY_KEY.get(key)
        if key == SETTINGS:
            yield from map(setting_strip, layout.knobs)
        elif key == STATUS:
            yield layout.status
        elif key == TARGETS:
            for metric in layout.metrics[:-2]:  # the last are the mean and the source
                yield from metric_strips(metric, layout)
        elif isinstance(entry, Fact):
            yield fact_strip(entry)
        elif key.startswith("miou/"):
            yield from metric_strips(key, layout)
        else:
            yield quantity_strip(entry) if isinstance(entry, Quantity) else setting_strip(key)


def setting_strip(key: str) -> Strip:
    return Strip(Column(key, key, numeric=False), lambda cell: show(setting(cell, key)) or None)


def fact_strip(fact: Fact) -> Strip:
    return Strip(Column(fact.key, fact.heading, numeric=False),
                 lambda cell: facts_of(cell.finished.values(), fact.of) or None)


def quantity_strip(chosen: Quantity, marks: Marks | None = None) -> Strip:
    marked = marks.of if marks else {}
    unit = f", {chosen.unit}" if chosen.unit not in ("", "%") else ""  # that of mIoU stands in the caption

    def entry(cell: Cell) -> Number | None:
        number = print_quantity(chosen, cell)
        mark = marked.get((cell.label, chosen.key), "")
        return replace(number, mark=mark) if number else None

    return Strip(Column(chosen.key, chosen.heading + unit), entry)


def metric_strips(metric: str, layout: Layout) -> Iterator[Strip]:
    """An mIoU, its published number, and the difference from that."""
    yield quantity_strip(quantity(metric), layout.marks)

    def of(cell: Cell) -> Number | None:
        target = layout.targets.get((cell.label, metric))
        return published(target) if target else None

    def from_it(cell: Cell) -> Number | None:
        target = layout.targets.get((cell.label, metric))
        return against(cell.values(metric), target) if target else None

    for column, entry in zip(target_columns(metric, layout.targets), (of, from_it), strict=False):
        yield Strip(column, entry)


def print_quantity(chosen: Quantity, cell: Cell) -> Number | None:
    """Mean ± sample s.d. over the finished seeds. A count that is the same for every seed has no s.d."""
    values = [value for record in cell.finished.values() if math.isfinite(value := chosen.of(record))]
    if not values:
        return None
    mean, sd, _ = mean_sd(values)
    spread = math.nan if chosen.digits == 0 and sd == 0 else chosen.scale * sd
    return Number(chosen.scale * mean, sd=spread, digits=chosen.digits)


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
        scores[TARGET_MEAN] = sum(scores[domain] for domain in domains) / len(domains)
    return scores
