"""What the checks before a sweep share: the question that every node is asked, and what a check finds."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from recyclelora.documents import Plain
from recyclelora.trials.paths import Paths

Answer = Any  # of plain values: it travels from a node to the driver
Answers = Mapping[str, Answer]  # by the name of a check


class Need(NamedTuple):
    """What the largest trial needs at least, in bytes; `gpu`: the share of a GPU that it gets, 0 where it runs on the
    CPU."""

    memory: int = 0
    disk: int = 0
    gpu: float = 0.0


class Expected(NamedTuple):
    """A trial as the driver planned it: its flat config and the tags of its identity."""

    config: dict[str, Plain]
    tags: dict[str, str]


class Question(NamedTuple):
    """What a node is asked. `trials` stand for all trials with their weights and data; `need` is the largest one's.

    `store`: the address of the tracking store without user and password, "" where the runs are kept in RESULTS.
    `probe`: a folder in RESULTS that holds the file `driver` with the text `word`, and a lock that the driver holds.
    "" where there is none: one machine alone shares nothing. `cluster`: the address of a cluster that is joined, or
    ""."""

    paths: Paths
    trials: tuple[Expected, ...] = ()
    need: Need = Need()
    store: str = ""
    probe: str = ""
    word: str = ""
    cluster: str = ""


class Finding(NamedTuple):
    """One thing that is wrong, in one line. `stops`: no sweep may run with it; others are to be known."""

    check: str
    node: str
    text: str
    stops: bool = True

    def __str__(self) -> str:
        return f"{'stop' if self.stops else 'note'}: {self.node}: {self.check}: {self.text}"


Faults = Iterator[tuple[str, bool]]  # text, and whether it stops a sweep


class Check(NamedTuple):
    """`measure` is called on a node and returns plain values. `judge` is called with the question, the driver's answer
    and the node's (the same one twice for the driver itself), wherever both are known."""

    name: str
    measure: Callable[[Question], Answer]
    judge: Callable[[Question, Answer, Answer], Faults]
