"""The same table as Markdown, LaTeX, CSV and terminal text. Equal records give equal bytes: no times, no run order."""

import csv
import io
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from recyclelora.errors import InputError
from recyclelora.sweeps.folder import check_name
from recyclelora.sweeps.texts import clean
from recyclelora.tables.records import Measure, Row, Table, build, title
from recyclelora.tables.statistics import mean_sd

__all__ = ["FORMATS", "Table", "build", "render", "terminal", "write"]

Format = Literal["md", "csv", "tex"]
FORMATS: tuple[Format, ...] = ("md", "csv", "tex")
WIDTH = 160  # characters of a terminal table at most


class Style(NamedTuple):
    """How one format writes text, a bold number, the mark of an uncertain best, plus-minus, and nothing."""

    text: Callable[[str], str]
    strong: Callable[[str], str]
    mark: str
    plus_minus: str
    nothing: str


def render(table: Table, form: Format) -> str:
    """The table as a file's text."""
    return {"md": _markdown, "csv": _csv, "tex": _latex}[form](table)


def write(table: Table, folder: Path, name: str) -> list[Path]:
    """Write `name.md`, `name.csv` and `name.tex`, each whole or not at all. Raises InputError where that fails."""
    check_name(name, "table")
    paths = []
    for form in FORMATS:
        path = folder / f"{name}.{form}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write_whole(path, render(table, form))
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from None
        paths.append(path)
    return paths


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        partial.write_text(text, "utf-8", newline="")
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def terminal(table: Table) -> Text:
    """The table as text of at most 160 columns. A wide one leaves the knobs to the labels of its cells, and the words
    that all its domains share to the files."""
    style = Style(_one_line, lambda text: f"{text}*", "†", "±", "–")
    page = io.StringIO()
    console = Console(file=page, width=WIDTH, color_system=None, force_terminal=False, legacy_windows=False)

    def draw(some: Table) -> RichTable:
        heads, rows, chance = _grid(some, style)
        return _draw(heads, rows, chance, _left(some))

    drawn = draw(table)
    if Measurement.get(console, console.options.update(width=1000), drawn).maximum > WIDTH:
        brief = table if table.label != "cell" else replace(table, labelled=True, knobs=())
        heads, rows, chance = _grid(brief, style)
        shared = _shared_words([title(metric) for metric in table.metrics])
        heads = [head.removeprefix(shared).replace(".", ".\n").replace(" ", "\n") for head in heads]
        drawn = _draw(heads, rows, chance, _left(brief))
    console.print(drawn)
    for sentence in table.caption:
        console.print(Text(_one_line(sentence)))
    return Text("\n".join(line.rstrip() for line in page.getvalue().splitlines()), no_wrap=True, overflow="ignore")


def _shared_words(titles: list[str]) -> str:
    """What the names of several domains begin with, up to a hyphen: `scenes-`."""
    domains = [name for name in titles if name not in ("target mean", "source")]
    shared = os.path.commonprefix(domains).rpartition("-")
    return shared[0] + shared[1] if len(domains) > 1 else ""


