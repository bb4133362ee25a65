"""A sheet as HTML: a page of its own, and the table alone for a page of others. Nothing is loaded, nothing runs."""

import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from urllib.parse import urlsplit

from recyclelora.tables.formats.entries import Link, Style, line, sentences, show
from recyclelora.tables.sheet import Column, Entry, RunRef, Sheet, SheetRow

WIDE = 8  # numeric columns; more are printed on a page on its side

_STYLE_SHEET = """\
.sheet-frame { max-height: calc(100vh - 2rem); max-height: calc(100dvh - 2rem); overflow: auto; }
table.sheet {
  --paper: #fff; --ink: #1f2328; --quiet: #59636e; --rule: #d1d9e0; --shade: #f6f8fa; --link: #0550ae;
  border-collapse: separate; border-spacing: 0; background: var(--paper); color: var(--ink);
  font: 0.875rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
@media (prefers-color-scheme: dark) {
  table.sheet {
    --paper: #0d1117; --ink: #e6edf3; --quiet: #9198a1; --rule: #3d444d; --shade: #161b22; --link: #79c0ff;
  }
}
table.sheet caption { caption-side: bottom; padding: 0.75rem 0; text-align: left; color: var(--quiet); }
table.sheet caption p {
  position: sticky; left: 0; margin: 0.15rem 0; max-width: min(60rem, calc(100vw - 3rem)); overflow-wrap: anywhere;
}
table.sheet th, table.sheet td {
  padding: 0.35rem 0.75rem; border: 0 solid var(--rule); text-align: left; vertical-align: baseline;
  font-weight: normal;
}
table.sheet thead th {
  position: sticky; top: 0; z-index: 2; background: var(--paper); border-top: 2px solid var(--ink);
  border-bottom: 1px solid var(--ink); vertical-align: bottom; font-weight: 600;
}
table.sheet th:first-child { position: sticky; left: 0; z-index: 1; background: var(--paper); min-width: 6rem; }
table.sheet thead th:first-child { z-index: 3; }
table.sheet tbody tr:hover > * { background: var(--shade); }
table.sheet tbody + tbody tr:first-child > * { border-top-width: 1px; }
table.sheet tbody:last-child tr:last-child > * { border-bottom: 2px solid var(--ink); }
table.sheet .number { text-align: right; font-variant-numeric: tabular-nums; }
table.sheet td.number { white-space: nowrap; }
table.sheet .sd, table.sheet .interval { color: var(--quiet); }
table.sheet strong { font-weight: 700; }
table.sheet u { text-underline-offset: 0.2em; }
table.sheet sup { line-height: 0; }
table.sheet a { color: inherit; text-decoration: none; }
table.sheet a:hover, table.sheet a:focus-visible { color: var(--link); outline: 1px solid; outline-offset: 2px; }
@media (max-width: 40rem) {
  table.sheet th:first-child { max-width: 40vw; overflow-wrap: break-word; }
}
@media print {
  .sheet-frame { max-height: none; overflow: visible; }
  table.sheet { --paper: #fff; --ink: #000; --quiet: #333; --rule: #999; font-size: 8pt; }
  table.sheet th, table.sheet td { padding: 0.15rem 0.4rem; }
  table.sheet thead th, table.sheet th:first-child { position: static; }
  table.sheet tr { break-inside: avoid; }
  table.sheet td.number { white-space: normal; }
  table.sheet .sd, table.sheet .interval { display: inline-block; white-space: nowrap; margin-left: 0.3em; }
}
"""

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 1rem; background: #fff; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #0d1117; }} }}
@page {{ margin: 1.5cm; size: {size}; }}
@media print {{ body {{ margin: 0; background: none; }} }}
{style}</style>
</head>
<body>
<div class="sheet-frame" tabindex="0">
{table}
</div>
</body>
</html>
"""


def page(sheet: Sheet, link: Link | None = None) -> str:
    """The text of an `.html` file."""
    wide = sum(column.numeric for column in sheet.columns) > WIDE
    return _PAGE.format(title=_text(sheet.name), style=style(), table=html_table(sheet, link),
                        size="landscape" if wide else "portrait")


def style() -> str:
    """The CSS of `html_table`: rules for `table.sheet`, and for a `div.sheet-frame` around it that scrolls."""
    return _STYLE_SHEET


def html_table(sheet: Sheet, link: Link | None = None) -> str:
    """A `<table class="sheet">` with its caption. Each cell of a row with runs tells their seeds and fingerprints, and
    leads to their page where `link` knows one."""
    return "\n".join(_lines(sheet, link))


def _lines(sheet: Sheet, link: Link | None) -> Iterator[str]:
    yield '<table class="sheet">'
    caption = "".join(f"<p>{_text(sentence)}</p>" for sentence in sentences(sheet))
    if caption:
        yield f"<caption>{caption}</caption>"
    heads = (f'<th scope="col"{_kind(column)} title="{_text(column.key)}">{_breakable(column.heading)}</th>'
             for column in sheet.columns)
    yield f'<thead><tr><th scope="col">{_text(sheet.corner)}</th>{"".join(heads)}</tr></thead>'
    for _, rows in groupby(sheet.rows, lambda row: row.apart):
        yield "<tbody>"
        for row in rows:
            yield _row(row, sheet.columns, link)
        yield "</tbody>"
    yield "</table>"


def _row(row: SheetRow, columns: Sequence[Column], link: Link | None) -> str:
    address = _address(link(row.runs)) if link and row.runs else ""
    title = f' title="{_text(_runs(row.runs))}"' if row.runs else ""

    def cell(entry: Entry) -> str:
        text = show(entry, _STYLE)
        return f'<a href="{escape(address)}" rel="noopener"{title}>{text}</a>' if address else text

    outer = "" if address else title
    cells = (f"<td{_kind(column)}{outer}>{cell(entry)}</td>"
             for column, entry in zip(columns, row.entries, strict=True))
    return f'<tr><th scope="row"{outer}>{cell(row.label)}</th>{"".join(cells)}</tr>'


def _kind(column: Column) -> str:
    return ' class="number"' if column.numeric else ""


def _runs(runs: Sequence[RunRef]) -> str:
    return (f"seeds {', '.join(str(run.seed) for run in runs)}; "
            f"fingerprints {', '.join(run.fingerprint for run in runs)}")


def _address(address: str | None) -> str:
    """An address that a browser may follow; "" for any other, such as a script's."""
    try:
        known = address and address == line(address) and urlsplit(address).scheme in ("", "http", "https", "file")
    except ValueError:
        return ""
    return address if address and known else ""


def _text(text: str) -> str:
    return escape(line(text))


def _breakable(heading: str) -> str:
    """A dotted name may be broken behind its dots and underscores: a column is no wider than its numbers for it."""
    return re.sub(r"(?<=\w)([._])(?=\w)", r"\1<wbr>", _text(heading))


def _figure(figure: str) -> str:
    return figure.replace("-", "\N{MINUS SIGN}")


_STYLE = Style(text=_text, figure=_figure, best="<strong>{}</strong>".format, second="<u>{}</u>".format,
               spread='<span class="sd"> ± {}</span>'.format,
               interval='<span class="interval"> [{}, {}]</span>'.format, note="<sup>{}</sup>".format)
