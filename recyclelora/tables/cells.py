"""Groups records into cells: the runs behind each row. Every statement about an ablation is about these."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from recyclelora.errors import InputError
from recyclelora.runs.planned_cells import PlannedCell
from recyclelora.trials.record import Flat, Record

COUNT = re.compile(r" [\d,]+( of [\d,]+)?(?=$|, )")
NEVER_MIXED = {"protocol": "evaluation protocols", "selection": "selection rules"}  # tag -> what it is


@dataclass(frozen=True)
class Cell:
    """One row of an ablation, all its seeds. `records` holds what has ended, by seed, whatever the outcome."""

    label: str
    knobs: Flat
    planned: tuple[int, ...]
    records: dict[int, Record]

    @property
    def finished(self) -> dict[int, Record]:
        """The runs that count, by seed: one stopped early is no member of a mean."""
        return {seed: record for seed, record in self.records.items() if record.outcome == "finished"}

    def values(self, metric: str) -> dict[int, float]:
        """Finite values of a metric by seed, as recorded (mIoU as a fraction)."""
        found = {seed: record.metrics.get(metric, math.nan) for seed, record in self.finished.items()}
        return {seed: value for seed, value in found.items() if math.isfinite(value)}


def group(name: str, plan: Sequence[PlannedCell], records: Iterable[Record]) -> list[Cell]:
    """The cells of a planned sweep, in the order of its plan. Raises InputError when its runs were not measured alike,
    or when one cell has a seed twice."""
    by_fingerprint = {record.fingerprint: record for record in records}
    found = [by_fingerprint[each.fingerprint] for each in plan if each.fingerprint in by_fingerprint]
    refuse_mixtures(name, [record for record in found if record.outcome != "failed"])
    trials: dict[str, dict[int, PlannedCell]] = {}
    for each in plan:
        cell = trials.setdefault(each.cell, {})
        if each.seed in cell:
            raise InputError(f"sweep {name}: its plan has cell {each.cell!r} with seed {each.seed} twice; two cells "
                             "share one label: rename one in the file, and start the sweep again")
        cell[each.seed] = each
    return [Cell(label, next(iter(cell.values())).knobs, tuple(sorted(cell)),
                 {seed: by_fingerprint[cell[seed].fingerprint] for seed in sorted(cell)
                  if cell[seed].fingerprint in by_fingerprint}) for label, cell in trials.items()]


def refuse_mixtures(name: str, records: Iterable[Record]) -> None:
    """Raises InputError where runs of several protocols or selection rules would meet in one table, or runs that were
    scored on different numbers of images of a domain."""
    runs: dict[str, dict[str, list[str]]] = {}  # what was measured alike -> how -> by which runs
    for record in records:
        told = {what: record.tags.get(tag, "") for tag, what in NEVER_MIXED.items()}
        for what, value in (told | _images(record.tags.get("images", ""))).items():
            run = f"{record.tags.get('cell', '')} {record.fingerprint}".strip()
            runs.setdefault(what, {}).setdefault(value, []).append(run)
    for what, values in runs.items():
        if len(values) > 1:
            listed = "; ".join(f"{value or 'unknown'!r}: {', '.join(some[:3])}{' ...' if len(some) > 3 else ''}"
                               for value, some in sorted(values.items()))
            raise InputError(f"sweep {name}: its runs mix {what}, which no table may ({listed}); "
                             "use one sweep file for each")


def _images(tag: str) -> dict[str, str]:
    """What of the tag `images` (see `trials.build.images_tag`) was scored: the domain -> its number of images."""
    scored = [part for part in tag.split("; ") if part and not part.startswith("trained on ")]
    return {f"numbers of images of {COUNT.sub('', part)}": part for part in scored}
