"""Whether what a trial is said to have done is there: the record is that of the trial that was asked for, and the
files of a finished one are in its folder, where this process can read them."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from recyclelora.trials.record import Record, read_record

RECORD, CONFUSIONS = "record.json", "confusions.safetensors"
NEEDED = ("config.yaml", "head.safetensors", CONFUSIONS, RECORD)  # of every finished trial
ADAPTER = "adapter.safetensors"  # of one that trained some
_SAID = {"weights_sha256": "weights", "data_fingerprint": "data"}  # what goes into a fingerprint, by its tag


def other_trial(expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    """"" where the tags of two identities are those of one trial, or how they differ: `expected` is the driver's,
    `found` that of the process that ran it."""
    if expected["fingerprint"] == found["fingerprint"]:
        return ""
    told = [f"{name} {found[tag][:12]} instead of {expected[tag][:12]}" for tag, name in _SAID.items()
            if expected.get(tag) and found.get(tag) and expected[tag] != found[tag]]
    return (f"its worker has another trial, {found['fingerprint']} instead of {expected['fingerprint']}: "
            f"{', '.join(told) or 'another version of the code or of its packages'}; "
            "give every node the same code, weights and data")


def undelivered(record: Record, folder: Path) -> str:
    """"" where all that a finished trial leaves is in `folder`, or what is missing there."""
    needed = [*NEEDED, ADAPTER] if record.metrics.get("params/adapter") else NEEDED
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        return (f"it finished, but {folder} has no {', '.join(missing)} on this machine; RESULTS must be a folder that "
                "every node shares")
    kept = read_record(folder)
    if kept is None or _text(kept) != _text(record):
        return (f"it finished, but {folder / RECORD} is of another run of it; RESULTS must be a folder that every "
                "node shares")
    return ""


def _text(record: Record) -> str:
    return json.dumps(asdict(record), sort_keys=True)
