"""One contract for all formats, held against parsers of each; recorded texts that a person has read; real pdflatex."""

import csv
import dataclasses
import io
import math
import os
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len

from recyclelora.errors import InputError
from recyclelora.tables.formats import FORMS, html_table, render, style, terminal, write
from recyclelora.tables.sheet import Column, Entry, Number, RunRef, Sheet, SheetRow

RECORDS = Path(__file__).parent / "records" / "formats"
NAN = math.nan


def runs(cell: int, seeds: Sequence[int] = (0, 1, 2)) -> tuple[RunRef, ...]:
    return tuple(RunRef(f"{cell:02x}{seed:02x}" * 8, f"f{cell:03x}{seed:04x}", seed) for seed in seeds)


def link(refs: Sequence[RunRef]) -> str | None:
    return f"runs.html?of={quote(refs[0].run_id.encode('utf-8', 'replace'))}&n={len(refs)}#top"


CAPTION = ("Sweep rank: mIoU in %, mean ± sample s.d. over seeds 0, 1, 2.",
           "3 seeds a cell: indicative; a claim needs 5.",
           "Bold: best of its column; †: n.s., the 95 % interval of its lead over the next, paired by seed, includes 0.")


def results() -> Sheet:
    """Settings, marks, notes, a cell that was not run, and chance apart."""
    columns = (Column("adapter.main.rank", "adapter.main.rank", numeric=False),
               Column("status", "seeds", numeric=False), Column("params/adapter", "adapter params"),
               Column("miou/scenes-night", "scenes-night"), Column("miou/scenes-fog", "scenes-fog"),
               Column("miou/target_mean", "target mean"))
    rows = (SheetRow("main.rank=4", ("4", "3", Number(98304, digits=0), Number(30.1, 0.275), Number(30.1, 0.46),
                                     Number(30.1, 0.2261234567)), runs(0)),
            SheetRow("main.rank=8", ("8", "3", Number(196608, digits=0), Number(35.1, 0.27, mark="second"),
                                     Number(35.1, 0.47, mark="second"), Number(35.1, 0.2343, mark="best")), runs(1)),
            SheetRow("main.rank=16", ("16", "3", Number(393216, digits=0), Number(35.2, 0.27, mark="best"),
                                      Number(35.2, 0.47, mark="best", note="†"), Number(NAN)), runs(2)),
            SheetRow("main.rank=32", ("32", "not run", None, None, None, None)),
            SheetRow("chance", (None, "", None, Number(3.1), Number(2.7), Number(2.9)), apart=True))
    return Sheet(name="rank", columns=columns, rows=rows, caption=CAPTION)


def differences() -> Sheet:
    """Signed numbers with intervals, among them that of one pair, which bounds nothing."""
    columns = (Column("against", "against", numeric=False), Column("miou/source difference", "source"),
               Column("p", "p (Holm)"), Column("effect", "effect size"))
    rows = (SheetRow("init=rrqr", ("frozen", Number(-0.317, low=-1.204, high=0.57, signed=True), Number(0.0412, digits=3),
                                   Number(-1.5, note="‡")), runs(3)),
            SheetRow("init=svd", ("frozen", Number(0.5, low=-math.inf, high=math.inf, signed=True), Number(NAN, digits=3),
                                  None), runs(4, (7,))),
            SheetRow("init=kaiming", ("frozen", Number(-0.001, low=-0.004, high=0.002, signed=True),
                                      Number(-0.0001, digits=3), Number(0.0, 0.1, -0.2, 0.2)), runs(5)))
    return Sheet(name="rank.differences", columns=columns, rows=rows, corner="cell", caption=("Differences in points.",))


def wide(rows: int = 4) -> Sheet:
    """More numbers than a page is wide."""
    domains = ["night", "fog", "rain", "snow", "dusk", "city", "camera", "tunnel", "bridge", "harbour", "desert"]
    columns = (Column("adapter.method", "adapter.method", numeric=False), Column("seeds", "seeds", numeric=False),
               *(Column(f"miou/scenes-{domain}", f"scenes-{domain}") for domain in domains),
               Column("miou/target_mean", "target mean"), Column("miou/source", "source"))
    body = tuple(SheetRow(f"init=rrqr, sub.lr_multiplier={place}", (
        "recyclelora", "3", *(Number(30 + place + number / 7, 0.9 + number / 11, mark="best" if place == 2 else "")
                              for number in range(len(domains) + 2))), runs(place)) for place in range(rows))
    return Sheet(name="wide_one", columns=columns, rows=body, caption=(*CAPTION, "Protocol: " + "window 112x84, " * 40))


