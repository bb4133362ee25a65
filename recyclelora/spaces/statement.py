"""The statement of an experiment: the part of its file that its tables need. The sweep keeps it as `statement.json`."""

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from recyclelora.spaces.columns import DEFAULT

TABLES = ("results", "differences", "effects", "adapters")
FIGURES = ("differences", "effects", "adapters", "layers", "panels")
TIERS = ("paper-copy", "readme", "figure", "note")  # where a published number was read; "memory" must not be shown


class Target(NamedTuple):
    """A published number, to be printed beside that of a cell: mIoU in %, with its source and its tier."""

    cell: str
    metric: str
    value: float
    source: str
    tier: str


class Expectation(NamedTuple):
    """What the claim expects: cell `better` scores above cell `worse`, in an mIoU or in a measure of the adapters."""

    better: str
    worse: str
    metric: str


@dataclass(frozen=True, kw_only=True)
class Statement:
    """`at` names the base that the cells were run on. Differences are taken against cell `baseline`. `factors` are the
    keys that a grid crosses. A sweep of a plain space states nothing but its claim."""

    claim: str = ""
    at: str = ""
    design: str = "grid"
    baseline: str | None = None
    factors: tuple[str, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    targets: tuple[Target, ...] = ()
    tables: tuple[str, ...] = ("results",)
    figures: tuple[str, ...] = ()
    columns: tuple[str, ...] = DEFAULT  # of the table of results, in this order
    command: str = ""  # what it was last run with
    unknown: tuple[tuple[str, str], ...] = ()  # what the publication leaves open, and what was chosen


def dump_statement(statement: Statement) -> str:
    """JSON text of a statement."""
    return json.dumps(asdict(statement), indent=1, ensure_ascii=False)


def parse_statement(text: str) -> Statement:
    """The statement in a JSON text. Raises ValueError for text that `dump_statement` did not write."""
    try:
        given = json.loads(text)
        made: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
        made["expectations"] = tuple(Expectation(*each) for each in given["expectations"])
        made["unknown"] = tuple((what, chosen) for what, chosen in given.get("unknown", []))
        made["targets"] = tuple(Target(*each) for each in given["targets"])
        return Statement(**made)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a statement: {error}") from None
