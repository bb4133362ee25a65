"""The cost of a sweep: times of a step and of an image, multiplied by the numbers of steps and images."""

import heapq
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scipy import stats

from recyclelora.config import Config
from recyclelora.costs.probe import Key, Timing, cost_key
from recyclelora.errors import InputError
from recyclelora.trials.scores import moments

Timings = Mapping[Key, Sequence[Timing] | str]  # a str: why a class was not timed
LEFT_OUT = ("The interval is that of the timed steps' mean. It leaves out checkpoints, the start of workers, the "
            "tracking store, data read for the first time, retries, and whatever else these machines will be doing.")


class ClassCost(NamedTuple):
    """Trials of one cost. `label` holds the settings in which the classes of a sweep differ; `seconds` is the mean of
    one trial, and `hours` [`low`, `high`] of all, on one slot. `reason`: why it was not timed (numbers are nan)."""

    label: str
    trials: int
    step_seconds: float
    seconds: float
    hours: float
    low: float
    high: float
    peak_memory_bytes: int
    note: str
    reason: str


@dataclass(frozen=True)
class Estimate:
    """`hours` [`low`, `high`] from the first start to the last end with `slots` trials side by side; `device_hours`
    are those of all trials together. `trials` counts those that were timed; classes with a reason are not in it."""

    hours: float
    low: float
    high: float
    device_hours: float
    device: str
    trials: int
    slots: int
    classes: tuple[ClassCost, ...]
    timings: Timings

    def seconds(self, config: Config) -> float:
        """Of one trial. Raises InputError for one whose class was not timed."""
        timed = self.timings.get(cost_key(config), "no trial like it was")
        if isinstance(timed, str):
            raise InputError(f"a trial cannot be timed here ({timed}), so hours cannot be counted; give "
                             "the budget in trials")
        return trial_seconds(config, timed)


def trial_seconds(config: Config, timings: Sequence[Timing]) -> float:
    """start + iterations x step + scored images x image + end, each the mean of its timings."""
    once = statistics.fmean(timing.start_seconds + timing.end_seconds for timing in timings)
    image = statistics.fmean(timing.evaluate_seconds_per_image for timing in timings)
    return once + config.training.iterations * statistics.fmean(_steps(timings)) + images(config, timings[0]) * image


def images(config: Config, timing: Timing) -> int:
    """The number of images that a trial predicts, in all evaluations during training and in the last one."""
    return moments(config) * timing.during_images + timing.final_images


def estimate(configs: Iterable[Config], timings: Timings, slots: int) -> Estimate:
    """The cost of these trials, in this order, from the timings of their classes.

    The interval is Student's, at 95 %, of the mean step of each class; those of several classes add in squares."""
    members: dict[Key, list[Config]] = {}
    seconds: list[float] = []
    for config in configs:
        key = cost_key(config)
        members.setdefault(key, []).append(config)
        timed = timings.get(key, "")
        if not isinstance(timed, str):
            seconds.append(trial_seconds(config, timed))
    classes = tuple(_class(label, members[key], timings.get(key, "no trial like it was timed"))
                    for key, label in _labels(list(members)).items())
    total = sum(seconds)
    half = 3600 * math.hypot(*(each.high - each.hours for each in classes if not each.reason))
    wall = max(finish_times(seconds, slots), default=0.0) / 3600
    share = half / total if total else 0.0
    devices = {timing.device for each in timings.values() if not isinstance(each, str) for timing in each}
    return Estimate(wall, wall * max(0.0, 1 - share), wall * (1 + share), total / 3600, " and ".join(sorted(devices)),
                    len(seconds), slots, classes, timings)


def finish_times(seconds: Iterable[float], slots: int) -> Iterator[float]:
    """When all trials so far have ended, trial by trial, where each starts on the slot that is free first."""
    free, latest = [0.0] * slots, 0.0
    for each in seconds:
        end = heapq.heappop(free) + each
        heapq.heappush(free, end)
        latest = max(latest, end)
        yield latest


def describe(made: Estimate) -> list[str]:
    """The estimate in sentences: the whole, each class, what is left out."""
    if not made.trials:
        lines = ["No trial could be timed here."]
    else:
        lines = [f"About {_hours(made.hours)} (95 %: {_hours(made.low)} to {_hours(made.high)}) on {made.device}, "
                 f"{made.slots} side by side: {made.trials} trials, {_hours(made.device_hours)} of trials together."]
    lines += [_describe_class(each) for each in made.classes]
    return [*lines, LEFT_OUT] if made.trials else lines


def _describe_class(each: ClassCost) -> str:
    trials = f"{each.trials} {'trial' if each.trials == 1 else 'trials'}"
    if each.reason:
        return f"{each.label}: {trials}, not timed: {each.reason}"
    return (f"{each.label}: {trials} of {_hours(each.seconds / 3600)}, {each.step_seconds:.3g} s a step, "
            f"{each.peak_memory_bytes / 2**30:.2g} GiB at the peak{f' ({each.note})' if each.note else ''}")


def _hours(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{60 * hours:.0f} min" if hours >= 1 / 30 else f"{3600 * hours:.0f} s"


def _class(label: str, configs: Sequence[Config], timings: Sequence[Timing] | str) -> ClassCost:
    if isinstance(timings, str):
        return ClassCost(label, len(configs), math.nan, math.nan, math.nan, math.nan, math.nan, 0, "", timings)
    steps = _steps(timings)
    total = sum(trial_seconds(config, timings) for config in configs) / 3600
    iterations = sum(config.training.iterations for config in configs)
    half = iterations * half_width(steps) / 3600
    return ClassCost(label, len(configs), statistics.fmean(steps), 3600 * total / len(configs), total,
                     max(0.0, total - half), total + half, max(timing.peak_memory_bytes for timing in timings),
                     "; ".join(sorted({timing.note for timing in timings if timing.note})), "")


def half_width(values: Sequence[float], level: float = 0.95) -> float:
    """Half of Student's interval of a mean; infinite for a single value."""
    if len(values) < 2:
        return math.inf
    return float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))


def _steps(timings: Sequence[Timing]) -> list[float]:
    return [seconds for timing in timings for seconds in timing.step_seconds]


def _labels(keys: Sequence[Key]) -> dict[Key, str]:
    """A label for each class: the settings in which the classes differ."""
    shared = set.intersection(*map(set, keys)) if keys else set()
    return {key: ", ".join(f"{name}={_short(value)}" for name, value in key if (name, value) not in shared)
            or "every trial" for key in keys}


def _short(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)
