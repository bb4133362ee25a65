"""A sheet as a Markdown table (GitHub's), its caption as a paragraph below."""

import re

from recyclelora.tables.formats.entries import Style, line, sentences, show
from recyclelora.tables.sheet import Sheet


def markdown(sheet: Sheet) -> str:
    """The text of an `.md` file."""
    heads = [_text(sheet.corner), *(_text(column.heading) for column in sheet.columns)]
    rule = [":--", *("--:" if column.numeric else ":--" for column in sheet.columns)]
    rows = [[show(entry, _STYLE) for entry in (row.label, *row.entries)] for row in sheet.rows]
    table = ["| " + " | ".join(cells) + " |" for cells in (heads, rule, *rows)]
    caption = [_sentence(sentence) for sentence in sentences(sheet)]
    return "\n".join([*table, *([""] if caption else []), *caption, ""])


def _text(text: str) -> str:
    text = line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|~$!#])", r"\\\1", text)


def _sentence(text: str) -> str:
    """A line of the caption; one that begins like a list or a rule would end the paragraph."""
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", _text(text))


_STYLE = Style(text=_text, figure=str, best="**{}**".format, second="<u>{}</u>".format, spread=" ± {}".format,
               interval=" [{}, {}]".format, note="<sup>{}</sup>".format)
