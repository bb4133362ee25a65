"""Published numbers beside measured ones. A target is never a measured value: it has columns of its own, its source and
its tier stand in the caption, and nothing is tested against it."""

import math
from collections.abc import Mapping

from recyclelora.errors import InputError
from recyclelora.spaces.statement import TIERS, Statement, Target
from recyclelora.tables.measures import POINTS, title
from recyclelora.tables.sheet import Column, Number
from recyclelora.tables.statistics import paired_difference

Targets = Mapping[tuple[str, str], Target]  # (cell, metric) -> target
WORDS = {"paper-copy": "read in a copy of the paper", "readme": "from the authors' own pages",
         "figure": "read off a figure", "note": "second hand"}


def beside(statement: Statement) -> dict[tuple[str, str], Target]:
    """The statement's targets by cell and metric. Raises InputError for one that may not be shown, or is given
    twice."""
    targets: dict[tuple[str, str], Target] = {}
    for each in statement.targets:
        if each.tier not in TIERS:
            raise InputError(f"targets: {each.cell}: {each.metric}: tier {each.tier!r} may not be shown; expected one "
                             f"of {', '.join(TIERS)}")
        if (each.cell, each.metric) in targets:
            raise InputError(f"targets: {each.cell}: {each.metric}: given twice; keep one")
        targets[each.cell, each.metric] = each
    return targets


def target_columns(metric: str, targets: Targets) -> list[Column]:
    """`published` and `difference`, behind a metric that has targets."""
    if not any(each.metric == metric for each in targets.values()):
        return []
    return [Column(f"{metric} published", f"{title(metric)} published"),
            Column(f"{metric} difference", f"{title(metric)} difference")]


def published(target: Target) -> Number:
    """The number as it was published, with no more digits than it was given, and its tier."""
    digits = len(repr(target.value).partition(".")[2].rstrip("0"))
    return Number(target.value, digits=min(2, max(1, digits)), note=f"({target.tier})")


def against(values: Mapping[int, float], target: Target) -> Number | None:
    """Measured minus published, in points, with the 95 % interval of the measured mean over seeds. The published number
    is taken as it stands: nobody says how much it would vary."""
    if not values:
        return None
    difference, low, high, _, n = paired_difference(values, dict.fromkeys(values, target.value / POINTS))
    low, high = (low, high) if n > 1 else (math.nan, math.nan)
    return Number(POINTS * difference, low=POINTS * low, high=POINTS * high, signed=True)


def sentences(statement: Statement) -> list[str]:
    """Where the published numbers come from."""
    sources: dict[tuple[str, str], list[str]] = {}
    for target in statement.targets:
        sources.setdefault((target.source, target.tier), []).append(f"{target.cell}, {title(target.metric)}")
    if not sources:
        return []
    listed = "; ".join(f"{source} (tier {tier}: {WORDS[tier]}) for {_some(what)}"
                       for (source, tier), what in sources.items())
    return [f"Published numbers are not measured here: {listed}.",
            "They were measured by others under their own protocol and at their own scale; \"difference\" is measured "
            "minus published, in points, with the 95 % interval of our mean over seeds."]


def _some(what: list[str], most: int = 6) -> str:
    return "; ".join(what[:most]) + (f"; and {len(what) - most} more" if len(what) > most else "")
