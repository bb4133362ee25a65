"""What several seeds say of a mean and of a difference: the gains studied here are smaller than a seed's noise."""

import math
import statistics
from collections.abc import Collection, Mapping
from typing import NamedTuple

from scipy import stats


class MeanSd(NamedTuple):
    """Mean and sample standard deviation (ddof 1) of n values; nan where there are too few."""

    mean: float
    sd: float
    n: int


class Difference(NamedTuple):
    """Mean difference of n pairs, its interval [low, high], and the two-sided p of no difference."""

    difference: float
    low: float
    high: float
    p: float
    n: int

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def mean_sd(values: Collection[float]) -> MeanSd:
    n = len(values)
    return MeanSd(statistics.fmean(values) if n else math.nan, statistics.stdev(values) if n > 1 else math.nan, n)


def paired_difference(a: Mapping[int, float], b: Mapping[int, float], level: float = 0.95) -> Difference:
    """a - b over the seeds that both have, with Student's t interval. One pair bounds nothing: its interval is
    infinite and its p nan."""
    differences = [a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())]
    mean, sd, n = mean_sd(differences)
    if n < 2:
        return Difference(mean, -math.inf, math.inf, math.nan, n)
    error = sd / math.sqrt(n)
    if error == 0:
        return Difference(mean, mean, mean, 0.0 if mean else 1.0, n)
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
    return Difference(mean, mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, n - 1)), n)


def evidence(n: int) -> str:
    """What means over n seeds are good for."""
    if n >= 5:
        return "enough for a claim"
    return {1: "a single run, which says nothing of seed noise", 2: "too few to judge seed noise"}.get(
        n, "indicative; a claim needs 5")
