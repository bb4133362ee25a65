"""Timing the real thing: on this machine, side by side on a Ray cluster, and where it cannot run."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from recyclelora.config import flatten
from recyclelora.costs import probe as probe_module
from recyclelora.costs.probe import Timing, cost_key, probe, probe_flat, time_classes
from recyclelora.errors import InputError
from recyclelora.trials.build import build, count_parameters, find_weights
from recyclelora.trials.paths import Paths
from tests.tiny_config import tiny


@pytest.fixture
def paths(tmp_path: Path, cache: Path) -> Paths:
    return Paths(tmp_path / "results", cache, None)


def test_a_probe_times_real_steps_and_keeps_nothing(paths: Paths) -> None:
    started = time.monotonic()
    timing = probe(tiny(), paths, steps=5)
    took = time.monotonic() - started
    assert len(timing.step_seconds) == 5 and min(timing.step_seconds) > 1e-3 and timing.note == ""
    assert sum(timing.step_seconds) + timing.start_seconds + timing.end_seconds < took and timing.end_seconds > 1e-3
    assert 0 < timing.evaluate_seconds_per_image < took
    assert timing.device == ("cpu" if not torch.cuda.is_available() else torch.cuda.get_device_name())
    parameters = 22e6 * 4  # DINOv2-S, float32
    assert parameters < timing.peak_memory_bytes < 64 * 2**30
    assert (timing.during_images, timing.final_images) == (2, 3 * (2 + 2)), "each domain's, and those of its panel"
    assert not paths.results.exists()


def test_time_runs_out_after_three_steps_at_least(paths: Paths) -> None:
    timing = probe(tiny(evaluation__selection="oracle", evaluation__images=5), paths, steps=50, seconds=1e-6)
    assert len(timing.step_seconds) == 3
    assert timing.note == "3 of 50 steps timed; images of 1 of 3 domains timed"
    assert (timing.during_images, timing.final_images) == (15, 15 + 9)


@pytest.mark.slow
def test_a_larger_crop_costs_more(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that ticks with the arithmetic: 16 times the pixels, behind a head with the same queries."""
    with FlopCounterMode(display=False) as counter:
        monkeypatch.setattr(probe_module, "time", SimpleNamespace(monotonic=lambda: counter.get_total_flops() / 1e12))
        small, large = (probe(tiny(data__crop=crop), paths, steps=3) for crop in ([42, 56], [168, 224]))
    assert min(large.step_seconds) > 8 * max(small.step_seconds)


def test_a_rate_that_would_diverge_is_timed_as_well(paths: Paths) -> None:
    assert len(probe(tiny(training__lr=1e30, training__clip=None), paths, steps=3).step_seconds) == 3


def test_a_class_that_cannot_run_here_says_why(paths: Paths) -> None:
    configs = [tiny(), tiny(seed=1), tiny(data__source="camvid-day"), tiny(adapter__main__rank=385)]
    asked: list[int] = []

    def here(function, arguments):  # type: ignore[no-untyped-def]
        asked.append(len(arguments))
        return [Timing([1.0], 1.0, 1.0, 1.0, 1, "cpu", "", 1, 1) for _ in arguments]

    timed = time_classes(configs, paths, here, slots=3)
    assert len(timed) == 3 and asked == [3], "two seeds are one class, timed with as many copies as run side by side"
    assert isinstance(timed[cost_key(configs[0])], list)
    assert "DATA_ROOT" in timed[cost_key(configs[2])] and "rank 385" in timed[cost_key(configs[3])]
    died = time_classes(configs[:1], paths, lambda function, arguments: ["the worker died", *here(function, arguments[1:])], 2)
    assert died == {cost_key(configs[0]): "the worker died"}, "packed like this, so would its trials"


def test_on_a_worker_bad_input_is_an_answer(paths: Paths) -> None:
    answer = probe_flat(flatten(tiny(data__source="camvid-day")), tuple(paths), 3, 1.0)
    assert isinstance(answer, str) and "DATA_ROOT" in answer


def test_parameters_are_counted_without_weights_or_data(tmp_path: Path, cache: Path) -> None:
    config = tiny()
    model = build(config, find_weights(config, cache).path, cache, 19)
    assert count_parameters(config) == {
        "layers": 48, "adapter": sum(p.numel() for p in model.vit.parameters() if p.requires_grad)}
    far = tiny(backbone__name="dinov2_large", backbone__patch_size=16, data__source="camvid-day", adapter__main__rank=32,
               adapter__sub__rank=4)
    assert count_parameters(far)["adapter"] == 14_155_776
    assert count_parameters(tiny(adapter__method="frozen")) == {"layers": 0, "adapter": 0}
    with pytest.raises(InputError, match="backbone.name: 'dinov2_smal' is not known"):
        count_parameters(tiny(backbone__name="dinov2_smal"))


def _meet(folder: str, number: int) -> bool:
    """Whether the other of two comes while this one is here: it waits, for as long as a slow machine may need."""
    (Path(folder) / str(number)).touch()
    deadline = time.monotonic() + 600
    while not (Path(folder) / str(1 - number)).exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _die(number: int) -> int:
    import os

    if number == 1:
        os._exit(3)
    return number


@pytest.mark.slow
def test_on_a_cluster_copies_run_side_by_side(paths: Paths, tmp_path: Path) -> None:
    from functools import partial

    from recyclelora.sweeps.capacity import share_of, working_nodes
    from recyclelora.sweeps.cluster import cluster, run_on_cluster

    with cluster(None):
        [node] = working_nodes().values()
        share = share_of([node], node["CPU"] / 2, 1.0)
        assert run_on_cluster(_meet, [(str(tmp_path), 0), (str(tmp_path), 1)], share) == [True, True]
        assert run_on_cluster(_die, [(0,), (1,)], share) == [0, "the worker died (WorkerCrashedError: killed, or out of memory)"]

        configs = [tiny(), tiny(seed=1), tiny(data__source="camvid-day")]
        timed = time_classes(configs, paths, partial(run_on_cluster, share=share), share.slots, steps=5)
    copies = timed[cost_key(configs[0])]
    assert len(copies) == share.slots == 2 and all(isinstance(copy, Timing) and len(copy.step_seconds) == 5 for copy in copies)
    assert all(copy.peak_memory_bytes < 4 * 2**30 for copy in copies), "a process of its own, that of no other trial"
    assert "DATA_ROOT" in timed[cost_key(configs[2])]


def test_several_sources_are_timed(paths: Paths) -> None:
    timing = probe(tiny(data__source="scenes-day+scenes-fog", data__train_images=[4, None]), paths, steps=3)
    assert len(timing.step_seconds) == 3 and timing.note == ""
    assert timing.final_images == (4 + 2 + 2) + (3 + 2 + 2), "the sources are one domain; then the panels"
