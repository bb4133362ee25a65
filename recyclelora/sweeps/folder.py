"""The results folder: made, marked as one owner's, and locked while runs are looked up and made."""

import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recyclelora.errors import InputError

NAME = re.compile(r"[A-Za-z0-9._-]{1,80}")  # safe in paths, in MLflow's tag keys and in its search filters


def prepare(results: Path) -> str:
    """Make the folder; returns the id kept in it, which marks its runs on a shared server. Raises InputError."""
    if set("%?") & set(str(results)):
        raise InputError(f"results folder {results}: '%' and '?' cannot be in the path of its database; choose another")
    try:
        results.mkdir(parents=True, exist_ok=True)
        with locked(results):
            file = results / "id"
            if not file.exists():
                fresh = results / f"id.{os.getpid()}"
                fresh.write_text(f"{uuid.uuid4()}\n", "utf-8")
                os.replace(fresh, file)
            return str(uuid.UUID(file.read_text("utf-8").strip()))
    except ValueError:
        raise InputError(f"{results}/id: is damaged; delete it, and a new one is made") from None
    except OSError as error:
        raise InputError(f"results folder {results}: cannot be written ({error.strerror}); choose another") from None


@contextmanager
def locked(results: Path) -> Iterator[None]:
    """One process at a time, so that looking for a run and making it are one act; the lock dies with its process."""
    with open(results / ".lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def check_name(name: str, kind: str) -> str:
    """The name, if it is plain. Raises InputError."""
    if not NAME.fullmatch(name) or name in (".", ".."):
        raise InputError(f"{kind} {name[:90]!r}: its name may have letters, digits, '.', '_' and '-' only, 80 at most")
    return name
