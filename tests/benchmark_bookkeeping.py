"""What the driver spends on a sweep beside its trials: the checks before the first one, leases, and the books in MLflow.

    python -m tests.benchmark_bookkeeping [SERVER]

A sweep of 24 trials of 30 s, two side by side, is booked without its trials: the calls are those of real ones, with fifty
reports each and files of the size of the default sweep's. Printed are seconds of the clock and of the processor, and
their share of the sweep's 360 s. With the address of an MLflow server, the runs and leases are kept there."""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from recyclelora.config import flatten
from recyclelora.preflight.shared_folder import probing
from recyclelora.runs.tracking import Tracker
from recyclelora.sweeps.bookkeeping import bookkeeping
from recyclelora.sweeps.display import Board
from recyclelora.sweeps.jobs import Job
from recyclelora.sweeps.options import Options
from recyclelora.sweeps.preflight import examine, question_of
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from recyclelora.trials.trial import Progress
from tests.tiny_config import tiny

TRIALS, SECONDS, SIDE_BY_SIDE, REPORTS = 24, 30.0, 2, 50
SIZES = {"config.yaml": 3_000, "adapter.safetensors": 10_000_000, "head.safetensors": 1_000_000, "confusions.safetensors": 300_000}


def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(Path(folder, "results"), Path(folder, "cache"), None)
        tracker = Tracker.open(paths.results, experiment=f"benchmark-{time.time_ns()}", uri=uri)
        configs = [tiny(seed=seed) for seed in range(TRIALS)]
        jobs = [job_of(f"{tracker._owner[:8]}{seed}", flatten(config), seed) for seed, config in enumerate(configs)]
        whole = TRIALS * SECONDS / SIDE_BY_SIDE
        with timed("checks before the first trial", whole):
            with probing(question_of(configs, jobs, paths, Options(store=uri))) as asked:
                examine(asked)
        for job in jobs:
            leave(record_of(job), paths.trial(job.fingerprint))
        console, board = Console(quiet=True), Board("s", "miou/source", TRIALS)
        with tracker.leasing() as leases, bookkeeping(tracker, None, paths, board, console, leases=leases) as keeper:
            with timed("leases", whole):
                for job in jobs:
                    assert keeper.claim(job)
                if uri:
                    for _ in range(int(whole / 10)):
                        leases.beat()  # type: ignore[union-attr]
            with timed("starts", whole):
                for job in jobs:
                    keeper.started(job)
            with timed("reports", whole):
                for step in range(1, REPORTS + 1):
                    for job in jobs:
                        keeper.progressed(job, progress(step))
            with timed("ends, with files", whole):
                for job in jobs:
                    keeper.ended(job, record_of(job))
        assert board.done == TRIALS


def job_of(fingerprint: str, config: dict, seed: int) -> Job:  # type: ignore[type-arg]
    tags = {"fingerprint": fingerprint, "seed": str(seed), "cell": "a", "sweep": "s", "weights_sha256": "w", "data_fingerprint": "d",
            "protocol": "p" * 100, "selection": "last"}
    return Job("a", {}, fingerprint, config, tags)


def progress(step: int) -> Progress:
    news = {f"{kind}/{name}": 1.0 / step for kind in ("loss", "lr") for name in ("total", "class", "mask", "dice")}
    return Progress(step, REPORTS, news, [(step, news)])


def record_of(job: Job) -> Record:
    metrics = {f"iou/{domain}/{name}": 0.5 for domain in range(8) for name in range(19)}
    return Record(fingerprint=job.fingerprint, config=job.config, outcome="finished", tags=job.tags, iteration=REPORTS,
                  metrics={**metrics, "miou/source": 0.5, "params/adapter": 9.0})


def leave(record: Record, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, size in SIZES.items():
        (folder / name).write_bytes(bytes(size))
    (folder / "record.json").write_text(json.dumps(asdict(record)))


@contextmanager
def timed(what: str, whole: float) -> Iterator[None]:
    clock, processor = time.monotonic(), time.process_time()
    yield
    clock, processor = time.monotonic() - clock, time.process_time() - processor
    print(f"{what:30} {clock:7.2f} s ({100 * clock / whole:5.2f} %)   processor {processor:7.2f} s ({100 * processor / whole:5.2f} %)")


if __name__ == "__main__":
    main()
