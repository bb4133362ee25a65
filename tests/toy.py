"""A trial with a known optimum that takes no time, for tests of the machinery around trials. The best score, 1, is at
training.lr = 1e-3; scores grow with the iterations; `init: svd` diverges; weight decay 0.9 crashes the worker once."""

import math
from collections.abc import Callable
from typing import Any

from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.trials.trial import Progress


def score(config: dict[str, Any], iteration: int) -> float:
    distance = abs(math.log10(config["training.lr"]) + 3)
    return (1 - 0.25 * distance) * (0.5 + 0.5 * iteration / config["training.iterations"])


def run(config: dict[str, Any], paths: Paths, report: Callable[[Progress], None]) -> Record:
    total, fingerprint = config["training.iterations"], str(config["seed"])
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
