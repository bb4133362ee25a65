"""The columns that a table of results may have, each of them one entry: what it is called, what one run gives for it,
and how it is printed. `columns:` in an experiment or a space chooses among them."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

GIB, HOUR = 2.0**30, 3600.0
UNKNOWN = "unknown"  # printed for a fact that the runs did not record: no default stands in for it
SETTINGS, STATUS, TARGETS = "settings", "status", "miou/targets"


class Run(Protocol):
    """What a column reads of one run; `trials.record.Record` is one."""

    @property
    def config(self) -> Mapping[str, object]: ...
    @property
    def metrics(self) -> Mapping[str, float]: ...
    @property
    def tags(self) -> Mapping[str, str]: ...
    @property
    def iteration(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A column of numbers: the mean over the seeds of what `of` gives for one run (nan where the run does not tell),
    times `scale`, in `unit`, to so many `digits`. `better` is the direction that is good, "" where neither is; `means`
    says what the number is, for the caption."""

    key: str
    heading: str
    means: str
    of: Callable[[Run], float]
    unit: str = ""
    scale: float = 1.0
    digits: int = 2
    better: Literal["higher", "lower", ""] = ""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A column of text: what `of` gives for one run ("" where the run does not tell), the runs' different answers
    beside each other."""

    key: str
    heading: str
    means: str
    of: Callable[[Run], str]


@dataclass(frozen=True, kw_only=True)
class Group:
    """A name in `columns:` that stands for what the sweep decides: `means` says what."""

    key: str
    means: str


def metric(name: str) -> Callable[[Run], float]:
    """A recorded metric."""
    return lambda run: run.metrics.get(name, math.nan)


def tag(name: str, length: int | None = None) -> Callable[[Run], str]:
    """A recorded tag, or its first letters."""
    return lambda run: run.tags.get(name, "")[:length]


def worst_target(run: Run) -> tuple[str, float]:
    """The target domain with the lowest mIoU, and that mIoU as a fraction; ("", nan) where one of them is missing."""
    named = run.config.get("data.targets")
    scores = {str(domain): run.metrics.get(f"miou/{domain}", math.nan)
              for domain in (named if isinstance(named, list | tuple) else ())}
    if not scores or not all(map(math.isfinite, scores.values())):
        return "", math.nan
    return min(scores.items(), key=lambda item: (item[1], item[0]))


def code_of(run: Run) -> str:
    """The commit that the run was made with, and whether the code had changes beside it."""
    commit = run.tags.get("commit", "")
    return commit + (" (modified)" if commit and run.tags.get("dirty") == "true" else "")


COLUMNS: tuple[Quantity | Fact | Group, ...] = (
    Group(key=SETTINGS, means="a column for each setting in which the cells differ"),
    Group(key=STATUS, means="how many of the planned seeds have finished"),
    Group(key=TARGETS, means="a column for each target domain"),
    Quantity(key="params/adapter", heading="adapter params", of=metric("params/adapter"), digits=0, better="lower",
             means="parameters of the adapters that are trained"),
    Quantity(key="params/trainable", heading="trainable params", of=metric("params/trainable"), digits=0,
             better="lower", means="all parameters that are trained, the head's among them"),
    Quantity(key="miou/target_mean", heading="target mean", of=metric("miou/target_mean"), unit="%", scale=100,
             better="higher", means="mean of the mIoU of the target domains"),
    Quantity(key="miou/source", heading="source", of=metric("miou/source"), unit="%", scale=100, better="higher",
             means="mIoU on the val split of the source"),
    Quantity(key="miou/worst_target", heading="worst target", of=lambda run: worst_target(run)[1], unit="%", scale=100,
             better="higher", means="mIoU of the target domain in which the run is worst"),
    Fact(key="worst_target", heading="worst target is", of=lambda run: worst_target(run)[0],
         means="the target domain in which a run is worst"),
    Quantity(key="iterations", heading="iterations", of=lambda run: float(run.iteration or math.nan), digits=0,
             means="training iterations done"),
    Quantity(key="time/train", heading="training", of=metric("time/train"), unit="h", scale=1 / HOUR, digits=3,
             better="lower", means="time in the training loop, that before an interruption too"),
    Quantity(key="time/iteration", heading="iteration", of=metric("time/iteration"), unit="s", digits=3,
             better="lower", means="time of the training loop for each iteration"),
    Quantity(key="time/evaluate", heading="evaluation", of=metric("time/evaluate"), unit="h", scale=1 / HOUR, digits=3,
             better="lower", means="time of the last evaluation"),
    Quantity(key="memory/peak", heading="peak memory", of=metric("memory/peak"), unit="GiB", scale=1 / GIB,
             better="lower", means="the most that torch held on the GPU, or the process held without one"),
    Fact(key="device", heading="device", of=tag("device"), means="what the run was trained on"),
    Fact(key="arithmetic", heading="arithmetic", of=tag("arithmetic"), means="the arithmetic of that device"),
    Fact(key="protocol", heading="protocol", of=tag("protocol"), means="how the run was evaluated"),
    Fact(key="selection", heading="selection", of=tag("selection"), means="which checkpoint was evaluated"),
    Fact(key="source", heading="trained on", of=lambda run: str(run.config.get("data.source") or ""),
         means="the source data"),
    Fact(key="weights", heading="weights", of=tag("weights_sha256", 12),
         means="first digits of the sha256 of the pretrained weights"),
    Fact(key="weights_source", heading="weights from", of=tag("weights_source"), means="where these weights came from"),
    Fact(key="commit", heading="code", of=code_of, means="the commit of the code"),
)
BY_KEY = {column.key: column for column in COLUMNS}
DEFAULT = (SETTINGS, STATUS, "params/adapter", TARGETS, "miou/target_mean", "miou/source")


def quantity(key: str) -> Quantity:
    """The column of a metric: its entry, or for the mIoU of one domain one like those of the others."""
    found = BY_KEY.get(key)
    if isinstance(found, Quantity):
        return found
    miou = key.startswith("miou/")
    return Quantity(key=key, heading=key.removeprefix("miou/"), of=metric(key), unit="%" if miou else "",
                    scale=100 if miou else 1, better="higher" if miou else "", means=key)


def facts_of(runs: Iterable[Run], fact: Callable[[Run], str]) -> str:
    """The different answers of some runs, the commonest first, with how many gave each where there are several;
    UNKNOWN for those that do not tell. "" for no runs."""
    counts = Counter(fact(run) or UNKNOWN for run in runs)
    order = sorted(counts, key=lambda answer: (-counts[answer], answer))
    return ", ".join(order if len(order) < 2 else [f"{answer} ({counts[answer]})" for answer in order])


def known_columns(domains: Sequence[str], settings: Iterable[str]) -> tuple[str, ...]:
    """Every name that `columns:` may have: the entries, the mIoU of one target domain, and any setting."""
    return tuple(dict.fromkeys([*BY_KEY, *(f"miou/{domain}" for domain in domains), *sorted(settings)]))
