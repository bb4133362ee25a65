"""Hours from timings: against sums written out, scipy's interval, a schedule played through, and a real trial."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from torch.utils.flop_counter import FlopCounterMode

from recyclelora.costs import probe as probe_module
from recyclelora.costs.probe import COSTLESS, Timing, cost_key, probe, representatives
from recyclelora.costs.sweep_cost import LEFT_OUT, describe, estimate, finish_times, half_width, images, trial_seconds
from recyclelora.errors import InputError
from recyclelora.settings import known_keys
from recyclelora.trials.paths import Paths
from recyclelora.trials.trial import run
from tests.tiny_config import tiny

FAST = Timing([0.9, 1.0, 1.1], 0.5, 3.0, 1.0, 2**30, "cpu", "", 10, 26)
SLOW = FAST._replace(step_seconds=[3.0, 3.5, 2.5, 3.2], peak_memory_bytes=3 * 2**30, note="4 of 20 steps timed")


def test_seconds_of_a_trial_written_out() -> None:
    config = tiny(training__iterations=100, evaluation__every=30)
    assert images(config, FAST) == 4 * 10 + 26, "after 30, 60, 90 and 100, and at the end"
    assert trial_seconds(config, [FAST]) == pytest.approx(4 + 100 * 1.0 + 66 * 0.5)
    other = FAST._replace(step_seconds=[2.0, 2.0, 2.0], evaluate_seconds_per_image=1.5, start_seconds=5.0)
    assert trial_seconds(config, [FAST, other]) == pytest.approx(5 + 100 * 1.5 + 66 * 1.0)
    assert images(tiny(training__iterations=90, evaluation__every=30), FAST) == 3 * 10 + 26


def test_an_interval_is_students() -> None:
    values = np.random.default_rng(0).normal(5, 2, 17)
    low, high = stats.t.interval(0.95, 16, loc=values.mean(), scale=stats.sem(values))
    assert half_width(list(values)) == pytest.approx((high - low) / 2)
    assert half_width([1.0]) == math.inf and half_width([2.0, 2.0]) == 0


def test_trials_start_where_a_slot_is_free() -> None:
    assert list(finish_times([5, 1, 1, 1, 4], 2)) == [5, 5, 5, 5, 7]
    assert list(finish_times([2, 2, 2], 1)) == [2, 4, 6]
    assert list(finish_times([], 3)) == []


def test_classes_add_up() -> None:
    configs = [tiny(seed=seed, adapter__main__rank=rank) for seed in range(3) for rank in (4, 8)]
    keys = list(representatives(configs))
    assert len(keys) == 2
    made = estimate(configs, dict(zip(keys, ([FAST, FAST], [SLOW]), strict=True)), slots=2)
    fast, slow = (trial_seconds(tiny(), timings) for timings in ([FAST, FAST], [SLOW]))
    assert made.device_hours == pytest.approx(3 * (fast + slow) / 3600) and made.trials == 6
    ends = [0.0, 0.0]  # always the slot that is free first
    for each in [fast, slow] * 3:
        ends[ends.index(min(ends))] += each
    assert made.hours == pytest.approx(max(ends) / 3600)
    assert [(each.label, each.trials) for each in made.classes] == [("adapter.main.rank=4", 3), ("adapter.main.rank=8", 3)]
    halves = [3 * 6 * half_width(timing * times) / 3600 for timing, times in ((FAST.step_seconds, 2), (SLOW.step_seconds, 1))]
    assert [each.high - each.hours for each in made.classes] == pytest.approx(halves)
    relative = math.hypot(*halves) / made.device_hours
    assert (made.high - made.hours) / made.hours == pytest.approx(relative) and made.low < made.hours < made.high
    assert made.seconds(configs[1]) == slow
    text = describe(made)
    assert "2 side by side: 6 trials" in text[0] and text[-1] == LEFT_OUT
    assert "adapter.main.rank=8: 3 trials of " in text[2] and "3 GiB at the peak (4 of 20 steps timed)" in text[2]


def test_what_was_not_timed_is_told_and_not_counted() -> None:
    here, absent = tiny(), tiny(data__source="scenes-fog")
    made = estimate([here, absent], {cost_key(here): [FAST], cost_key(absent): "no fog today"}, slots=4)
    alone = estimate([here], {cost_key(here): [FAST]}, slots=4)
    assert (made.hours, made.low, made.trials) == (alone.hours, alone.low, 1)
    assert describe(made)[2] == "data.source=scenes-fog: 1 trial, not timed: no fog today"
    with pytest.raises(InputError, match="no fog today"):
        made.seconds(absent)
    nothing = estimate([absent], {cost_key(absent): "no fog today"}, slots=4)
    assert nothing.trials == 0 and nothing.hours == 0
    assert describe(nothing) == ["No trial could be timed here.", "every trial: 1 trial, not timed: no fog today"]


def test_a_class_is_what_costs_the_same() -> None:
    one = tiny()
    for same in (tiny(seed=5), tiny(adapter__init="svd"), tiny(training__lr=0.1), tiny(training__iterations=60),
                 tiny(adapter__scaling=2.0), tiny(adapter__main__end="major"), tiny(training__weight_decay=0.5)):
        assert cost_key(same) == cost_key(one)
    for other in (tiny(adapter__main__rank=8), tiny(adapter__method="frozen"), tiny(data__batch_size=1),
                  tiny(head__width=64), tiny(training__precision="bfloat16"), tiny(adapter__skip_blocks=3),
                  tiny(adapter__roles=["qkv"]), tiny(evaluation__images=3), tiny(evaluation__selection="oracle")):
        assert cost_key(other) != cost_key(one)
    assert hash(cost_key(one)) == hash(cost_key(tiny(seed=1)))
    assert known_keys() >= COSTLESS, "a key that was renamed would split classes without a word"


@pytest.mark.slow
def test_an_estimate_is_what_a_real_trial_takes(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that no other process can slow down: each step and image that a trial computes, and no other."""
    config = tiny(training__iterations=7, evaluation__every=3, evaluation__images=5, resources__checkpoint_every=7)
    paths = Paths(tmp_path, cache, None)
    with FlopCounterMode(display=False) as counter:
        clock = SimpleNamespace(monotonic=lambda: counter.get_total_flops() / 1e12)
        monkeypatch.setattr(probe_module, "time", clock)
        timing = probe(config, paths, steps=3)
        started = clock.monotonic()
        assert run(config, paths).outcome == "finished"
        took = clock.monotonic() - started
    made = estimate([config], {cost_key(config): [timing]}, slots=1)
    assert 3600 * made.hours == pytest.approx(took, rel=1e-3), (timing, took)
