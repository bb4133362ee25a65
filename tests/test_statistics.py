"""Means, differences, effect sizes and adjusted p: as scipy and the formulas have them, and as good as their word."""

import math
import statistics
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from recyclelora.tables.statistics import (
    detectable_difference,
    effect_size,
    evidence,
    holm,
    mean_sd,
    paired_difference,
)
from tests.simulate_statistics import MIXED, SAME, Promise, against_first, compare, draw_domains, draw_tables, simulate

SCORES = st.floats(0, 1).map(lambda value: round(value, 6))
SHARES = st.floats(0, 1) | st.floats(0, 0.1) | st.sampled_from([0.0, 0.004, 0.011, 0.018, 0.03, 1.0])  # ties are likely


def by_seed(values: np.ndarray) -> dict[int, float]:
    return dict(enumerate(values.tolist()))


@settings(deadline=None)
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


@pytest.mark.parametrize("n", [2, 3, 5, 8, 40])
def test_agrees_with_scipy_to_twelve_digits(n: int) -> None:
    generator = np.random.default_rng(n)
    for shift in (0.0, 0.003, 0.05, 0.5):  # p from one half down to 1e-60
        a, b = 0.4 + shift + 0.01 * generator.standard_normal(n), 0.4 + 0.01 * generator.standard_normal(n)
        ours, theirs = paired_difference(by_seed(a), by_seed(b)), stats.ttest_rel(a, b)
        interval = theirs.confidence_interval()
        assert ours.difference == pytest.approx((a - b).mean(), rel=1e-12, abs=1e-15)
        assert ours.p == pytest.approx(theirs.pvalue, rel=1e-12, abs=0)
        assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), rel=1e-12, abs=1e-14)
        assert ours.n == n and ours.clear == (theirs.pvalue < 0.05), "interval and p are one test"


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12))
def test_the_spread_is_that_of_exact_fractions(values: list[float]) -> None:
    mean, sd, n = mean_sd(values)
    assert (mean, n) == (pytest.approx(statistics.mean(values), rel=1e-15, abs=1e-300), len(values))
    assert sd == pytest.approx(statistics.stdev(values), rel=1e-13, abs=1e-16)


def test_equal_values_have_no_spread_at_all() -> None:
    # The mean of seven of these is another number, by rounding; a spread of 1e-17 would pass for certainty.
    value = next(x for x in np.random.default_rng(0).random(1000).tolist() if math.fsum([x] * 7) / 7 != x)
    assert mean_sd([value] * 7) == (value, 0, 7)
    assert paired_difference(dict.fromkeys(range(7), value), dict.fromkeys(range(7), value)).p == 1


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 9), SCORES, min_size=2), st.dictionaries(st.integers(0, 9), SCORES, min_size=2))
def test_the_other_way_round_is_the_same_with_other_sign(a: dict[int, float], b: dict[int, float]) -> None:
    one, other = paired_difference(a, b), paired_difference(b, a)
    assert one[:3] == pytest.approx((-other.difference, -other.high, -other.low), nan_ok=True)
    assert (one.p, one.n, one.clear) == (pytest.approx(other.p, nan_ok=True), other.n, other.clear)
    assert paired_difference(dict(reversed(a.items())), b) == pytest.approx(one, nan_ok=True, rel=0, abs=0)


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


def test_what_seeds_are_good_for() -> None:
    said = [evidence(n).split()[0] for n in (1, 2, 3, 4, 5, 9)]
    assert said == ["a", "too", "indicative;", "indicative;", "enough", "enough"]


# Holm


def step_down(p: list[float], level: float) -> list[bool]:
    """Which are rejected, as Holm puts it: the smallest at level / m, the next at level / (m - 1), until one is not."""
    rejected = [False] * len(p)
    for step, place in enumerate(sorted(range(len(p)), key=lambda place: p[place])):
        if p[place] > level / (len(p) - step):
            break
        rejected[place] = True
    return rejected


