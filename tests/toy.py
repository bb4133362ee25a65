"""A trial with a known optimum that takes no time, for tests of the machinery around trials. The best score, 1, is at
training.lr = 1e-3; scores grow with the iterations; `init: svd` diverges; weight decay 0.9 crashes the worker once."""

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from recyclelora.errors import InputError
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.trials.trial import Progress


def score(config: dict[str, Any], iteration: int) -> float:
    distance = abs(math.log10(config["training.lr"]) + 3)
    return (1 - 0.25 * distance) * (0.5 + 0.5 * iteration / config["training.iterations"])


def run(config: dict[str, Any], paths: Paths, report: Callable[[Progress], None], expected: Mapping[str, str]) -> Record:
    total, fingerprint = config["training.iterations"], expected["fingerprint"]
    folder = paths.trial(f"toy-{config['training.lr']}-{config['adapter.init']}-{config['seed']}")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "starts", "a") as file:
        file.write("x")
    if config["training.weight_decay"] == 0.9 and len((folder / "starts").read_text()) < 2:
        raise RuntimeError("the worker fell over")
    for iteration in range(1, total + 1):
        if config["adapter.init"] == "svd" and iteration == 3:
            return Record(fingerprint=fingerprint, config=config, outcome="failed", reason="diverged at iteration 3: nan",
                          iteration=3, metrics={"loss/total": math.nan})
        news = {"miou/source": score(config, iteration), "loss/total": 1 / iteration}
        report(Progress(iteration, total, news, [(iteration, news)]))
    return Record(fingerprint=fingerprint, config=config, outcome="finished", iteration=total,
                  metrics={"miou/source": score(config, total)})


def run_error(config: dict[str, Any], paths: Paths, report: Callable[[Progress], None], expected: Mapping[str, str]) -> Record:
    """The same trial, with its distance from the best score under the same name: 0 is the best."""
    def told(progress: Progress) -> None:
        news = {**progress.metrics, "miou/source": 1 - progress.metrics["miou/source"]}
        report(Progress(progress.done, progress.total, news, [(progress.done, news)]))

    record = run(config, paths, told, expected)
    return replace(record, metrics={"miou/source": 1 - record.metrics["miou/source"]})


def fail(how: str) -> str:
    """A function for a worker that fails in one way or another."""
    match how:
        case "value":
            raise ValueError("two lines\nof complaint")
        case "input":
            raise InputError("bad input")
        case "exit":
            os._exit(1)
    return how


def wait(mark: str) -> None:
    """A function for a worker that says when it has begun, and then takes for ever."""
    open(mark, "x").close()
    time.sleep(3600)


def refuse(config: dict[str, Any], paths: Paths, report: Callable[[Progress], None], expected: Mapping[str, str]) -> Record:
    raise InputError("no such image")


def fall(config: dict[str, Any], paths: Paths, report: Callable[[Progress], None], expected: Mapping[str, str]) -> Record:
    """A trial that the seed makes fail: each kind of failure that a worker tells itself, a death, or a hang."""
    with open(paths.results / f"tries-{config['seed']}", "a") as file:
        file.write("x")
    report(Progress(1, 3, {"miou/source": 0.1}, [(1, {"miou/source": 0.1})]))
    match config["seed"]:
        case 0:
            raise MemoryError
        case 1:
            raise OSError(28, "No space left on device")
        case 2:
            raise ZeroDivisionError("division by zero")
        case 3:
            os._exit(1)
        case 4:
            time.sleep(3600)
        case 5:
            time.sleep(1)
            report(Progress(2, 3, {"miou/source": 0.1}, [(2, {"miou/source": 0.1})]))
    raise InputError("no such image")
