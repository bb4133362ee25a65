"""The training loop: one optimiser update per batch, yielding what happened."""

import hashlib
import math
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from recyclelora.models.segmentor import Segmentor
from recyclelora.training.average import MovingAverage
from recyclelora.training.optim import Schedule, apply_schedule
from recyclelora.training.precision import Precision, autocast, build_scaler

SMALLEST_SCALE = 1.0  # of a float16 loss: a gradient that overflows even then is no matter of scale


class Step(NamedTuple):
    """One finished iteration: its losses before the update, and the learning rate of each parameter group."""

    iteration: int
    losses: dict[str, float]
    lr: dict[str, float]


class Diverged(Exception):
    """A loss, gradient or weight is not finite."""

    def __init__(self, iteration: int, reason: str) -> None:
        super().__init__(f"iteration {iteration}: {reason}")
        self.iteration = iteration
        self.reason = reason


class Update(NamedTuple):
    """How a batch becomes an update: the largest gradient norm, the arithmetic of the forward pass, and the number of
    equal parts in which the batch goes through the model."""

    clip: float | None = None
    precision: Precision = "float32"
    accumulate: int = 1


PLAIN = Update()


def train(segmentor: Segmentor, optimiser: torch.optim.Optimizer, batches: Iterable[tuple[Tensor, Tensor]],
          schedule: Schedule, *, start: int, stop: int, seed: int, device: torch.device, update: Update = PLAIN,
          scaler: GradScaler | None = None, average: MovingAverage | None = None) -> Generator[Step]:
    """Iterations start + 1 to stop of a schedule, one batch (images, labels) each; `start` are done already.

    What an iteration computes depends only on weights, optimiser state, batch, `seed` and its number, so that a resumed
    run repeats an uninterrupted one bit for bit; with float16 on the `scaler`'s state too, which is made here where it
    is not given. The caller may evaluate between two steps, and may stop at any of them with `close()`. The ViT stays
    in eval mode. 16-bit precisions mean autocast of the forward pass; losses, weights, gradients and optimiser state
    stay float32. Parts of a batch (`update.accumulate`) go through the model one after the other: the loss is
    that of the whole batch, with its normalisers and its random points, and only the order of sums differs. `average`
    takes in the weights after each update. Raises Diverged instead of updating from a loss or gradient that is not
    finite (in float16, an update that overflows is skipped while the scale can still fall); a weight that overflows is
    noticed by the next loss, and after the last iteration by looking."""
    scaler = scaler or build_scaler(update.precision, device)
    trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    source = iter(batches)
    for iteration in range(start + 1, stop + 1):
        batch = next(source, None)
        if batch is None:
            raise RuntimeError(f"batches ended before iteration {iteration} of {stop}")
        images, labels = (tensor.to(device, non_blocking=True) for tensor in batch)
        segmentor.train()
        segmentor.vit.eval()
        rates = apply_schedule(optimiser, iteration, schedule)
        optimiser.zero_grad()
        with _seeded(seed, iteration, device):
            losses = _backward(segmentor, images, labels, update, scaler)
        scaler.unscale_(optimiser)
        values = _check(losses, trained, iteration, update.clip, scaler)
        scaler.step(optimiser)
        scaler.update()
        if iteration == stop and not _finite(trained):
            raise Diverged(iteration, "the update left a weight that is not finite")
        if average is not None:
            average.update(iteration)
        yield Step(iteration, values, rates)


def mix(seed: int, iteration: int) -> int:
    """The seed of one iteration: the first 8 bytes of SHA-256 over "seed/iteration" (decimal), little endian."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{iteration}".encode()).digest()[:8], "little")


@contextmanager
def _seeded(seed: int, iteration: int, device: torch.device) -> Iterator[None]:
    # The points of the mask losses come from torch's global generators; the caller's state of them is put back.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(mix(seed, iteration))
        yield


def _backward(segmentor: Segmentor, images: Tensor, labels: Tensor, update: Update,
              scaler: GradScaler) -> dict[str, Tensor]:
    """Gradients of the batch's loss into the parameters, part by part; the losses summed over the parts."""
    parts = update.accumulate
    if parts > 1 and len(images) % parts:
        raise ValueError(f"a batch of {len(images)} cannot be cut into {parts} equal parts")
    shares = segmentor.shares(labels, parts) if parts > 1 else [None]
    summed: dict[str, Tensor] = {}
    for share, some, wanted in zip(shares, images.chunk(parts), labels.chunk(parts), strict=True):
        with autocast(update.precision, images.device):
            losses = segmentor.loss(some, wanted, share)
        torch.autograd.backward(scaler.scale(losses["total"]))
        summed = {name: loss.detach() + summed[name] if summed else loss.detach() for name, loss in losses.items()}
    return summed


def _check(losses: dict[str, Tensor], trained: list[nn.Parameter], iteration: int, clip: float | None,
           scaler: GradScaler) -> dict[str, float]:
    """Clip the gradients; the losses as numbers. One transfer from the device, between backward pass and update."""
    gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if clip is not None:
        torch.nn.utils.clip_grads_with_norm_(trained, clip, norm)
    numbers = torch.stack([norm.float(), *(loss.float() for loss in losses.values())]).tolist()
    values = dict(zip(losses, numbers[1:], strict=True))
    if not math.isfinite(values["total"]):
        raise Diverged(iteration, f"the loss is {values['total']}")
    if not math.isfinite(numbers[0]) and not (scaler.is_enabled() and scaler.get_scale() > SMALLEST_SCALE):
        raise Diverged(iteration, f"the gradient norm is {numbers[0]}")
    return values


def _finite(parameters: list[nn.Parameter]) -> bool:
    return bool(torch.stack([parameter.detach().isfinite().all() for parameter in parameters]).all())
