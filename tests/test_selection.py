"""Which scored moment becomes the model: kept across restarts, ties and undefined scores included."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from recyclelora.trials.selection import Selector


def model(value: float) -> nn.Module:
    """Two tensors, of which one is trained."""
    made = nn.Linear(1, 1)
    with torch.no_grad():
        made.weight.fill_(value)
        made.bias.fill_(value)
    made.bias.requires_grad_(False)
    return made


def scores(value: float) -> dict[str, float]:
    """The rules look at different ones, and these at last would choose otherwise."""
    return {"miou/source": value, "miou/target_mean": 1 - value}


@pytest.mark.parametrize(("rule", "best"), [("source_val", 0.7), ("oracle", 0.2)])
def test_the_best_by_its_own_score_is_restored(tmp_path: Path, rule: str, best: float) -> None:
    selector = Selector(rule, tmp_path)  # type: ignore[arg-type]
    for value in (0.5, 0.7, 0.2, 0.6):
        selector.offer(model(value), scores(value))
    found = model(-1.0)
    selector.restore(found)
    assert float(found.weight.detach()) == pytest.approx(best) and float(found.bias) == -1.0, "what is trained, alone"
    assert list(load_file(tmp_path / "best.safetensors")) == ["weight"]


def test_of_equal_scores_the_first_stays(tmp_path: Path) -> None:
    selector = Selector("source_val", tmp_path)
    for value in (1.0, 2.0):
        selector.offer(model(value), {"miou/source": 0.3})
    selector.restore(found := model(0.0))
    assert float(found.weight.detach()) == 1.0


@pytest.mark.parametrize("undefined", [math.nan, math.inf, -math.inf])
def test_an_undefined_score_is_never_the_best(tmp_path: Path, undefined: float) -> None:
    selector = Selector("source_val", tmp_path)
    selector.offer(model(9.0), {"miou/source": undefined})
    selector.restore(found := model(0.0))
    assert float(found.weight.detach()) == 0.0 and not selector.path.exists()
    selector.offer(model(1.0), {"miou/source": 0.0})
    selector.offer(model(9.0), {"miou/source": undefined})
    selector.restore(found)
    assert float(found.weight.detach()) == 1.0


def test_a_restarted_trial_goes_on_from_its_best(tmp_path: Path) -> None:
    Selector("source_val", tmp_path).offer(model(1.0), {"miou/source": 1 / 3})
    again = Selector("source_val", tmp_path)
    assert again.best == 1 / 3, "to the last bit"
    again.offer(model(2.0), {"miou/source": 0.33})
    again.restore(found := model(0.0))
    assert float(found.weight.detach()) == 1.0
    again.offer(model(3.0), {"miou/source": 0.34})
    assert Selector("source_val", tmp_path).best == again.best == 0.34


def test_the_last_is_the_model_as_it_is(tmp_path: Path) -> None:
    Selector("source_val", tmp_path).offer(model(1.0), {"miou/source": 0.5})  # of another rule, left behind
    selector = Selector("last", tmp_path)
    selector.offer(model(2.0), {})
    selector.restore(found := model(3.0))
    assert float(found.weight.detach()) == 3.0
    assert Selector("source_val", tmp_path).best == 0.5, "untouched"
