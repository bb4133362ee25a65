"""The folders of a call. This module imports nothing heavy, so that verbs can read it at once."""

from pathlib import Path
from typing import NamedTuple


class Paths(NamedTuple):
    """Absolute paths on this machine. They are no part of a trial's fingerprint."""

    results: Path
    cache: Path
    data_root: Path | None

    @property
    def trials(self) -> Path:
        return self.results / "trials"

    def trial(self, name: str) -> Path:
        return self.trials / name
