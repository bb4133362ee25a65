"""Which figure a page leads with."""

import pytest

from recyclelora.spaces.statement import Expectation, Statement
from recyclelora.tables.composition import Gallery, Material, draw
from tests.test_figures import cell

MEASURE = "adapter/rank_efficiency/main"


def gallery(*metrics: str) -> Gallery:
    cells = [cell(label, {MEASURE: [value, value + 0.01, value + 0.03], "adapter/drift_norm/both": [0.1, 0.2, 0.1],
                          "miou/target_mean": [value / 2, value / 3, value / 4]}) for label, value in (("rrqr", 0.8), ("svd", 0.6))]
    statement = Statement(baseline="svd", expectations=tuple(Expectation("rrqr", "svd", metric) for metric in metrics),
                          figures=("differences", "adapters"))
    return draw(Material(name="x", cells=cells, statement=statement, sheets=()))


@pytest.mark.parametrize(("metrics", "first"), [
    ([MEASURE], "Adapters after training"), ([MEASURE, "adapter/drift_norm/both"], "Adapters after training"),
    ([MEASURE, "miou/target_mean"], "Differences from the baseline"), ([], "Differences from the baseline")])
def test_what_decides_the_claim_comes_first_and_nothing_is_lost(metrics: list[str], first: str) -> None:
    made = gallery(*metrics)
    assert made.summary is not None and made.summary.title == first
    titles = [plate.title for plate in (made.summary, *made.figures, *made.adapters)]
    assert sorted(titles) == ["Adapters after training", "All cells", "Differences from the baseline"]
