"""Orders trials so that those that decide the claim come first, and leaves out those beyond the budget."""

from collections.abc import Sequence

from recyclelora.costs.sweep_cost import Estimate, finish_times
from recyclelora.errors import InputError
from recyclelora.spaces.space import Budget, Planned
from recyclelora.spaces.statement import Statement


def by_information(planned: Sequence[Planned], statement: Statement) -> list[Planned]:
    """The same trials, the telling ones first: all seeds of the cells that the claim compares (the baseline and those
    of its expectations), then of the cells with published numbers, then the rest. Within each of the three the trials
    go seed by seed, in the order of the file, so that an interrupted sweep has whole replicates."""
    claim, published = claim_cells(statement), {target.cell for target in statement.targets}
    seeds = {seed: place for place, seed in enumerate(dict.fromkeys(trial.config.seed for trial in planned))}

    def rank(trial: Planned) -> tuple[int, int]:
        kind = 0 if trial.cell in claim else 1 if trial.cell in published else 2
        return kind, seeds[trial.config.seed]

    return sorted(planned, key=rank)


def claim_cells(statement: Statement) -> set[str]:
    """The cells that the claim compares."""
    named = {side for each in statement.expectations for side in (each.better, each.worse)}
    return named | ({statement.baseline} if statement.baseline is not None else set())


def within(planned: Sequence[Planned], budget: Budget | None, statement: Statement,
           estimate: Estimate | None = None) -> tuple[list[Planned], list[Planned]]:
    """(kept, beyond): of trials ordered by `by_information`, the longest beginning that the budget covers, and the
    rest. Without a budget all are kept.

    `trials` counts trials; `hours` is the time to the end of the last, by the estimate, with as many side by side as
    that says. A seed of the claim's cells is kept whole or not at all, since a cell without its counterpart at that
    seed tells nothing of their difference; only where not even the first seed fits is it cut. Trials of other cells
    have their counterparts by then, and are taken one at a time. Trials that are done already count as well: the same
    number of trials always means the same trials, while hours depend on the day's timings. Raises InputError for hours
    without an estimate, or of a trial that could not be timed."""
    count = len(planned) if budget is None else _affordable(planned, budget, estimate)
    claim = claim_cells(statement)
    if 0 < count < len(planned) and planned[count].cell in claim:
        whole = count
        while whole and _same_replicate(planned[whole - 1], planned[count], claim):
            whole -= 1
        count = whole or count
    return list(planned[:count]), list(planned[count:])


def _affordable(planned: Sequence[Planned], budget: Budget, estimate: Estimate | None) -> int:
    if budget.unit == "trials":
        return min(len(planned), int(budget.amount))
    if estimate is None:
        raise InputError("budget: hours cannot be counted before trials are timed; give the budget in trials")
    ends = finish_times(map(estimate.seconds, (trial.config for trial in planned)), estimate.slots)
    return sum(1 for end in ends if end <= 3600 * budget.amount)  # ends never decrease: these are the first


def _same_replicate(one: Planned, other: Planned, claim: set[str]) -> bool:
    return one.cell in claim and other.cell in claim and one.config.seed == other.config.seed
