"""The keys that make a space file an experiment: its bases, and the claim that its tables decide."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from recyclelora.documents import Document, Plain, check_name, nearest
from recyclelora.errors import InputError
from recyclelora.spaces.columns import BY_KEY, DEFAULT
from recyclelora.spaces.design import BASELINE
from recyclelora.spaces.space import Budget, Method
from recyclelora.spaces.statement import FIGURES, TABLES, TIERS, Expectation, Statement, Target

AROUND = ("one_factor", "leave_one_out", "add_one_in")  # designs around a cell called `baseline`


def choose_base(document: Document, at: str | None) -> tuple[Document, str]:
    """The document at one of its bases, and the name of the base. Keys under `at: NAME:` replace the same keys at the
    top. Without `at` the first base is taken. A file without `at:` is returned unchanged, with the name ""."""
    bases = document.data.get("at")
    if "at" not in document.data:
        if at is not None:
            raise InputError(f"{document.path}: has no `at:`, so there is no base {at!r} to choose; leave out --at")
        return document, ""
    if not isinstance(bases, dict) or not bases:
        raise InputError(f"{document.where('at')}: at: expected `name: {{base: file, ...}}` lines, found {bases!r}")
    name = at if at is not None else next(iter(bases))
    if name not in bases:
        raise InputError(f"{document.where('at')}: at: no base is called {name!r}; this file has: {', '.join(bases)}")
    check_name(name, "base")
    own = bases[name]
    if not isinstance(own, dict) or "at" in own:
        raise InputError(f"{document.where('at', name)}: at: {name}: expected `base: file` and other keys of an "
                         f"experiment, found {own!r}")
    data = {key: value for key, value in document.data.items() if key != "at"} | own
    lines = {path: line for path, line in document.lines.items() if path[0] != "at" and path[0] not in own}
    lines |= {path[2:]: line for path, line in document.lines.items() if path[:2] == ("at", name) and len(path) > 2}
    return replace(document, data=data, lines=lines), name


def read_statement(document: Document, at: str, method: Method, claim: str, cells: Sequence[str],
                   factors: Sequence[str], columns: Sequence[str]) -> Statement:
    """The statement of a file, checked against the labels of its `cells` and the `columns` that its table may have.
    Raises InputError with file and line."""
    baseline = document.data.get("baseline", BASELINE if method in AROUND else None)
    if baseline is not None:
        _known(document, baseline, cells, "baseline")
    return Statement(
        claim=claim, at=at, design=method, baseline=cast(str | None, baseline),
        factors=tuple(factors) if method == "grid" and len(factors) > 1 else (),
        expectations=tuple(_expectations(document, cells)), targets=tuple(_targets(document, cells)),
        tables=_names(document, "tables", TABLES, ("results", "differences")),
        figures=_names(document, "figures", FIGURES, ("differences",)),
        columns=_columns(document, columns), unknown=_unknown(document))


def read_budget(document: Document) -> Budget | None:
    """`budget: {trials: 40}` or `budget: {hours: 6}`."""
    given = document.data.get("budget")
    if "budget" not in document.data:
        return None
    if not isinstance(given, dict) or len(given) != 1 or next(iter(given)) not in ("trials", "hours"):
        raise InputError(f"{document.where('budget')}: budget: expected {{trials: 40}} or {{hours: 6}}, found "
                         f"{given!r}")
    unit, amount = next(iter(given.items()))
    whole = isinstance(amount, int) and not isinstance(amount, bool)
    if not (whole or (unit == "hours" and isinstance(amount, float))) or not amount > 0:  # type: ignore[operator]
        raise InputError(f"{document.where('budget', unit)}: budget: {unit}: expected a number above 0, found "
                         f"{amount!r}")
    return Budget("trials" if unit == "trials" else "hours", float(cast(float, amount)))


def _expectations(document: Document, cells: Sequence[str]) -> list[Expectation]:
    given = document.data.get("expect", [])
    if not isinstance(given, list):
        raise InputError(f"{document.where('expect')}: expect: expected a list of {{better: CELL, worse: CELL}}")
    made = []
    for each in given:
        if not isinstance(each, dict) or not {"better", "worse"} <= each.keys() <= {"better", "worse", "metric"}:
            raise InputError(f"{document.where('expect')}: expect: expected {{better: CELL, worse: CELL}} and perhaps "
                             f"metric, found {each!r}")
        for side in ("better", "worse"):
            _known(document, each[side], cells, "expect", side)
        if each["better"] == each["worse"]:
            raise InputError(f"{document.where('expect')}: expect: {each['better']!r} is compared with itself")
        metric = each.get("metric", "miou/target_mean")
        if not isinstance(metric, str) or not metric.startswith(("miou/", "adapter/")):
            raise InputError(f"{document.where('expect', 'metric')}: expect: metric: expected miou/target_mean, "
                             f"miou/source, miou/DOMAIN or adapter/MEASURE/WHICH, found {metric!r}")
        made.append(Expectation(str(each["better"]), str(each["worse"]), metric))
    return made


def _targets(document: Document, cells: Sequence[str]) -> list[Target]:
    given = document.data.get("targets", {})
    if not isinstance(given, dict):
        raise InputError(f"{document.where('targets')}: targets: expected `CELL: {{METRIC: ...}}` lines")
    made = []
    for cell, metrics in given.items():
        _known(document, cell, cells, "targets", cell)
        if not isinstance(metrics, dict):
            raise InputError(f"{document.where('targets', cell)}: targets: {cell}: expected `METRIC: {{value, source, "
                             f"tier}}` lines, found {metrics!r}")
        made += [_target(document, cell, metric, entry) for metric, entry in metrics.items()]
    return made


def _target(document: Document, cell: str, metric: str, entry: Plain) -> Target:
    where = f"{document.where('targets', cell, metric)}: targets: {cell}: {metric}"
    if not isinstance(entry, dict) or entry.keys() != {"value", "source", "tier"}:
        raise InputError(f"{where}: expected {{value: mIoU in %, source: where it was read, tier: "
                         f"{' | '.join(TIERS)}}}, found {entry!r}")
    value, source, tier = entry["value"], entry["source"], entry["tier"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise InputError(f"{where}: value: expected mIoU in % (0 to 100), found {value!r}")
    if tier not in TIERS:
        raise InputError(f"{where}: tier: expected one of {', '.join(TIERS)}, found {tier!r}; a number that was only "
                         "remembered is no target")
    if not metric.startswith("miou/"):
        raise InputError(f"{where}: a target is a published mIoU: miou/target_mean, miou/source or miou/DOMAIN")
    return Target(cell, metric, float(value), str(source), str(tier))


def _unknown(document: Document) -> tuple[tuple[str, str], ...]:
    """`unknown: {what the publication leaves open: what was chosen}`."""
    given = document.data.get("unknown", {})
    if not isinstance(given, dict) or not all(isinstance(chosen, str) for chosen in given.values()):
        raise InputError(f"{document.where('unknown')}: unknown: expected `what is not public: what was chosen` lines")
    return tuple((what, str(chosen)) for what, chosen in given.items())


def _names(document: Document, key: str, known: Sequence[str], default: tuple[str, ...]) -> tuple[str, ...]:
    given = document.data.get(key, list(default))
    if not isinstance(given, list):
        raise InputError(f"{document.where(key)}: {key}: expected a list of some of {', '.join(known)}, found "
                         f"{given!r}")
    for name in given:
        if name not in known:
            raise InputError(f"{document.where(key)}: {key}: {name!r} is unknown{nearest(str(name), known)}")
    return tuple(dict.fromkeys(map(str, given)))


def _columns(document: Document, known: Sequence[str]) -> tuple[str, ...]:
    """`columns: [settings, status, miou/target_mean, memory/peak]`: those of the table of results, in order."""
    given = document.data.get("columns", list(DEFAULT))
    where = f"{document.where('columns')}: columns"
    if not isinstance(given, list) or not given:
        raise InputError(f"{where}: expected a list such as [{', '.join(DEFAULT)}], found {given!r}")
    for place, name in enumerate(given):
        if name not in known:
            close = nearest(str(name), known) or f"; known: {', '.join(BY_KEY)}, miou/DOMAIN and every setting"
            raise InputError(f"{where}: {name!r} is no column{close}")
        if name in given[:place]:
            raise InputError(f"{where}: {name!r} is listed twice")
    return tuple(map(str, given))


def _known(document: Document, cell: object, cells: Sequence[str], *keys: str) -> None:
    if cell not in cells:
        raise InputError(f"{document.where(*keys)}: {keys[0]}: no cell is called {cell!r}{nearest(str(cell), cells)}")


def factor_keys(given: Mapping[str, Plain]) -> tuple[str, ...]:
    """The keys that a grid crosses: those with several values that exist everywhere."""
    return tuple(key for key, knob in given.items() if isinstance(knob, dict) and "when" not in knob
                 and isinstance(knob.get("values"), list) and len(cast(list[Plain], knob["values"])) > 1)
