"""The terminal: any encoding will do, no secret is shown, and a signal ends the program in an orderly way."""

import contextlib
import io
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from recyclelora.cli import BAD_INPUT, INTERRUPTED, SOME_FAILED, main
from recyclelora.documents import dump
from recyclelora.runs.results_folder import alone_in
from recyclelora.runs.tracking import Tracker
from recyclelora.spaces.statement import Statement, dump_statement
from recyclelora.verbs.screen import GRACE, Interrupts, Screen, interruptible, screened
from tests.ablation import LEVELS, RANKS, planned, record
from tests.tiny_config import TINY

ROOT = Path(__file__).resolve().parent.parent
ODD = "größe → 8 ✓"
SECRET = "s3cret-w0rd"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one finished sweep, one of whose cells no terminal but a UTF-8 one can show."""
    folder = tmp_path_factory.mktemp("odd") / "results"
    tracker = Tracker.open(folder)
    plan = planned({**RANKS, ODD: {"adapter.main.rank": 24}})
    statement = dump_statement(Statement(claim=ODD, tables=("results", "differences", "adapters")))
    parent = tracker.sweep_run("odd", plan, statement=statement)
    for cell in plan:
        made = record(cell, LEVELS.get(cell.cell, 0.36))
        run_id = tracker.trial_run(cell.fingerprint, sweep_run_id=parent, config=made.config,
                                   tags={**made.tags, "sweep": "odd", "cell": cell.cell})
        tracker.finish(run_id, made)
    tracker.close_sweep(parent)
    return folder


TERMINALS = {"latin-1": {"PYTHONIOENCODING": "latin-1"}, "ascii": {"PYTHONIOENCODING": "ascii"},
             "strict": {"PYTHONIOENCODING": "ascii:strict"}, "cp437": {"PYTHONIOENCODING": "cp437"},
             "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
             "UTF-8": {"PYTHONIOENCODING": "utf-8"}}
CALLS = [["tables"], ["status"], ["status", "--json"], ["explain", "odd.differences", "gr", "target mean"], ["report", "odd"],
         ["show", "experiments/initialisation.yaml"], ["show", "config.yaml"], ["show", "config.yaml", "--json"],
         ["backbones", "dinov2_small"], ["data"], ["plan", "space.yaml", "--no-timing"], ["sweep", "space.yaml", "--dry-run"]]


@pytest.mark.parametrize("terminal", [
    name if name == "C" else pytest.param(name, marks=[pytest.mark.slow, *[pytest.mark.long] * (name != "ascii")])
    for name in TERMINALS])
def test_every_verb_does_on_any_terminal(results: Path, tmp_path: Path, cache: Path, terminal: str) -> None:
    """Of what a terminal cannot show something stands in its place, and files are the same."""
    for name in ("experiments", "search_spaces"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "config.yaml").write_text(dump(dict(TINY)), "utf-8")
    (tmp_path / "space.yaml").write_text(f"base: config.yaml\nclaim: {ODD}\nmethod: cells\ncells:\n  {ODD}: {{}}\n", "utf-8")
    code = ("import sys\nfrom recyclelora.cli import main\n"
            f"codes = [main(call if call[0] == 'backbones' else [*call, '--results', {str(results)!r}]) for call in {CALLS!r}]\n"
            "codes.append(main(['show', 'gr\\u00f6\\u00dfe \\u2713.yaml']))\nprint(codes)")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=900,
                          env={**os.environ, "RECYCLELORA_CACHE": str(cache), **TERMINALS[terminal]})
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr.decode("utf-8", "replace")
    assert done.stdout.decode("ascii", "replace").splitlines()[-1] == str([0] * len(CALLS) + [BAD_INPUT])
    assert b".yaml: no such file" in done.stderr or b"LC_ALL=C.UTF-8" in done.stderr
    for form in ("md", "csv", "html"):
        assert ODD.split()[0] in (results / "tables" / f"odd.{form}").read_text("utf-8")
    assert (ODD in done.stdout.decode("utf-8", "replace")) == (terminal == "UTF-8")


def test_files_are_written_before_anything_is_printed(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("this terminal takes nothing")

    for path in (results / "tables").glob("*.*"):
        path.unlink()
    monkeypatch.setattr(sys, "stdout", Deaf())
    assert main(["tables", "--results", str(results)]) == SOME_FAILED
    assert (results / "tables" / "odd.md").exists() and (results / "tables" / "odd.differences.html").exists()


def test_what_stands_in_place_of_signs() -> None:
    page = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Screen(page, {}).write("45.2 ± 0.3 – ∞ · ✓ \udcff")
    page.flush()
    assert page.buffer.getvalue() == b"45.2 +- 0.3 - inf * ? ?"  # type: ignore[attr-defined]


# secrets

ENVIRONMENTS = [
    {"MLFLOW_TRACKING_URI": f"http://ann:{SECRET}@127.0.0.1:9"}, {"MLFLOW_TRACKING_URI": f"http://{SECRET}@127.0.0.1:9/x"},
    {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:9?token={SECRET}"},
    {"MLFLOW_TRACKING_URI": f"postgresql://ann:{SECRET}@127.0.0.1:9/db"},
    {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": SECRET},
    {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_TRACKING_TOKEN": SECRET},
    {"RAY_ADDRESS": f"ray://ann:{SECRET}@127.0.0.1:9", "RAY_AUTH_TOKEN": SECRET},
]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda each: next(reversed(each)))
@pytest.mark.parametrize("verb", ["sweep", "train", "status"])
def test_no_secret_is_written_anywhere(tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str], verb: str,
                                       environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    if verb != "sweep" and "RAY_ADDRESS" in environment:
        pytest.skip("asks no cluster")
    monkeypatch.chdir(tmp_path)
    for name, value in {**environment, "RECYCLELORA_CACHE": str(cache)}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "config.yaml").write_text(dump(dict(TINY)))
    (tmp_path / "space.yaml").write_text("base: config.yaml\nmethod: grid\nparameters:\n  adapter.init: {values: [rrqr]}\n")
    file = {"sweep": ["space.yaml"], "train": ["config.yaml"]}.get(verb, [])
    assert main([verb, *file, "--results", "results"]) == BAD_INPUT
    error = capfd.readouterr().err
    assert "127.0.0.1:9" in error and error.count("\n") == 1 and SECRET not in error
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_not_even_a_traceback_tells(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{SECRET}@host")

    def fail(given: object) -> int:
        raise RuntimeError(f"a fault that repeats http://ann:{SECRET}@host/api and {SECRET}")

    monkeypatch.setattr("recyclelora.verbs.show.run", fail)
    assert main(["show", "config.yaml"]) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error and "http://host/api" in error and SECRET not in error


# signals


def test_the_first_signal_interrupts_and_those_that_come_with_it_do_not() -> None:
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt):
        interrupts(signal.SIGTERM, None)
    interrupts(signal.SIGHUP, None)
    interrupts.last = time.monotonic() - GRACE - 1
    with pytest.raises(KeyboardInterrupt):
        interrupts(signal.SIGINT, None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_heard_and_given_back(number: signal.Signals) -> None:
    former = signal.getsignal(number)
    with interruptible(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert signal.getsignal(number) == former


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)


def test_a_thread_may_call_the_program() -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(["show", "nowhere.yaml"])))
    thread.start()
    thread.join()
    assert codes == [BAD_INPUT]


def test_a_closed_terminal_loses_what_is_written_to_it() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    assert Screen(Closed(), {}).write("word") == 4


@pytest.mark.parametrize("parts", [("it is hunt", "er2."), ("it is h", "u", "nter2", "."), ("it is hunter2.",), ("it is hunter", "2.")])
def test_a_secret_in_several_writes_is_hidden(parts: tuple[str, ...]) -> None:
    page = io.StringIO()
    screen = Screen(page, {"hunter2": "***"})
    for part in parts:
        assert screen.write(part) == len(part)
    assert page.getvalue() == "it is ***."


def test_what_only_began_like_a_secret_is_shown() -> None:
    page = io.StringIO()
    screen = Screen(page, {"hunter2": "***"})
    screen.write("a hunt")
    screen.flush()
    assert page.getvalue() == "a hunt"
    screen.write("hunt")
    screen.write("ing")
    assert page.getvalue() == "a hunthunting"


def test_streams_are_given_back() -> None:
    former = sys.stdout, sys.stderr
    with screened({}):
        assert (sys.stdout, sys.stderr) != former
    assert (sys.stdout, sys.stderr) == former


MOMENTS = [  # which call is about to be made when the signal comes
    ("train", "recyclelora.cli.load_verb", signal.SIGTERM), ("train", "recyclelora.verbs.progress.hash_data", signal.SIGHUP),
    ("train", "recyclelora.runs.tracking._open_experiment", signal.SIGTERM),
    ("train", "recyclelora.trials.trial.save_checkpoint", signal.SIGTERM),
    ("train", "recyclelora.trials.trial.score_finally", signal.SIGTERM),
    ("train", "recyclelora.trials.trial.score_finally", signal.SIGHUP),
    ("train", "recyclelora.trials.trial.score_finally", signal.SIGINT),
    ("train", "recyclelora.runs.tracking.Tracker.finish", signal.SIGHUP),
    ("tables", "recyclelora.tables.formats.write_text", signal.SIGTERM),
    ("tables", "recyclelora.tables.formats.terminal", signal.SIGHUP)]
QUICK = (1, 4, 9)  # indices of those that the quick tests try
SENDER = """import os, pkgutil, sys
from recyclelora.cli import main
place, number = sys.argv[1], int(sys.argv[2])
owner, name = pkgutil.resolve_name(place.rpartition(".")[0]), place.rpartition(".")[2]
call = getattr(owner, name)
def send(*given, **named):
    os.kill(os.getpid(), number)
    return call(*given, **named)
