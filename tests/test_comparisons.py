"""Comparisons against scipy and Holm written out; verdicts on constructed runs."""

import math
import statistics

import pytest
from scipy import stats

from recyclelora.errors import InputError
from recyclelora.spaces.statement import Expectation, Statement
from recyclelora.tables.cells import Cell, group
from recyclelora.tables.comparisons import Verdict, baseline_of, compare, describe, judge, metrics_compared
from tests.ablation import noisy, ordinary, record, scored

MEAN = "miou/target_mean"


def cells_of(values: dict[str, list[float]]) -> list[Cell]:
    return group("s", *scored(values))


def slow_holm(p: list[float]) -> list[float]:
    """Each p times the number of those not smaller, never below that of a smaller one."""
    ranked = sorted(p)
    return [min(1.0, max(value * (len(p) - rank) for rank, value in enumerate(ranked) if value <= own)) for own in p]


def test_every_cell_against_the_baseline_as_scipy_and_holm_have_it() -> None:
    values = noisy({"a": 0.30, "b": 0.32, "c": 0.35, "d": 0.305}, 0.01, 6)
    found = compare(cells_of(values), Statement(baseline="b"), [MEAN])
    assert [(each.cell, each.against) for each in found] == [("a", "b"), ("c", "b"), ("d", "b")]
    adjusted = slow_holm([float(stats.ttest_rel(values[each.cell], values["b"]).pvalue) for each in found])
    for each, p in zip(found, adjusted, strict=True):
        pairs = [x - y for x, y in zip(values[each.cell], values["b"], strict=True)]
        low, high = stats.ttest_1samp(pairs, 0).confidence_interval()
        assert each.difference[:3] == pytest.approx((statistics.fmean(pairs), low, high))
        assert each.p_holm == pytest.approx(p) and each.clear == (p < 0.05)
        plain = statistics.fmean(pairs) / statistics.stdev(pairs)
        assert each.effect == pytest.approx(plain * (1 - 3 / (4 * 5 - 1)), rel=0.02)  # Hedges' approximation


def test_the_baseline_is_the_first_cell_unless_named() -> None:
    cells = cells_of({"a": [0.1, 0.2], "b": [0.1, 0.3]})
    assert baseline_of(cells, Statement()).label == "a"
    assert {each.against for each in compare(cells, Statement(), [MEAN])} == {"a"}
    with pytest.raises(InputError, match="baseline: no cell of the sweep is called 'z'; its cells are 'a', 'b'"):
        compare(cells, Statement(baseline="z"), [MEAN])


def test_fewer_than_three_pairs_are_not_tested_and_cost_the_others_nothing() -> None:
    values = noisy({"a": 0.30, "b": 0.31, "c": 0.5}, 0.01)
    alone = compare(cells_of({"a": values["a"], "b": values["b"]}), Statement(), [MEAN])[0]
    several = compare(cells_of({**values, "c": values["c"][:2]}), Statement(), [MEAN])
    assert several[0] == alone
    assert several[1].difference.n == 2 and math.isnan(several[1].p_holm) and math.isnan(several[1].effect)
    assert not several[1].clear


def test_the_metrics_of_the_table_are_compared_once_each() -> None:
    plan, records = ordinary()
    cells = group("rank", plan, records)
    assert metrics_compared(cells, Statement()) == (MEAN, "miou/source", "miou/scenes-night", "miou/scenes-fog")
    assert [each.metric for each in compare(cells, Statement())][:4] == list(metrics_compared(cells, Statement()))
    for made in records:
        made.config["data.targets"] = ["scenes-night"]  # type: ignore[index]
    assert metrics_compared(group("rank", plan, records), Statement()) == (MEAN, "miou/source")


# verdicts


def verdict(values: dict[str, list[float]], *claims: tuple[str, str]) -> Verdict:
    return judge(Statement(expectations=tuple(Expectation(better, worse, MEAN) for better, worse in claims)),
                 cells_of(values))


CLEAR = {"low": [0.30, 0.31, 0.32, 0.31, 0.30], "mid": [0.40, 0.42, 0.41, 0.42, 0.40],
         "high": [0.50, 0.51, 0.52, 0.50, 0.51], "wide": [0.2, 0.6, 0.3, 0.5, 0.45]}


@pytest.mark.parametrize(("claims", "word"), [
    ([("high", "low")], "supported"), ([("high", "low"), ("high", "mid"), ("mid", "low")], "supported"),
    ([("low", "high")], "contradicted"), ([("high", "low"), ("low", "mid")], "contradicted"),
    ([("wide", "mid")], "not distinguishable"), ([("high", "low"), ("wide", "mid")], "not distinguishable"),
    ([("wide", "mid"), ("low", "mid")], "contradicted"), ([], "not tested")])
