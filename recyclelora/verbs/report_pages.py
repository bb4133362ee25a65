"""The page of an experiment, with its figures and tables beside it."""

from pathlib import Path
from typing import Any

from recyclelora.errors import InputError
from recyclelora.tables import composition, formats, html_page
from recyclelora.tables.cells import group
from recyclelora.tables.evidence import Evidence, fetch_analyses, fetch_panels, link_to
from recyclelora.tables.long_csv import write_long_csv
from recyclelora.tables.stale import keep_only
from recyclelora.verbs.sweep_tables import confusions_of, print_removed
from recyclelora.writing import write_text


def write_page(store: Any, evidence: Evidence, out: Path, *, pictures: bool) -> list[Path]:
    """Write the page, figures and tables of a sweep, and log the page to the sweep's run; returns the files.
    `pictures`: whether to show images of the data. Raises InputError for a folder that cannot be written."""
    name, link = evidence.sweep.name, link_to(store)
    cells = group(name, evidence.plan, evidence.records)
    sheets = evidence.sheets(confusions_of(store, evidence))
    panels = fetch_panels(store, cells) if pictures else []
    material = composition.Material(
        name=name, cells=cells, statement=evidence.statement, sheets=sheets, panels=panels,
        analyses=fetch_analyses(store, evidence.records), commands=_commands(evidence))
    gallery = composition.draw(material)
    try:
        (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); choose another with --out") from None
    page = out / f"{name}.html"
    write_text(page, html_page.render(composition.compose(material, gallery, link), link))
    written = [page]
    for stem, plate in gallery.named.items():
        written.append(out / name / f"{stem}.svg")
        write_text(written[-1], plate.drawing.svg)
    for sheet in sheets:
        written += formats.write(sheet, out / name, link)
    written.append(write_long_csv(evidence.long_csv(), out / name, name))
    print_removed(keep_only(written, out, name))
    store.log_artifact(evidence.sweep.run_id, "report.html", page)
    return written


def _commands(evidence: Evidence) -> tuple[str, ...]:
    command = evidence.statement.command
    return (*([command] if command else []), f"recyclelora report {evidence.sweep.name}")
