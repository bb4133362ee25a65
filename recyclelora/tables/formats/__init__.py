"""A sheet in each format that tables are printed in. Equal sheets give equal bytes."""

import re
from pathlib import Path

from recyclelora.errors import InputError
from recyclelora.tables.formats.csv import comma_separated, csv_text
from recyclelora.tables.formats.entries import Link
from recyclelora.tables.formats.html import html_table, page, style
from recyclelora.tables.formats.latex import latex
from recyclelora.tables.formats.markdown import markdown
from recyclelora.tables.formats.terminal import terminal
from recyclelora.tables.sheet import Sheet
from recyclelora.writing import write_text

__all__ = ["FORMS", "Link", "csv_text", "html_table", "render", "style", "terminal", "write"]

FORMS = ("md", "tex", "csv", "html")


def render(sheet: Sheet, form: str, link: Link | None = None) -> str:
    """The text of a file in one of `FORMS`. `link` gives the address of the page that shows some runs,
    for HTML."""
    if form == "html":
        return page(sheet, link)
    return {"md": markdown, "tex": latex, "csv": comma_separated}[form](sheet)


def write(sheet: Sheet, folder: Path, link: Link | None = None) -> list[Path]:
    """Write the sheet as `<name>.<form>` in all `FORMS`, each file whole or not at all. Raises InputError where that
    fails."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", sheet.name):
        raise InputError(f"table {sheet.name[:90]!r}: its name may have letters, digits, '.', '_' and '-' only, and "
                         "does not begin with '.'")
    paths = [folder / f"{sheet.name}.{form}" for form in FORMS]
    for path, form in zip(paths, FORMS, strict=True):
        try:
            write_text(path, render(sheet, form, link))
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    return paths
