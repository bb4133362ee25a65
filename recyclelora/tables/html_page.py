"""The HTML page of an experiment: claim, verdict, tables, figures, provenance. It loads nothing from elsewhere."""

import base64
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from recyclelora.errors import InputError
from recyclelora.spaces.columns import UNKNOWN
from recyclelora.tables.cells import Cell
from recyclelora.tables.figures import Drawing
from recyclelora.tables.formats import Link, html_table
from recyclelora.tables.formats.entries import line
from recyclelora.tables.sheet import RunRef, Sheet
from recyclelora.trials.record import Flat

VERDICTS = {"supported": "✓", "contradicted": "✕", "not distinguishable": "≈", "not tested": "–"}
THEME = {"#ffffff": "paper", "#24292f": "ink", "#6e7781": "faint", "#d8dee4": "rule", "#0072b2": "blue",
         "#d55e00": "red", "#009e73": "green", "#cc79a7": "pink", "#e69f00": "orange", "#56b4e9": "sky"}
XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
ENLARGED = 1.46  # CSS pixels of the page per point of a figure, on a screen that has the room
ROOM = 2_800_000  # characters of all panels together, so that a page stays below 5 MB
SIZES = ((1000, 82), (800, 80), (640, 76), (480, 70), (360, 60))  # width in pixels and JPEG quality, tried in turn


class Plate(NamedTuple):
    """A figure with its title."""

    title: str
    drawing: Drawing


class Panel(NamedTuple):
    """What one run left to look at, such as its predictions on one domain: an image file's bytes. Panels of one
    `domain` stand together; `url` is the page of that run."""

    domain: str
    cell: str
    seed: int
    image: bytes
    url: str | None = None


class Cost(NamedTuple):
    """What the finished runs of a cell took together, in seconds; nan: not known."""

    cell: str
    runs: int
    train: float
    evaluate: float