@settings(deadline=None)
@given(st.lists(SHARES, max_size=12), st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_as_the_procedure_does(p: list[float], level: float) -> None:
    near = [abs(value - level / divisor) < 1e-12 for value in p for divisor in range(1, len(p) + 1)]
    if not any(near):  # on the line itself rounding decides
        assert [value <= level for value in holm(p)] == step_down(p, level)


def test_holm_on_known_figures() -> None:
    # The usual example: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04 is raised to its predecessor.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.9, 0.8]) == [1, 1, 1] and holm([0.03]) == [0.03] and holm([]) == []
    assert holm([0.01, 0.01]) == [0.02, 0.02]


@settings(deadline=None)
@given(st.lists(SHARES, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_holm_is_monotone_no_smaller_and_blind_to_order(p: list[float], random: object) -> None:
    adjusted = holm(p)
    assert all(value <= after <= min(1, len(p) * value) for value, after in zip(p, adjusted, strict=True))
    assert sorted(adjusted) == [after for _, after in sorted(zip(p, adjusted, strict=True))], "as p grows, so it does"
    places = list(range(len(p)))
    random.shuffle(places)  # type: ignore[attr-defined]
    assert holm([p[place] for place in places]) == [adjusted[place] for place in places]


@settings(deadline=None)
@given(st.lists(SHARES, max_size=8), st.integers(0, 8))
def test_holm_does_not_count_what_is_no_test(p: list[float], at: int) -> None:
    with_gap = holm([*p[:at], math.nan, *p[at:]])
    assert math.isnan(with_gap.pop(min(at, len(p)))) and with_gap == holm(p)


# effect size and power


@pytest.mark.parametrize("n", [3, 4, 5, 12, 400])
def test_effect_size_is_its_formula(n: int) -> None:
    a, b = np.random.default_rng(n).normal(0.4, 0.02, (2, n))
    total = 0.0
    for x, y in zip(a, b, strict=True):
        total += x - y
    mean, squares = total / n, 0.0
    for x, y in zip(a, b, strict=True):
        squares += (x - y - mean) ** 2
    free = n - 1
    # A standard deviation of 1 shows as s, of a chi distribution; 1 / s is too large by its mean, which J undoes.
    correction = 1 / (math.sqrt(free) * quad(lambda s: stats.chi.pdf(s, free) / s, 0, math.sqrt(free) + 9)[0])
    ours = effect_size(by_seed(a), by_seed(b))
    assert ours == pytest.approx(correction * mean / math.sqrt(squares / free), rel=1e-6)
    assert ours == pytest.approx((1 - 3 / (4 * free - 1)) * mean / math.sqrt(squares / free), rel=0.07), "Hedges' rule"
    assert effect_size(by_seed(b), by_seed(a)) == pytest.approx(-ours)


@pytest.mark.parametrize("n", [4, 5, 10])
def test_effect_size_has_no_bias(n: int) -> None:
    """Without the correction five pairs would show 0.75 where 0.6 is true."""
    draws = np.random.default_rng(n).normal(0.6, 1, (30_000, n))
    zero = dict.fromkeys(range(n), 0.0)
    found = [effect_size(dict(enumerate(draw)), zero) for draw in draws.tolist()]
    assert statistics.fmean(found) == pytest.approx(0.6, abs=4 * statistics.stdev(found) / math.sqrt(len(found)))


def test_effect_size_where_there_is_none() -> None:
    assert math.isnan(effect_size({}, {})) and math.isnan(effect_size({0: 1.0}, {0: 0.5}))
    assert math.isnan(effect_size({0: 1.0, 1: 0.5}, {0: 0.5, 1: 0.1})), "the correction leaves nothing of two pairs"
    assert math.isnan(effect_size({0: 0.5, 1: 0.25, 2: 1}, {0: 0.5, 1: 0.25, 2: 1}))
    assert effect_size({0: 0.5, 1: 0.25, 2: 1}, {0: 1, 1: 0.75, 2: 1.5}) == -math.inf
    assert effect_size({0: 0.9, 1: 0.8, 2: 0.7, 9: 0}, {0: 0.1, 1: 0.3, 2: 0.2, 5: 1}) == effect_size(
        {0: 0.9, 1: 0.8, 2: 0.7}, {0: 0.1, 1: 0.3, 2: 0.2}), "pairs only"


@pytest.mark.parametrize("n", [2, 3, 5, 10, 50, 1000])
@pytest.mark.parametrize(("power", "alpha"), [(0.8, 0.05), (0.95, 0.05), (0.8, 0.001), (0.2, 0.1)])
def test_detectable_difference_has_its_power(n: int, power: float, alpha: float) -> None:
    shift = detectable_difference(0.013, n, power, alpha) * math.sqrt(n) / 0.013
    critical = stats.t.isf(alpha / 2, n - 1)
    wrong_way = stats.nct.cdf(-critical, n - 1, shift)  # scipy has nan for some that are below 1e-15
    assert stats.nct.sf(critical, n - 1, shift) + np.nan_to_num(wrong_way) == pytest.approx(power, abs=1e-8)
    # the same without noncentral t: over the spread that a sample may show
    spread = stats.chi(n - 1, scale=1 / math.sqrt(n - 1))
    quantiles = spread.ppf((np.arange(20_000) + 0.5) / 20_000)
    reached = stats.norm.sf(critical * quantiles - shift) + stats.norm.cdf(-critical * quantiles - shift)
    assert float(reached.mean()) == pytest.approx(power, abs=1e-4)


@pytest.mark.parametrize("n", [3, 5, 8])
def test_detectable_difference_is_found_as_often_as_it_says(n: int) -> None:
    truth = detectable_difference(0.01, n)
    draws = np.random.default_rng(n).normal(truth, 0.01, (5000, n))
    zero = dict.fromkeys(range(n), 0.0)
    found = [paired_difference(dict(enumerate(draw)), zero).p < 0.05 for draw in draws.tolist()]
    assert np.mean(found) == pytest.approx(0.8, abs=0.018)  # three standard errors of 5000 draws


def test_detectable_difference_falls_with_seeds_and_grows_with_noise() -> None:
    falling = [detectable_difference(0.01, n) for n in range(1, 30)]
    assert falling[0] == math.inf and detectable_difference(0.01, 0) == math.inf
    assert falling == sorted(falling, reverse=True) and len(set(falling)) == len(falling)
    assert detectable_difference(0.03, 5) == pytest.approx(3 * detectable_difference(0.01, 5), rel=1e-12)
    assert detectable_difference(0.0, 5) == 0 and detectable_difference(1.0, 10**6) == pytest.approx(
        (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / 1000, rel=1e-4)


# What the tables promise. The script that the figures come from prints them: python -m tests.simulate_statistics


def assert_kept(promise: Promise) -> None:
    """Coverage within a point; false claims at most as allowed, with three standard errors of so many tables."""
    assert promise.coverage == pytest.approx(0.95, abs=0.01), promise
    if not math.isnan(promise.false):
        assert promise.false <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / promise.tables), promise
        assert promise.unadjusted > 0.09, f"{promise}: there was nothing to adjust for"


@pytest.mark.parametrize("levels", [SAME, MIXED], ids=["no differences", "some differences"])
@pytest.mark.parametrize("pairs", [against_first(6), list(combinations(range(6), 2))], ids=["baseline", "all pairs"])
def test_tables_keep_their_promises(levels: tuple[float, ...], pairs: list[tuple[int, int]]) -> None:
    assert_kept(compare("", draw_tables(3000, levels, 5, draw=7), pairs, levels))


def test_the_promise_over_metrics_that_depend_on_each_other() -> None:
    promise = compare("", draw_domains(1000, 6, 5, draw=8), [(8 * cell + metric, metric) for cell in range(1, 6)
                                                             for metric in range(8)], (0.4,) * 48)
    assert_kept(promise)


def test_pairing_is_what_finds_differences() -> None:
    values = draw_tables(300, MIXED, 5, draw=9)
    paired = compare("", values, against_first(6), MIXED).found
    apart = values.copy()
    generator = np.random.default_rng(0)
    for cell in range(6):  # the same values, but whose seed is whose is lost
        apart[:, cell] = generator.permuted(apart[:, cell], axis=1)
    assert paired > 3 * compare("", apart, against_first(6), MIXED).found > 0


@pytest.mark.slow
def test_all_simulated_tables_keep_their_promises() -> None:
    for promise in simulate(10_000):
        if "heavy" in promise.name:  # no normal noise: Student's t then claims too little, not too much
            assert promise.coverage > 0.95 and promise.false <= 0.05
        else:
            assert_kept(promise)
