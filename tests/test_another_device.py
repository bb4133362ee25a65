"""On a device that is not the CPU the same is computed, and nothing lies on the wrong side: what a GPU would refuse is
refused by `elsewhere`."""

from pathlib import Path

import pytest
import torch

from recyclelora.config import Config
from recyclelora.trials import trial
from recyclelora.trials.paths import Paths
from recyclelora.trials.record import Record
from tests.elsewhere import Elsewhere, second_device
from tests.tiny_config import tiny

TIMES = ("time/", "memory/")


def test_two_devices_do_not_mix() -> None:
    with second_device() as device:
        here, there = torch.randn(2, 3), torch.randn(2, 3).to(device)
        assert isinstance(there, Elsewhere) and there.device == device and not isinstance(there.cpu(), Elsewhere)
        assert isinstance(torch.zeros(2, device=device), Elsewhere) and isinstance(there.new_zeros(1), Elsewhere)
        assert isinstance(torch.tensor([1], device=device), Elsewhere)
        assert torch.equal((there * 2 + torch.tensor(1.0)).cpu(), there.cpu() * 2 + 1), "scalars may come from anywhere"
        for mixes in (lambda: here + there, lambda: torch.cat([here, there]), lambda: there.T @ here,
                      lambda: there.mul_(here), lambda: torch.where(there > 0, here, there)):
            with pytest.raises(RuntimeError, match="same device"):
                mixes()
        with pytest.raises(Exception):  # noqa: B017, whatever torch says
            there.numpy()


def run_on(device: torch.device, config: Config, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    monkeypatch.setattr(trial, "choose_device", lambda gpus: device)
    return trial.run(config, Paths(folder, cache, None))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [
    {"adapter__init": "rrqr", "training__ema_start": 2, "training__ema_momentum": 0.1, "evaluation__scales": [0.5, 1.0],
     "evaluation__flip": True},
    {"adapter__init": "kaiming", "training__accumulate": 2, "evaluation__selection": "source_val",
     "resources__activation_checkpointing": True},
    pytest.param({"adapter__method": "rein", "adapter__tokens": 20}, marks=pytest.mark.long)])
def test_a_whole_trial_gives_the_same_record(settings: dict[str, object], tmp_path: Path, cache: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(**settings)
    expected = run_on(torch.device("cpu"), config, tmp_path / "here", cache, monkeypatch)
    with second_device() as device:
        found = run_on(device, config, tmp_path / "there", cache, monkeypatch)
    assert found.outcome == "finished", found.reason
    assert found.metrics.keys() == expected.metrics.keys()
    for name, value in found.metrics.items():
        if not name.startswith(TIMES):
            assert value == pytest.approx(expected.metrics[name], rel=1e-6 if name.startswith("adapter/") else 0), name
