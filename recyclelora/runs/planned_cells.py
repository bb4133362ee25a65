"""The plan of a sweep: its trials, in the order of its table."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from recyclelora.trials.record import Flat


class PlannedCell(NamedTuple):
    """One planned trial: its cell (a row of the table), its seed, its identity, and the knobs that make the cell."""

    cell: str
    seed: int
    fingerprint: str
    knobs: Flat


def dump_plan(plan: Iterable[PlannedCell]) -> str:
    """JSON text of a plan."""
    return json.dumps({"cells": [cell._asdict() for cell in plan]}, indent=1)


def parse_plan(text: str) -> list[PlannedCell]:
    """The plan in a JSON text. Raises ValueError for text that `dump_plan` did not write."""
    try:
        cells = [PlannedCell(**cell) for cell in json.loads(text)["cells"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a plan: {error}") from None
    for cell in cells:
        if not (isinstance(cell.cell, str) and isinstance(cell.seed, int) and isinstance(cell.fingerprint, str)
                and isinstance(cell.knobs, dict)):
            raise ValueError(f"not a planned cell: {cell}")
    return cells
