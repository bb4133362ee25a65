"""A watch over a trial that hangs. It needs no cooperation of what hangs: the interpreter may be blocked, too."""

import faulthandler
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

HUNG = "hung.txt"  # in the folder of the trial: where each thread stood
TIMES, LEAST = 20, 1800.0  # how many usual intervals, and at least how many seconds, a trial may be silent


class Watch:
    """Ends this process when it has been silent for too long: for `limit` seconds, or without a limit for 20 times its
    longest interval so far, at least half an hour. `page` then holds the stack of every thread."""

    def __init__(self, page: TextIO, limit: float | None) -> None:
        self.page, self.limit = page, limit
        self.last, self.longest = time.monotonic(), 0.0
        self._arm()

    def heard(self) -> None:
        """The trial has reported."""
        now = time.monotonic()
        self.last, self.longest = now, max(self.longest, now - self.last)
        self._arm()

    def rest(self) -> None:
        """Watch no longer: what follows reports nothing, however long it takes."""
        faulthandler.cancel_dump_traceback_later()

    @property
    def patience(self) -> float:
        """Seconds."""
        return self.limit or max(LEAST, TIMES * self.longest)

    def _arm(self) -> None:
        faulthandler.dump_traceback_later(self.patience, exit=True, file=self.page)


@contextmanager
def watching(folder: Path, limit: float | None) -> Iterator[Watch]:
    """A watch over the trial of this folder, while the block runs. Raises OSError where it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / HUNG, "w", encoding="utf-8") as page:
        watch = Watch(page, limit)
        try:
            yield watch
        finally:
            watch.rest()
    with suppress(OSError):
        (folder / HUNG).unlink()
        folder.rmdir()  # if the trial has left nothing there


def stood_at(folder: Path) -> str:
    """Where a trial stood that its watch ended, as `file:line in function`; empty for any other. The next try writes
    its own."""
    try:
        lines = (folder / HUNG).read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    main = next((index for index, line in enumerate(lines) if line.startswith("Current thread")), 0)
    frames = [line.strip() for line in lines[main:] if line.strip().startswith("File ")]
    return frames[0].removeprefix("File ") if frames else ("no frame" if lines else "")
