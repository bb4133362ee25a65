"""Plans and records as a sweep would leave them, for the tests of the tables."""

import random

from recyclelora.runs.planned_cells import PlannedCell
from recyclelora.runs.run import Sweep
from recyclelora.trials.record import Record

TARGETS = ["scenes-night", "scenes-fog"]
TAGS = {"protocol": "native size, window 112x84 stride 56x56, test split, all images", "selection": "last",
        "label_space": "cityscapes19", "weights_sha256": "0123456789ab" + "c" * 52, "data_fingerprint": "d" * 64,
        "commit": "abc123def456", "dirty": "false"}
NOISE = {0: (0.004, -0.003), 1: (-0.002, 0.001), 2: (0.001, 0.005), 3: (0.002, -0.001), 4: (0.0, 0.0)}
RANKS: dict[str, dict[str, object]] = {f"main.rank={rank}": {"adapter.main.rank": rank} for rank in (4, 8, 16)}
LEVELS = {"main.rank=4": 0.30, "main.rank=8": 0.35, "main.rank=16": 0.351}


def sweep(name: str = "rank", method: str = "grid", objective: str = "miou/target_mean") -> Sweep:
    return Sweep(name, "0" * 32, method, objective, "maximize")


def planned(cells: dict[str, dict[str, object]], seeds: tuple[int, ...] = (0, 1, 2)) -> list[PlannedCell]:
    return [PlannedCell(cell, seed, f"{number:02d}{seed:02d}" * 4, knobs)
            for seed in seeds for number, (cell, knobs) in enumerate(cells.items())]


def record(cell: PlannedCell, level: float, outcome: str = "finished", **tags: str) -> Record:
    """A run at about `level` mIoU, with a seed's noise; the seeds' noise is alike in all cells, with a little of its
    own for each level, so that paired differences are small but not constant."""
    night, fog = (level + noise + (cell.seed - 1) * level / 500 for noise in NOISE[cell.seed])
    scores = {"miou/scenes-night": night, "miou/scenes-fog": fog, "miou/target_mean": (night + fog) / 2,
              "miou/source": level + 0.1 + NOISE[cell.seed][1], "chance/scenes-night": 0.031,
              "chance/scenes-fog": 0.027, "chance/source": 0.03,
              "params/adapter": 24576.0 * int(str(cell.knobs.get("adapter.main.rank", 0)))}
    config = {"seed": cell.seed, "data.source": "scenes-day", "data.targets": TARGETS,
              "adapter.method": "recyclelora", "adapter.init": "rrqr", **cell.knobs}
    reason = {"failed": "diverged", "pruned": "stopped early"}.get(outcome, "")
    return Record(fingerprint=cell.fingerprint, config=config, outcome=outcome,  # type: ignore[arg-type]
                  metrics=scores if outcome != "failed" else {}, reason=reason,
                  iteration=40 if outcome == "pruned" else 100,
                  tags={**TAGS, "cell": cell.cell, "run_id": f"{cell.fingerprint}{'1' * 16}", **tags})


def ordinary(seeds: tuple[int, ...] = (0, 1, 2)) -> tuple[list[PlannedCell], list[Record]]:
    plan = planned(RANKS, seeds)
    return plan, [record(cell, LEVELS[cell.cell]) for cell in plan]


def scored(values: dict[str, list[float]], metric: str = "miou/target_mean",
           knobs: dict[str, dict[str, object]] | None = None) -> tuple[list[PlannedCell], list[Record]]:
    """A sweep whose only metric has these values, cell -> one per seed; nan: the run has not ended."""
    seeds = tuple(range(max(map(len, values.values()))))
    plan = planned({cell: (knobs or {}).get(cell, {"adapter.note": cell}) for cell in values}, seeds)
    records = []
    for each in plan:
        value = values[each.cell][each.seed] if each.seed < len(values[each.cell]) else float("nan")
        if value == value:
            records.append(Record(fingerprint=each.fingerprint, outcome="finished", metrics={metric: value},
                                  config={"seed": each.seed, **each.knobs},
                                  tags={**TAGS, "cell": each.cell, "run_id": f"run-{each.fingerprint}"}))
    return plan, records


def noisy(levels: dict[str, float], noise: float, seeds: int = 5, draw: int = 0) -> dict[str, list[float]]:
    """Cell -> values about its level, each with its own normal noise."""
    generator = random.Random(draw)
    return {cell: [level + generator.gauss(0, noise) for _ in range(seeds)] for cell, level in levels.items()}
