"""The metrics in the columns of tables: their order, their printed names, and what each was measured on."""

import math
from collections.abc import Iterable, Mapping, Sequence

from recyclelora.data.labels import SPACES
from recyclelora.spaces.statement import Statement
from recyclelora.tables.cells import Cell
from recyclelora.trials.label_mapping import read_scoring
from recyclelora.trials.record import Record

TARGET_MEAN, SOURCE = "miou/target_mean", "miou/source"
POINTS = 100.0  # a fraction of IoU -> points, which is what a table prints


def title(metric: str) -> str:
    """A metric's column heading: `target mean`, `rank efficiency, main`, `rank efficiency, main, start`."""
    kind, _, rest = metric.partition("/")
    if kind not in ("adapter", "adapter_start"):
        return metric.removeprefix("miou/").replace("target_mean", "target mean")
    return ", ".join([rest.replace("_", " ").replace("/", ", "), *(["start"] if kind == "adapter_start" else [])])


def scale_of(metric: str) -> float:
    """What a recorded value is multiplied by before it is printed: IoU is kept as a fraction and read in %."""
    return POINTS if metric.startswith(("miou/", "iou/", "chance/")) else 1.0


def recorded(cells: Iterable[Cell]) -> list[Record]:
    """All records of the cells, in the order of the plan."""
    return [record for cell in cells for record in cell.records.values()]


def domains_of(records: Iterable[Record]) -> tuple[str, ...]:
    """The target domains of all runs, in the order of their configs."""
    domains: dict[str, None] = {}
    for named in dict.fromkeys(_targets(record) for record in records):
        domains.update(dict.fromkeys(named))
    return tuple(domains)


def metrics_of(records: Sequence[Record], statement: Statement) -> tuple[str, ...]:
    """Each target domain, then the mean of the targets, then the source: metric names. Those that the statement names
    are among them, whether or not a run has measured them."""
    stated = [*(each.metric for each in statement.targets), *(each.metric for each in statement.expectations)]
    named = [metric for metric in stated if metric.startswith("miou/")]  # a measure of adapters has a table of its own
    domains = dict.fromkeys([*(f"miou/{domain}" for domain in domains_of(records)), *named])
    return *(metric for metric in domains if metric not in (TARGET_MEAN, SOURCE)), TARGET_MEAN, SOURCE


def copies_of(records: Sequence[Record]) -> dict[str, str]:
    """Columns that repeat another: with one target domain, its own is the mean of the targets. Nothing is tested
    twice."""
    domains = domains_of(records)
    return {f"miou/{domains[0]}": TARGET_MEAN} if len(domains) == 1 else {}


def grounds_of(records: Iterable[Record], metrics: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What each metric was measured on, as `domains in label space`; more than one where runs differ in it, whose
    numbers then cannot be compared."""
    samples: dict[tuple[str, ...], Record] = {}
    for record in records:
        if record.outcome == "finished":
            samples.setdefault((record.tags.get("label_space", ""), str(record.config.get("data.source", "")),
                                *_targets(record)), record)
    spaces = {key: spaces_of(record) for key, record in sorted(samples.items())}
    return {metric: tuple(dict.fromkeys(
        ground for key, record in sorted(samples.items()) if (ground := _ground(record, metric, spaces[key]))))
        for metric in metrics}


def measures(record: Record, metric: str) -> bool:
    """Whether a finished run should have this metric."""
    targets = _targets(record)
    return metric == SOURCE or (bool(targets) if metric == TARGET_MEAN else metric.removeprefix("miou/") in targets)


def mixed(grounds: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Of `grounds_of`, the metrics whose cells were not measured on the same thing."""
    return {metric: some for metric, some in grounds.items() if len(some) > 1}


def spaces_of(record: Record) -> dict[str, str]:
    """Domain (or `source`) -> the label space it was scored in, as its tag or else the names of its classes tell;
    domains for which they do not tell are left out."""
    if scoring := read_scoring(record.tags):
        return scoring.spaces
    named = [name for name in record.tags.get("label_space", "").split("+") if name]
    domains = ["source", *_targets(record)]
    if len(named) == 1:
        return dict.fromkeys(domains, named[0])
    classes: dict[str, set[str]] = {}
    for metric in record.metrics:
        if metric.startswith("iou/"):
            _, domain, cls = metric.split("/", 2)
            classes.setdefault(domain, set()).add(cls.replace("_", " "))
    found = {}
    for domain in domains:
        fitting = [name for name in named if name in SPACES and classes.get(domain)
                   and classes[domain] <= set(SPACES[name].classes)]
        if len(fitting) == 1:
            found[domain] = fitting[0]
    return found


def _ground(record: Record, metric: str, spaces: Mapping[str, str]) -> str:
    """`camvid-day, camvid-dusk in camvid11`; "" for a metric that this run has no value of."""
    if metric not in record.metrics:
        return ""
    name = metric.removeprefix("miou/")
    if metric == SOURCE:
        domains, keys = str(record.config.get("data.source", "")), ["source"]
    elif metric == TARGET_MEAN:
        domains, keys = ", ".join(_targets(record)), list(_targets(record))
    else:
        domains, keys = name, [name]
    scored = dict.fromkeys(spaces[key] for key in keys if key in spaces)
    return f"{domains} in {' and '.join(scored)}" if scored else domains


def _targets(record: Record) -> tuple[str, ...]:
    named = record.config.get("data.targets")
    return tuple(map(str, named)) if isinstance(named, list | tuple) else ()


def digits_for(values: Iterable[float], figures: int = 3) -> int:
    """Digits behind the point that give the largest of these values so many figures, 0 to 8."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return min(8, max(0, figures - 1 - math.floor(math.log10(largest)))) if largest > 0 else 2
