"""Another terminal pauses a running sweep, lets it go on, and ends it."""

import signal
from pathlib import Path

import pytest
from rich.console import Console

from recyclelora.cli import BAD_INPUT, INTERRUPTED, main
from recyclelora.runs.results_folder import alone_in
from recyclelora.runs.tracking import Tracker
from recyclelora.sweeps import control
from recyclelora.sweeps.bookkeeping import bookkeeping
from recyclelora.sweeps.display import Board
from recyclelora.trials.paths import Paths
from tests.test_driver import Sweep


def test_a_keeper_heeds_what_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr("recyclelora.sweeps.bookkeeping.os.kill", lambda pid, number: sent.append(number))
    board = Board("rank", "miou/source", 2)
    with bookkeeping(Tracker.open(tmp_path), None, Paths(tmp_path, tmp_path, None), board, Console(quiet=True)) as keeper:
        def ready() -> bool:
            keeper._looked = 0.0
            return keeper.ready()

        assert ready()
        control.ask(tmp_path, "other", control.PAUSE)
        assert ready(), "that is another sweep"
        control.ask(tmp_path, "rank", control.PAUSE)
        assert not ready() and "paused" in board.summary()
        control.take_back(tmp_path, "rank")
        assert ready() and "paused" not in board.summary()
        control.ask(tmp_path, "rank", control.STOP)
        ready()
        assert sent == [signal.SIGTERM] and control.asked(tmp_path, "rank") == "", "the next one does not stop at once"


def test_which_sweep_runs_is_known_while_it_lives(tmp_path: Path) -> None:
    assert control.running_in(tmp_path) == ""
    with alone_in(tmp_path):
        control.ask(tmp_path, "rank", control.STOP)  # of an earlier one
        with control.running_as(tmp_path, "rank"):
            assert control.running_in(tmp_path) == "rank" and control.asked(tmp_path, "rank") == ""
        assert control.running_in(tmp_path) == ""
        with pytest.raises(RuntimeError), control.running_as(tmp_path, "rank"):
            raise RuntimeError
        (tmp_path / "control" / "running").write_text("rank")
    assert control.running_in(tmp_path) == "", "a driver that was killed has left its name"


@pytest.mark.parametrize("verb", ["pause", "resume", "stop"])
def test_without_a_running_sweep_it_is_one_line(verb: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--results", str(tmp_path)]) == BAD_INPUT
    assert capfd.readouterr().err == f"recyclelora: {tmp_path}: no sweep is running here; name its results folder with --results\n"
    with alone_in(tmp_path), control.running_as(tmp_path, "rank"):
        assert main([verb, "ranks", "--results", str(tmp_path)]) == BAD_INPUT
    assert capfd.readouterr().err == f"recyclelora: {tmp_path}: the sweep that is running here is rank, not ranks\n"


@pytest.mark.slow
@pytest.mark.long
def test_a_real_sweep_is_paused_resumed_and_stopped(tmp_path: Path, cache: Path) -> None:
    sweep = Sweep(tmp_path, cache)
    process = sweep.start()
    sweep.wait_for_steps(2, process)
    where = ["--results", str(sweep.results)]
    assert main(["pause", *where]) == 0 and main(["resume", *where]) == 0 and main(["stop", *where]) == 0
    output, _ = process.communicate(timeout=600)
    assert process.returncode == INTERRUPTED, output
    assert "another terminal asked for the end of this sweep" in output and "Traceback" not in output
    assert "RUNNING" not in {run.info.status for run in sweep.runs()}
    code, output = sweep.finish()
    assert code == 0 and {run.info.status for run in sweep.runs()} == {"FINISHED"}, output
