"""Selects the checkpoint that becomes the model of a trial: `last` (the end of training), `source_val` (the best on the
source's val split) or `oracle` (the best on the test domains, and always named so)."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from recyclelora.adapters.tensor_files import write_tensors
from recyclelora.config import Selection

_METRIC = {"source_val": "miou/source", "oracle": "miou/target_mean"}


class Selector:
    """Keeps the trained tensors of the best moment so far in `best.safetensors`, across restarts."""

    def __init__(self, rule: Selection, folder: Path) -> None:
        self.rule = rule
        self.path = folder / "best.safetensors"
        self.best = self._best_on_disk()

    def offer(self, model: nn.Module, scores: Mapping[str, float]) -> None:
        """Keep the model if it scores above all before it. With `last` there is nothing to keep."""
        if self.rule == "last":
            return
        score = scores[_METRIC[self.rule]]
        if math.isfinite(score) and score > self.best:
            trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
            write_tensors(trained, self.path, {"score": repr(score)})
            self.best = score

    def restore(self, model: nn.Module) -> None:
        """Put the selected tensors into the model."""
        if self.rule == "last" or not self.path.exists():
            return
        with safe_open(self.path, "pt") as file, torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(file.get_tensor(name))

    def _best_on_disk(self) -> float:
        if not self.path.exists():
            return -math.inf
        with safe_open(self.path, "pt") as file:
            return float(file.metadata()["score"])
