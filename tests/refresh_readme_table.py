"""The table at the top of the README, from a store that holds the default sweep:

    make sweep RESULTS=folder && .venv/bin/python -m tests.refresh_readme_table folder

It keeps what the table rests on in tests/records/default_sweep.json, and writes the table that the code makes of that
between the marks in README.md. A test makes it again from the same file, and compares."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recyclelora.runs.planned_cells import PlannedCell
from recyclelora.runs.run import Sweep
from recyclelora.spaces.statement import dump_statement, parse_statement
from recyclelora.tables.evidence import Evidence, fetch
from recyclelora.tables.formats import render
from recyclelora.trials.record import Record
from recyclelora.writing import write_text

ROOT = Path(__file__).resolve().parents[1]
README, RECORDED = ROOT / "README.md", ROOT / "tests" / "records" / "default_sweep.json"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->"
METRICS = ("miou/", "chance/", "params/", "time/", "memory/")  # what a table of results can print
TAGS = ("arithmetic", "cell", "commit", "data_fingerprint", "device", "dirty", "label_mapping", "label_space", "protocol",
        "run_id", "seed", "selection", "weights_sha256", "weights_source")


def dump(evidence: Evidence) -> str:
    """JSON text; what all runs share stands in it once."""
    records = [asdict(record) for record in evidence.records]
    for each in records:
        each["metrics"] = {key: value for key, value in sorted(each["metrics"].items()) if key.startswith(METRICS)}
        each["tags"] = {key: value for key, value in sorted(each["tags"].items()) if key in TAGS}
    shared = {part: {key: value for key, value in records[0][part].items()
                     if all(each[part].get(key, ...) == value for each in records)} for part in ("config", "tags")}
    for each in records:
        for part, common in shared.items():
            each[part] = {key: value for key, value in each[part].items() if key not in common}
    return json.dumps({"sweep": evidence.sweep, "statement": json.loads(dump_statement(evidence.statement)),
                       "plan": evidence.plan, "shared": shared, "records": records}, indent=1) + "\n"


def load(path: Path = RECORDED) -> Evidence:
    """The sweep as it was recorded."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    records = [Record(**{**each, **{part: {**found["shared"][part], **each[part]} for part in ("config", "tags")}})
               for each in found["records"]]
    return Evidence(Sweep(*found["sweep"]), [PlannedCell(*each) for each in found["plan"]], records,
                    parse_statement(json.dumps(found["statement"])), [], {})


def table(evidence: Evidence) -> str:
    """The table of results as Markdown."""
    return render(evidence.sheets()[0], "md")


def block(readme: str) -> str:
    """What stands between the marks."""
    return readme[readme.index(BEGIN) + len(BEGIN):readme.index(END)]


def main() -> None:
    from recyclelora.runs.tracking import Tracker  # which imports mlflow; the tests that read the records need none

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="the folder that the default sweep was run in")
    evidence = fetch(Tracker.open(parser.parse_args().results.resolve()), "default")
    write_text(RECORDED, dump(evidence))
    readme = README.read_text("utf-8")
    write_text(README, readme.replace(block(readme), table(load())))
    print(table(load()))


if __name__ == "__main__":
    main()
