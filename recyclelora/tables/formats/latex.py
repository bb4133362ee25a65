"""A sheet as LaTeX, in ASCII: a file that compiles on its own, and that a paper reads with `\\input`."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from recyclelora.tables.formats.entries import Style, line, named, sentences, show
from recyclelora.tables.sheet import Sheet, SheetRow

WIDE = 8  # numeric columns; with more, small type, both columns of a paper that has two, and a page on its side
_LONG = 40  # characters of text in a cell; more are set as a paragraph
_WORD = 24  # characters after which a word may be broken
_HEIGHT = {False: 36, True: 24}  # rows that a page takes, upright and on its side

_BREAK = "\0"  # stands in no text, and marks where a word may be broken
_SIGNS = {
    _BREAK: r"\allowbreak{}",
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedblright{}",
    **{sign: f"\\{sign}" for sign in "&%$#_"},
    "[": "{[}", "]": "{]}", "*": "{*}",  # behind \\ these would be its arguments
    "–": r"\textendash{}", "—": r"\textemdash{}", "‘": r"\textquoteleft{}", "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}", "…": r"\textellipsis{}",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}",
    "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}",
    **{sign: f"$\\{name}$" for sign, name in {  # in math, whose fonts every installation has as outlines
        "†": "dagger", "‡": "ddagger", "§": "mathsection", "¶": "mathparagraph", "•": "bullet",
        "±": "pm", "×": "times", "÷": "div", "·": "cdot", "≤": "leq", "≥": "geq", "≠": "neq", "≈": "approx",
        "→": "rightarrow", "←": "leftarrow", "↑": "uparrow", "↓": "downarrow", "↔": "leftrightarrow", "⇒": "Rightarrow",
        "∞": "infty", "√": "surd", "∈": "in", "µ": "mu", "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta",
        "ε": "varepsilon", "η": "eta", "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "π": "pi",
        "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "varphi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma",
        "Δ": "Delta", "Σ": "Sigma", "Φ": "Phi", "Ω": "Omega"}.items()},
    "−": "$-$", "°": r"$^{\circ}$", "²": "$^2$", "³": "$^3$", "¹": "$^1$",
}
_ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
            "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c"}


def latex(sheet: Sheet) -> str:
    """The text of a `.tex` file: floats with a caption and a label, shrunk where they are wider than their place. More
    rows than a page holds are put in several. Needs booktabs and graphicx. What the standard fonts cannot show is
    named, as in `<U+6F22>`."""
    wide = sum(column.numeric for column in sheet.columns) > WIDE
    height = _HEIGHT[wide]
    pages = [sheet.rows[start:start + height] for start in range(0, len(sheet.rows), height)] or [()]
    floats = [text for number, rows in enumerate(pages) for text in _float(sheet, rows, wide, bool(number))]
    return "\n".join([*_header(wide), *floats, r"\closesheet", ""])


def _header(wide: bool) -> Iterator[str]:
    """Begins a document where none has begun, which is where `\\@nodocument` is not yet `\\relax`."""
    yield r"% Compiles on its own, or is read by \input in a paper that has \usepackage{booktabs,graphicx}."
    yield r"\expandafter\ifx\csname @nodocument\endcsname\relax"
    yield r"  \def\closesheet{}"
    yield r"\else"
    # spelt so, because arXiv and editors take a file with a plain \documentclass for the main file of a paper
    yield r"  \csname documentclass\endcsname{article}"
    yield rf"  \usepackage[a4paper,margin=2cm{',landscape' if wide else ''}]{{geometry}}"
    yield r"  \usepackage{booktabs,graphicx}"
    yield r"  \pagestyle{empty}"
    yield r"  \begin{document}"
    yield r"  \def\closesheet{\end{document}}"
    yield r"\fi"


def _float(sheet: Sheet, rows: Sequence[SheetRow], wide: bool, continued: bool) -> Iterator[str]:
    environment = "table*" if wide else "table"
    label = "tab:" + re.sub(r"[^A-Za-z0-9.-]", "-", sheet.name)
    yield f"\\begin{{{environment}}}"
    yield r"\centering\small" if wide else r"\centering"
    if continued:
        yield rf"\addtocounter{{table}}{{-1}}\caption{{{_text(sheet.name)} (continued)}}"
    else:
        yield rf"\caption{{{' '.join(map(_text, sentences(sheet))) or _text(sheet.name)}}}"
        yield rf"\label{{{label}}}"
    yield r"\medskip"
    yield r"\sbox0{%"
    yield rf"\begin{{tabular}}{{{_columns(sheet)}}}"
    yield r"\toprule"
    yield " & ".join([_text(sheet.corner), *(_text(column.heading) for column in sheet.columns)]) + r" \\"
    yield r"\midrule"
    for number, row in enumerate(rows):
        if number and row.apart != rows[number - 1].apart:
            yield r"\midrule"
        yield " & ".join(show(entry, _STYLE) for entry in (row.label, *row.entries)) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}}%"
    yield r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi"
    yield f"\\end{{{environment}}}"


def _columns(sheet: Sheet) -> str:
    """The letters of the columns: numbers to the right, long text as a paragraph."""
    texts = [[sheet.corner, *(row.label for row in sheet.rows)]]
    for place, column in enumerate(sheet.columns):
        entries = [row.entries[place] for row in sheet.rows]
        texts.append([column.heading, *(entry for entry in entries if isinstance(entry, str))])
    longest = [max(len(line(text)) for text in some) for some in texts]
    numeric = [False, *(column.numeric for column in sheet.columns)]
    return "".join("p{16em}" if length > _LONG else "r" if right else "l"
                   for length, right in zip(longest, numeric, strict=True))


def _text(text: str) -> str:
    """Plain text, its long words with places to break them at."""
    signs = re.sub(rf"(\S{{{_WORD}}})(?=\S)", rf"\1{_BREAK}", unicodedata.normalize("NFC", line(text)))
    escaped = "".join(map(_sign, signs))
    return re.sub(r"(?<=[-'`,?!])(?=[-'`,])", "{}", escaped)  # two of these would become one other sign


def _sign(sign: str) -> str:
    if sign in _SIGNS:
        return _SIGNS[sign]
    if sign.isascii():
        return sign
    letter, *marks = list(unicodedata.normalize("NFD", sign))
    if letter.isascii() and letter.isalpha() and len(marks) == 1 and marks[0] in _ACCENTS:
        return f"\\{_ACCENTS[marks[0]]}{{{letter}}}"
    return "".join(_SIGNS.get(each, each) for each in (*named(sign), _BREAK))


def _figure(figure: str) -> str:
    return re.sub(r"([-+])", r"$\1$", figure).replace("∞", r"$\infty$")


_STYLE = Style(text=_text, figure=_figure, best=r"\textbf{{{}}}".format, second=r"\underline{{{}}}".format,
               spread=r" $\pm$ {}".format, interval=" {{[}}{}, {}{{]}}".format, note=r"\textsuperscript{{{}}}".format)
