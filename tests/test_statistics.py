"""Means and paired differences: as scipy computes them, with the coverage they promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recyclelora.tables.statistics import evidence, mean_sd, paired_difference

SCORES = st.floats(0, 1).map(lambda value: round(value, 6))


@given(st.lists(st.tuples(SCORES, SCORES), min_size=2, max_size=12), st.sampled_from([0.9, 0.95, 0.99]))
def test_as_scipy_computes_it(pairs: list[tuple[float, float]], level: float) -> None:
    a, b = (dict(enumerate(values)) for values in zip(*pairs, strict=True))
    ours = paired_difference(a, b, level)
    if np.ptp([x - y for x, y in pairs]) < 1e-9:
        return  # scipy gives nan or noise for equal differences; see below
    theirs = stats.ttest_rel(list(a.values()), list(b.values()))
    interval = theirs.confidence_interval(level)
    assert ours.low == pytest.approx(interval.low, rel=1e-9, abs=1e-12)
    assert ours.high == pytest.approx(interval.high, rel=1e-9, abs=1e-12)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-12)
    values = list(a.values())
    assert mean_sd(values) == pytest.approx((np.mean(values), np.std(values, ddof=1), len(values)))


def test_only_seeds_that_both_have_are_paired() -> None:
    ours = paired_difference({0: 0.5, 1: 0.6, 7: 0.9}, {1: 0.5, 0: 0.3, 9: 0.0})
    assert ours.n == 2 and ours.difference == pytest.approx(0.15)


def test_one_pair_bounds_nothing() -> None:
    one, none = paired_difference({0: 0.9}, {0: 0.1}), paired_difference({0: 0.9}, {1: 0.1})
    assert (one.low, one.high, one.clear) == (-math.inf, math.inf, False) and math.isnan(one.p)
    assert none.n == 0 and math.isnan(none.difference) and not none.clear
    assert math.isnan(mean_sd([0.5]).sd) and mean_sd([0.5]).mean == 0.5 and math.isnan(mean_sd([]).mean)


def test_equal_differences_leave_no_doubt() -> None:
    same = paired_difference({0: 0.5, 1: 0.25}, {0: 0.5, 1: 0.25})
    ahead = paired_difference({0: 0.75, 1: 0.5}, {0: 0.5, 1: 0.25})
    assert (same.difference, same.p, same.clear) == (0, 1, False)
    assert (ahead.low, ahead.high, ahead.p, ahead.clear) == (0.25, 0.25, 0, True)


@pytest.mark.parametrize("n", [3, 5])
def test_the_interval_covers_the_truth_as_often_as_it_says(n: int) -> None:
    draws = np.random.default_rng(0).normal(0.007, 0.01, (3000, n))
    covered = [one.low <= 0.007 <= one.high for one in
               (paired_difference(dict(enumerate(draw)), dict.fromkeys(range(n), 0.0)) for draw in draws)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.012)  # three standard errors of 3000 draws


def test_what_seeds_are_good_for() -> None:
    said = [evidence(n).split()[0] for n in (1, 2, 3, 4, 5, 9)]
    assert said == ["a", "too", "indicative;", "indicative;", "enough", "enough"]
