"""What a tracking store may have missed of a trial: a note in the trial's folder, made when the trial starts and
removed once its run is closed. With the history and the record that the trial leaves there, it is all that a run
needs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from recyclelora.trials.record import Flat, Record
from recyclelora.writing import write_text

NOTE = "unbooked.json"


class Unbooked(NamedTuple):
    """`store` is the address of the tracking store without secrets, `parent` the run of the sweep. `record` is there
    where the trial has ended and the store did not answer then."""

    store: str
    parent: str | None
    config: Flat
    tags: Mapping[str, str]
    record: Record | None = None


def leave_note(folder: Path, note: Unbooked) -> None:
    """Raises OSError."""
    record = asdict(note.record) if note.record else None
    write_text(folder / NOTE, json.dumps({**note._asdict(), "record": record}))


def remove_note(folder: Path) -> None:
    """Raises OSError."""
    (folder / NOTE).unlink(missing_ok=True)


def notes_in(trials: Path) -> Iterator[tuple[Path, Unbooked]]:
    """The folders of trials that have a note, and the notes. A damaged one is passed over: the sweep then runs the
    trial again, which finds its record on file."""
    for path in sorted(trials.glob(f"*/{NOTE}")):
        note = _read(path)
        if note is not None and note.tags.get("fingerprint") == path.parent.name:
            yield path.parent, note


def _read(path: Path) -> Unbooked | None:
    try:
        note = Unbooked(**json.loads(path.read_text("utf-8")))
        strings: list[Any] = [note.store, *note.tags.values()]
        if not isinstance(note.config, dict) or not all(isinstance(text, str) for text in strings):
            return None
        return note._replace(record=Record(**note.record) if note.record else None)  # type: ignore[arg-type]
    except (OSError, ValueError, TypeError, AttributeError):  # none, or no text, no JSON, or no note
        return None