class RunLine(NamedTuple):
    """One planned trial and the run that stands for it; `run_id` is empty for one that was not run."""

    cell: str
    seed: int
    outcome: str
    run_id: str = ""
    fingerprint: str = ""
    commit: str = ""
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything that a report shows; whatever is empty is left out. `verdict` is a word of VERDICTS, `sentence` says
    it with n and interval. `facts`: name -> what is the same in all runs (commit, data, weights, protocol, ...).
    `changes`: cell -> the settings in which it differs from `config`, that of the baseline."""

    title: str
    claim: str
    verdict: str
    sentence: str
    evidence: str = ""  # what so many seeds are good for
    at: str = ""  # the base that the cells were run on
    summary: Plate | None = None
    tables: tuple[tuple[str, Sheet], ...] = ()  # title, content
    figures: tuple[Plate, ...] = ()
    adapters: tuple[Plate, ...] = ()
    panels: tuple[Panel, ...] = ()
    costs: tuple[Cost, ...] = ()
    machine: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    runs: tuple[RunLine, ...] = ()
    config: Flat = field(default_factory=dict)
    changes: Mapping[str, Flat] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # caveats that stand below the verdict


class Picture(NamedTuple):
    """A panel as it stands in the page: a data URI, and its size in pixels."""

    panel: Panel
    source: str
    width: int
    height: int


def render(page: Page, link: Link | None = None) -> str:
    """The page as HTML text; `link` gives the address of the page that shows some runs. Equal pages give equal text.

    Raises InputError for a panel that is no image."""
    if page.verdict not in VERDICTS:
        raise ValueError(f"{page.verdict!r} is none of {', '.join(VERDICTS)}")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(duration=duration, value=value, web=web, line=line)
    template = environment.from_string(resources.files("recyclelora.tables").joinpath("page.html").read_text("utf-8"))
    plates = [plate for plate in (page.summary, *page.figures, *page.adapters) if plate]
    drawn = {id(plate): Markup(inline(plate, f"f{place}")) for place, plate in enumerate(plates, 1)}
    shared = shared_sentences([sheet for _, sheet in page.tables])
    pictures = shrink(page.panels)
    domains: dict[str, list[Picture]] = {}
    for picture in pictures:
        domains.setdefault(picture.panel.domain, []).append(picture)
    sections = {"summary": page.summary, "tables": page.tables, "figures": page.figures, "adapters": page.adapters,
                "pictures": domains, "cost": page.costs,
                "provenance": page.facts or page.runs or page.changes or page.config or page.commands}
    return template.render(
        page=page, sign=VERDICTS[page.verdict], sections=[name for name in sections if sections[name]],
        domains=domains, left_out=len(page.panels) - len(pictures), total=total(page.costs),
        tables=[(title, Markup(html_table(replace(sheet, caption=()), link)),
                 [sentence for sentence in sheet.caption if sentence not in shared]) for title, sheet in page.tables],
        shared=shared,
        drawn=lambda plate: drawn[id(plate)]) + "\n"


def shared_sentences(sheets: Sequence[Sheet]) -> list[str]:
    """What the captions of several tables all say, which a page says once."""
    return [sentence for sentence in (sheets[0].caption if len(sheets) > 1 else ())
            if all(sentence in sheet.caption for sheet in sheets)]


def inline(plate: Plate, prefix: str) -> str:
    """A figure's SVG as a part of a page: ids of its own, and colours that follow the page's."""
    svg = plate.drawing.svg[plate.drawing.svg.index("<svg"):]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)  # would style the whole page
    width = float(found[1]) if (found := re.search(r'viewBox="0 0 ([\d.]+) ', svg)) else 504.0

    def adapt(tag: re.Match[str]) -> str:
        text = re.sub(r'\bid="', f'id="{prefix}-', tag[0])
        text = re.sub(r'url\(#|href="#', lambda to: f"{to[0]}{prefix}-", text)
        return re.sub("|".join(THEME), lambda hex_: f"var(--{THEME[hex_[0]]})", text)

    svg = re.sub(r"<[^>]+>", adapt, svg)
    about = f'role="img" aria-label="{escape(line(plate.title))}" style="width:{width * ENLARGED:.0f}px"'
    return re.sub(r'^<svg[^>]*?(viewBox="[^"]*")[^>]*>', lambda tag: f"<svg {about} {tag[1]} {XLINK}>", svg, count=1)


def shrink(panels: Sequence[Panel]) -> list[Picture]:
    """The panels as JPEG, all of one size, the largest at which all fit into ROOM. Where they do not even at the
    smallest, some are left out from the end."""
    made: list[Picture] = []
    for width, quality in SIZES:
        made = [_encode(panel, width, quality) for panel in panels]
        if sum(len(picture.source) for picture in made) <= ROOM:
            break
    while sum(len(picture.source) for picture in made) > ROOM:
        made.pop()
    return made


def _encode(panel: Panel, width: int, quality: int) -> Picture:
    page = io.BytesIO()
    try:
        with Image.open(io.BytesIO(panel.image)) as image:
            picture = image.convert("RGB")
            if picture.width > width:
                height = max(1, round(picture.height * width / picture.width))
                picture = picture.resize((width, height), Image.Resampling.LANCZOS)
            picture.save(page, "JPEG", quality=quality, optimize=True)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"panel of {panel.domain}, cell {panel.cell!r}, seed {panel.seed}: not a readable image "
                         f"({error}); evaluate the run again, or remove the file from its artifacts") from None
    source = "data:image/jpeg;base64," + base64.b64encode(page.getvalue()).decode("ascii")
    return Picture(panel, source, picture.width, picture.height)


def costs_of(cells: Sequence[Cell]) -> tuple[Cost, ...]:
    """What the finished runs of each cell took: their `time/train` and `time/evaluate`."""
    return tuple(Cost(cell.label, len(cell.finished), _sum(cell, "time/train"), _sum(cell, "time/evaluate"))
                 for cell in cells)


def _sum(cell: Cell, metric: str) -> float:
    """nan where a finished run does not tell: the sum of the others is no sum of all."""
    return math.fsum(record.metrics.get(metric, math.nan) for record in cell.finished.values())


def total(costs: Sequence[Cost]) -> Cost:
    return Cost("all", sum(cost.runs for cost in costs), math.fsum(cost.train for cost in costs),
                math.fsum(cost.evaluate for cost in costs))


def lines_of(cells: Sequence[Cell], link: Link | None = None) -> tuple[RunLine, ...]:
    """A line per planned trial."""
    lines = []
    for cell in cells:
        for seed in cell.planned:
            record = cell.records.get(seed)
            if record is None:
                lines.append(RunLine(cell.label, seed, "not run"))
                continue
            run_id = record.tags.get("run_id", "")
            ref = RunRef(run_id, record.fingerprint, seed)
            lines.append(RunLine(cell.label, seed, record.outcome, run_id, record.fingerprint,
                                 record.tags.get("commit") or UNKNOWN, link([ref]) if link and run_id else None))
    return tuple(lines)


def changes_of(cells: Sequence[Cell], baseline: str | None) -> tuple[Flat, dict[str, Flat]]:
    """The config of the baseline (of the first cell that was run, where there is none), and cell -> the settings in
    which it differs. Seeds and what the runs ran on are no settings of a cell."""
    configs = {cell.label: {key: setting for key, setting in next(iter(cell.records.values())).config.items()
                            if key != "seed" and not key.startswith("resources.")} for cell in cells if cell.records}
    if not configs:
        return {}, {}
    base = configs.get(baseline or "", next(iter(configs.values())))
    return base, {label: {key: config.get(key) for key in sorted(base.keys() | config.keys())
                          if config.get(key) != base.get(key)}
                  for label, config in configs.items() if config is not base}


def duration(seconds: float) -> str:
    """A time as a page shows it; `unknown` for nan."""
    if math.isnan(seconds):
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.2f} h"


def value(setting: object) -> str:
    """A setting as it would stand in a config file."""
    return setting if isinstance(setting, str) else json.dumps(setting, ensure_ascii=False)


def web(address: str | None) -> str:
    """An address that a browser may be sent to; "" for any other, such as one that holds a script."""
    return address if address and re.match(r"https?://[^\s]+\Z", address) else ""