def _draw(heads: list[str], rows: list[list[str]], chance: list[str], left: int) -> RichTable:
    drawn = RichTable(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    for place, head in enumerate(heads):
        drawn.add_column(Text(head), justify="left" if place < left else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*map(Text, row))
    if chance:
        drawn.add_section()
        drawn.add_row(*map(Text, chance))
    return drawn


def _left(table: Table) -> int:
    """How many columns, from the left, hold text."""
    return table.labelled + len(table.knobs) + 1


def _grid(table: Table, style: Style) -> tuple[list[str], list[list[str]], list[str]]:
    """Headings, rows, and the row of chance ([] if unknown), as text in that style."""
    heads = [*[table.label] * table.labelled, *table.knobs, table.status, "adapter params", *map(title, table.metrics)]

    def line(row: Row) -> list[str]:
        named = [row.label] * table.labelled + [show(row.knobs.get(knob)) for knob in table.knobs]
        if row is table.chance:
            named[0] = row.label
        words = [style.text(word) if word else style.nothing for word in [*named, row.status]]
        return [*words, style.text(_count(row.params)) or style.nothing,
                *(_number(metric, row.measures.get(metric), style) for metric in table.metrics)]

    return [style.text(head) for head in heads], [line(row) for row in table.rows], \
        line(table.chance) if table.chance else []


def _number(metric: str, measure: Measure | None, style: Style) -> str:
    if measure is None or not measure.values:
        return style.nothing
    mean, sd, n = mean_sd(measure.values.values())
    scale, digits = (100, ".2f") if metric.startswith("miou/") else (1, ".4g")
    text = f"{scale * mean:{digits}}"
    text = style.strong(text) if measure.best else text
    text += f"{style.plus_minus}{scale * sd:{digits}}" if n > 1 else ""
    return text + (style.mark if measure.best and not measure.clear else "")


def show(value: object, digits: int | None = 6) -> str:
    """A setting's value as it would stand in a config file, "" for one that is not set; floats to so many digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.{digits}g}" if digits else repr(value)
    return f"[{', '.join(show(item, digits) for item in value)}]" if isinstance(value, list | tuple) else str(value)


def _count(params: float | None) -> str:
    if params is None:
        return ""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if params >= size:
            return f"{params / size:.2f} {unit}"
    return f"{params:.0f}"


def _one_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", clean(text))


def _markdown_text(text: str) -> str:
    text = _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|~$!#])", r"\\\1", text)


def _markdown(table: Table) -> str:
    style = Style(_markdown_text, lambda text: f"**{text}**", " †", " ± ", "–")
    heads, rows, chance = _grid(table, style)
    rule = [":--"] * _left(table) + ["--:"] * (len(heads) - _left(table))
    lines = ["| " + " | ".join(row) + " |" for row in (heads, rule, *rows, *([chance] if chance else []))]
    return "\n".join([*lines, "", *map(_markdown_text, table.caption), ""])


_LATEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
          "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", "†": r"$^\dagger$",
          "[": "{[}", "*": "{*}",  # at the start of a row these would belong to the \\ before it
          **{sign: f"\\{sign}" for sign in "&%$#_"}}


def _latex_text(text: str) -> str:
    escaped = "".join(_LATEX.get(sign, sign) for sign in _one_line(text))
    return re.sub(r"-(?=-)", "-{}", escaped)  # two hyphens would become a dash


def _latex(table: Table) -> str:
    style = Style(_latex_text, lambda text: f"\\textbf{{{text}}}", r"$^\dagger$", r" $\pm$ ", "--")
    heads, rows, chance = _grid(table, style)
    left = _left(table)
    body = [r"\toprule", " & ".join(heads) + r" \\", r"\midrule", *(" & ".join(row) + r" \\" for row in rows)]
    body += [r"\midrule", " & ".join(chance) + r" \\"] if chance else []
    return "\n".join([
        r"% needs \usepackage{booktabs}", r"\begin{table}", r"\centering",
        r"\caption{" + " ".join(map(_latex_text, table.caption)) + "}",
        r"\label{tab:" + re.sub(r"[^A-Za-z0-9-]", "-", table.name) + "}",
        r"\begin{tabular}{" + "l" * left + "r" * (len(heads) - left) + "}",
        *body, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _csv(table: Table) -> str:
    """All digits, one column per number, and the fingerprints of the runs behind each row. mIoU in %."""
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    numbers = [f"{metric} {part}" for metric in table.metrics for part in ("mean", "sd")]
    writer.writerow(map(_csv_text, [table.label, *table.knobs, "runs", "planned", "status", "params/adapter", *numbers,
                                    "best", "fingerprints"]))
    for row in [*table.rows, *([table.chance] if table.chance else [])]:
        best = [metric + ("" if measure.clear else " n.s.") for metric, measure in row.measures.items() if measure.best]
        cells = [row.label, *(show(row.knobs.get(knob), None) for knob in table.knobs)]
        known = [len(row.fingerprints), row.planned] if row is not table.chance else ["", ""]
        writer.writerow(map(_csv_text, [*cells, *known, row.status, "" if row.params is None else f"{row.params:.0f}",
                                        *(part for metric in table.metrics for part in _parts(metric, row)),
                                        "; ".join(best), " ".join(row.fingerprints)]))
    return page.getvalue()


def _parts(metric: str, row: Row) -> tuple[str, str]:
    measure = row.measures.get(metric)
    if measure is None or not measure.values:
        return "", ""
    mean, sd, n = mean_sd(measure.values.values())
    scale, digits = (100, ".4f") if metric.startswith("miou/") else (1, ".10g")
    return f"{scale * mean:{digits}}", f"{scale * sd:{digits}}" if n > 1 else ""


def _csv_text(value: object) -> str:
    """Text that a spreadsheet takes for text: one that it would run as a formula gets an apostrophe in front."""
    text = _one_line(str(value))
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) or not re.match(r"\s*[=+\-@＝＋－＠]", text):
        return text
    return f"'{text}"
