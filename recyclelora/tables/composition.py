"""Makes the figures and the page of a sweep from its runs and tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from recyclelora.spaces.statement import Statement
from recyclelora.tables import figures
from recyclelora.tables.captions import code, told
from recyclelora.tables.cells import Cell
from recyclelora.tables.comparisons import compare, judge, metrics_compared
from recyclelora.tables.effects import cross
from recyclelora.tables.formats import Link
from recyclelora.tables.html_page import Page, Panel, Plate, changes_of, costs_of, lines_of
from recyclelora.tables.measures import recorded
from recyclelora.tables.results_table import chance_of
from recyclelora.tables.sheet import Sheet
from recyclelora.trials.analysis_files import Analysis
from recyclelora.trials.record import Record

PROFILED = {"rank_efficiency": "Rank efficiency", "drift_norm": "Drift"}  # drawn layer by layer
SHEETS = {"": "Results", "differences": "Differences from the baseline", "effects": "Effects", "adapters": "Adapters"}


class Gallery(NamedTuple):
    """A sweep's figures by the place they have on its page."""

    summary: Plate | None
    figures: tuple[Plate, ...]
    adapters: tuple[Plate, ...]

    @property
    def named(self) -> dict[str, Plate]:
        """File stem -> figure."""
        plates = [plate for plate in (self.summary, *self.figures, *self.adapters) if plate]
        return {"".join(letter if letter.isalnum() else "_" for letter in plate.title.lower()).strip("_"): plate
                for plate in plates}


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a page is made of, fetched from the store. `analyses` by fingerprint."""

    name: str
    cells: Sequence[Cell]
    statement: Statement
    sheets: Sequence[Sheet]
    analyses: Mapping[str, Analysis] = field(default_factory=dict)
    panels: Sequence[Panel] = ()
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def draw(material: Material) -> Gallery:
    """The figures that the statement asks for and the runs allow. First comes what decides the claim."""
    cells, statement = material.cells, material.statement
    asked = statement.figures
    finished = [cell for cell in cells if cell.finished]
    if not finished:
        return Gallery(None, (), ())
    metrics = metrics_compared(finished, statement)
    drawn = [Plate("All cells", figures.cells(finished, metrics, chance_of(recorded(finished), metrics)))]
    comparisons = [each for each in compare(cells, statement, metrics) if each.difference.n] if len(cells) > 1 else []
    summary = None
    if "differences" in asked and comparisons:
        summary = Plate("Differences from the baseline", figures.differences(comparisons, finished))
    if "effects" in asked and statement.factors:
        drawn += _draw_effects(cells, statement, metrics)
    adapters = list(_draw_adapters(finished, material.analyses, asked))
    deciding = [each.metric for each in statement.expectations]
    if adapters and deciding and all(metric.startswith("adapter/") for metric in deciding):
        return Gallery(adapters.pop(0), (*filter(None, [summary]), *drawn), tuple(adapters))
    return Gallery(summary or drawn[0], tuple(drawn if summary else drawn[1:]), tuple(adapters))


def compose(material: Material, gallery: Gallery, link: Link | None = None) -> Page:
    """The page of an experiment, with its verdict."""
    cells, statement = material.cells, material.statement
    verdict = judge(statement, cells)
    config, changes = changes_of(cells, statement.baseline)
    records = recorded(cells)
    return Page(
        title=material.name, claim=statement.claim, verdict=verdict.word, sentence=verdict.sentence, at=statement.at,
        summary=gallery.summary, figures=gallery.figures, adapters=gallery.adapters,
        tables=tuple((SHEETS[sheet.name.removeprefix(material.name).strip(".")], sheet) for sheet in material.sheets),
        panels=tuple(material.panels) if "panels" in statement.figures else (), costs=costs_of(cells),
        machine=told([record for record in records if record.outcome == "finished"], "device") if records else "",
        facts=_facts(records) | _open_points(statement), runs=lines_of(cells, link),
        config=config, changes=changes,
        commands=material.commands, notes=material.notes)


def _facts(records: Sequence[Record]) -> dict[str, str]:
    """What the runs that were scored rest on; none where nothing was."""
    scored = [record for record in records if record.outcome != "failed"]
    named = {"data_fingerprint": "data", "weights_sha256": "weights, sha256", "weights_source": "weights from",
             "protocol": "protocol", "selection": "selection rule"}
    return {"code": code(scored), **{title: told(scored, tag) for tag, title in named.items()}} if scored else {}


def _open_points(statement: Statement) -> dict[str, str]:
    return {f"not public: {what}": f"chosen: {chosen}" for what, chosen in statement.unknown}


def _draw_effects(cells: Sequence[Cell], statement: Statement, metrics: Sequence[str]) -> list[Plate]:
    crossing = cross(cells, statement)
    if not crossing.cells:
        return []
    shown = [metric for metric in ("miou/target_mean", "miou/source") if metric in metrics] or list(metrics[:1])
    plates = [Plate("Effects", figures.effects(crossing, shown))]
    if len(crossing.factors) > 1:
        values: dict[tuple[object, ...], dict[int, float]] = {**crossing.values(shown[0])}
        drawing = figures.interactions(values, crossing.factors, shown[0])
        plates.append(Plate("Interactions", drawing))
    return plates


def _draw_adapters(cells: Sequence[Cell], analyses: Mapping[str, Analysis], asked: Sequence[str]) -> Iterator[Plate]:
    """Summary measures, profiles through the layers, and heat maps of the first finished run of each cell."""
    measured = any(name.startswith("adapter/") for record in recorded(cells) for name in record.metrics)
    if "adapters" in asked and measured:
        yield Plate("Adapters after training", figures.adapters(cells))
    runs = {cell.label: some for cell in cells
            if (some := {seed: analyses[record.fingerprint].layers for seed, record in cell.finished.items()
                         if record.fingerprint in analyses})}
    if "layers" in asked and runs:
        yield from (Plate(f"{title} by layer", figures.layers(runs, measure)) for measure, title in PROFILED.items())
    if "adapters" in asked:
        for cell in cells:
            for seed, record in [each for each in cell.finished.items() if each[1].fingerprint in analyses][:1]:
                matrices = analyses[record.fingerprint].cosines
                if matrices:
                    drawing = figures.cosines(matrices)
                    yield Plate(f"Cosines within the factors: {cell.label}, seed {seed}", drawing)
