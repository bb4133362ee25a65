"""The table of adapters: their measures after training, beside those at the start."""

from collections.abc import Sequence

from recyclelora.adapters.diagnostics import DEFINITIONS
from recyclelora.tables.cells import Cell
from recyclelora.tables.measures import digits_for, recorded, title
from recyclelora.tables.results_table import runs_of, status_of
from recyclelora.tables.sheet import Column, Entry, Number, Sheet, SheetRow
from recyclelora.tables.statistics import mean_sd

AFTER, START = "adapter/", "adapter_start/"
SHOWN = ("rank_efficiency", "grassmann", "grassmann_chance", "column_ratio", "drift_norm", "subspace_drift")
STARTS = ("rank_efficiency",)  # of which the start is shown too: elsewhere it is 0, infinite or the same


def tabulate_adapters(name: str, cells: Sequence[Cell]) -> Sheet:
    """A row per cell, and a column for each of the telling measures after training, for some at its start too. The
    others, and all by layer, are among the runs' metrics."""
    keys = _measured(cells)
    columns = [Column("status", "seeds", numeric=False), *(Column(key, title(key)) for key in keys)]
    found = {key: [mean_sd(values.values()) if (values := cell.values(key)) else None for cell in cells]
             for key in keys}
    digits = {key: digits_for(each.mean for each in some if each is not None) for key, some in found.items()}
    rows = []
    for place, cell in enumerate(cells):
        entries: list[Entry] = [status_of(cell)]
        for key in keys:
            each = found[key][place]
            entries.append(None if each is None else Number(each.mean, sd=each.sd, digits=digits[key]))
        rows.append(SheetRow(cell.label, tuple(entries), runs_of(cell)))
    return Sheet(name=name, columns=tuple(columns), rows=tuple(rows), caption=(*_sentences(keys), *_analysed(cells)))


def _analysed(cells: Sequence[Cell]) -> list[str]:
    """Which code analysed runs that had ended before, where that was done."""
    codes = sorted({record.tags["analysis_commit"] for record in recorded(cells) if "analysis_commit" in record.tags})
    return [f"Analysed after they had ended, by code {', '.join(codes)}."] if codes else []


def _measured(cells: Sequence[Cell]) -> list[str]:
    """The adapter metrics of the runs, in the order of their definitions; each measure's start before its end."""
    every: set[str] = set().union(*(record.metrics for record in recorded(cells)))
    names = [name for name in every if name.startswith(tuple(f"{AFTER}{measure}/" for measure in SHOWN))
             or name.startswith(tuple(f"{START}{measure}/" for measure in STARTS))]
    known = list(DEFINITIONS)

    def order(name: str) -> tuple[int, str, bool]:
        rest = name.partition("/")[2]
        measure = rest.partition("/")[0]
        return known.index(measure) if measure in known else len(known), rest, name.startswith(AFTER)

    return sorted(names, key=order)


def _sentences(keys: Sequence[str]) -> list[str]:
    if not keys:
        return ["No run has recorded measures of its adapters."]
    measures = dict.fromkeys(key.split("/")[1] for key in keys)
    return ["Mean ± sample s.d. over seeds of a measure's mean over the adapted layers, after training and at its "
            "start.",
            *(f"{name.replace('_', ' ')}: {DEFINITIONS[name]}" for name in measures if name in DEFINITIONS)]
