"""An exponential moving average of the trained weights, as MMEngine's EMAHook keeps it and SoMA's code uses it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """Averaged twins of a model's trained parameters, by their names; none before iteration `start`, or without one.

    After iteration `start` the average is a copy of the weights; after each later one
    average = (1 - momentum) average + momentum weights. Frozen tensors and buffers need no average."""

    def __init__(self, model: nn.Module, start: int | None = None, momentum: float = 2e-4) -> None:
        self.start, self.momentum = start, momentum
        self.weights = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self.tensors: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Take in the weights that `iteration` (counted from 1) left."""
        if self.start is None or iteration < self.start:
            return
        if not self.tensors:
            self.tensors = {name: parameter.detach().clone() for name, parameter in self.weights.items()}
            return
        averages = list(self.tensors.values())
        torch._foreach_mul_(averages, 1 - self.momentum)
        torch._foreach_add_(averages, [self.weights[name] for name in self.tensors], alpha=self.momentum)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from the averages of a checkpoint, by parameter name; none: from before the start."""
        self.tensors = {name: tensor.to(self.weights[name], copy=True) for name, tensor in tensors.items()}

    def adopt(self) -> None:
        """Give the model its averaged weights for good. Without an average it keeps its own."""
        self._load(self.tensors)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with its averaged weights while the context lasts; then its own, bit for bit."""
        own = {name: self.weights[name].detach().clone() for name in self.tensors}
        self.adopt()
        try:
            yield
        finally:
            self._load(own)

    @torch.no_grad()
    def _load(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self.weights[name].copy_(tensor)