HOSTILE = ["a|b & c_d $x$ 100% #1 {y} ~z^2 \\input{/etc/passwd}", "=cmd|' /C calc'!A0", "=HYPERLINK(\"http://x\")",
           "\\write18{touch x}\\end{tabular}\\end{document}", "$(touch x) `touch x` ${HOME}", "[1] *bold* _it_ **b** ~~s~~",
           "<script>alert('x')</script>", "\" onmouseover=\"alert(1)", "<!-- x --> &amp; &#60; ]]> --> <u>",
           "line\nbreak\ttab\r\nand\x0bmore\u2028sep", "abc\u202edcba\u202c\u2066x\u2069 \u200b|", "\x1b[31mred\x1b[0m \x07\x00bell",
           "größe – 漢字 é e\u0301 ą → − × ± ≥ α µ “q” 🙂 👩‍💻", "+1", "-1+2", "@sum", "＝1+1", "--dash--- ``x'' ,, ?` !`", "\\\\", "\\",
           "%", "^^41 ^^M", "~", "# heading", "- list", "1. list", "---", "===", "> quote", "```", "| --- | --- |", "![i](x) [l](javascript:x)",
           "http://example.org/a_b?c=d&e=f#g", "x" * 130, "a  b   c", "", " ", "–", "*x", "[x]", "{", "}", "\\verb|x|", "\ud800", "'=x"]


def hostile(names: Sequence[str] = HOSTILE) -> Sheet:
    """Each name as label, entry, heading, key, note, corner and caption."""
    columns = [Column("value", "value")]
    columns += [Column(name, name, numeric=bool(place % 2)) for place, name in enumerate(names[:4])]
    rows = tuple(SheetRow(name, (Number(-1.25, 0.5, note=name[:8]), *(name for _ in columns[1:])),
                          (RunRef(name, name, place),), apart=place == len(names) - 1) for place, name in enumerate(names))
    return Sheet(name="hostile", columns=tuple(columns), rows=rows, caption=tuple(names), corner=names[0])


BARE = Sheet(name="bare", columns=(Column("a", "A"), Column("b", "B", numeric=False)), rows=())
SHEETS = {"results": results(), "differences": differences(), "wide": wide(), "hostile": hostile(), "empty": BARE,
          "no columns": Sheet(name="x", columns=(), rows=(SheetRow("alone", (), runs(1)),), caption=("One.",))}


# what must be read back, written out slowly


def plain(text: str) -> str:
    """The text as any format shows it: on one line, nothing hidden."""
    shown = ""
    for sign in text.replace("\0", "").encode("utf-8", "replace").decode():
        hidden = unicodedata.category(sign) == "Cf" and sign not in "\u200c\u200d"
        shown += f"<U+{ord(sign):04X}>" if hidden else " " if unicodedata.category(sign) == "Cc" else sign
    return " ".join(shown.split())


def literal(entry: Entry) -> str:
    if not isinstance(entry, Number):
        return plain(entry or "") or "–"

    def rounded(value: float, signed: bool) -> str:
        if math.isnan(value):
            return "–"
        if math.isinf(value):
            return "-∞" if value < 0 else "+∞" if signed else "∞"
        text = format(round(abs(value), entry.digits), f",.{entry.digits}f")
        minus = value < 0 and float(text.replace(",", "")) > 0
        return ("-" if minus else "+" if signed else "") + text

    text = rounded(entry.value, entry.signed)
    if 0 <= entry.value < entry.least:
        text = f"<{rounded(entry.least, False)}"
    if not math.isnan(entry.sd):
        text += f" ± {rounded(entry.sd, False)}"
    if not (math.isnan(entry.low) and math.isnan(entry.high)):
        text += f" [{rounded(entry.low, entry.signed)}, {rounded(entry.high, entry.signed)}]"
    return text + plain(entry.note)


def marked(entry: Entry) -> bool:
    """Whether it leads its column; what is not known leads nothing."""
    return isinstance(entry, Number) and entry.mark != "" and not math.isnan(entry.value)


