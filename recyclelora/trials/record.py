"""The record of a trial: the trial returns it, the store keeps it, and tables read it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Outcome = Literal["finished", "pruned", "failed"]
Flat = Mapping[str, object]  # dotted key -> plain YAML value, the only form in which a config leaves the program


@dataclass(frozen=True, kw_only=True)
class Record:
    """One trial, once. `metrics` holds the numbers of the selected checkpoint by these names
    (`miou/<domain>`, `miou/source`, `miou/target_mean`, `iou/<domain>/<class>`, `chance/<domain>`, `params/adapter`,
    `params/trainable`, `time/*` in seconds, `memory/peak` in bytes, `adapter/<measure>/<which>` and
    `adapter_start/...`); IoU and mIoU are fractions in [0, 1], a class that is not counted is left out."""

    fingerprint: str
    config: Flat
    outcome: Outcome
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)  # protocol, selection, commit, dirty, weights_sha256, ...
    reason: str = ""  # why it failed or was stopped
    iteration: int = 0  # training iterations done


def read_record(folder: Path) -> Record | None:
    """The record in a trial's folder, if it has ended."""
    try:
        return Record(**json.loads((folder / "record.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError):  # none, or no text, no JSON, or no record
        return None
