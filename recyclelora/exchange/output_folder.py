"""A folder that replaces an earlier one only after all of it is written."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recyclelora.errors import InputError
from recyclelora.writing import whole_folder

ABOUT = "model.json"  # names the files of an export, so that nothing else is ever replaced
FORMAT = 1


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A new empty folder beside `out`, which becomes `out` when the block ends, and is removed when it raises.

    Raises InputError where `out` is there and is neither empty nor an earlier export with nothing added to it."""
    _refuse_others(out)
    try:
        with whole_folder(out) as unfinished:
            yield unfinished
            _refuse_others(out)  # minutes later
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); choose another with --out") from None


def _refuse_others(out: Path) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir() or out.is_symlink():
        raise InputError(f"{out}: is there and is not a folder; choose another with --out")
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir() or path.is_symlink()}
    if not found:
        return
    strange = sorted(found - _listed(out))
    if strange:
        raise InputError(f"{out}: holds {strange[0]}, which is no part of an earlier export, so it is not replaced; "
                         "choose another with --out")


def _listed(out: Path) -> set[str]:
    try:
        content = json.loads((out / ABOUT).read_text())
        return {*content["files"], ABOUT} if content["export"] == FORMAT else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()