# parsers


class Parsed(NamedTuple):
    """Cells as plain text, a heading row first; marks by (row, column), both from 0 without headings; the caption."""

    rows: list[list[str]]
    marks: dict[tuple[int, int], str]
    caption: str


def read_markdown(text: str, sheet: Sheet) -> Parsed:
    rows: list[list[str]] = []
    marks: dict[tuple[int, int], str] = {}
    caption, block = "", ""
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            shown = ""
            for child in token.children or []:
                assert child.type in ("text", "text_special", "softbreak", "html_inline", "strong_open", "strong_close"), child
                if child.type == "html_inline":
                    assert child.content in ("<u>", "</u>", "<sup>", "</sup>")
                opened = {"strong_open": "best", "<u>": "second"}.get(child.type if child.type != "html_inline" else child.content)
                if opened:
                    marks[len(rows) - 2, len(rows[-1])] = opened
                shown += {"softbreak": "\n"}.get(child.type, child.content if child.type.startswith("text") else "")
            if block == "paragraph_open":
                caption += shown
            else:
                rows[-1].append(shown)
        else:
            assert token.type in ("table_open", "table_close", "thead_open", "thead_close", "tbody_open", "tbody_close", "th_open",
                                  "th_close", "td_open", "td_close", "tr_close", "paragraph_open", "paragraph_close"), token
            block = token.type
    return Parsed(rows, marks, caption)


LATEX = {r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<", r"\textgreater{}": ">",
         r"\textbar{}": "|", r"\textquotedblright{}": "”", r"\textquotedblleft{}": "“", r"\textendash{}": "–", r"\textemdash{}": "—",
         r"\textquoteleft{}": "‘", r"\textquoteright{}": "’", r"\textellipsis{}": "…",
         r"\ss{}": "ß", r"\ae{}": "æ", r"\AE{}": "Æ",
         r"\oe{}": "œ", r"\OE{}": "Œ", r"\o{}": "ø", r"\O{}": "Ø", r"\l{}": "ł", r"\L{}": "Ł", r"\i{}": "ı", r"\allowbreak{}": "",
         "{[}": "[", "{]}": "]", "{*}": "*", "{}": "", **{f"\\{sign}": sign for sign in "&%$#_{}"},
         "$^{\\circ}$": "°", "$^2$": "²", "$^3$": "³", "$^1$": "¹", "$-$": "-", "$+$": "+", r"$\pm$": "±"}
MATH = {"times": "×", "div": "÷", "cdot": "·", "leq": "≤", "geq": "≥", "neq": "≠", "approx": "≈", "rightarrow": "→", "leftarrow": "←",
        "uparrow": "↑", "downarrow": "↓", "leftrightarrow": "↔", "Rightarrow": "⇒", "infty": "∞", "surd": "√", "in": "∈",
        "varepsilon": "ε", "varphi": "φ", "dagger": "†", "ddagger": "‡", "mathsection": "§", "mathparagraph": "¶", "bullet": "•"}
ACCENTS = {"`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", "=": "\u0304", "u": "\u0306", ".": "\u0307", '"': "\u0308",
           "r": "\u030a", "H": "\u030b", "v": "\u030c", "c": "\u0327"}
TOKEN = re.compile("|".join([*map(re.escape, sorted(LATEX, key=len, reverse=True)), r"\$\\(?P<math>[A-Za-z]+)\$",
                             r"\\(?P<accent>[`'^~=u.\"rHvc])\{(?P<letter>[A-Za-z])\}", r"\\(?P<mark>textbf|underline|textsuperscript)\{",
                             r"(?P<plain>[^\\{}$%#&_~^])", r"(?P<close>\})"]), re.DOTALL)


