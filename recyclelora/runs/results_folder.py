"""The results folder: made, given an id, and locked while a run is looked up and made."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from recyclelora.errors import InputError
from recyclelora.writing import Busy, locked, write_text

LOCK = "sweep.lock"


def prepare(results: Path) -> str:
    """Make the folder; returns the id kept in it, which marks its runs on a shared server. Raises InputError."""
    if set("%?") & set(str(results)):
        raise InputError(f"results folder {results}: '%' and '?' cannot be in the path of its database; choose another")
    try:
        results.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(results):
            file = results / "id"
            if not file.exists():
                write_text(file, f"{uuid.uuid4()}\n")
            return str(uuid.UUID(file.read_text("utf-8").strip()))
    except ValueError:
        raise InputError(f"{results}/id: is damaged; delete it, and a new one is made") from None
    except OSError as error:
        raise InputError(f"results folder {results}: cannot be written ({error.strerror}); choose another") from None


@contextmanager
def one_at_a_time(results: Path) -> Iterator[None]:
    """Hold the lock under which a run is looked up and made, so that no two processes make the same one. The lock ends
    with its process."""
    with locked(results / ".lock"):
        yield


def is_free(results: Path) -> bool:
    """Whether no sweep and no training is running in a results folder. Raises OSError where that cannot be seen."""
    try:
        with locked(results / LOCK, patience=0):
            return True
    except Busy:
        return False


@contextmanager
def alone_in(results: Path) -> Iterator[None]:
    """One sweep or training at a time in a results folder. The lock dies with its process, however that ends. Raises
    InputError at once where another one is running."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(results / LOCK, patience=0))
        except OSError as error:
            raise InputError(f"{results}: cannot be written ({error.strerror}); "
                             "choose another with --results") from None
        except Busy:
            raise InputError(f"{results}: another sweep or training is running here; wait for it, or "
                             "choose another with --results") from None
        yield
