"""Trials that say where they ran, on a cluster that is joined. Started by tests, as `python -m tests.elastic_sweep FOLDER
SEEDS SECONDS [CPUS GPUS SLOTS]`; prints what is shown without a terminal."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recyclelora.errors import InputError, Outage
from recyclelora.sweeps.bookkeeping import Bookkeeper
from recyclelora.sweeps.display import Board, Display
from recyclelora.sweeps.jobs import Job
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.trials.trial import Progress

STARTS = "starts"  # beside the folder of the results: a character for each actor that has begun to start on a slow node
PLACES = "places"  # one line for each try of a trial: its seed, its node, its process, and when it began


def place(config: dict[str, Any], paths: Paths, report: Callable[[Progress], None], expected: Mapping[str, str]) -> Record:
    """A trial that says where it runs and takes as many seconds as its weight decay says. The sixth waits until an actor
    is starting on a second node, those from the thirteenth on until two nodes are used; at most five minutes."""
    import ray

    with open(paths.results / PLACES, "a") as file:
        file.write(f"{config['seed']} {ray.get_runtime_context().get_node_id()} {os.getpid()} {time.time()}\n")
    time.sleep(config["training.weight_decay"])
    deadline, starting = time.monotonic() + 300, paths.results.parent / STARTS
    while time.monotonic() < deadline and (config["seed"] == 5 and not starting.exists()
                                           or config["seed"] > 11 and len(nodes_of(paths.results)) < 2):
        time.sleep(0.1)
    report(Progress(1, 1, {"miou/source": 0.5}, [(1, {"miou/source": 0.5})]))
    return Record(fingerprint=expected["fingerprint"], config=config, outcome="finished", iteration=1)


def nodes_of(folder: Path) -> set[str]:
    return {line.split()[1] for line in (folder / PLACES).read_text().splitlines()}


class Shown(Bookkeeper):
    """Shows what happens, and writes nothing down."""

    def __init__(self, board: Board, display: Display) -> None:
        self.board, self.display = board, display

    def look_around(self) -> None:
        pass

    def ready(self) -> bool:
        return True

    def claim(self, job: Job) -> bool:
        return True

    def started(self, job: Job) -> None:
        self.board.start(job.fingerprint, job.fingerprint)

    def progressed(self, job: Job, progress: Progress) -> None:
        self.display.refresh()

    def ended(self, job: Job, record: Record) -> None:
        self.board.end(job.fingerprint, record)
        self.display.refresh(ended=True)


def main(folder: Path, seeds: int, seconds: float, cpus: float = 1.0, gpus: float = 0.0, slots: int = 0) -> None:
    from rich.console import Console

    from recyclelora.config import flatten
    from recyclelora.spaces.space import expand
    from recyclelora.spaces.space_file import read_space
    from recyclelora.sweeps.capacity import share_of, working_nodes
    from recyclelora.sweeps.cluster import cluster
    from recyclelora.sweeps.ray_tune import run_design

    folder.mkdir(exist_ok=True)
    (folder / "space.yaml").write_text(f"config: {{training.iterations: 1, evaluation.every: 1, training.weight_decay: {seconds}}}\n"
                                       f"method: cells\ncells: {{one: {{}}}}\nseeds: {[*range(seeds)]}\n")
    paths, space = Paths(folder, folder / "cache", None), read_space(folder / "space.yaml")
    jobs = [Job("one", {}, f"seed-{each.config.seed}", flatten(each.config), {"seed": str(each.config.seed)})
            for each in expand(space)]
    board = Board("s", "miou/source", len(jobs))
    try:
        with (Display(board, Console(soft_wrap=True, force_terminal=False), pause=2.0) as display,
              cluster(os.environ["RAY_ADDRESS"])):
            share = share_of(working_nodes().values(), cpus, gpus, slots or None, joined=True)
            run_design(jobs, Shown(board, display), paths, share, space=space, name="s", trial=place)
    except (InputError, Outage) as error:
        print(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:6]), *map(int, sys.argv[6:7]))