def untex(source: str) -> tuple[str, str]:
    """The text that LaTeX would print and its mark. Fails on any command that is no plain character."""
    shown, mark, depth, at = "", "", 0, 0
    while at < len(source):
        found = TOKEN.match(source, at)
        assert found, f"at {source[at:at + 40]!r}"
        if found["math"]:
            shown += MATH.get(found["math"]) or unicodedata.lookup(
                f"GREEK {'CAPITAL' if found['math'][0].isupper() else 'SMALL'} LETTER "
                f"{found['math'].upper().replace('LAMBDA', 'LAMDA')}")
        elif found["letter"]:
            shown += unicodedata.normalize("NFC", found["letter"] + ACCENTS[found["accent"]])
        elif found["mark"]:
            mark, depth = {"textbf": "best", "underline": "second"}.get(found["mark"], mark), depth + 1
        elif found["close"]:
            depth -= 1
        else:
            shown += found["plain"] or LATEX.get(found[0], "")
        assert depth >= 0
        at = found.end()
    assert depth == 0
    return shown, mark


def read_latex(text: str, sheet: Sheet) -> Parsed:
    assert text.isascii() and text.count("%") - text.count(r"\%") == 1 + text.count("{%\n") + text.count("}%\n")
    marks: dict[tuple[int, int], str] = {}
    rows = []
    lines = re.findall(r"^(?:\\toprule\n)?.* \\\\$", text, re.MULTILINE)
    heads = {line for line in lines if line.startswith(r"\toprule")}
    assert len(heads) == 1  # of each page the same
    for line in [*heads, *(line for line in lines if line not in heads)]:
        line = line.removeprefix("\\toprule\n").removesuffix(r" \\")
        cells = [untex(cell) for cell in re.split(r"(?<!\\) & ", line)]
        marks |= {(len(rows) - 1, place): mark for place, (_, mark) in enumerate(cells) if mark}
        rows.append([shown for shown, _ in cells])
    caption = re.search(r"^\\caption\{(.*)\}$", text, re.MULTILINE)
    assert caption
    return Parsed(rows, marks, untex(caption[1])[0])


def read_csv(text: str, sheet: Sheet) -> Parsed:
    """Columns put together again into the cells they came from."""
    heads, *lines = list(csv.reader(io.StringIO(text), strict=True))
    assert len(set(heads)) == len(heads) and all(len(each) == len(heads) for each in lines)
    assert heads[-3:] == ["seeds", "fingerprints", "run_ids"]
    places, at = [], 1  # place of each column of the sheet, and of its parts
    for place, column in enumerate(sheet.columns):
        some = [row.entries[place] for row in sheet.rows if isinstance(row.entries[place], Number)]
        parts = [name for name, known in (("sd", any(not math.isnan(entry.sd) for entry in some)),
                                          ("low", any(not math.isnan(entry.low) for entry in some)),
                                          ("high", any(not math.isnan(entry.high) for entry in some)),
                                          ("mark", any(marked(entry) or plain(entry.note) for entry in some))) if known]
        for number, part in enumerate(parts, start=at + 1):
            assert re.sub(r" \(\d+\)$", "", undo(heads[number])) == plain(f"{column.key} {part}")
        places.append({name: at + number for number, name in enumerate(["value", *parts])})
        at += 1 + len(parts)
    assert at == len(heads) - 3
    rows, marks = [[undo(heads[0]), *(undo(heads[each["value"]]) for each in places)]], {}
    for number, (line, row) in enumerate(zip(lines, sheet.rows, strict=True)):
        cells = [undo(line[0]) or "–"]
        for place, (entry, each) in enumerate(zip(row.entries, places, strict=True)):
            fields = {name: line[where] for name, where in each.items()}
            if isinstance(entry, Number):
                figure, *rest = [float(fields.get(name) or "nan") for name in ("value", "sd", "low", "high")]
                mark, _, note = fields.get("mark", "").partition(" ") if marked(entry) else ("", "", undo(fields.get("mark", "")))
                if mark:
                    marks[number, place + 1] = mark
                cells.append(literal(Number(figure, *rest, digits=entry.digits, signed=entry.signed, note=note, least=entry.least)))
            else:
                cells.append(undo(fields["value"]) or "–")
        rows.append(cells)
    return Parsed(rows, marks, "")


def undo(field: str) -> str:
    """A field without the apostrophe that keeps a formula from being one."""
    assert not re.match(r"\s*[=+\-@＝＋－＠]", field) or re.fullmatch(r"[-+]?([\d.]+(e[-+]?\d+)?|inf)", field, re.IGNORECASE), field
    return field[1:] if re.match(r"'+[=+\-@＝＋－＠]", field) else field


