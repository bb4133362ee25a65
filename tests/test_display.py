"""The live display: counts, best, and the time to go."""

import io

import pytest
from rich.console import Console

from recyclelora.sweeps.display import Board, Display, clock_text
from recyclelora.trials.record import Record


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def record(outcome: str = "finished", score: float = 0.5) -> Record:
    return Record(fingerprint="f", config={}, outcome=outcome, metrics={"miou/source": score}, reason="nan at 3")  # type: ignore[arg-type]


def test_time_to_go_is_from_the_speed_of_this_session() -> None:
    clock = Clock()
    board = Board("s", "miou/source", total=4, clock=clock)
    board.start("a", "cell a")
    assert board.seconds_to_go() is None
    clock.now = 30.0  # start-up, which is not speed
    board.progress("a", 1, 10, None)
    for done in range(2, 11):
        clock.now += 10.0
        board.progress("a", done, 10, 0.1)
    board.end("a", record())
    assert board.left == 3 and board.seconds_to_go() == pytest.approx(3 * 100.0)


def test_what_a_resumed_trial_had_done_is_no_work_of_this_session() -> None:
    clock = Clock()
    board = Board("s", "miou/source", total=2, clock=clock)
    board.start("a", "cell a")
    board.progress("a", 90, 100, None)
    clock.now = 10.0
    board.progress("a", 100, 100, 0.2)
    assert board.seconds_to_go() == pytest.approx(1 * 10.0 / 0.1), "one trial left, at a tenth of a trial in 10 s"


def test_counts_best_and_failures() -> None:
    board = Board("s", "miou/source", total=6, already=1)
    for name, (outcome, score) in {"a": ("finished", 0.2), "b": ("finished", 0.6), "c": ("pruned", 0.9),
                                   "d": ("failed", 0.0)}.items():
        board.start(name, name)
        board.end(name, record(outcome, score))
    board.start("e", "e")
    assert (board.done, board.pruned, len(board.failed), board.left) == (2, 1, 1, 0)
    assert board.best == (0.6, "b")
    text = board.summary()
    assert "3 done (1 before)" in text and "1 stopped early" in text and "1 running" in text and "1 failed" in text
    assert "best miou/source 60.00 % (b)" in text


def test_a_goal_may_be_to_minimise() -> None:
    board = Board("s", "miou/source", total=2, goal="minimize")
    for score in (0.5, 0.3, 0.4):
        board.start("a", str(score))
        board.end("a", record(score=score))
    assert board.best == (0.3, "0.3")


def test_without_a_terminal_lines_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    clock, text = Clock(), io.StringIO()
    board = Board("s", "miou/source", total=2, clock=clock)
    with Display(board, Console(file=text, width=200), pause=30) as display:
        board.start("a", "cell a")
        for second in range(65):
            clock.now = float(second)
            display.refresh()
        display.refresh(ended=True)
    assert len(text.getvalue().splitlines()) == 3, "at 31 s, at 62 s, and at the end"


def test_what_trials_wait_for_is_shown_with_its_time() -> None:
    clock, text = Clock(), io.StringIO()
    board = Board("s", "miou/source", total=2, clock=clock)
    with Display(board, Console(file=text, width=200), pause=30) as display:
        for second in range(200):
            clock.now = float(second)
            board.wait("waiting for a node with 1 GPU")
            display.refresh()
    lines = text.getvalue().splitlines()
    assert len(lines) == 6 and "2 left · waiting for a node with 1 GPU for 31 s · timing" in lines[0]
    assert "waiting for a node with 1 GPU for 3 min" in lines[-1]
    board.wait("")
    assert "waiting" not in board.summary()
    board.wait("waiting for a node with 2 CPUs")
    assert "waiting" not in board.summary(), "no news yet"
    clock.now += 6
    assert "waiting for a node with 2 CPUs for 6 s" in board.summary(), "the time of this wait, not of the one before"


def test_on_a_terminal_the_board_is_drawn() -> None:
    text = io.StringIO()
    board = Board("s", "miou/source", total=2)
    board.start("a", "cell a")
    board.progress("a", 3, 10, 0.25)
    Console(file=text, width=120, force_terminal=True).print(board)
    assert "cell a" in text.getvalue() and "3/10" in text.getvalue() and "25.00 %" in text.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (89, "89 s"), (180, "3 min"), (5400, "1 h 30 min"), (7500, "2 h 05 min")])
def test_clock(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text
