"""Effects of factorial designs: against slow loops, least squares, and designs whose effects are known."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from recyclelora.errors import InputError
from recyclelora.tables.factorial import Cells, Effect, factorial_effects
from recyclelora.tables.statistics import paired_difference
from tests.simulate_statistics import cross, draw_tables

DESIGNS = [(2, 2), (2, 3), (3, 2, 2), (2, 1, 3), (4,), (1, 1), (2, 2, 2, 2)]


def drawn(sizes: tuple[int, ...], seeds: int = 5) -> tuple[dict[tuple[object, ...], dict[int, float]], list[str]]:
    generator = np.random.default_rng(sum(sizes))
    factors = [f"knob.{place}" for place in range(len(sizes))]
    levels = [[f"{place}{number}" for number in range(size)] for place, size in enumerate(sizes)]
    luck = generator.normal(0, 0.02, seeds)
    return {key: dict(enumerate((0.4 + luck + generator.normal(0, 0.01, seeds)).tolist()))
            for key in product(*levels)}, factors


def named(effects: list[Effect]) -> dict[tuple[tuple[str, ...], tuple[object, ...]], Effect]:
    found = {(effect.factors, effect.levels): effect for effect in effects}
    assert len(found) == len(effects)
    return found


def slow(values: Cells, factors: list[str]) -> dict[tuple[tuple[str, ...], tuple[object, ...]], list[float]]:
    """Contrast of each seed, by effect, cell by cell."""
    seeds, found = sorted(next(iter(values.values()))), {}
    firsts = next(iter(values))

    def mean(at: dict[int, object], seed: int) -> float:
        total, count = 0.0, 0
        for key in values:
            if all(key[place] == level for place, level in at.items()):
                total += values[key][seed]
                count += 1
        return total / count

    for i, factor in enumerate(factors):
        for one in dict.fromkeys(key[i] for key in values):
            if one != firsts[i]:
                found[(factor,), (one,)] = [mean({i: one}, seed) - mean({i: firsts[i]}, seed) for seed in seeds]
    for i, j in combinations(range(len(factors)), 2):
        for one, other in product(*(dict.fromkeys(key[place] for key in values) for place in (i, j))):
            if one != firsts[i] and other != firsts[j]:
                found[(factors[i], factors[j]), (one, other)] = [
                    (mean({i: one, j: other}, seed) - mean({i: firsts[i], j: other}, seed))
                    - (mean({i: one, j: firsts[j]}, seed) - mean({i: firsts[i], j: firsts[j]}, seed)) for seed in seeds]
    return found


@pytest.mark.parametrize("sizes", DESIGNS)
def test_effects_are_those_of_slow_loops_and_students_t(sizes: tuple[int, ...]) -> None:
    values, factors = drawn(sizes)
    ours, theirs = named(factorial_effects(values, factors)), slow(values, factors)
    assert list(ours) == list(theirs)
    assert len(ours) == sum(size - 1 for size in sizes) + sum((a - 1) * (b - 1) for a, b in combinations(sizes, 2))
    for key, contrasts in theirs.items():
        test = stats.ttest_1samp(contrasts, 0)
        interval = test.confidence_interval()
        assert ours[key].difference[:3] == pytest.approx((np.mean(contrasts), interval.low, interval.high), abs=1e-12)
        assert ours[key].difference.p == pytest.approx(test.pvalue, rel=1e-9) and ours[key].difference.n == 5


@pytest.mark.parametrize("sizes", DESIGNS)
def test_effects_are_those_of_least_squares(sizes: tuple[int, ...]) -> None:
    """Of the model with main effects and two-way interactions, coded so that the effects of a factor sum to 0."""
    values, factors = drawn(sizes)
    levels = [list(dict.fromkeys(key[place] for key in values)) for place in range(len(sizes))]
    codes = {(place, level): code for place, some in enumerate(levels)
             for level, code in zip(some, np.vstack([np.eye(len(some) - 1), -np.ones(len(some) - 1)]), strict=True)}
    terms = [(), *((i,) for i in range(len(sizes))), *combinations(range(len(sizes)), 2)]

    def columns(key: tuple[object, ...], only: tuple[int, ...] | None = None) -> np.ndarray:
        parts = []
        for term in terms:
            part = np.ones(1)
            for place in term:
                part = np.outer(part, codes[place, key[place]]).ravel()
            parts.append(part if only is None or term == only else 0 * part)
        return np.concatenate(parts)

    design = np.array([columns(key) for key in values for _ in values[key]])
    response = np.array([value for cell in values.values() for value in cell.values()])
    fitted = np.linalg.lstsq(design, response, rcond=None)[0]
    first = [some[0] for some in levels]
    for effect in factorial_effects(values, factors):
        places = tuple(factors.index(factor) for factor in effect.factors)
        expected = 0.0
        for taken in product((False, True), repeat=len(places)):
            key = list(first)
            for place, level, take in zip(places, effect.levels, taken, strict=True):
                key[place] = level if take else first[place]
            sign = (-1) ** (len(places) - sum(taken))
            expected += sign * float(columns(tuple(key), only=places) @ fitted)
        assert effect.difference.difference == pytest.approx(expected, abs=1e-12)


def test_known_effects_are_found_again() -> None:
    seeds = {0: -0.02, 1: 0.0, 2: 0.03, 3: 0.01, 4: 0.005}
    main, together = {"a": 0.0, "b": 0.01, "c": 0.02}, {("b", "on"): 0.006, ("c", "on"): 0.0}
    values = {(init, sub): {seed: 0.4 + luck + main[init] + 0.004 * (sub == "on") + together.get((init, sub), 0)
                            for seed, luck in seeds.items()} for init, sub in product("abc", ("off", "on"))}
    found = {levels: effect.difference for (_, levels), effect in
             named(factorial_effects(values, ["init", "sub"])).items()}
    expected = {("b",): 0.013, ("c",): 0.02, ("on",): 0.006, ("b", "on"): 0.006, ("c", "on"): 0.0}
    assert {levels: difference.difference for levels, difference in found.items()} == pytest.approx(expected, abs=1e-12)


def test_a_factor_that_does_nothing_has_no_effect_and_no_doubt() -> None:
    """A dead knob: its cells are equal to the last bit, and rounding must not turn that into a tiny sure effect."""
    live, _ = drawn((3,), 7)
    values = {(dead, *key): dict(cell) for dead in ("off", "on") for key, cell in live.items()}
    for effect in factorial_effects(values, ["dead", "live"]):
        if "dead" in effect.factors:
            assert effect.difference[:4] == (0, 0, 0, 1)


def test_one_factor_is_a_plain_comparison() -> None:
    values, factors = drawn((3,))
    assert factorial_effects(values, factors) == [
        Effect(("knob.0",), (level,), paired_difference(values[level,], values["00",])) for level in ("01", "02")]


def test_a_missing_seed_is_missed_where_it_is_needed_only() -> None:
    values, factors = drawn((3, 2))
    del values["02", "11"][4]
    found = {levels: effect.difference.n for (_, levels), effect in named(factorial_effects(values, factors)).items()}
    assert found == {("01",): 5, ("02",): 4, ("11",): 4, ("01", "11"): 5, ("02", "11"): 4}
    values["02", "11"].clear()
    found = {levels: effect.difference.n for (_, levels), effect in named(factorial_effects(values, factors)).items()}
    assert found == {("01",): 5, ("02",): 0, ("11",): 0, ("01", "11"): 5, ("02", "11"): 0}


def test_seeds_stay_paired() -> None:
    """Luck that all cells of a seed share is gone from every effect, however large."""
    values, factors = drawn((2, 3))
    lucky = {key: {seed: value + 10 * seed for seed, value in cell.items()} for key, cell in values.items()}
    for one, other in zip(factorial_effects(values, factors), factorial_effects(lucky, factors), strict=True):
        assert one.difference == pytest.approx(other.difference, abs=1e-9)


def test_the_order_of_factors_and_seeds_does_not_matter() -> None:
    values, factors = drawn((3, 2))
    turned = {key[::-1]: dict(reversed(cell.items())) for key, cell in values.items()}
    there = {frozenset(zip(effect.factors, effect.levels, strict=True)): effect.difference
             for effect in factorial_effects(turned, factors[::-1])}
    for effect in factorial_effects(values, factors):
        assert effect.difference == pytest.approx(there[frozenset(zip(effect.factors, effect.levels, strict=True))])


def test_a_crossing_with_a_hole_is_refused_and_the_hole_named() -> None:
    values, factors = drawn((2, 2, 2))
    del values["01", "10", "21"]
    with pytest.raises(InputError, match="no cell knob.0=01, knob.1=10, knob.2=21; a factorial design needs all"):
        factorial_effects(values, factors)


def test_nothing_gives_nothing() -> None:
    assert factorial_effects({}, ["a", "b"]) == [] and factorial_effects({(): {0: 0.5}}, []) == []
    lone = factorial_effects({("a",): {0: 0.5}, ("b",): {0: 0.75}}, ["x"])[0].difference
    assert lone.difference == 0.25 and lone.low == -math.inf and not lone.clear


def test_no_effect_is_claimed_where_there_is_none() -> None:
    promise = cross("", draw_tables(1000, (0.4,) * 6, 5, draw=6))
    assert promise.coverage == pytest.approx(0.95, abs=0.01)
    assert promise.false <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)
