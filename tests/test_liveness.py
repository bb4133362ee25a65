"""Every knob of every shipped space and experiment is live: two of its values give other parameters, groups, schedule or batches. A
sweep over a dead knob makes a clean, false table. The cases are generated from the YAML files themselves."""

from pathlib import Path
from typing import Any

import pytest
import torch

from recyclelora.config import Config
from recyclelora.settings import Settings
from recyclelora.spaces.space import Space, expand
from recyclelora.spaces.space_file import _probes, read_space
from recyclelora.training.checkpoint import digest
from recyclelora.training.optim import apply_schedule, build_optimiser
from recyclelora.trials import build
from recyclelora.trials.assembly import groups_of, schedule_of, training_batches
from recyclelora.trials.paths import Paths
from tests.test_config import NEEDED, OTHER

ROOT = Path(__file__).resolve().parent.parent
SPACES = [read_space(path) for folder in ("search_spaces", "experiments") for path in sorted((ROOT / folder).glob("*.yaml"))]
NEEDS = {"dinov2_small"}  # backbones whose weights can be had without a hub; the others are built at random


def cases() -> list[Any]:
    return [pytest.param(space, parameter.key, id=f"{space.name}-{parameter.key}")
            for space in SPACES for parameter in space.parameters]


def signature(config: Config, paths: Paths) -> dict[str, Any]:
    """Everything training is made of: the start, who is trained at which rate and when, the data, the protocol."""
    domains = build.open_domains(config, paths)
    weights = build.find_weights(config, paths.cache).path if config.backbone.name in NEEDS else None
    segmentor = build.build(config, weights, paths.cache, len(domains.train.space.classes))  # type: ignore[arg-type]
    optimiser = build_optimiser(groups_of(segmentor, config))
    rates = [apply_schedule(optimiser, iteration, schedule_of(config))
             for iteration in (1, config.training.iterations // 2)]
    source = training_batches(config, domains, 0, torch.device("cpu"))
    images, labels = next(source)
    source.close()
    return {"tensors": digest({**dict(segmentor.named_parameters()), **dict(segmentor.named_buffers())}),
            "trained": [name for name, p in segmentor.named_parameters() if p.requires_grad], "rates": rates,
            "decay": [(group["weight_decay"], len(group["params"])) for group in optimiser.param_groups],
            "batch": digest({"images": images, "labels": labels})}


@pytest.mark.parametrize(("space", "key"), cases())
def test_a_swept_knob_changes_what_is_trained(space: Space, key: str, tmp_path: Path, cache: Path) -> None:
    parameter = next(parameter for parameter in space.parameters if parameter.key == key)
    points = [point for point in _probes(space) if key in point]
    one = next(point for point in points if point.get("adapter.method") != "frozen" or key == "adapter.method")
    values = parameter.values or (parameter.low, parameter.high)
    other = {**one, key: next(value for value in values if value != one[key])}
    drop = [later.key for later in space.parameters if later.key in other and not later.applies({**_flat(space), **other})]
    for dead in drop:
        del other[dead]
    paths = Paths(tmp_path, cache, None)
    configs = [_near(space.resolve(point, space.seeds[0]), paths) for point in (one, other)]
    if key == "backbone.name" and configs[1].backbone.name not in NEEDS:
        counts = [build._count(config.backbone, config.adapter) for config in configs]
        assert counts[0] != counts[1]
        return
    assert signature(configs[0], paths) != signature(configs[1], paths)


def _flat(space: Space) -> dict[str, Any]:
    from recyclelora.config import identity

    return identity(space.settings.resolve())


def _near(config: Config, paths: Paths) -> Config:
    """The config with source and target that need no files, so that the case runs anywhere."""
    from recyclelora.config import flatten

    return Settings({**flatten(config), "data.source": "scenes-day", "data.targets": ["scenes-night"]}).resolve()


def test_every_baseline_is_another_trial_than_every_cell() -> None:
    for space in SPACES:
        if space.baselines:
            assert len({repr(trial.config) for trial in expand(space)}) == len(list(expand(space)))


def test_every_key_of_a_named_cell_is_one_whose_life_is_tested() -> None:
    named = {key for space in SPACES for knobs in (*space.cells.values(), *space.components.values()) for key in knobs}
    assert named - {"adapter.method"} <= set(LIVE) and named


LIVE = [key for key in sorted(OTHER) if key.startswith(("seed", "adapter.", "head.", "training.", "data."))
        and key not in ("data.source", "data.targets", "adapter.alpha", "training.clip", "training.precision",
                        "training.accumulate", "training.compile", "training.start", "training.ema_start", "training.ema_momentum")]


@pytest.mark.parametrize("key", LIVE)
def test_every_setting_of_training_is_live(key: str, tmp_path: Path, cache: Path) -> None:
    from tests.tiny_config import TINY

    paths = Paths(tmp_path, cache, None)
    value = {"data.crop": [56, 42], "head.width": 64, "head.attention_heads": 8, "head.points": 32,
             "training.iterations": 8, "data.train_images": 5, "data.batch_size": 3, "adapter.sub.rank": 3,
             "head.queries": 24, "training.lr": 2e-3}.get(key, OTHER[key])
    base = Settings(dict(TINY)).override(NEEDED.get(key, {}), "x")
    one, other = base.resolve(), base.override({key: value}, "x").resolve()
    if key == "head.points":
        assert build.head_shape(one) != build.head_shape(other)
        return
    assert signature(one, paths) != signature(other, paths)


def test_alpha_clip_precision_and_parts_are_live(tmp_path: Path, cache: Path) -> None:
    """Knobs that act only once a step is made: the losses of the third iteration differ."""
    from recyclelora.trials.trial import run
    from tests.tiny_config import tiny

    def losses(**overrides: Any) -> list[float]:
        heard: list[float] = []
        config = tiny(training__iterations=3, evaluation__every=3, **overrides)
        run(config, Paths(tmp_path, cache, None), lambda progress: heard.append(progress.metrics["loss/total"]))
        return heard

    base = losses()
    for overrides in ({"adapter__alpha": 4.0}, {"training__clip": 1e-3}, {"training__precision": "bfloat16"},
                      {"training__precision": "float16"}, {"training__accumulate": 2}):
        changed = losses(**overrides)
        assert changed[-1] != base[-1], overrides
    assert torch.is_grad_enabled()
