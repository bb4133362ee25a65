"""Shared by all figures: colours, names of measures, and SVG bytes that depend on the data alone."""

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recyclelora.tables.formats.entries import line
from recyclelora.tables.measures import title

PAPER, INK, FAINT, RULE = "#ffffff", "#24292f", "#6e7781", "#d8dee4"
BLUE, RED = "#0072b2", "#d55e00"
SERIES = (BLUE, RED, "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito (2008), for all eyes
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (4, 1.6)), (0, (1.2, 1.4)), (0, (5, 1.4, 1.2, 1.4)))
MARKERS = ("o", "s", "^", "D", "v", "P")
WIDTH = 7.0  # inches: the text width of an A4 page
FONTS = "-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,'Liberation Sans',sans-serif"
MEASURED_IN = "DejaVu Sans"  # comes with matplotlib, so that the layout is the same everywhere; wider than any of FONTS
SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "recyclelora", "svg.image_inline": True, "text.parse_math": False,
    "text.usetex": False, "font.family": [MEASURED_IN], "font.size": 8, "axes.titlesize": 8.5, "axes.labelsize": 8,
    "xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "legend.fontsize": 7.5, "legend.frameon": False,
    "axes.titlelocation": "left", "axes.titlepad": 7, "axes.edgecolor": RULE, "axes.linewidth": 0.8,
    "axes.labelcolor": FAINT, "axes.titlecolor": INK, "xtick.color": RULE, "xtick.labelcolor": FAINT,
    "ytick.color": RULE, "ytick.labelcolor": INK, "text.color": INK, "grid.color": RULE, "grid.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "figure.facecolor": PAPER,
    "axes.facecolor": "none", "savefig.facecolor": PAPER, "axes.xmargin": 0.06, "axes.unicode_minus": True,
    "xtick.major.size": 3, "ytick.major.size": 0, "figure.constrained_layout.w_pad": 0.09,
    "figure.constrained_layout.h_pad": 0.07, "image.interpolation": "none", "image.composite_image": False,
}


class Drawing(NamedTuple):
    """A figure: SVG text that stands alone on white paper, and the sentences that say what is drawn."""

    svg: str
    says: str


def draw(width: float, height: float, paint: Callable[[Figure], None], says: str) -> Drawing:
    """What `paint` puts on a figure of that size in inches. Equal data give equal bytes, whatever this machine's
    matplotlib is told to look like."""
    defaults: Any = {key: some for key, some in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
    page, settings = io.StringIO(), defaults | SETTINGS
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # it only measures text; whoever shows it has the font
        figure = Figure(figsize=(width, height), layout="constrained")
        paint(figure)
        figure.savefig(page, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return Drawing(_tidy(page.getvalue(), says), says)


def _tidy(svg: str, says: str) -> str:
    """Without comments, with fonts that every machine has, and with a description for those who cannot see it."""
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]+>", lambda tag: tag[0].replace(f"'{MEASURED_IN}'", FONTS), svg)
    return re.sub(r"(<svg [^>]*>)", lambda tag: f"{tag[1]}\n <desc>{escape(says)}</desc>", svg, count=1)


def plain(text: object) -> str:
    """One line of text that an XML file may hold."""
    return re.sub("[\ufffe\uffff]", " ", line(str(text)))


def wrap(label: object, width: int = 24, lines: int = 2) -> str:
    """A label on a few short lines; what is left of a longer one is three dots."""
    return "\n".join(textwrap.wrap(plain(label), width, max_lines=lines, placeholder=" …")) or " "


def name_of(metric: str) -> str:
    """A metric in words: "target mean" for `miou/target_mean`, "rank efficiency, main" for
    `adapter/rank_efficiency/main`."""
    if metric.startswith("miou/"):
        return plain(title(metric))
    return plain(re.sub(r"^(adapter|adapter_start|layer)/", "", metric).replace("_", " ").replace("/", ", "))


def unit_of(metric: str) -> str:
    return "mIoU in %" if metric.startswith("miou/") else "IoU in %" if metric.startswith("iou/") else ""


def lay_panels(figure: Figure, count: int, columns: int, *, sharex: bool = False, sharey: bool = False) -> list[Axes]:
    """So many panels, row by row; what is left of the last row stays empty."""
    columns = max(1, min(columns, count))
    grid = figure.subplots(-(-count // columns), columns, squeeze=False, sharex=sharex, sharey=sharey)
    panels: list[Axes] = list(grid.ravel())
    for spare in panels[count:]:
        spare.remove()
    return panels[:count]


def lay_rows(panels: Sequence[Axes], labels: Sequence[str], columns: int) -> None:
    """Panels with one line of paper per label, the first on top; labels stand at the left edge of the figure."""
    for place, panel in enumerate(panels):
        panel.set_ylim(len(labels) - 0.4, -0.6)
        panel.set_yticks([])
        for row, label in enumerate(labels if place % columns == 0 else ()):
            _label_row(panel, row, label.split("\n"))
        panel.spines["left"].set_visible(False)
        panel.grid(axis="x")
        panel.xaxis.set_major_locator(MaxNLocator(5))


def _label_row(panel: Axes, row: int, lines: Sequence[str]) -> None:
    """Each line a text of its own: SVG aligns one text in whatever font it is shown, but not the lines of one."""
    for place, text in enumerate(lines):
        panel.annotate(text, (0, row), (-5, 9 * ((len(lines) - 1) / 2 - place)), textcoords="offset points",
                       xycoords=panel.get_yaxis_transform(), ha="right", va="center", fontsize=7.5,
                       annotation_clip=False)


def rows_height(labels: int, panel_rows: int, *, line: float = 0.34, around: float = 0.78) -> float:
    """Inches that rows of panels need, with so many labels each."""
    return panel_rows * (labels * line + around)
