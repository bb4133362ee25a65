"""The curve of a trial: the metrics of each iteration that reported some, as JSON lines beside its checkpoints."""

import json
from pathlib import Path

from recyclelora.writing import write_text

HISTORY = "history.jsonl"  # in the folder of a trial
Entry = tuple[int, dict[str, float]]


class History:
    """Entries (iteration, metrics) up to the iteration a trial starts from; what an interrupted run wrote beyond its
    last checkpoint is dropped, since it will be measured again. The file, not the tracker, is what a restart trusts:
    a driver may have been killed before it heard of the last entries."""

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        self.entries = [entry for entry in read_history(path) if entry[0] <= start]
        self.newest = {name: value for _, metrics in self.entries for name, value in metrics.items()}
        write_text(path, "".join(map(_line, self.entries)))

    def add(self, iteration: int, metrics: dict[str, float]) -> None:
        self.entries.append((iteration, metrics))
        self.newest = {**self.newest, **metrics}
        with self.path.open("a") as file:
            file.write(_line((iteration, metrics)))


def read_history(path: Path) -> list[Entry]:
    """All whole entries of a history; the torn last line of a killed process is left out, and any other damaged one."""
    entries: list[Entry] = []
    for line in path.read_text("utf-8", "replace").splitlines() if path.exists() else []:
        try:
            iteration, metrics = json.loads(line)
        except (ValueError, TypeError):
            continue
        if isinstance(iteration, int) and isinstance(metrics, dict):
            entries.append((iteration, metrics))
    return entries


def _line(entry: Entry) -> str:
    return json.dumps(list(entry)) + "\n"
