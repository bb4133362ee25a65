"""Effects of a grid against differences of means taken by hand."""

import statistics
from itertools import product

import pytest

from recyclelora.spaces.design import label_of
from recyclelora.spaces.statement import Statement
from recyclelora.tables.cells import Cell, group
from recyclelora.tables.effects import cross, tabulate_effects
from recyclelora.tables.sheet import Number
from tests.ablation import noisy, scored

ENDS, RATES = ("minor", "major"), (0.1, 0.4, 1.6)
KEYS = ("adapter.main.end", "adapter.main.lr_multiplier")
KNOBS: dict[str, dict[str, object]] = {
    label_of(knobs): dict(knobs) for end, rate in product(ENDS, RATES) for knobs in [dict(zip(KEYS, (end, rate), strict=True))]}
VALUES = noisy({label: 0.2 + 0.03 * number for number, label in enumerate(KNOBS)}, 0.02, 5)
FACTORS = Statement(factors=KEYS, baseline="main.end=minor, main.lr_multiplier=0.4")


def grid(values: dict[str, list[float]] = VALUES, knobs: dict[str, dict[str, object]] = KNOBS) -> list[Cell]:
    return group("s", *scored(values, knobs=knobs))


def at(end: str, rate: float, seed: int) -> float:
    return 100 * VALUES[label_of({KEYS[0]: end, KEYS[1]: rate})][seed]


def test_main_effects_and_interactions_by_hand() -> None:
    sheet = tabulate_effects("s.effects", grid(), FACTORS)
    rows = {row.label: row for row in sheet.rows}
    assert list(rows) == [
        "main.end: major − minor", "main.lr_multiplier: 0.1 − 0.4", "main.lr_multiplier: 1.6 − 0.4",
        "main.end: major − minor × main.lr_multiplier: 0.1 − 0.4",
        "main.end: major − minor × main.lr_multiplier: 1.6 − 0.4"]
    place = [column.key for column in sheet.columns].index("miou/target_mean")

    def mean(label: str) -> float:
        entry = rows[label].entries[place]
        assert isinstance(entry, Number) and entry.signed and entry.low < entry.value < entry.high
        return entry.value

    seeds = range(5)
    assert mean("main.end: major − minor") == pytest.approx(statistics.fmean(
        at("major", rate, seed) - at("minor", rate, seed) for rate in RATES for seed in seeds))
    assert mean("main.lr_multiplier: 1.6 − 0.4") == pytest.approx(statistics.fmean(
        at(end, 1.6, seed) - at(end, 0.4, seed) for end in ENDS for seed in seeds))
    assert mean("main.end: major − minor × main.lr_multiplier: 0.1 − 0.4") == pytest.approx(statistics.fmean(
        at("major", 0.1, seed) - at("minor", 0.1, seed) - at("major", 0.4, seed) + at("minor", 0.4, seed)
        for seed in seeds))
    assert len(rows["main.end: major − minor"].runs) == 30
    assert len(rows["main.lr_multiplier: 1.6 − 0.4"].runs) == 20


def test_a_baseline_with_a_name_of_its_own_is_no_part_of_the_grid() -> None:
    knobs = {**KNOBS, "frozen": {KEYS[0]: "minor", KEYS[1]: 0.4, "adapter.method": "frozen"}}
    crossing = cross(grid({**VALUES, "frozen": [0.9] * 5}, knobs), FACTORS)
    assert len(crossing.cells) == 6 and crossing.levels == (("minor", "major"), ("0.4", "0.1", "1.6"))


@pytest.mark.parametrize("hole", ["not planned", "not run"])
def test_a_grid_with_a_hole_has_no_effects_and_says_so(hole: str) -> None:
    missing = "main.end=major, main.lr_multiplier=1.6"
    values = {label: [] if label == missing else some for label, some in VALUES.items()}
    if hole == "not planned":
        del values[missing]
    sheet = tabulate_effects("s.effects", grid(values), FACTORS)
    assert not sheet.rows
    assert sheet.caption == ("No effect can be taken: the cells are no full crossing of the factors.",) \
        if hole == "not planned" else (f"No effect can be taken: {missing} has no finished run.",)


def test_a_setting_that_varies_beside_the_factors_is_no_full_crossing() -> None:
    knobs = {label_of({**some, "adapter.alpha": alpha}): {**some, "adapter.alpha": alpha}  # type: ignore[dict-item]
             for some in KNOBS.values() for alpha in (1.0, 2.0)}
    assert "no full crossing" in cross(grid(noisy(dict.fromkeys(knobs, 0.3), 0.01), knobs), FACTORS).lacks


def test_effects_are_found_in_noise_no_more_often_than_they_may_be() -> None:
    """40 grids of equal cells: a star in at most 5 % + 3 s.e. of them."""
    starred = 0
    for draw in range(40):
        sheet = tabulate_effects("s", grid(noisy(dict.fromkeys(KNOBS, 0.3), 0.02, 5, draw)), FACTORS)
        starred += any(isinstance(entry, Number) and entry.note == "*" for row in sheet.rows for entry in row.entries)
    assert starred / 40 < 0.05 + 3 * (0.05 * 0.95 / 40) ** 0.5


def test_a_great_effect_is_found() -> None:
    lifted = {label: [value + 0.3 * label.startswith("main.end=major") for value in some]
              for label, some in noisy(dict.fromkeys(KNOBS, 0.3), 0.02).items()}
    rows = {row.label: row.entries[1] for row in tabulate_effects("s", grid(lifted), FACTORS).rows}
    assert [label for label, entry in rows.items() if entry.note == "*"] == ["main.end: major − minor"]  # type: ignore[union-attr]
