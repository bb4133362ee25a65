"""From ten thousand tracked runs to tables, beside MLflow's own way to read them, in one process, taking turns:

    python -m tests.benchmark_tables [--sweeps 40] [--rounds 3] [--points 20]

Ours: the sweeps, their plans, statements and records, by SQL and by MLflow's API as from a server, and then all their
tables in all formats.
MLflow's: `mlflow.search_runs` of the experiment into a pandas table, which holds no table of cells yet.

A run has 60 params, 80 metrics and 20 tags; every tenth has `points` values of ten of its metrics. Then the peak memory
of each way in a process of its own, and all again with ten times the points."""

import argparse
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow

from recyclelora.runs.encoding import encode
from recyclelora.runs.planned_cells import PlannedCell
from recyclelora.runs.store import Store
from recyclelora.runs.tracking import Tracker
from recyclelora.spaces.statement import Expectation, Statement, dump_statement
from recyclelora.tables import formats, sweep_sheets
from tests.ablation import record

RANKS, INITS, SEEDS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64), ("rrqr", "svd", "kaiming", "pissa", "random"), range(5)
STATED = Statement(claim="Rank and start", baseline="r=1, rrqr", factors=("adapter.main.rank", "adapter.init"),
                   expectations=(Expectation("r=64, rrqr", "r=1, rrqr", "miou/target_mean"),),
                   tables=("results", "differences", "effects"))
COLUMNS = {"runs": "run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id",
           "tags": "key, value, run_uuid", "params": "key, value, run_uuid",
           "latest_metrics": "key, value, timestamp, step, is_nan, run_uuid",
           "metrics": "key, value, timestamp, step, is_nan, run_uuid"}


def plan_of(sweep: int) -> list[PlannedCell]:
    return [PlannedCell(f"r={rank}, {init}", seed, f"{sweep:04d}{rank:04d}{number:04d}{seed:04d}",
                        {"adapter.main.rank": rank, "adapter.init": init})
            for rank in RANKS for number, init in enumerate(INITS) for seed in SEEDS]


