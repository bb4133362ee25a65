"""The curve of a trial: what was measured at which iteration, one JSON line each, kept beside its checkpoints."""

import json
from pathlib import Path


class History:
    """Entries (iteration, metrics) up to the iteration a trial starts from; what an interrupted run wrote beyond its
    last checkpoint is dropped, since it will be measured again. The file, not the tracker, is what a restart trusts:
    a driver may have been killed before it heard of the last entries."""

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        self.entries: list[tuple[int, dict[str, float]]] = []
        self.newest: dict[str, float] = {}
        lines = path.read_text().splitlines() if start and path.exists() else []
        path.unlink(missing_ok=True)
        for line in lines:
            iteration, metrics = _parse(line)
            if 0 < iteration <= start:
                self.add(iteration, metrics)

    def add(self, iteration: int, metrics: dict[str, float]) -> None:
        self.entries.append((iteration, metrics))
        self.newest = {**self.newest, **metrics}
        with self.path.open("a") as file:
            file.write(json.dumps([iteration, metrics]) + "\n")


def _parse(line: str) -> tuple[int, dict[str, float]]:
    try:
        iteration, metrics = json.loads(line)
        return int(iteration), metrics
    except (ValueError, TypeError):
        return 0, {}  # the torn last line of a killed process
