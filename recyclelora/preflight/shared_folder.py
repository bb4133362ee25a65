"""RESULTS can be written, and is one folder for all nodes: what one writes, the others read, and a lock that one holds
is held for the others."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from recyclelora.preflight.finding import Answer, Check, Faults, Question
from recyclelora.writing import UNFINISHED, Busy, locked, write_text

PATIENCE = 5.0  # seconds in which a network file system shows what another node wrote
LOCK, DRIVER = "lock", "driver"


@contextmanager
def probing(asked: Question) -> Iterator[Question]:
    """The question with a probe in RESULTS, which is removed in the end. Raises OSError where none can be written."""
    results = asked.paths.results
    made = not results.exists()
    results.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix=f"{UNFINISHED}probe-", dir=results, ignore_cleanup_errors=True) as folder:
            probe, word = Path(folder), secrets.token_hex(8)
            probe.chmod(0o777)  # a node's processes may be another user's
            write_text(probe / DRIVER, word)
            with locked(probe / LOCK):
                yield asked._replace(probe=folder, word=word)
    finally:
        if made:
            with suppress(OSError):  # something else was written into it
                results.rmdir()


def measure(asked: Question) -> Answer:
    if not asked.probe:
        return {}
    probe, name = Path(asked.probe), f"node-{secrets.token_hex(8)}"
    found = _wait_for(probe / DRIVER)
    if found != asked.word:
        return {"read": found}
    try:
        write_text(probe / name, name)
    except OSError as error:
        return {"read": found, "unwritten": error.strerror or str(error)}
    return {"read": found, "wrote": name, "locks": _is_held(probe / LOCK)}


def _is_held(lock: Path) -> bool:
    try:
        with locked(lock, patience=0.0):
            return False
    except Busy:
        return True
    except (OSError, NotImplementedError):
        return False


def _wait_for(file: Path) -> str:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return file.read_text()
        except OSError:
            if time.monotonic() > deadline:
                return ""
        time.sleep(0.1)


def judge(asked: Question, here: Answer, there: Answer) -> Faults:
    if not asked.probe:
        return
    results = asked.paths.results
    if there["read"] != asked.word:
        yield (f"{results} is not the driver's folder of that name; RESULTS must be a folder that every node "
               "shares"), True
    elif "unwritten" in there:
        yield f"{results} cannot be written there ({there['unwritten']}); let the user of its Ray write to it", True
    elif _wait_for(Path(asked.probe, there["wrote"])) != there["wrote"]:
        yield (f"what it writes to {results} is not seen by the driver; RESULTS must be a folder that every node "
               "shares"), True
    elif not there["locks"]:
        yield (f"a lock in {results} that the driver holds is free there: mount it with locks, or two workers may "
               "write to one trial"), False


CHECK = Check("results", measure, judge)