def test_the_word(claims: list[tuple[str, str]], word: str) -> None:
    found = verdict(CLEAR, *claims)
    assert found.word == word and found.sentence.lower().startswith(word) and len(found.comparisons) == len(claims)


def test_the_sentence_holds_n_difference_interval_and_p() -> None:
    found = verdict(CLEAR, ("high", "low"), ("mid", "low"))
    pairs = [100 * (a - b) for a, b in zip(CLEAR["high"], CLEAR["low"], strict=True)]
    low, high = stats.ttest_1samp(pairs, 0).confidence_interval()
    assert (f"high − low: {statistics.fmean(pairs):+.2f} points of target mean [{low:+.2f}, {high:+.2f}], n = 5, "
            "p < 0.001") in found.sentence
    assert "Holm-adjusted over 2 expectations" in found.sentence and "n = 5: enough for a claim" in found.sentence
    assert describe(found.comparisons[0]) in found.sentence


def test_holm_takes_a_claim_of_two_parts_back() -> None:
    """p = 0.03 supports a claim of one part, and not one that is tested twice."""
    values = {"a": [0.30, 0.33, 0.31, 0.34, 0.30], "b": [0.28, 0.31, 0.31, 0.31, 0.29],
              "c": [0.28, 0.31, 0.31, 0.31, 0.29]}
    assert verdict(values, ("a", "b")).word == "supported"
    assert verdict(values, ("a", "b"), ("a", "c")).word == "not distinguishable"


@pytest.mark.parametrize(("seeds", "word", "says"), [
    (1, "not tested", "1 finished seed in common, and a test needs 3"),
    (2, "not tested", "2 finished seeds in common, and a test needs 3"),
    (3, "supported", "n = 3: indicative; a claim needs 5"), (4, "supported", "n = 4: indicative"),
    (5, "supported", "n = 5: enough for a claim")])
def test_few_seeds_are_said(seeds: int, word: str, says: str) -> None:
    found = verdict({cell: values[:seeds] for cell, values in CLEAR.items()}, ("high", "low"))
    assert found.word == word and says in found.sentence


def test_runs_to_come_leave_a_claim_untested() -> None:
    """Even if those that there are would support it: who looks until it comes out well finds everything."""
    found = verdict({**CLEAR, "low": CLEAR["low"][:4]}, ("high", "low"))
    assert found.word == "not tested" and "low has no run of seed 4" in found.sentence
    assert verdict({**CLEAR, "low": CLEAR["low"][:4]}, ("high", "mid")).word == "supported"
    two = verdict({**CLEAR, "low": []}, ("high", "low"), ("low", "mid"))
    assert two.word == "not tested" and "low has no run of seeds 0, 1, 2, 3, 4" in two.sentence


def test_what_was_run_in_full_can_contradict_before_the_rest_is_run() -> None:
    found = verdict({**CLEAR, "wide": CLEAR["wide"][:2]}, ("mid", "high"), ("wide", "low"))
    assert found.word == "contradicted" and "wide has no run of seeds 2, 3, 4" in found.sentence


def test_failed_runs_are_no_reason_not_to_test_the_others() -> None:
    plan, records = scored(CLEAR)
    lost = plan.index(next(each for each in plan if (each.cell, each.seed) == ("low", 4)))
    records[lost] = record(plan[lost], 0.9, "failed")
    found = judge(Statement(expectations=(Expectation("high", "low", MEAN),)), group("s", plan, records))
    assert found.word == "supported" and "n = 4" in found.sentence


def test_a_metric_that_no_run_has_is_not_tested() -> None:
    found = judge(Statement(expectations=(Expectation("high", "low", "miou/mapillary"),)), cells_of(CLEAR))
    assert found.word == "not tested" and "0 finished seeds in common" in found.sentence


def test_an_expectation_of_no_cell() -> None:
    with pytest.raises(InputError, match="expect: no cell of the sweep is called 'hihg'; did you mean high"):
        verdict(CLEAR, ("hihg", "low"))


def test_no_more_than_one_claim_in_twenty_is_found_in_noise() -> None:
    """Three expectations of equal cells, 400 times: a word other than "not distinguishable" in at most 5 % + 3 s.e."""
    false = 0
    for draw in range(400):
        values = noisy(dict.fromkeys("abcd", 0.3), 0.02, 5, draw)
        false += verdict(values, ("a", "b"), ("a", "c"), ("a", "d")).word != "not distinguishable"
    assert false / 400 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