def rows_of(cell: PlannedCell, sweep: str, number: int, experiment: str, points: int
            ) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Table and row, for everything that MLflow keeps of one run."""
    run_id, found = f"{number:032x}", record(cell, 0.3 + number % 97 / 1000)
    yield "runs", (run_id, f"{cell.cell}, seed {cell.seed}", "me", "FINISHED", number, number + 1, "active",
                   f"file:///nowhere/{run_id}/artifacts", experiment)
    tags = {**found.tags, "kind": "trial", "fingerprint": cell.fingerprint, "sweep": sweep, f"sweep.{sweep}": cell.cell,
            "seed": str(cell.seed), "outcome": "finished", "iteration": "100"}
    tags = {**tags, **{f"tag.{i}": f"value {i}" for i in range(20 - len(tags))}}
    yield from (("tags", (key, value, run_id)) for key, value in tags.items())
    config = {**found.config, **{f"part.knob_{i}": (i * 0.5, "word", True, None)[i % 4] for i in range(54)}}
    yield from (("params", (key, encode(value), run_id)) for key, value in config.items())
    metrics = {**found.metrics, **{f"iou/scenes-fog/class {i}": i / 100 for i in range(62)},
               **{f"loss/part {i}": number / (i + 1) for i in range(10)}}
    yield from (("latest_metrics", (key, value, 1, 100, 0, run_id)) for key, value in metrics.items())
    yield from (("metrics", (key, value, 1, 100, 0, run_id)) for key, value in metrics.items())
    yield from history_of(number, range(points))


def history_of(number: int, steps: range) -> Iterator[tuple[str, tuple[object, ...]]]:
    if number % 10 == 0:
        yield from (("metrics", (f"loss/part {i}", 1.0, 0, -1 - step, 0, f"{number:032x}"))
                    for i in range(10) for step in steps)


def insert(file: Path, rows: Iterator[tuple[str, tuple[object, ...]]]) -> None:
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA synchronous = OFF")
        for table, row in rows:
            database.execute(f"INSERT INTO {table} ({COLUMNS[table]}) VALUES ({', '.join('?' * len(row))})", row)
    database.close()


def build(results: Path, sweeps: int, points: int) -> int:
    """A store of so many sweeps; returns how many runs they have, each of which MLflow can read."""
    tracker = Tracker.open(results)
    plans = {f"sweep-{i:03d}": plan_of(i) for i in range(sweeps)}
    for name, plan in plans.items():
        parent = tracker.sweep_run(name, plan, statement=dump_statement(STATED))
        tracker.close_sweep(parent)
    cells = [(cell, name) for name, plan in plans.items() for cell in plan]
    insert(results / "mlflow.db", (row for number, (cell, name) in enumerate(cells)
                                   for row in rows_of(cell, name, number, tracker._experiment_id, points)))
    for number in (0, len(cells) - 1):
        run = mlflow.MlflowClient(tracking_uri=tracker._uri).get_run(f"{number:032x}")
        sizes = len(run.data.params), len(run.data.metrics), len(run.data.tags)
        assert sizes == (60, 80, 20), sizes
    return len(cells)


def read(results: Path) -> int:
    return count(Tracker.open(results))


def read_by_api(results: Path) -> int:
    tracker = Tracker.open(results)
    tracker._store = Store(tracker._client, tracker._experiment_id, None)
    return count(tracker)


def count(tracker: Tracker) -> int:
    """The runs of all sweeps, each read with its plan."""
    return sum(len(tracker.plan(sweep.name)) == len(tracker.records(sweep.name)) and len(tracker.records(sweep.name))
               for sweep in tracker.sweeps())


def tabulate(results: Path) -> int:
    """Read one sweep after the other and write its tables."""
    tracker, found = Tracker.open(results), 0
    for sweep in tracker.sweeps():
        records = tracker.records(sweep.name)
        for sheet in sweep_sheets.build(sweep, tracker.plan(sweep.name), records, tracker.statement(sweep.name)):
            formats.write(sheet, results / "tables")
        found += len(records)
    return found


def search(results: Path) -> int:
    mlflow.set_tracking_uri(f"sqlite:///{results}/mlflow.db")
    frame = mlflow.search_runs(experiment_names=["recyclelora"], max_results=100_000)
    return int((frame["tags.kind"] == "trial").sum())


WAYS: dict[str, Callable[[Path], int]] = {"ours, read": read, "ours, read by MLflow's API": read_by_api,
                                          "ours, read and tables": tabulate, "mlflow.search_runs": search}


def compare(results: Path, runs: int, rounds: int) -> None:
    """Print each way's time relative to MLflow's: the median of rounds, and the range."""
    clocks: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            begun = time.perf_counter(), time.process_time()
            assert way(results) == runs, name
            clocks[name].append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    for name, taken in clocks.items():
        for kind, clock in enumerate(("elapsed", "processor")):
            ratios = [theirs[kind] / own[kind] for own, theirs in zip(taken, clocks["mlflow.search_runs"], strict=True)]
            print(f"  {statistics.median(ratios):6.1f}x as fast ({min(ratios):.1f}-{max(ratios):.1f})  "
                  f"{statistics.median(own[kind] for own in taken):7.2f} s {clock:9}  {name}", flush=True)


def weigh(results: Path, name: str) -> None:
    """Print the peak memory of one way in a process of its own, and what it had before."""
    out = subprocess.run([sys.executable, "-m", "tests.benchmark_tables", "--store", str(results), "--way", name],
                         check=True, capture_output=True, text=True).stdout
    before, peak = json.loads(out.splitlines()[-1])
    print(f"  peak {peak / 1024:6.0f} MiB, {(peak - before) / 1024:6.0f} MiB of it for the data  {name}", flush=True)


def measure_memory(results: Path, name: str) -> None:
    before = peak_memory()
    WAYS[name](results)
    print(json.dumps([before, peak_memory()]))


def peak_memory() -> int:
    """KiB. `ru_maxrss` would count what the process that started this one had."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=40, help="of 250 runs each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.way:
        measure_memory(chosen.store, chosen.way)
        return
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder)
        runs, points = build(results, chosen.sweeps, chosen.points), chosen.points
        for more in (0, 9 * chosen.points):
            insert(results / "mlflow.db", (row for number in range(runs)
                                           for row in history_of(number, range(points, points + more))))
            size = (results / "mlflow.db").stat().st_size / 2**20
            print(f"\n{runs} runs, {points + more} points of some metrics, {size:.0f} MiB, {chosen.rounds} rounds")
            compare(results, runs, chosen.rounds)
            for name in WAYS:
                weigh(results, name)


if __name__ == "__main__":
    main()
