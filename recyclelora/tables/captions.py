"""The captions of tables: protocol, data, weights and code behind the numbers, and which runs are missing."""

import math
from collections.abc import Iterable, Mapping, Sequence

from recyclelora.runs.run import DeletedRun
from recyclelora.spaces.columns import BY_KEY, DEFAULT, UNKNOWN, Fact, Group, Quantity, code_of
from recyclelora.tables.cells import Cell
from recyclelora.tables.comparisons import ALPHA, LEAST
from recyclelora.tables.leads import Marks
from recyclelora.tables.measures import TARGET_MEAN, grounds_of, measures, mixed, recorded, spaces_of, title
from recyclelora.tables.statistics import evidence
from recyclelora.trials.label_mapping import Classes, Scoring, describe, read_scoring
from recyclelora.trials.record import Record

MOST = 5  # cells or runs that a sentence lists before it only counts them


def describe_results(name: str, cells: Sequence[Cell], marks: Marks) -> list[str]:
    """What the numbers of the table of results are, and what its marks mean."""
    seeds = [str(seed) for seed in sorted({seed for cell in cells for seed in cell.planned})]
    sentences = [f"Sweep {name}: mIoU in %, " + (f"mean ± sample s.d. over seeds {', '.join(seeds)}." if len(seeds) > 1
                                                 else f"seed {seeds[0]}.")]
    return sentences + describe_evidence(cells) + describe_marks(cells, marks)


def describe_columns(chosen: Sequence[str], cells: Sequence[Cell]) -> list[str]:
    """What the columns beside those of every table are, which direction is good, and which runs lack their number."""
    entries = [BY_KEY[key] for key in chosen if key not in DEFAULT and key in BY_KEY]
    sentences = [_column_in_words(entry) for entry in entries]
    for entry in entries:
        if isinstance(entry, Quantity):
            lacking = [record.fingerprint for cell in cells for record in cell.finished.values()
                       if not math.isfinite(entry.of(record))]
            sentences += _uncounted(entry.key, lacking)
    return sentences


def _column_in_words(entry: Quantity | Fact | Group) -> str:
    """`Peak memory: the most that ..., in GiB; lower is better.`"""
    unit = f", in {entry.unit}" if isinstance(entry, Quantity) and entry.unit else ""
    better = f"; {entry.better} is better" if isinstance(entry, Quantity) and entry.better else ""
    heading = entry.key if isinstance(entry, Group) else entry.heading
    return f"{heading[0].upper()}{heading[1:]}: {entry.means}{unit}{better}."


def describe_evidence(cells: Sequence[Cell]) -> list[str]:
    """How many seeds the cells have, and what that many are good for: the fewest decide."""
    counts = [len(cell.finished) for cell in cells if cell.finished]
    if not counts:
        return []
    least, most = min(counts), max(counts)
    if least == most:
        return [f"{most} seed{'s' if most > 1 else ''} a cell: {evidence(most)}."]
    return [f"{least} to {most} seeds a cell; {least}: {evidence(least)}; {most}: {evidence(most)}."]


def describe_marks(cells: Sequence[Cell], marks: Marks) -> list[str]:
    if not any(len(cell.finished) >= LEAST for cell in cells):
        return [f"Nothing is marked: that needs {LEAST} seeds."] if any(cell.finished for cell in cells) else []
    sentences = []
    if marks.of:
        sentences.append("Best and second are marked where they lead over the next cell: 95 % interval of the paired "
                         f"difference above 0, and p < {ALPHA} after Holm over the table's {marks.tested} leads.")
    if marks.undecided:
        sentences.append(f"No lead is distinguishable in: {', '.join(map(title, marks.undecided))}.")
        if any(0 < len(cell.finished) < len(cell.planned) for cell in cells):
            sentences.append("A cell that lacks some of its seeds leads no other.")
    return sentences


def describe_origin(records: Sequence[Record], metrics: Sequence[str]) -> list[str]:
    """How the numbers were taken, and from what data, weights and code. A failed run has no numbers."""
    records = [record for record in records if record.outcome != "failed"] or records
    if not records:
        return []
    sources = _every(record.config.get("data.source") for record in records)
    return [f"Source: {sources}. Selection: {told(records, 'selection')}. Protocol: {told(records, 'protocol')}. "
            f"Label space: {_label_spaces(records)}.",
            *([f"Images: {told(records, 'images')}."] if any("images" in record.tags for record in records) else []),
            *_apart(records, metrics),
            f"Weights: sha256 {told(records, 'weights_sha256', 12)}. Data: {told(records, 'data_fingerprint', 12)}. "
            f"Code: {code(records)}."]


def _label_spaces(records: Sequence[Record]) -> str:
    """Which domains are scored in which label space, and how classes were mapped, where the runs tell; otherwise what
    spaces there are."""
    told = {_kind(record): scoring for record in records if (scoring := read_scoring(record.tags))}
    if told and told.keys() >= {_kind(record) for record in records}:
        return _mapped(told)
    named = sorted({name for record in records for name in record.tags.get("label_space", "").split("+") if name})
    silent = [UNKNOWN] if any(not record.tags.get("label_space") for record in records) else []
    if len(named) < 2:
        return ", ".join([*named, *silent])
    scored: dict[str, dict[str, None]] = {}
    samples = {_kind(record): record for record in reversed(records) if record.outcome == "finished"}
    for _, record in sorted(samples.items(), key=lambda item: tuple(map(str, item[0]))):
        for domain, space in spaces_of(record).items():
            scored.setdefault(space, {})[domain] = None
    if set(scored) != set(named):
        return ", ".join([*named, *silent])
    return "; ".join([*(f"{space} ({', '.join(scored[space])})" for space in named), *silent])


