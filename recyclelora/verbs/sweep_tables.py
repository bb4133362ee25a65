"""The tables of a sweep: made from its tracked runs, printed, and written to files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recyclelora.tables import formats
from recyclelora.tables.evidence import Evidence, fetch, fetch_confusions, link_to
from recyclelora.tables.long_csv import write_long_csv
from recyclelora.tables.stale import keep_only
from recyclelora.trials.paths import Paths
from recyclelora.verbs.console import CONSOLE


def write_tables(store: Any, name: str, paths: Paths) -> None:
    """Write the files, then print the tables: a terminal may fail."""
    evidence, folder = fetch(store, name), paths.results / "tables"
    sheets = evidence.sheets(confusions_of(store, evidence))
    files = [formats.write(sheet, folder, link_to(store)) for sheet in sheets]
    long = write_long_csv(evidence.long_csv(), folder, name)
    removed = keep_only([long, *(path for some in files for path in some)], folder, name)
    for sheet, some in zip(sheets, files, strict=True):
        CONSOLE.print(formats.terminal(sheet))
        for path in some:
            CONSOLE.print(f"  {path}", highlight=False, markup=False)
    CONSOLE.print(f"  {long}", highlight=False, markup=False)
    print_removed(removed)


def print_removed(removed: Sequence[Path]) -> None:
    for path in removed:
        CONSOLE.print(f"  {path}: removed, since it is no longer made", highlight=False, markup=False)


def confusions_of(store: Any, evidence: Evidence) -> Any:
    """Confusion matrices by image, of experiments that state what they expect: only these need the noise of the test
    images. The files of thousands of other runs stay unread."""
    return fetch_confusions(store, evidence.records) if evidence.statement.expectations else None
