"""What a trial gets of a machine."""

import pytest
import torch

from recyclelora.trials.device import num_workers


@pytest.mark.parametrize(("given", "cpus", "device", "expected"), [
    (None, 8.0, "cuda", 8), (None, 1.5, "cuda", 1), (None, 0.5, "cuda", 0), (None, 8.0, "cpu", 0),
    (0, 8.0, "cuda", 0), (3, 1.0, "cpu", 3)])
def test_without_a_number_a_gpu_gets_a_loader_for_each_cpu(given: int | None, cpus: float, device: str, expected: int) -> None:
    assert num_workers(given, cpus, torch.device(device)) == expected
