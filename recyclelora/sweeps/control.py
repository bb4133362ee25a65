"""What another terminal asks of a running sweep: to pause, to go on, or to stop. It is a file in the results folder, so
that any machine that sees the folder can ask. There is one sweep at a time in a results folder."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recyclelora.runs.results_folder import is_free
from recyclelora.writing import write_text

FOLDER, RUNNING = "control", "running"
PAUSE, STOP = "pause", "stop"


@contextmanager
def running_as(results: Path, sweep: str) -> Iterator[None]:
    """While the block runs, others see that this sweep runs here. What was asked of an earlier one is forgotten."""
    folder = results / FOLDER
    take_back(results, sweep)
    write_text(folder / RUNNING, sweep)
    try:
        yield
    finally:
        with suppress(OSError):
            take_back(results, sweep)
            (folder / RUNNING).unlink(missing_ok=True)


def running_in(results: Path) -> str:
    """The name of the sweep that runs in a results folder, "" where none does: a driver that was killed leaves its
    name behind, but not its lock."""
    try:
        name = (results / FOLDER / RUNNING).read_text("utf-8")
    except OSError:
        return ""
    return "" if is_free(results) else name


def ask(results: Path, sweep: str, what: str) -> None:
    """Ask a sweep to PAUSE or to STOP. Raises OSError."""
    write_text(_file(results, sweep), what)


def take_back(results: Path, sweep: str) -> None:
    """Ask it to go on. Raises OSError."""
    _file(results, sweep).unlink(missing_ok=True)


def asked(results: Path, sweep: str) -> str:
    """PAUSE, STOP or ""."""
    try:
        return _file(results, sweep).read_text("utf-8").strip()
    except (OSError, ValueError):
        return ""


def _file(results: Path, sweep: str) -> Path:
    return results / FOLDER / f"{sweep}.asked"
