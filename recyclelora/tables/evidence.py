"""Fetches everything that the tables and the page of a sweep need from the store. It changes nothing there."""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from recyclelora.errors import InputError
from recyclelora.runs.planned_cells import PlannedCell
from recyclelora.runs.reader import Reader
from recyclelora.runs.run import DeletedRun, Sweep
from recyclelora.spaces.statement import Statement
from recyclelora.tables import sweep_sheets
from recyclelora.tables.cells import Cell, group
from recyclelora.tables.differences import Confusions
from recyclelora.tables.formats import Link
from recyclelora.tables.html_page import Panel
from recyclelora.tables.long_csv import long_csv
from recyclelora.tables.sheet import RunRef, Sheet
from recyclelora.trials.analysis_files import FILES, PICTURE, Analysis, read_analysis
from recyclelora.trials.record import Record


class Evidence(NamedTuple):
    """A sweep as the store has it."""

    sweep: Sweep
    plan: list[PlannedCell]
    records: list[Record]
    statement: Statement
    deleted: list[DeletedRun]
    importances: dict[str, float]

    def sheets(self, confusions: Confusions | None = None) -> list[Sheet]:
        return sweep_sheets.build(self.sweep, self.plan, self.records, self.statement, confusions, self.deleted,
                            self.importances)

    def long_csv(self) -> str:
        """The runs behind the sheets, a line per metric."""
        cells = group(self.sweep.name, self.plan, self.records)
        return long_csv(self.sweep, cells, self.records, self.statement)


def fetch(store: Reader, name: str) -> Evidence:
    """Everything but files. Raises InputError for a sweep that the store does not have, or has damaged."""
    sweep, plan = store.sweep(name), store.plan(name)
    importances = {} if plan else _fetch_importances(store, sweep)
    return Evidence(sweep, plan, store.records(name), store.statement(name), store.deleted(name), importances)


def _fetch_importances(store: Reader, sweep: Sweep) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = store.artifact(sweep.run_id, "importances.json", Path(folder))
        try:
            found = json.loads(path.read_text("utf-8")) if path else {}
            return {str(knob): float(share) for knob, share in found.items()}
        except (ValueError, AttributeError, TypeError):
            raise InputError(f"sweep {sweep.name}: its importances.json (run {sweep.run_id}) is damaged; start the "
                             "search again, which rewrites it and keeps every trial") from None


def fetch_confusions(store: Reader, records: Sequence[Record]) -> Confusions:
    """The confusion matrices of each image, of the finished runs that kept them."""
    found: dict[str, dict[str, NDArray[Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for record in (record for record in records if record.outcome == "finished"):
            path = store.artifact(record.tags["run_id"], "confusions.safetensors", Path(folder, record.fingerprint))
            if path is not None:
                try:
                    found[record.fingerprint] = load_file(path)
                except SafetensorError as error:
                    raise InputError(f"run {record.tags['run_id']}: its confusions.safetensors is damaged ({error}); "
                                     "delete the run in MLflow and start the sweep again") from None
    return found


def fetch_analyses(store: Reader, records: Sequence[Record]) -> dict[str, Analysis]:
    """What training made of the adapters, of the finished runs that were analysed, by fingerprint."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for record in (record for record in records if record.outcome == "finished"):
            place = Path(folder, record.fingerprint)
            if all(store.artifact(record.tags["run_id"], name, place) for name in FILES if name != PICTURE):
                analysis = read_analysis(place)
                if analysis is not None:
                    found[record.fingerprint] = analysis
    return found


def fetch_panels(store: Reader, cells: Sequence[Cell]) -> list[Panel]:
    """The pictures that the first finished run of each cell left: predictions by domain, and the feature change."""
    panels = []
    with tempfile.TemporaryDirectory() as folder:
        for cell in cells:
            for seed, record in list(cell.finished.items())[:1]:
                run_id, place = record.tags["run_id"], Path(folder, record.fingerprint)
                drawn = store.artifact(run_id, "panels", place)
                files = {path.stem: path for path in sorted(drawn.glob("*.png"))} if drawn else {}
                change = store.artifact(run_id, PICTURE, place)
                files |= {"feature change": change} if change else {}
                panels += [Panel(domain, cell.label, seed, path.read_bytes(), store.run_url(run_id))
                           for domain, path in files.items()]
    order = list(dict.fromkeys(panel.domain for panel in panels))
    return sorted(panels, key=lambda panel: (panel.domain == "feature change", order.index(panel.domain)))


def edited(store: Reader, name: str, text: str) -> bool:
    """Whether a file's text is another than the one the sweep was last started from."""
    return store.space_sha256(name) != hashlib.sha256(text.encode()).hexdigest()


def link_to(store: Reader) -> Link:
    """The address of the page that shows some runs; None for none."""
    def address(refs: Sequence[RunRef]) -> str | None:
        run_ids = [ref.run_id for ref in refs if ref.run_id]
        return store.runs_url(run_ids) if run_ids else None

    return address
