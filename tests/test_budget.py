"""Which trials come first, and where a budget cuts."""

from collections import Counter
from pathlib import Path

import pytest

from recyclelora.costs.probe import Timing, cost_key
from recyclelora.costs.sweep_cost import estimate
from recyclelora.errors import InputError
from recyclelora.spaces.space import Budget, Planned, expand
from recyclelora.spaces.space_file import read_space
from recyclelora.spaces.statement import Expectation, Statement, Target
from recyclelora.sweeps.budget import by_information, claim_cells, within
from tests.tiny_config import tiny

CELLS = ("rest 1", "worse", "published", "base", "rest 2", "better")
STATEMENT = Statement(baseline="base", expectations=(Expectation("better", "worse", "miou/target_mean"),),
                      targets=(Target("published", "miou/target_mean", 68.9, "somewhere", "note"),
                               Target("base", "miou/target_mean", 61.1, "somewhere", "note")))
SEEDS = (7, 0, 3)


def planned(cells: tuple[str, ...] = CELLS, seeds: tuple[int, ...] = SEEDS) -> list[Planned]:
    return [Planned(cell, {}, tiny(seed=seed)) for seed in seeds for cell in cells]


def named(trials: list[Planned]) -> list[tuple[str, int]]:
    return [(trial.cell, trial.config.seed) for trial in trials]


def test_the_claim_comes_first_then_the_published_then_the_rest_seed_by_seed() -> None:
    ordered = by_information(planned(), STATEMENT)
    assert Counter(named(ordered)) == Counter(named(planned())), "the same trials, each once"
    assert named(ordered) == [
        *((cell, seed) for seed in SEEDS for cell in ("worse", "base", "better")),
        *(("published", seed) for seed in SEEDS),
        *((cell, seed) for seed in SEEDS for cell in ("rest 1", "rest 2"))]


def test_what_states_nothing_stays_in_its_order() -> None:
    assert by_information(planned(), Statement(claim="words")) == planned()


def test_more_budget_never_takes_a_trial_away_and_claims_are_cut_at_whole_seeds() -> None:
    ordered, before = by_information(planned(), STATEMENT), list[Planned]()
    for count in range(1, len(ordered) + 3):
        kept, beyond = within(ordered, Budget("trials", count), STATEMENT)
        assert kept + beyond == ordered and len(kept) <= count and kept[:len(before)] == before
        by_seed = Counter(trial.config.seed for trial in kept if trial.cell in claim_cells(STATEMENT))
        assert set(by_seed.values()) == {3} or len(kept) < 3
        before = kept
    assert len(within(ordered, Budget("trials", 2), STATEMENT)[0]) == 2, "less than one seed: what there is"
    assert len(within(ordered, Budget("trials", 5), STATEMENT)[0]) == 3
    assert len(within(ordered, Budget("trials", 11), STATEMENT)[0]) == 11, "other cells one at a time"
    assert within(ordered, None, STATEMENT) == (ordered, [])


def test_hours_are_counted_with_trials_side_by_side() -> None:
    ordered = by_information(planned(), STATEMENT)
    timing = Timing([3600.0] * 3, 0.0, 0.0, 0.0, 0, "cpu", "", 0, 0)  # 6 iterations: 6 h a trial
    made = estimate([trial.config for trial in ordered], {cost_key(ordered[0].config): [timing]}, slots=2)
    for hours, count in ((5.9, 0), (6, 2), (11.9, 2), (12, 3), (17.9, 3), (18, 6), (30, 10), (54, 18)):
        kept, _ = within(ordered, Budget("hours", hours), STATEMENT, made)
        assert len(kept) == count, hours


def test_hours_need_a_timing() -> None:
    ordered = by_information(planned(), STATEMENT)
    with pytest.raises(InputError, match="before trials are timed"):
        within(ordered, Budget("hours", 1.0), STATEMENT)
    absent = estimate([trial.config for trial in ordered], {cost_key(ordered[0].config): "gtav is not here"}, slots=2)
    with pytest.raises(InputError, match="gtav is not here.*give the budget in trials"):
        within(ordered, Budget("hours", 1.0), STATEMENT, absent)


@pytest.mark.parametrize("name", ["both_adapters", "ranks", "initialisation", "ends_and_rates"])
def test_shipped_experiments_begin_with_what_they_claim(name: str) -> None:
    space = read_space(Path(__file__).parent.parent / "experiments" / f"{name}.yaml")
    trials = list(expand(space))
    ordered = by_information(trials, space.statement)
    claim = claim_cells(space.statement)
    assert claim <= {trial.cell for trial in trials}
    first = len(claim) * len(space.seeds)
    assert {trial.cell for trial in ordered[:first]} == claim
    assert [trial.config.seed for trial in ordered[:first]] == [seed for seed in space.seeds for _ in claim]
