"""Where things are on this machine. Light, so that a verb that only asks where does not wait for torch."""

from pathlib import Path
from typing import NamedTuple


class Paths(NamedTuple):
    """Where things are on this machine: absolute paths, no part of a trial's identity."""

    results: Path
    cache: Path
    data_root: Path | None

    @property
    def trials(self) -> Path:
        return self.results / "trials"

    def trial(self, name: str) -> Path:
        return self.trials / name
