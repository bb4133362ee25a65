"""The smallest difference that a design can detect, from the noise of one cell over its seeds."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scipy import stats

from recyclelora.errors import InputError
from recyclelora.tables.sheet import Column, Number, RunRef, Sheet, SheetRow
from recyclelora.tables.statistics import detectable_difference, mean_sd

POWER, ALPHA = 0.8, 0.05


class Noise(NamedTuple):
    """A standard deviation over n seeds, and its 95 % interval [low, high]."""

    sd: float
    low: float
    high: float
    n: int


def noise(values: Mapping[int, float]) -> Noise:
    """The s.d. over seeds, with the chi-square interval of normal values. Raises InputError for fewer than two."""
    _, sd, n = mean_sd(values.values())
    if n < 2:
        raise InputError(f"{n} finished {'seed' if n == 1 else 'seeds'}: the noise over seeds needs 2, and 5 to be "
                         "worth much; run more seeds of one cell")
    low, high = (sd * math.sqrt((n - 1) / float(stats.chi2.ppf(p, n - 1))) for p in (0.975, 0.025))
    return Noise(sd, low, high, n)


def noise_of_differences(values: Mapping[int, float], other: Mapping[int, float] | None = None) -> Noise:
    """The noise of one seed's difference between two cells: of the pairs where another cell has two of the same seeds,
    and otherwise sqrt(2) times that of one cell, as for independent seeds (too much where pairing helps)."""
    if other is not None and len(values.keys() & other.keys()) > 1:
        return noise({seed: value - other[seed] for seed, value in values.items() if seed in other})
    alone = noise(values)
    return Noise(math.sqrt(2) * alone.sd, math.sqrt(2) * alone.low, math.sqrt(2) * alone.high, alone.n)


def noise_floor(values: Mapping[int, float], seeds: Sequence[int] = (3, 5, 8, 10, 20), *,
                other: Mapping[int, float] | None = None, name: str = "noise", cell: str = "one cell",
                against: str = "another", metric: str = "miou/target_mean", runs: Sequence[RunRef] = ()) -> Sheet:
    """The noise of `cell` over its seeds, and the smallest difference that a paired comparison with so many seeds finds
    in 80 % of the cases (two-sided, 5 %); `values` (and those of cell `against`, `other`) are fractions by seed, the
    table is in points. Raises InputError for fewer than two seeds."""
    alone, pairs = noise(values), noise_of_differences(values, other)
    paired = other is not None and len(values.keys() & other.keys()) > 1
    rows = [SheetRow(f"s.d. of {cell} over {alone.n} seeds", (_points(*alone[:3]),), tuple(runs)),
            SheetRow(f"s.d. of a difference, {f'{pairs.n} pairs with {against}' if paired else 'independent seeds'}",
                     (_points(*pairs[:3]),), tuple(runs))]
    rows += [SheetRow(f"detectable with {n} seeds", (_points(*(_detectable(each, n) for each in pairs[:3])),),
                      tuple(runs)) for n in seeds]
    return Sheet(name=name, columns=(Column(metric, f"{metric}, points"),), rows=tuple(rows), corner="noise",
                 caption=(sentence(pairs, seeds), _origin(pairs, cell, against, paired=paired),
                          "Intervals: 95 %, chi-square, for normal values; detectable differences carry that of their "
                          "s.d."))


def sentence(pairs: Noise, seeds: Sequence[int]) -> str:
    """What can be seen, in a line: for the number of seeds nearest to a claim's 5."""
    n = min(seeds, key=lambda each: (abs(each - 5), each))
    found = 100 * _detectable(pairs.sd, n)
    return (f"With {n} seeds a paired t-test (two-sided, {100 * ALPHA:.0f} %) finds a true difference of {found:.2f} "
            f"points in {100 * POWER:.0f} % of the cases, and a smaller one less often.")


def _origin(pairs: Noise, cell: str, against: str, *, paired: bool) -> str:
    if paired:
        return f"From the differences of {cell} and {against} at {pairs.n} common seeds."
    return (f"From {cell} alone, as if the seeds of the other were independent (s.d. x sqrt(2)): too much where cells "
            "that share a seed also share its luck.")


def _detectable(sd: float, n: int) -> float:
    return detectable_difference(sd, n, power=POWER, alpha=ALPHA)


def _points(value: float, low: float, high: float) -> Number:
    return Number(100 * value, low=100 * low, high=100 * high)
