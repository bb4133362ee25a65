"""Files of tables and pages that are no longer made. What was written for a sweep is remembered beside it, so that
nothing is ever removed but what this program wrote and nobody changed."""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path

from recyclelora.documents import check_name
from recyclelora.writing import write_text


def keep_only(written: Collection[Path], folder: Path, sweep: str) -> list[Path]:
    """Remember `written` as the files of the sweep in `folder`; those of before that are not among them are removed,
    unless they were changed since. Returns what was removed. Raises OSError."""
    memory = folder / f".{check_name(sweep, 'sweep')}.files.json"
    now = {path.relative_to(folder).as_posix(): _digest(path) for path in written}
    stale = [folder / name for name, digest in _remembered(memory).items()
             if name not in now and _is_inside(folder / name, folder) and _digest(folder / name) == digest]
    for path in stale:
        path.unlink()
    write_text(memory, json.dumps(now, indent=1) + "\n")
    return stale


def _remembered(memory: Path) -> dict[str, str]:
    try:
        found = json.loads(memory.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(digest) for name, digest in found.items()} if isinstance(found, dict) else {}


def _is_inside(path: Path, folder: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.resolve().is_relative_to(folder.resolve())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
