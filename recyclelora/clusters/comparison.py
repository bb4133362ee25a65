"""Files that were rendered before, compared with what the profile gives now."""

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path


def differences(files: Mapping[str, str], folder: Path) -> list[str]:
    """One line for each file that is missing or differs; raises OSError."""
    return [f"{folder / name}: {found}" for name, text in files.items() if (found := _difference(folder / name, text))]


def _difference(path: Path, text: str) -> str:
    try:
        there = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return "is missing; recyclelora render --out writes it"
    if there == text:
        return ""
    pairs = zip_longest(there.splitlines(keepends=True), text.splitlines(keepends=True))
    number = next(i for i, (old, new) in enumerate(pairs, 1) if old != new)
    return f"differs from line {number} on"