class Reader(HTMLParser):
    """The tables of a page; fails on an element or attribute that none of them has, and on one that is not closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[list[str]] = []
        self.marks: dict[tuple[int, int], str] = {}
        self.links: dict[tuple[int, int], dict[str, str | None]] = {}
        self.titles: dict[tuple[int, int], str] = {}
        self.caption: list[str] = []
        self.open: list[str] = []
        self.bodies = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        allowed = {"table": {"class"}, "caption": set(), "p": set(), "thead": set(), "tbody": set(), "tr": set(),
                   "th": {"scope", "class", "title"}, "td": {"class", "title"}, "a": {"href", "rel", "title"}, "strong": set(),
                   "u": set(), "sup": set(), "span": {"class"}}
        given = dict(attrs)
        if tag == "wbr":  # where a heading may be broken: nothing that is shown
            assert not given and self.open[-1] == "th"
            return
        assert len(given) == len(attrs) and set(given) <= allowed[tag], (tag, attrs)
        self.open.append(tag)
        at = len(self.rows) - 2, len(self.rows[-1]) - 1 if self.rows else 0
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
            at = at[0], at[1] + 1
        elif tag == "p":
            self.caption.append("")
        elif tag == "a":
            self.links[at] = given
        elif tag in ("strong", "u"):
            self.marks[at] = {"strong": "best", "u": "second"}[tag]
        self.bodies += tag == "tbody"
        if given.get("title") is not None:
            self.titles[at] = str(given["title"])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "caption" in self.open:
            self.caption[-1] += data
        elif "th" in self.open or "td" in self.open:
            self.rows[-1][-1] += data
        else:
            assert not data.strip(), data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def table_of(page: str) -> Reader:
    reader = Reader()
    reader.feed(page[page.index("<table"):page.index("</table>") + len("</table>")])
    reader.close()
    assert not reader.open
    return reader


def read_html(text: str, sheet: Sheet) -> Parsed:
    reader = table_of(text)
    return Parsed(reader.rows, reader.marks, "\n".join(reader.caption))


READERS = {"md": read_markdown, "tex": read_latex, "csv": read_csv, "html": read_html}


def same_sign(text: str) -> str:
    """Text with those signs made one that a format may print alike: LaTeX's fonts have one “ for two, and name what
    they have not."""
    text = re.sub(r"<U\+([0-9A-F]{4,6})>", lambda found: chr(int(found[1], 16)), text)
    return unicodedata.normalize("NFC", text).translate(str.maketrans({'"': "”", "µ": "μ", "−": "-"}))


def assert_holds(sheet: Sheet, form: str) -> None:
    """Everything in the sheet is in the text, as literal text."""
    parsed = READERS[form](render(sheet, form, link), sheet)
    same = same_sign if form == "tex" else (lambda text: text.replace("−", "-")) if form == "html" else str
    expected = [[literal(entry) for entry in (row.label, *row.entries)] for row in sheet.rows]
    headings = [plain(sheet.corner), *(plain(column.key if form == "csv" else column.heading) for column in sheet.columns)]
    if form == "csv":  # where two were alike, one has a number
        for place, (found, head) in enumerate(zip(parsed.rows[0], headings, strict=True)):
            headings[place] = found if re.fullmatch(re.escape(head) + r" ?\(\d+\)", found) else head
    assert [[same(cell) for cell in line] for line in parsed.rows] == [[same(cell) for cell in line]
                                                                      for line in [headings, *expected]]
    assert parsed.marks == {(number, place + 1): entry.mark for number, row in enumerate(sheet.rows)
                            for place, entry in enumerate(row.entries) if marked(entry)}
    if form != "csv":
        shown = " ".join(" ".join(map(plain, sheet.caption)).split())
        if form == "tex" and not shown:
            shown = sheet.name
        assert same(" ".join(parsed.caption.split())) == same(shown)


# the contract


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SHEETS)
def test_nothing_is_lost(name: str, form: str) -> None:
    assert_holds(SHEETS[name], form)


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40) | st.sampled_from(HOSTILE)  # halves of surrogate pairs too
FLOATS = st.floats(-1e6, 1e6).map(lambda value: round(value, 3)) | st.sampled_from([NAN, math.inf, -math.inf, 0.0, -0.0])
NUMBERS = st.builds(Number, FLOATS, FLOATS.map(abs), FLOATS, FLOATS, st.integers(0, 4), st.booleans(),
                    st.sampled_from(["", "best", "second"]), st.sampled_from(["", "†", "n.s.", "=1", "a|b", "}"]), st.sampled_from([0.0, 0.0, 1e-4]))
ENTRIES = st.none() | ANY_TEXT | NUMBERS


@st.composite
def sheets(draw: st.DrawFn) -> Sheet:
    columns = draw(st.lists(st.builds(Column, ANY_TEXT, ANY_TEXT, st.booleans()), max_size=3))
    rows = st.builds(SheetRow, ANY_TEXT, st.tuples(*(ENTRIES for _ in columns)), apart=st.booleans(),
                     runs=st.lists(st.builds(RunRef, ANY_TEXT, ANY_TEXT, st.integers(0, 9)), max_size=2).map(tuple))
    return Sheet(name="any", columns=tuple(columns), rows=tuple(draw(st.lists(rows, max_size=3))),
                 caption=tuple(draw(st.lists(ANY_TEXT, max_size=3))), corner=draw(ANY_TEXT))


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, deadline=None)
@given(sheet=sheets())
def test_any_sheet_comes_back(form: str, sheet: Sheet) -> None:
    assert_holds(sheet, form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SHEETS)
def test_equal_sheets_give_equal_bytes(name: str, form: str) -> None:
    sheet = SHEETS[name]
    twin = dataclasses.replace(sheet, rows=tuple(dataclasses.replace(row) for row in sheet.rows))
    text = render(sheet, form, link)
    assert text == render(twin, form, link) and text.endswith("\n") and "\r" not in text
    assert terminal(sheet).plain == terminal(twin).plain


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("entry", "expected"), [
    (Number(-0.004), "0.00"), (Number(-0.004, signed=True), "+0.00"), (Number(1234.5, digits=0), "1,234"),
    (Number(12.345, 0.5, 12, 13, digits=1), "12.3 ± 0.5 [12.0, 13.0]"), (Number(2, low=-1), "2.00 [-1.00, –]"),
    (Number(1e-9, digits=6, least=1e-6), "<0.000001"), (Number(0, digits=1, least=0.5, signed=True), "<0.5"), (Number(0.0, digits=3, least=1e-3), "<0.001"),
    (Number(1e-3, digits=3, least=1e-3), "0.001"), (Number(-1.0, least=1e-6), "-1.00"),
    (Number(NAN, note="†"), "–†"), (Number(NAN), "–"), (None, "–"), ("", "–"), ("-1", "-1")])
def test_a_number_is_printed_as_it_is_meant(entry: Entry, expected: str, form: str) -> None:
    sheet = Sheet(name="one", columns=(Column("k", "h"),), rows=(SheetRow("r", (entry,)),), caption=("c",))
    found = READERS[form](render(sheet, form), sheet).rows[1][1]
    assert found.replace("\N{MINUS SIGN}", "-") == expected
    assert ("\N{MINUS SIGN}" in found) == (form == "html" and isinstance(entry, Number) and "-" in expected)


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="row 'r' has 1 entries for 2 columns"):
        Sheet(name="x", columns=BARE.columns, rows=(SheetRow("r", ("1",)),))


@pytest.mark.parametrize("name", ["results", "differences", "wide", "hostile"])
def test_texts_that_a_person_has_read(name: str, tmp_path: Path) -> None:
    sheet = SHEETS[name] if name != "hostile" else hostile(HOSTILE[:14])
    texts = {form: render(sheet, form, link) for form in FORMS} | {"txt": terminal(sheet).plain + "\n"}
    for form, text in texts.items():
        actual, recorded = tmp_path / f"{name}.{form}", RECORDS / f"{name}.{form}"
        actual.write_text(text, "utf-8", newline="")
        before = recorded.read_bytes().decode() if recorded.exists() else None
        assert text == before, f"if a person has read it and it is right, accept it with: cp {actual} {recorded}"


# CSV


def test_csv_has_all_digits_and_the_way_back() -> None:
    sheet = results()
    first, second, *_ = csv.DictReader(io.StringIO(render(sheet, "csv")))
    assert float(first["miou/target_mean sd"]) == pytest.approx(0.2261234567, abs=1e-10)
    assert first["seeds"].split() == ["0", "1", "2"] and first["status"] == "3"
    assert first["fingerprints"].split() == [run.fingerprint for run in sheet.rows[0].runs]
    assert first["run_ids"].split() == [run.run_id for run in sheet.rows[0].runs]
    assert second["miou/target_mean mark"] == "best" and "miou/target_mean low" not in second
    assert "params/adapter sd" not in second


def test_csv_columns_of_one_name_are_told_apart() -> None:
    columns = (Column("seeds", "seeds", numeric=False), Column("a", "a"), Column("a", "published"), Column("a sd", "a sd"))
    sheet = Sheet(name="x", columns=columns, rows=(SheetRow("r", ("2", Number(1, 2), Number(3), Number(4)), runs(0)),))
    (row,) = csv.DictReader(io.StringIO(render(sheet, "csv")))
    assert row == {"cell": "r", "seeds (2)": "2", "a": "1", "a sd": "2", "a (2)": "3", "a sd (2)": "4", "seeds": "0 1 2",
                   "fingerprints": row["fingerprints"], "run_ids": row["run_ids"]}


# HTML


def test_every_cell_leads_to_its_runs() -> None:
    sheet = results()
    reader = table_of(render(sheet, "html", link))
    for number, row in enumerate(sheet.rows):
        for place in range(1 + len(sheet.columns)):
            assert ((number, place) in reader.links) == bool(row.runs)
            if row.runs:
                found = reader.links[number, place]
                assert found["href"] == link(row.runs) and found["rel"] == "noopener"
                assert found["title"] == f"seeds 0, 1, 2; fingerprints {', '.join(run.fingerprint for run in row.runs)}"
    assert reader.bodies == 2  # chance stands apart


@pytest.mark.parametrize("address", [None, "", "javascript:alert(1)", " JavaScript:alert(1)", "java\nscript:alert(1)",
                                     "data:text/html,x", "//[", "vbscript:x", "\x01javascript:x"])
def test_a_cell_without_a_page_is_no_link_but_tells_its_runs(address: str | None) -> None:
    reader = table_of(html_table(results(), lambda _: address))
    assert not reader.links and reader.titles[0, 0].startswith("seeds 0, 1, 2; fingerprints f")


def test_a_page_loads_and_runs_nothing() -> None:
    text = render(hostile(), "html", link)
    table = html_table(hostile(), link)
    assert table in text and style() in text
    around = text.replace(table, "")
    assert not re.search(r"<script|<link|<img|@import|url\(|\son\w+=|src=", around)
    assert "default-src 'none'" in around and "\x1b" not in text and "\u202e" not in text


# terminal


@pytest.mark.parametrize("name", SHEETS)
@pytest.mark.parametrize("width", [30, 60, 100, 160, 100_000])
def test_the_terminal_table_fits_and_has_it_all(name: str, width: int) -> None:
    sheet = SHEETS[name]
    text = terminal(sheet, width).plain
    assert max(map(cell_len, text.splitlines())) <= width
    assert not any(unicodedata.category(sign) == "Cc" for sign in text.replace("\n", ""))
    entries = [entry for row in sheet.rows for entry in row.entries]
    for entry in entries:
        if isinstance(entry, Number):
            assert all(figure in text for figure in re.split(r" ?[±[,\]] ?", literal(entry)) if name != "hostile")
    if width == 100_000:  # nothing is folded
        assert all(literal(entry) in text for entry in (*entries, *(row.label for row in sheet.rows))
                   if not isinstance(entry, Number))


def test_a_wide_table_loses_what_its_domains_share_then_lines_then_columns() -> None:
    assert "scenes-night" in terminal(wide(), 300).plain
    narrow = terminal(wide(), 160).plain
    assert "scenes-" not in narrow and "night" in narrow and "±0.9" in narrow and "recyclelora" in narrow
    assert terminal(wide(), 160).plain.count("init=rrqr,") == 4  # one block
    assert terminal(wide(), 80).plain.count("init=rrqr,") > 4  # several


@pytest.mark.parametrize("width", [160, 36])
def test_figures_stand_below_each_other_beside_marks_and_notes(width: int) -> None:
    columns = Column("miou/a", "one"), Column("miou/b", "another")
    rows = (SheetRow("best", (Number(35.2, 0.47, mark="best"), Number(-1, low=-2, high=-0.5, note="*"))),
            SheetRow("second", (Number(35.1, 0.47, mark="second"), Number(-1, low=-2, high=-0.5, note="***"))),
            SheetRow("third", (Number(30.1, 0.46), Number(-1, low=-2, high=-0.5))), SheetRow("chance", (Number(30.1), Number(-1))))
    sheet = Sheet(name="x", columns=columns, rows=rows)
    text = terminal(sheet, width).plain.splitlines()
    for figure in (r"3\d\.\d0", r"-1\.00", r"±0\.4\d", r"\[-2\.00"):
        places = [[found.start() for found in re.finditer(figure, line)] for line in text]
        assert len({tuple(each) for each in places if each}) == 1, figure
    assert "\ufdd0" not in terminal(sheet, width).plain


def test_the_terminal_says_what_its_marks_mean() -> None:
    text = terminal(results()).plain
    assert "35.20*±0.47†" in text and "35.10_±0.27" in text and "* best, _ second of a column." in text
    assert "best" not in terminal(differences()).plain


# files


def test_files_are_whole_and_the_same_when_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    paths = write(differences(), folder, link)
    assert [path.name for path in paths] == [f"rank.differences.{form}" for form in FORMS]
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert before == {path: render(differences(), form, link).encode() for path, form in zip(paths, FORMS, strict=True)}
    assert write(differences(), folder, link) == paths
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["../rank", "", ".rank", "a/b", "a\n", "a b", "ä"])
def test_a_name_that_is_no_file_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="letters, digits"):
        write(dataclasses.replace(BARE, name=name), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write(results(), tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        write(dataclasses.replace(results(), name="n" * 300), tmp_path)
    os.mkdir(tmp_path / "rank.tex")
    with pytest.raises(InputError, match=r"rank\.tex: cannot be written"):
        write(results(), tmp_path)
    assert not list(tmp_path.glob(".rank*")) and (tmp_path / "rank.md").read_text() == render(results(), "md")


# pdflatex

PAPER = r"""\documentclass[%s]{article}
%s\usepackage{booktabs,graphicx,hyperref}
\begin{document}
Before. \input{one}\input{two.part} See Table~\ref{tab:hostile}. After.
\end{document}
"""
TWO_SHEETS = {"one": hostile(), "two.part": wide(60)}


def compile_latex(folder: Path, name: str) -> str:
    """The log of pdflatex, which may run nothing and stops at the first error."""
    for _ in range(2):  # the second time with references
        done = subprocess.run(["pdflatex", "-no-shell-escape", "-halt-on-error", "-interaction=nonstopmode", "-draftmode", name],
                              cwd=folder, capture_output=True, timeout=600, check=False, env={**os.environ, "max_print_line": "1000"})
    log = (folder / f"{name.removesuffix('.tex')}.log").read_text("latin-1")
    assert done.returncode == 0, log[-3000:]
    return log


def assert_set_well(log: str) -> None:
    overfull = [float(found) for found in re.findall(r"Overfull \\[hv]box \((\d+\.?\d*)pt", log)]
    assert not [points for points in overfull if points > 5], log
    assert "undefined" not in log and "multiply defined" not in log and "too large for page" not in log, log


needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")


@needs_latex
@pytest.mark.parametrize("sheet", [results(), differences(), wide(60), hostile(), BARE, SHEETS["no columns"]],
                         ids=lambda sheet: sheet.name)
def test_a_latex_file_compiles_alone(sheet: Sheet, tmp_path: Path) -> None:
    (tmp_path / "alone.tex").write_text(render(sheet, "tex"))
    assert_set_well(compile_latex(tmp_path, "alone.tex"))


@needs_latex
@pytest.mark.parametrize(("options", "packages"), [("", ""), ("twocolumn", "\\usepackage[T1]{fontenc}\n")])
def test_a_latex_file_is_read_by_a_paper(options: str, packages: str, tmp_path: Path) -> None:
    for name, sheet in TWO_SHEETS.items():
        (tmp_path / f"{name}.tex").write_text(render(sheet, "tex"))
    (tmp_path / "paper.tex").write_text(PAPER % (options, packages))
    assert_set_well(compile_latex(tmp_path, "paper.tex"))
