"""The live display of a sweep: done, running, failed, left, best so far, and the time to go."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from recyclelora.trials.record import Record

PATIENCE = 5.0  # seconds: what trials wait for less long is no news


@dataclass
class Running:
    cell: str
    done: int = 0
    total: int = 1
    score: float | None = None


@dataclass
class Board:
    """State of a sweep as the display shows it. `clock` returns seconds."""

    name: str
    metric: str
    total: int
    goal: str = "maximize"
    done: int = 0
    pruned: int = 0
    already: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)  # cell, reason
    running: dict[str, Running] = field(default_factory=dict)
    best: tuple[float, str] | None = None
    paused: bool = False
    clock: Callable[[], float] = time.monotonic
    lack: tuple[str, float] | None = None  # what trials wait for, and since when
    _first: float | None = None  # when the first progress came in: start-up says nothing about speed
    _worked: float = 0.0  # trials' worth of work done in this session since then

    def start(self, fingerprint: str, cell: str) -> None:
        self.running[fingerprint] = Running(cell)

    def progress(self, fingerprint: str, done: int, total: int, score: float | None) -> None:
        trial = self.running[fingerprint]
        if self._first is None:
            self._first = self.clock()
        elif trial.total == total:  # what a resumed trial had done before is no work of this session
            self._worked += (done - trial.done) / total
        trial.done, trial.total = done, total
        trial.score = score if score is not None else trial.score

    def end(self, fingerprint: str, record: Record) -> None:
        trial = self.running.pop(fingerprint, Running("?"))
        if record.outcome == "failed":
            self.failed.append((trial.cell, record.reason))
            return
        if self._first is not None and trial.total > 1:
            self._worked += (trial.total - trial.done) / trial.total
        if record.outcome == "pruned":
            self.pruned += 1
            return
        self.done += 1
        score = record.metrics.get(self.metric)
        if score is not None and (self.best is None or (score > self.best[0]) == (self.goal == "maximize")):
            self.best = (score, trial.cell)

    def wait(self, what: str) -> None:
        """Trials wait for this; "": they wait no more."""
        since = self.lack[1] if self.lack else self.clock()
        self.lack = (what, since) if what else None

    @property
    def left(self) -> int:
        return self.total - self.done - self.pruned - len(self.failed) - len(self.running) - self.already

    def seconds_to_go(self) -> float | None:
        """From the speed of this session so far; None before there is one."""
        if self._first is None or self._worked < 0.05:
            return None
        open_work = self.left + sum(1 - trial.done / trial.total for trial in self.running.values())
        return open_work * (self.clock() - self._first) / self._worked

    def summary(self) -> str:
        """One line of plain text."""
        parts = [f"{self.done + self.already} done" + (f" ({self.already} before)" if self.already else "")]
        parts += [f"{self.pruned} stopped early"] if self.pruned else []
        parts += [f"{len(self.running)} running", f"{len(self.failed)} failed", f"{self.left} left"]
        if self.best:
            parts.append(f"best {self.metric} {_number(self.metric, self.best[0])} ({self.best[1]})")
        if self.lack and self.clock() - self.lack[1] > PATIENCE:
            parts.append(f"{self.lack[0]} for {clock_text(self.clock() - self.lack[1])}")
        if self.paused:
            parts.append("paused")
        elif self.left or self.running:
            to_go = self.seconds_to_go()
            parts.append(f"about {clock_text(to_go)} to go" if to_go is not None else "timing ...")
        return " · ".join(parts)

    def __rich__(self) -> RenderableType:
        rows = Table.grid(padding=(0, 2))
        for trial in list(self.running.values()):
            score = "" if trial.score is None else f"{self.metric} {_number(self.metric, trial.score)}"
            rows.add_row(Text(trial.cell), ProgressBar(total=trial.total, completed=trial.done, width=30),
                         f"{trial.done}/{trial.total}", score)
        return Group(Text(f"{self.name}: {self.summary()}", style="bold"), rows)


def clock_text(seconds: float) -> str:
    """`45 s`, `3 min`, `2 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _number(metric: str, value: float) -> str:
    return f"{100 * value:.2f} %" if metric.startswith("miou") else f"{value:.4g}"


class Display:
    """Shows a board: live on a terminal; elsewhere a line whenever a trial ends and every half minute."""

    def __init__(self, board: Board, console: Console, pause: float = 30.0) -> None:
        self.board, self.console, self.pause = board, console, pause
        self.live = Live(board, console=console, refresh_per_second=2, transient=True) if console.is_terminal else None
        self.last = board.clock()

    def __enter__(self) -> "Display":
        if self.live:
            self.live.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        if self.live:
            self.live.__exit__(None, None, None)

    def refresh(self, *, ended: bool = False) -> None:
        if self.live is None and (ended or self.board.clock() - self.last > self.pause):
            self.last = self.board.clock()
            self.console.print(f"{self.board.name}: {self.board.summary()}", highlight=False)
