"""`tables`, `explain`, `report`, `analyse`: what the tracked runs say."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from recyclelora.documents import read
from recyclelora.errors import InputError
from recyclelora.spaces.space_file import read_space
from recyclelora.tables import composition, formats, provenance, report
from recyclelora.tables.cells import group
from recyclelora.tables.evidence import (
    Evidence,
    edited,
    fetch,
    fetch_analyses,
    fetch_confusions,
    fetch_panels,
    link_to,
)
from recyclelora.tables.stale import keep_only
from recyclelora.trials.analysis import FILES, analyse_finished, read_analysis, series_of
from recyclelora.trials.paths import Paths
from recyclelora.verbs.console import CONSOLE, open_existing, paths_of
from recyclelora.writing import write_text


def tables(given: argparse.Namespace) -> int:
    store, paths = open_existing(given), paths_of(given)
    return each_of(names_of(store, given.sweeps), lambda name: write_tables(store, name, paths))


def each_of(names: Sequence[str], write: Callable[[str], None]) -> int:
    """Write every sweep's, also where one of them cannot be; then complain of the first that could not."""
    refused = []
    for name in names:
        try:
            write(name)
        except InputError as error:
            refused.append(error)
            if len(names) > 1:
                CONSOLE.print(f"{name}: left out: {error}", style="red", highlight=False, markup=False)
    if refused:
        raise refused[0]
    return 0


def write_tables(store: Any, name: str, paths: Paths) -> None:
    """Files first: a terminal may fail."""
    evidence, folder = fetch(store, name), paths.results / "tables"
    sheets = evidence.sheets(_confusions(store, evidence))
    files = [formats.write(sheet, folder, link_to(store)) for sheet in sheets]
    removed = keep_only([path for some in files for path in some], folder, name)
    for sheet, some in zip(sheets, files, strict=True):
        CONSOLE.print(formats.terminal(sheet))
        for path in some:
            CONSOLE.print(f"  {path}", highlight=False, markup=False)
    _tell_removed(removed)


def _tell_removed(removed: Sequence[Path]) -> None:
    for path in removed:
        CONSOLE.print(f"  {path}: removed, since it is no longer made", highlight=False, markup=False)


def _confusions(store: Any, evidence: Evidence) -> Any:
    """Image-level noise is asked for by experiments, which state what they expect; files of thousands of other runs
    stay unread."""
    return fetch_confusions(store, evidence.records) if evidence.statement.expectations else None


def names_of(store: Any, asked: Sequence[str]) -> list[str]:
    """Sweeps by name; an experiment's file stands for its sweeps at all bases. All of them where none is asked for."""
    known = [sweep.name for sweep in store.sweeps()]
    if not asked:
        return known
    names: list[str] = []
    for name in asked:
        names += _of_file(store, Path(name), known) if name.endswith((".yaml", ".yml")) else [name]
    return list(dict.fromkeys(names))


def _of_file(store: Any, path: Path, known: Sequence[str]) -> list[str]:
    document = read(path)
    bases = document.data.get("at")
    found = [name for at in (bases if isinstance(bases, dict) else [None])
             if (name := read_space(path, at=at).sweep_name) in known]
    if not found:
        raise InputError(f"{path}: has not been run here; `recyclelora sweep {path}` does. The store has: "
                         f"{', '.join(known) or 'nothing yet'}")
    for name in found:
        if edited(store, name, document.text):
            CONSOLE.print(f"{path}: was edited after sweep {name} was last started; the table is that of its former "
                          "text until the sweep is run again", style="yellow", highlight=False)
    return found


def explain(given: argparse.Namespace) -> int:
    store = open_existing(given)
    known = {sweep.name for sweep in store.sweeps()}
    name = next((part for part in (given.table, given.table.rpartition(".")[0]) if part in known), given.table)
    evidence = fetch(store, name)
    sheets = evidence.sheets(_confusions(store, evidence))
    found = provenance.explain(sheets, evidence.sweep, evidence.plan, evidence.records, evidence.statement,
                               given.table, given.row, given.column, store.runs_url)
    for text in provenance.lines(found):
        CONSOLE.print(text, highlight=False, markup=False)
    return 0


def write_report(given: argparse.Namespace) -> int:
    """A page per sweep, its figures and tables beside it; logged to the sweep's run as well."""
    store, paths = open_existing(given), paths_of(given)
    out = given.out or paths.results / "reports"

    def write(name: str) -> None:
        evidence = fetch(store, name)
        if not evidence.plan:
            CONSOLE.print(f"{name}: a search has a table, and no claim to report on", highlight=False)
            return
        for path in _write_report(store, evidence, out, given):
            CONSOLE.print(path, highlight=False)

    return each_of(names_of(store, given.sweeps), write)


def _write_report(store: Any, evidence: Evidence, out: Path, given: argparse.Namespace) -> list[Path]:
    name, link = evidence.sweep.name, link_to(store)
    cells = group(name, evidence.plan, evidence.records)
    sheets = evidence.sheets(_confusions(store, evidence))
    panels = [] if given.no_pictures else fetch_panels(store, cells)
    material = composition.Material(
        name=name, cells=cells, statement=evidence.statement, sheets=sheets, panels=panels,
        analyses=fetch_analyses(store, evidence.records), commands=_commands(evidence))
    gallery = composition.draw(material)
    try:
        (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); choose another with --out") from None
    page = out / f"{name}.html"
    write_text(page, report.render(composition.compose(material, gallery, link), link))
    written = [page]
    for stem, plate in gallery.named.items():
        written.append(out / name / f"{stem}.svg")
        write_text(written[-1], plate.drawing.svg)
    for sheet in sheets:
        written += formats.write(sheet, out / name, link)
    _tell_removed(keep_only(written, out, name))
    store.log_artifact(evidence.sweep.run_id, "report.html", page)
    return written


def _commands(evidence: Evidence) -> tuple[str, ...]:
    told = evidence.statement.command
    return (*([told] if told else []), f"recyclelora report {evidence.sweep.name}")


def analyse(given: argparse.Namespace) -> int:
    """Fill in the analysis of adapters for runs that ended without one."""
    from recyclelora.sweeps.commit import commit_tags

    store, paths = open_existing(given), paths_of(given)
    records = {record.fingerprint: record for name in names_of(store, given.sweeps) for record in store.records(name)}
    missing, code = 0, "{commit} (modified)" if commit_tags()["dirty"] == "true" else "{commit}"
    code = code.format(**commit_tags())
    for record in records.values():
        lacks = not any(metric.startswith("adapter/") for metric in record.metrics)
        if record.outcome != "finished" or record.config.get("adapter.method") in ("frozen", "rein") or not lacks:
            continue
        folder = paths.trial(record.fingerprint)
        if not (folder / "adapter.safetensors").exists():
            missing += 1
            continue
        analysis = read_analysis(folder) or analyse_finished(folder, paths.cache, paths.data_root)
        for name in FILES:
            if (folder / name).exists():
                store.log_artifact(record.tags["run_id"], name, folder / name)
        store.add_metrics(record.tags["run_id"], analysis.summary, series_of(analysis), {"analysis_commit": code})
        CONSOLE.print(f"{record.tags.get('cell', record.fingerprint)}, seed {record.tags.get('seed')}: analysed",
                      highlight=False)
    if missing:
        CONSOLE.print(f"{missing} runs have no trial folder in {paths.results}, so they were not analysed",
                      highlight=False)
    return 0
