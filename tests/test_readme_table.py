"""The table at the top of the README is the one that the code makes of the runs that were recorded for it."""

from pathlib import Path

from recyclelora.spaces.space_file import read_space
from recyclelora.tables.sheet import Number
from tests.refresh_readme_table import README, RECORDED, ROOT, block, dump, load, table

REFRESH = "write it again with: make sweep RESULTS=folder && .venv/bin/python -m tests.refresh_readme_table folder"


def test_the_readme_shows_the_table_that_the_code_makes() -> None:
    assert block(README.read_text("utf-8")) == table(load()), REFRESH


def test_what_was_recorded_is_the_default_sweep_and_comes_back(tmp_path: Path) -> None:
    evidence, space = load(), read_space(ROOT / "search_spaces" / "default.yaml")
    assert evidence.statement.claim == space.claim, REFRESH
    assert {(cell.cell, cell.seed) for cell in evidence.plan} == {
        (record.tags["cell"], record.config["seed"]) for record in evidence.records}
    (tmp_path / "again.json").write_text(dump(evidence), "utf-8")
    assert load(tmp_path / "again.json") == evidence and dump(evidence) == RECORDED.read_text("utf-8")


def test_every_mark_in_it_has_its_support() -> None:
    """Bold and underlined numbers stand only where the caption says what they are, and the sheet itself holds them."""
    evidence = load()
    text, sheet = table(evidence), evidence.sheets()[0]
    marked = [entry for row in sheet.rows for entry in row.entries if isinstance(entry, Number) and entry.mark]
    assert text.count("**") == 2 * sum(entry.mark == "best" for entry in marked)
    assert bool(marked) == ("Best and second are marked where they lead" in text) and "†" not in text
