"""The sweeps that a verb is asked for, and a loop over them that continues after one of them fails."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from recyclelora.errors import InputError
from recyclelora.verbs.console import CONSOLE


def each_of(names: Sequence[str], write: Callable[[str], None]) -> int:
    """Call `write` with every name. If it fails for some, the others are still written; then the first error is
    raised."""
    refused = []
    for name in names:
        try:
            write(name)
        except InputError as error:
            refused.append(error)
            if len(names) > 1:
                CONSOLE.print(f"{name}: left out: {error}", style="red", highlight=False, markup=False)
    if refused:
        raise refused[0]
    return 0


def names_of(store: Any, asked: Sequence[str]) -> list[str]:
    """The names of the sweeps asked for, or of all. The file of an experiment stands for its sweeps at all bases."""
    known = [sweep.name for sweep in store.sweeps()]
    if not asked:
        return known
    names: list[str] = []
    for name in asked:
        names += _of_file(store, Path(name), known) if name.endswith((".yaml", ".yml")) else [name]
    return list(dict.fromkeys(names))


def _of_file(store: Any, path: Path, known: Sequence[str]) -> list[str]:
    from recyclelora.documents import read
    from recyclelora.spaces.space_file import read_space
    from recyclelora.tables.evidence import edited

    document = read(path)
    bases = document.data.get("at")
    found = [name for at in (bases if isinstance(bases, dict) else [None])
             if (name := read_space(path, at=at).sweep_name) in known]
    if not found:
        raise InputError(f"{path}: has not been run here; `recyclelora sweep {path}` does. The store has: "
                         f"{', '.join(known) or 'nothing yet'}")
    for name in found:
        if edited(store, name, document.text):
            CONSOLE.print(f"{path}: was edited after sweep {name} was last started; the table shows its former "
                          "text until the sweep is run again", style="yellow", highlight=False)
    return found
