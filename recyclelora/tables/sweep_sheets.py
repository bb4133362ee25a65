"""All tables of a sweep, with their captions, from its plan, its runs and its statement."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from recyclelora.runs.planned_cells import PlannedCell
from recyclelora.runs.run import DeletedRun, Sweep
from recyclelora.spaces.statement import Statement
from recyclelora.tables.adapter_table import tabulate_adapters
from recyclelora.tables.captions import describe_lacks, describe_origin
from recyclelora.tables.cells import group
from recyclelora.tables.comparisons import check_names
from recyclelora.tables.differences import Confusions, tabulate_differences
from recyclelora.tables.effects import tabulate_effects
from recyclelora.tables.measures import metrics_of, recorded
from recyclelora.tables.results_table import tabulate_results
from recyclelora.tables.search import tabulate_importances, tabulate_search
from recyclelora.tables.sheet import Sheet
from recyclelora.trials.record import Record


def build(sweep: Sweep, plan: Sequence[PlannedCell], records: Sequence[Record], statement: Statement,
          confusions: Confusions | None = None, deleted: Sequence[DeletedRun] = (),
          importances: Mapping[str, float] | None = None) -> list[Sheet]:
    """The sheets that the statement asks for: `<sweep>`, `<sweep>.differences` (of two cells or more),
    `<sweep>.effects` (where it names factors) and `<sweep>.adapters`. A search, which has no plan, has the table of its
    trials, and one of the importances of its knobs where these are known. `deleted` runs are named in the captions.

    Raises InputError when runs were not measured alike, and for a statement about cells that are not in the plan."""
    if not plan:
        more = [tabulate_importances(f"{sweep.name}.importances", importances)] if importances else []
        return [tabulate_search(sweep, records, statement), *more]
    cells, name, asked = group(sweep.name, plan, records), sweep.name, statement.tables
    check_names(cells, statement)
    sheets = []
    if "results" in asked:
        sheets.append(tabulate_results(name, cells, statement))
    if "differences" in asked and len(cells) > 1:
        sheets.append(tabulate_differences(f"{name}.differences", cells, statement, confusions))
    if "effects" in asked and statement.factors:
        sheets.append(tabulate_effects(f"{name}.effects", cells, statement))
    if "adapters" in asked:
        sheets.append(tabulate_adapters(f"{name}.adapters", cells))
    metrics = metrics_of(recorded(cells), statement)
    beneath = (*describe_origin(recorded(cells), metrics), *describe_lacks(cells, metrics, deleted))
    return [replace(sheet, caption=(*sheet.caption, *beneath)) for sheet in sheets]