def _kind(record: Record) -> tuple[str, ...]:
    """What decides the label spaces of a run."""
    return tuple(str(record.tags.get("label_space") if key == "label_space" else record.config.get(key))
                 for key in ("label_space", "data.source", "data.targets"))


def _mapped(told: Mapping[tuple[str, ...], Scoring]) -> str:
    scored: dict[str, dict[str, None]] = {}
    maps: dict[str, dict[str, Classes]] = {}
    for _, scoring in sorted(told.items()):
        for domain, space in scoring.spaces.items():
            scored.setdefault(space, {})[domain] = None
        for space, each in scoring.maps.items():
            maps.setdefault(space, {}).update(each)
    return describe({space: tuple(domains) for space, domains in scored.items()}, maps)


def _apart(records: Sequence[Record], metrics: Sequence[str]) -> list[str]:
    grounds = grounds_of(records, metrics)
    sentences = [f"{title(metric)}: measured on {'; on '.join(some)}: these are not compared with each other."
                 for metric, some in mixed(grounds).items()]
    several = any(" and " in ground.rpartition(" in ")[2] for ground in grounds.get(TARGET_MEAN, ()))
    return [*sentences, *(["The target mean is one over several label spaces."] if several else [])]


def code(records: Iterable[Record]) -> str:
    """The versions of the code that the runs were made with."""
    versions = {code_of(record) or UNKNOWN for record in records}
    listed = _listed(versions)
    return listed if len(versions) < 2 else f"runs of {len(versions)} code versions, {listed}"


def _every(values: Iterable[object]) -> str:
    """The different values; a run without one is `unknown`, whatever the others say."""
    return _listed({str(value or UNKNOWN) for value in values})


def _listed(values: Iterable[str]) -> str:
    """In order, UNKNOWN last."""
    return ", ".join(sorted(values, key=lambda value: (value == UNKNOWN, value))) or UNKNOWN


def told(records: Iterable[Record], name: str, length: int | None = None) -> str:
    """The different values of a tag."""
    return _every(record.tags.get(name, "")[:length] for record in records)


def describe_lacks(cells: Sequence[Cell], metrics: Sequence[str], deleted: Sequence[DeletedRun] = ()) -> list[str]:
    """How many trials there are, which are missing from the numbers, and why."""
    records = recorded(cells)
    outcomes = [record.outcome for record in records]
    total = sum(len(cell.planned) for cell in cells)
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("finished", "pruned", "failed"))
    sentences = [f"{total} trials: {counts}, {total - len(records)} not run."]
    sentences += _missing(cells) + _stopped(cells) + _not_numbers(cells, metrics)
    if repeated := [record for record in records if record.tags.get("duplicates")]:
        sentences.append(f"{len(repeated)} with several runs, of which the oldest finished counts: "
                         f"{_some([record.fingerprint for record in repeated])}.")
    present = {record.fingerprint for record in records}
    if gone := [each for each in deleted if each.fingerprint not in present]:
        sentences.append(f"{len(gone)} deleted from the store, and not run again: "
                         f"{_some([f'{each.cell} seed {_seed(each)} ({each.fingerprint})' for each in gone])}.")
    return sentences


def _seed(run: DeletedRun) -> str:
    return UNKNOWN if run.seed is None else str(run.seed)


def _missing(cells: Sequence[Cell]) -> list[str]:
    """The seeds that cells lack which were run in part; what was not run at all is seen in the table."""
    lacking = [f"{cell.label}: {', '.join(str(seed) for seed in cell.planned if seed not in cell.records)}"
               for cell in cells if cell.records and len(cell.records) < len(cell.planned)]
    return [f"Seeds not run: {_some(lacking)}."] if lacking else []


def _stopped(cells: Sequence[Cell]) -> list[str]:
    """Those that failed or were stopped early, whose numbers are in no mean."""
    stopped = [f"{cell.label} seed {seed} ({record.reason or record.outcome})" for cell in cells
               for seed, record in cell.records.items() if record.outcome != "finished"]
    return [f"Not counted: {_some(stopped)}."] if stopped else []


def _not_numbers(cells: Sequence[Cell], metrics: Sequence[str]) -> list[str]:
    sentences = []
    for metric in metrics:
        bad = [record.fingerprint for cell in cells for record in cell.finished.values()
               if not math.isfinite(record.metrics.get(metric, math.nan)) and measures(record, metric)]
        sentences += _uncounted(metric, bad)
    return sentences


def _uncounted(metric: str, fingerprints: Sequence[str]) -> list[str]:
    several = len(fingerprints) > 1
    return [f"{len(fingerprints)} run{'s' if several else ''} without a finite {metric} {'are' if several else 'is'} "
            f"not counted: {_some(fingerprints)}."] if fingerprints else []


def _some(items: Sequence[str]) -> str:
    return "; ".join(items[:MOST]) + (f"; and {len(items) - MOST} more" if len(items) > MOST else "")
