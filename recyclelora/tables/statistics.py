"""Statistics of means and differences over seeds. The gains studied here are smaller than the noise of a seed."""

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from scipy import special
from scipy.optimize import brentq


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
    if n < 2:
        return MeanSd(float(next(iter(values), math.nan)), math.nan, n)
    if min(values) == max(values):  # rounding of their mean must not turn equal values into a little noise
        return MeanSd(float(next(iter(values))), 0.0, n)
    mean = statistics.fmean(values)
    # Ten times as fast as statistics.stdev, which works in fractions; they agree to the last digits.
    return MeanSd(mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)), n)


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
    half = float(special.stdtrit(n - 1, (1 + level) / 2)) * error  # a hundred times as fast as scipy.stats.t
    return Difference(mean, mean - half, mean + half, float(2 * special.stdtr(n - 1, -abs(mean) / error)), n)


def holm(p_values: Sequence[float]) -> list[float]:
    """p adjusted for so many tests (Holm 1979, step down): the chance of any false claim among them all stays below the
    level that they are held against, however they depend on each other. A nan is no test: it stays nan, uncounted.

    A table shows both these p and intervals that are not adjusted, as they answer two questions. The p decides what may
    be claimed of the whole table. The interval says how large one difference may be, which does not depend on what else
    was compared: 95 of 100 such intervals hold their truth. So an interval may exclude 0 where the p claims nothing."""
    order = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted, highest = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        adjusted[place] = highest
    return adjusted


def effect_size(a: Mapping[int, float], b: Mapping[int, float]) -> float:
    """Mean of a - b over the seeds that both have, in standard deviations of that difference, with the exact correction
    for few pairs J = gamma(m/2) / (sqrt(m/2) gamma((m-1)/2)), m = n - 1 (Hedges 1981). nan for fewer than two pairs,
    for two (J is 0 there), and where all differences are 0."""
    mean, sd, n = mean_sd([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())])
    if n < 3 or (sd == 0 and mean == 0):
        return math.nan
    m = n - 1
    correction = math.exp(math.lgamma(m / 2) - math.lgamma((m - 1) / 2)) / math.sqrt(m / 2)
    return correction * mean / sd if sd else math.copysign(math.inf, mean)


def detectable_difference(sd_of_differences: float, n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest true difference that a two-sided paired t-test with n pairs finds with this power, which is to be
    above `alpha` (noncentral t; Cohen 1988, chapter 2). In the unit of the s.d.; infinite for fewer than two pairs."""
    if n < 2:
        return math.inf
    critical = float(special.stdtrit(n - 1, 1 - alpha / 2))

    def lacks(shift: float) -> float:  # in standard errors
        wrong_way = float(special.nctdtr(n - 1, shift, -critical))  # scipy has no number where it is next to nothing
        wrong_way = 0.0 if math.isnan(wrong_way) else min(wrong_way, float(special.ndtr(-shift)))  # which bounds it
        return 1 - float(special.nctdtr(n - 1, shift, critical)) + wrong_way - power

    upper = critical
    while lacks(upper) < 0:
        upper *= 1.5
    return sd_of_differences * float(brentq(lacks, 0.0, upper, xtol=1e-9)) / math.sqrt(n)


def evidence(n: int) -> str:
    """What means over n seeds are good for."""
    if n >= 5:
        return "enough for a claim"
    return {1: "a single run, which says nothing of seed noise", 2: "too few to judge seed noise"}.get(
        n, "indicative; a claim needs 5")