setattr(owner, name, send)
sys.exit(main(sys.argv[3:]))"""


@pytest.mark.parametrize(("verb", "place", "number"), [
    pytest.param(*moment, marks=() if index in QUICK else [pytest.mark.slow, *[pytest.mark.long] * (index % 3 == 0)])
    for index, moment in enumerate(MOMENTS)])
def test_a_signal_at_any_moment_ends_in_130_with_all_runs_closed(results: Path, tmp_path: Path, cache: Path, verb: str,
                                                                 place: str, number: signal.Signals) -> None:
    (tmp_path / "config.yaml").write_text(dump({**TINY, "resources.checkpoint_every": 1}))
    command = [verb, "config.yaml", "--results", "results"] if verb == "train" else [verb, "--results", str(results)]
    environment = {**os.environ, "RECYCLELORA_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", SENDER, place, str(int(number)), *command], cwd=tmp_path, text=True,
                          capture_output=True, env=environment, timeout=600, preexec_fn=_heed_interrupts)
    assert done.returncode == INTERRUPTED, done.stderr
    assert done.stderr.endswith("recyclelora: interrupted; run the same command to go on\n")
    assert "Traceback" not in done.stderr and not list(tmp_path.rglob(".unfinished-*"))
    if (tmp_path / "results" / "mlflow.db").exists():
        assert "RUNNING" not in statuses(tmp_path / "results")
    if (place, number) == ("recyclelora.trials.trial.score_finally", signal.SIGTERM):
        again = subprocess.run([sys.executable, "-m", "recyclelora.cli", *command], cwd=tmp_path, env=environment, timeout=600)
        assert again.returncode == 0 and statuses(tmp_path / "results") == ["FINISHED"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM,
                                    pytest.param(signal.SIGHUP, marks=pytest.mark.long)])
def test_no_part_of_the_server_of_ui_outlives_it(results: Path, number: signal.Signals) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def answers() -> bool:
        with socket.socket() as client:
            client.settimeout(1)
            return client.connect_ex(("127.0.0.1", port)) == 0

    ui = subprocess.Popen([sys.executable, "-m", "recyclelora.cli", "ui", "--results", str(results), "--port", str(port)],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_heed_interrupts)
    try:
        until(answers, 120)
        ui.send_signal(number)  # to the one process, as `kill` does
        assert ui.wait(30) == INTERRUPTED
        until(lambda: not answers(), 30)
    finally:
        ui.kill()


def until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def statuses(folder: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        return [status for (status,) in database.execute("SELECT status FROM runs")]


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_second_train_in_one_folder_is_refused_at_once(tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str],
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where another one still hashes its data, and for a sweep or for the noise of one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECYCLELORA_CACHE", str(cache))
    (tmp_path / "config.yaml").write_text(dump(dict(TINY)))
    (tmp_path / "space.yaml").write_text("base: config.yaml\nmethod: one_factor\nparameters:\n"
                                         "  adapter.init: {values: [svd]}\nseeds: [0, 1]\n")
    with alone_in(tmp_path / "results"):
        for verb, file in (("train", "config.yaml"), ("sweep", "space.yaml"), ("noise", "space.yaml")):
            assert main([verb, file, "--results", "results"]) == BAD_INPUT
            error = capfd.readouterr().err
            assert "another sweep or training is running here" in error and error.count("\n") == 1
        assert main(["sweep", "space.yaml", "--results", "results", "--dry-run"]) == 0, "which writes nothing"
    assert {path.name for path in (tmp_path / "results").iterdir()} <= {"sweep.lock", "cache"}
