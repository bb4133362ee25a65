"""The tables of a sweep: made from its tracked runs, printed, and written to files."""

from typing import Any

from recyclelora.tables import formats
from recyclelora.tables.evidence import Evidence, fetch, fetch_confusions, link_to
from recyclelora.tables.long_csv import write_long_csv
from recyclelora.trials.paths import Paths
from recyclelora.verbs.console import CONSOLE


def write_tables(store: Any, name: str, paths: Paths) -> None:
    evidence = fetch(store, name)
    for sheet in evidence.sheets(confusions_of(store, evidence)):
        CONSOLE.print(formats.terminal(sheet))
        for path in formats.write(sheet, paths.results / "tables", link_to(store)):
            CONSOLE.print(f"  {path}", highlight=False)
    path = write_long_csv(evidence.long_csv(), paths.results / "tables", name)
    CONSOLE.print(f"  {path}", highlight=False)


def confusions_of(store: Any, evidence: Evidence) -> Any:
    """Confusion matrices by image, of experiments that state what they expect: only these need the noise of the test
    images. The files of thousands of other runs stay unread."""
    return fetch_confusions(store, evidence.records) if evidence.statement.expectations else None
