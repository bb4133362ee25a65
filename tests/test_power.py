"""The noise floor, against scipy and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from recyclelora.errors import InputError
from recyclelora.tables.power import noise, noise_floor, noise_of_differences
from recyclelora.tables.sheet import Number, RunRef


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(11)


def by_seed(values: np.ndarray) -> dict[int, float]:
    return dict(enumerate(map(float, values)))


def test_the_interval_of_a_standard_deviation_covers_it(draw: np.random.Generator) -> None:
    covered = sum(low <= 0.02 <= high for _, low, high, _ in
                  (noise(by_seed(draw.normal(0.4, 0.02, 5))) for _ in range(2000)))
    assert covered / 2000 == pytest.approx(0.95, abs=0.02)


def test_noise_is_the_sample_standard_deviation(draw: np.random.Generator) -> None:
    values = draw.normal(0.4, 0.02, 6)
    assert noise(by_seed(values)).sd == pytest.approx(values.std(ddof=1)) and noise(by_seed(values)).n == 6
    for few in ({}, {3: 0.5}):
        with pytest.raises(InputError, match="needs 2"):
            noise(few)


def test_pairs_are_used_where_there_are_some(draw: np.random.Generator) -> None:
    shared, own = draw.normal(0, 0.05, 8), draw.normal(0, 0.005, (2, 8))
    one, other = by_seed(0.4 + shared + own[0]), by_seed(0.45 + shared + own[1])
    del other[7]
    assert noise_of_differences(one).sd == pytest.approx(math.sqrt(2) * noise(one).sd)
    paired = noise_of_differences(one, other)
    assert paired.sd == pytest.approx((own[0] - own[1])[:7].std(ddof=1)) and paired.n == 7
    assert paired.sd < 0.5 * noise_of_differences(one).sd, "seeds that share their luck see more"
    assert noise_of_differences(one, {3: 0.4}) == noise_of_differences(one), "one pair has no noise"


@pytest.mark.parametrize("n", [3, 5, 10])
def test_a_detectable_difference_is_found_four_times_in_five(n: int, draw: np.random.Generator) -> None:
    values = by_seed(draw.normal(0.4, 0.02, 6))
    sheet = noise_floor(values, seeds=(n,))
    found = sheet.rows[-1].entries[0]
    assert isinstance(found, Number)
    sd = noise(values).sd  # two cells with independent seeds, each of this noise
    one, other = draw.normal(0, sd, (2, 20000, n))
    p = stats.ttest_rel(one + found.value / 100, other, axis=1).pvalue
    assert float((p < 0.05).mean()) == pytest.approx(0.8, abs=0.015)


def test_the_sheet_says_what_it_is() -> None:
    values = by_seed(np.array([0.40, 0.42, 0.41, 0.44, 0.39]))
    runs = (RunRef("abc", "f00", 0),)
    sheet = noise_floor(values, name="initialisation.noise", cell="rrqr", runs=runs)
    assert sheet.name == "initialisation.noise" and [column.key for column in sheet.columns] == ["miou/target_mean"]
    assert [row.label for row in sheet.rows] == [
        "s.d. of rrqr over 5 seeds", "s.d. of a difference, independent seeds",
        *(f"detectable with {n} seeds" for n in (3, 5, 8, 10, 20))]
    numbers = [row.entries[0] for row in sheet.rows]
    assert all(isinstance(number, Number) and number.low < number.value < number.high for number in numbers)
    floors = [number.value for number in numbers[2:]]  # type: ignore[union-attr]
    assert floors == sorted(floors, reverse=True), "more seeds see smaller differences"
    assert numbers[0].value == pytest.approx(100 * np.std(list(values.values()), ddof=1))  # type: ignore[union-attr]
    assert all(row.runs == runs for row in sheet.rows)
    assert f"With 5 seeds a paired t-test (two-sided, 5 %) finds a true difference of {floors[1]:.2f} points" in sheet.caption[0]
    assert "independent" in sheet.caption[1]
    paired = noise_floor(values, other={seed: value - 0.01 * seed for seed, value in values.items()}, cell="rrqr", against="svd")
    assert paired.rows[1].label == "s.d. of a difference, 5 pairs with svd" and "rrqr and svd at 5 common seeds" in paired.caption[1]
