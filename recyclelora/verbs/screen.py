"""The terminal, or what stands in its place: characters that it cannot show are replaced, no secret is shown on it, and
signals end the program in an orderly way."""

import codecs
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from recyclelora.runs.redaction import begun, hide_all, secrets_of

PLAINER = {"±": "+-", "–": "-", "−": "-", "─": "-", "━": "=", "╺": " ", "╸": "=", "·": "*", "∞": "inf", "…": "...",
           "×": "x", "≤": "<=", "≥": ">=", "→": "->", "’": "'", "“": '"', "”": '"'}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 5.0  # seconds: a scheduler, a shell and a terminal may each send one when they end the same program


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAINER.get(sign, "?") for sign in error.object[error.start:error.end]), error.end


codecs.register_error("plainer", _plainer)


class Screen:
    """A stream of text on which the `secrets` (each with what is shown in its place) are hidden. What is written to a
    terminal that was closed is lost."""

    def __init__(self, stream: Any, secrets: Mapping[str, str]) -> None:
        self._stream, self._secrets, self._held = stream, secrets, ""
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="plainer")

    def write(self, text: str) -> int:
        """Characters at the end that may begin a secret wait for the next write, or for `flush`."""
        shown = hide_all(self._held + text, self._secrets)
        end = len(shown) - begun(shown, self._secrets)
        self._held = shown[end:]
        self._pass_on(shown[:end])
        return len(text)

    def _pass_on(self, text: str) -> None:
        with _closed_terminal():
            self._stream.write(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        held, self._held = self._held, ""
        if held:
            self._pass_on(held)
        with _closed_terminal():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _closed_terminal() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise


@contextmanager
def screened(environment: Mapping[str, str]) -> Iterator[None]:
    """Standard output and error as screens, without the secrets of this environment."""
    secrets, former = secrets_of(environment), (sys.stdout, sys.stderr)
    screens = [stream and Screen(stream, secrets) for stream in former]
    sys.stdout, sys.stderr = screens  # type: ignore[assignment]
    try:
        yield
    finally:
        for screen in filter(None, screens):
            with suppress(OSError, ValueError):  # whoever read it has ended, or it is closed
                screen.flush()
        sys.stdout, sys.stderr = former


class Interrupts:
    """A handler of signals: the first raises KeyboardInterrupt, and so does one that comes long after; what comes soon
    after another would only disturb the closing of what is open."""

    def __init__(self) -> None:
        self.last: float | None = None

    def __call__(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if self.last is None or now - self.last > GRACE:
            self.last = now
            raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt. One that was ignored, as `nohup` does, stays ignored."""
    interrupts, former = Interrupts(), dict[int, Any]()
    if threading.current_thread() is threading.main_thread():
        former = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) != signal.SIG_IGN}
    for number in former:
        signal.signal(number, interrupts)
    try:
        yield interrupts
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def drop_output() -> None:
    """From now on standard output goes nowhere: nobody reads it any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
