"""Faults at random moments of a sweep, and what is left afterwards: `python -m tests.chaos --moments 20`, or `make chaos`.

Each case is a whole sweep of trials that cost nothing, in a process of its own; the fault comes at a moment drawn from a
seed, and then the same command is run until it has nothing left to do. What must hold after each is in `problems_of`."""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from recyclelora.documents import dump
from tests.chaos_trial import CHECKPOINT, EVERY, TOTAL, WORK
from tests.test_driver import Sweep
from tests.tiny_config import TINY

SPACE = ("base: config.yaml\nmethod: grid\nseeds: [0, 1]\nparameters:\n  adapter.init: {values: [rrqr, kaiming]}\n")
TRIALS = 4
KILLED = -int(signal.SIGKILL)
Process = subprocess.Popen[str]


class ToySweep(Sweep):
    """A sweep of trials that cost nothing."""

    module = "tests.chaos_trial"

    def __init__(self, folder: Path, cache: Path) -> None:
        super().__init__(folder, cache)
        self.environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
        (folder / "space.yaml").write_text(SPACE)
        (folder / "config.yaml").write_text(dump({**TINY, "training.iterations": TOTAL, "resources.hung_after": 15.0,
                                                  "resources.cpus": 0.5}))

    def kill(self, word: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the first of its processes whose command line has the word."""
        for pid in [pid for pid, command in self.commands().items() if word in command][:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def end_worker(sweep: ToySweep, process: Process) -> None:
    sweep.kill("ray::ImplicitFunc")  # a trial's; without an agent, which is called ray:: too, the whole node ends


def end_driver(sweep: ToySweep, process: Process) -> None:
    process.kill()


def end_raylet(sweep: ToySweep, process: Process) -> None:
    sweep.kill("raylet/raylet")


def freeze_raylet(sweep: ToySweep, process: Process) -> None:
    sweep.kill("raylet/raylet", signal.SIGSTOP)
    time.sleep(3)
    sweep.kill("raylet/raylet")


def end_head(sweep: ToySweep, process: Process) -> None:
    sweep.kill("gcs_server")


def terminate(sweep: ToySweep, process: Process) -> None:
    process.terminate()


def interrupt(sweep: ToySweep, process: Process) -> None:
    process.send_signal(signal.SIGINT)


def interrupt_twice(sweep: ToySweep, process: Process) -> None:
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)


def lock_database(sweep: ToySweep, process: Process) -> None:
    with contextlib.closing(sqlite3.connect(sweep.results / "mlflow.db", isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(8)
        other.execute("ROLLBACK")


def tear_checkpoints(sweep: ToySweep, process: Process) -> None:
    process.kill()
    sweep.wait_for_the_last()
    for path in sweep.results.glob(f"trials/*/{CHECKPOINT}"):
        path.write_text("")


def tear_histories(sweep: ToySweep, process: Process) -> None:
    process.kill()
    sweep.wait_for_the_last()
    for path in sweep.results.glob("trials/*/history.jsonl"):
        path.write_bytes(path.read_bytes() + b'[41, {"loss/to\xff')


def start_another(sweep: ToySweep, process: Process) -> None:
    other = sweep.start(alone=True)
    output, _ = other.communicate(timeout=300)
    assert other.returncode == 2 and output.count("\n") == 1 and "another sweep or training is running here" in output, output


def hang(sweep: ToySweep, process: Process) -> None:
    (sweep.results / "hang").touch()


def fall(sweep: ToySweep, process: Process) -> None:
    (sweep.results / "fall").touch()


def pause(sweep: ToySweep, process: Process) -> None:
    for verb in ("pause", "resume"):
        subprocess.run([sys.executable, "-m", "recyclelora.cli", verb, "--results", str(sweep.results)], check=False,
                       capture_output=True, env=sweep.environment)


class Fault(NamedTuple):
    """`codes`: the exit codes that the sweep may then end with. `again`: how many iterations of a trial may be done twice
    for each time that it starts again."""

    bring: Callable[[ToySweep, Process], None]
    codes: set[int]
    again: int = EVERY


FAULTS = {
    "SIGKILL of a worker": Fault(end_worker, {0}), "SIGKILL of the driver": Fault(end_driver, {0, KILLED}),
    "SIGKILL of the raylet": Fault(end_raylet, {0, 1}), "SIGSTOP, SIGKILL of the raylet": Fault(freeze_raylet, {0, 1}),
    "SIGKILL of the head": Fault(end_head, {0, 1}), "SIGTERM": Fault(terminate, {0, 130}), "Ctrl-C": Fault(interrupt, {0, 130}),
    "Ctrl-C twice": Fault(interrupt_twice, {0, 130}), "locked database": Fault(lock_database, {0}),
    "torn checkpoints": Fault(tear_checkpoints, {0, KILLED}, TOTAL), "torn curves": Fault(tear_histories, {0, KILLED}, TOTAL),
    "a second sweep in the folder": Fault(start_another, {0}), "a hang": Fault(hang, {0}), "out of memory": Fault(fall, {0}),
    "pause and resume": Fault(pause, {0})}


class Case(NamedTuple):
    """`moment`: iterations of all trials together after which the fault came; `seconds`: to the end of the last command;
    `codes`: of the commands, the first being the one that met the fault."""

    fault: str
    moment: int
    seconds: float
    codes: list[int]
    problems: list[str]


def run_case(name: str, moment: int, folder: Path, cache: Path, table: bytes | None) -> Case:
    """One sweep with one fault."""
    sweep, began, output = ToySweep(folder, cache), time.monotonic(), ""
    process = sweep.start(alone=True)
    with contextlib.suppress(AssertionError):  # it was quicker: the fault then comes after the last trial
        sweep.wait_for_steps(moment, process)
    FAULTS[name].bring(sweep, process)
    output, _ = process.communicate(timeout=600)
    codes = [process.returncode]
    sweep.wait_for_the_last()
    while codes[-1] != 0 and len(codes) < 4:
        code, more = sweep.finish()
        codes.append(code)
        output += more
    problems = [] if codes[0] in FAULTS[name].codes else [f"exit code {codes[0]}"]
    problems += problems_of(sweep, output, FAULTS[name].again, table) if codes[-1] == 0 else [f"never done: {output[-600:]}"]
    return Case(name, moment, round(time.monotonic() - began, 1), codes, problems)


def problems_of(sweep: ToySweep, output: str, again: int, table: bytes | None) -> list[str]:
    """What does not hold after a sweep that went on to its end: every trial booked once and closed, each step once, little
    work done twice, the same table, nothing of Ray's or Python's on the terminal."""
    found, trials = [], sweep.trials()
    statuses = Counter(run.info.status for run in sweep.runs())
    if statuses != {"FINISHED": TRIALS + 1} or len({run.data.tags["fingerprint"] for run in trials}) != TRIALS:
        found.append(f"runs: {dict(statuses)}")
    for run in trials:
        steps = sweep.history(run, "loss/total")
        if steps != list(range(1, TOTAL + 1)):
            found.append(f"steps of {run.info.run_name}: {Counter(steps).most_common(2)} of {len(steps)}")
    for path in sweep.results.glob(f"trials/*/{WORK}"):
        if len(path.read_text()) > TOTAL + 2 * again:  # what a fault ends, and what the next command's own start repeats
            found.append(f"work done again in {path.parent.name}: {len(path.read_text()) - TOTAL} iterations")
    if table is not None and table_of(sweep) != table:
        found.append("another table")
    if list(sweep.results.rglob("unbooked.json")):
        found.append("notes are left")
    found += [f"on the terminal: {line[:200]}" for line in output.splitlines()
              if re.search(r"Traceback|\(raylet\)|\[20\d\d-\d\d-\d\d .* [EWF] |core_worker|gcs_rpc", line)]
    return found


def table_of(sweep: ToySweep) -> bytes:
    return (sweep.results / "tables" / "space.md").read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description="Bring faults at random moments of a sweep, and look at what is left.")
    parser.add_argument("--moments", type=int, default=20, help="of each fault [20]")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only this one (repeatable)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder for chaos/chaos.json [results]")
    parser.add_argument("--seed", type=int, default=0, help="of the moments [0]")
    given = parser.parse_args()
    cache = Path(os.environ.get("RECYCLELORA_CACHE", given.results / "cache")).resolve()
    draw, cases = random.Random(given.seed), list[Case]()
    with tempfile.TemporaryDirectory(prefix="chaos-") as top:
        calm = ToySweep(_folder(top, "calm"), cache)
        code, output = calm.finish()
        assert code == 0, output
        for place in range(given.moments):
            for name in given.fault or FAULTS:
                case = run_case(name, draw.randrange(TRIALS * TOTAL), _folder(top, f"{len(cases)}"), cache, table_of(calm))
                cases.append(case)
                print(f"{place + 1:3} {case.fault:32} after {case.moment:3} iterations, {case.seconds:5.1f} s, codes {case.codes}: "
                      f"{'; '.join(case.problems) or 'all holds'}", flush=True)
    place = given.results / "chaos" / "chaos.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps([case._asdict() for case in cases], indent=1))
    bad = sum(bool(case.problems) for case in cases)
    print(f"{len(cases)} cases, {bad} with problems; {place}")
    return 1 if bad else 0


def _folder(top: str, name: str) -> Path:
    folder = Path(top) / name
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
