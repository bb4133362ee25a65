"""A trial that costs nothing and leaves what a real one leaves: checkpoints, a curve, a record and files. Run as a module
it is the command line with such trials.

`work.log` in its folder has a letter for each iteration that was done, also for those done again. A file `hang` or `fall`
in RESULTS makes the first trial that finds it do so; the file is then gone."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recyclelora.trials.delivery import ADAPTER, NEEDED, RECORD
from recyclelora.trials.history import HISTORY, History, read_history
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record, read_record
from recyclelora.trials.trial import Progress
from recyclelora.writing import locked, write_text

TOTAL, EVERY, PAUSE = 40, 5, 0.05  # iterations, iterations between checkpoints, seconds for each
CHECKPOINT, WORK = "checkpoint.json", "work.log"


def run(config: dict[str, Any], paths: Paths, report: Callable[[Progress], None], expected: Mapping[str, str]) -> Record:
    folder = paths.trial(expected["fingerprint"])
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock", patience=60):
        done = read_record(folder)
        if done is not None:
            report(Progress(TOTAL, TOTAL, done.metrics, read_history(folder / HISTORY)))
            return done
        train(folder, paths.results, report)
        return finish(folder, config, expected)


def train(folder: Path, results: Path, report: Callable[[Progress], None]) -> None:
    start = checkpoint_in(folder)
    history = History(folder / HISTORY, start)
    if start:
        report(Progress(start, TOTAL, history.newest, list(history.entries)))
    for iteration in range(start + 1, TOTAL + 1):
        time.sleep(PAUSE)
        misbehave(results)
        with open(folder / WORK, "a") as work:
            work.write("x")
        news = {"loss/total": 1 / iteration, "miou/source": iteration / 100}
        history.add(iteration, news)
        report(Progress(iteration, TOTAL, history.newest, [(iteration, news)]))
        if iteration % EVERY == 0:
            write_text(folder / CHECKPOINT, json.dumps(iteration))


def checkpoint_in(folder: Path) -> int:
    try:
        return int(json.loads((folder / CHECKPOINT).read_text()))
    except (OSError, ValueError):  # none, or a torn one: from the start, as a real trial does
        return 0


def misbehave(results: Path) -> None:
    for how in ("hang", "fall"):
        try:
            (results / how).unlink()
        except FileNotFoundError:
            continue
        if how == "fall":
            raise MemoryError("so it was asked")
        time.sleep(3600)


def finish(folder: Path, config: dict[str, Any], expected: Mapping[str, str]) -> Record:
    for name in {*NEEDED, ADAPTER} - {RECORD}:
        write_text(folder / name, name)
    score = 0.3 + config["seed"] / 50 + (config["adapter.init"] == "rrqr") / 20
    domains = ("source", "scenes-night", "scenes-fog", "target_mean")
    metrics = {f"miou/{name}": score for name in domains} | {f"chance/{name}": 0.02 for name in domains}
    record = Record(fingerprint=expected["fingerprint"], config=config, outcome="finished", tags=dict(expected), iteration=TOTAL,
                    metrics={**metrics, "loss/total": 1 / TOTAL, "params/adapter": 9.0, "params/trainable": 99.0})
    write_text(folder / RECORD, json.dumps(asdict(record)))
    return record


if __name__ == "__main__":
    from recyclelora import cli
    from recyclelora.sweeps import ray_tune
    from tests import chaos_trial

    ray_tune.run_flat = chaos_trial.run
    sys.exit(cli.main())
