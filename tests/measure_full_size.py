"""One training step and one evaluated image at the paper's size, each configuration in a process of its own:

    python -m tests.measure_full_size [--models dinov2_large eva02_large] [--batches 1 4] [--threads 2] [--steps 1]

Random weights, rank 32 + 4 on every linear layer, the paper's head, 512x512 crops at patch 16, float32; the image is
2048x1024 under windows of 512 at stride 341 (18 of them). Prints a table: seconds and processor seconds per step and
image, peak resident memory up to the step and in all. `measure` is what tests/test_full_size.py asserts about.
"""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tests.tiny import groups_of

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before SciPy: its threads spin where cores are shared

import numpy as np
import torch
from torch import Tensor

from recyclelora.adapters import adapt, merged
from recyclelora.data.datasets import Sample
from recyclelora.data.labels import CITYSCAPES19, LabelSpace, common_space
from recyclelora.models.segmentor import HeadShape, Segmentor, build_segmentor
from recyclelora.models.timm_backbones import build_backbone
from recyclelora.training.checkpoint import digest, load_checkpoint, save_checkpoint
from recyclelora.training.evaluation import Inference, evaluate, windows
from recyclelora.training.loop import train
from recyclelora.training.optim import Schedule, build_optimiser

CROP, STRIDE, IMAGE, CLASSES = (512, 512), (341, 341), (1024, 2048), 19
INITS = {"dinov2_large": "rrqr", "eva02_large": "kaiming"}  # the pivoted QR of one of them is enough: it takes a minute


@dataclass
class Measured:
    """What one configuration did. Times in seconds, memory in GiB (ru_maxrss of the process)."""

    model: str
    batch: int
    adapters: int  # trainable parameters of the ViT
    head: int
    loss: float
    start: float  # building and adapting
    step: float  # mean of the timed ones
    step_processor: float  # the same in processor seconds, which other work on the machine hardly changes
    step_peak: float
    image: float | None = None
    image_processor: float | None = None
    peak: float = 0.0
    without_gradient: tuple[str, ...] = ()  # trainable, but none or not finite
    frozen_with_gradient: tuple[str, ...] = ()
    unmoved: tuple[str, ...] = ()  # trainable, and bitwise as before the step
    frozen_unchanged: bool = True
    restored: bool | None = None  # weights and optimiser state bit for bit
    pixels: int = 0  # counted in the image's confusion matrix


@dataclass(frozen=True)
class OneImage:
    """A picture of noise with blocks of all classes, as a data set."""

    space: LabelSpace = CITYSCAPES19

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        generator = np.random.default_rng(index)
        label = generator.integers(0, CLASSES, (IMAGE[0] // 64, IMAGE[1] // 64), dtype=np.uint8)
        image = generator.integers(0, 256, (*IMAGE, 3), dtype=np.uint8)
        return Sample(image, label.repeat(64, 0).repeat(64, 1), "noise", "0")

    def __iter__(self) -> Iterator[Sample]:
        yield self[0]

    def fingerprint(self) -> str:
        return "noise"


def batches(size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Noise over 64-pixel blocks of classes, a fiftieth of them ignored; for ever."""
    generator = torch.Generator().manual_seed(0)
    while True:
        blocks = torch.randint(0, CLASSES, (size, CROP[0] // 64, CROP[1] // 64), generator=generator)
        labels = blocks.repeat_interleave(64, 1).repeat_interleave(64, 2)
        labels[torch.rand(labels.shape, generator=generator) < 0.02] = 255
        yield torch.randn(size, 3, *CROP, generator=generator), labels


def measure(model: str, batch: int, *, threads: int, steps: int = 1, image: bool = True) -> Measured:
    """Build, train `steps` iterations, save and restore, and evaluate one image. In this very process, which should be
    a fresh one: peaks are the process's own."""
    torch.set_num_threads(threads)
    began = time.perf_counter()
    segmentor = build(model)
    optimiser = build_optimiser(groups_of(segmentor, lr=1e-4, weight_decay=0.05))
    start = time.perf_counter() - began
    frozen = digest(_tensors(segmentor, trained=False))
    before = {name: tensor.clone() for name, tensor in _tensors(segmentor, trained=True).items()}
    began, spent = time.perf_counter(), time.process_time()
    losses = [step.losses["total"] for step in train(
        segmentor, optimiser, batches(batch), start=0, stop=steps, schedule=Schedule(40000), seed=0, device=torch.device("cpu"))]
    seconds, processor = (time.perf_counter() - began) / steps, (time.process_time() - spent) / steps
    found = Measured(model, batch, _count(segmentor.vit), _count(segmentor.head), losses[-1], start, seconds, processor,
                     peak_gib())
    found.without_gradient = tuple(
        name for name, parameter in segmentor.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.isfinite().all()))
    found.frozen_with_gradient = tuple(name for name, parameter in segmentor.named_parameters()
                                       if not parameter.requires_grad and parameter.grad is not None)
    found.unmoved = tuple(name for name, tensor in _tensors(segmentor, trained=True).items()
                          if torch.equal(tensor, before[name]))
    found.frozen_unchanged = digest(_tensors(segmentor, trained=False)) == frozen
    optimiser.zero_grad()
    found.restored = restores(segmentor, optimiser)
    if image:
        found.image, found.image_processor, found.pixels = evaluated(segmentor)
    found.peak = peak_gib()
    return found


def build(model: str) -> Segmentor:
    torch.manual_seed(0)
    vit = build_backbone(model, patch_size=16, image_size=CROP, weights=None)
    adapt(vit, init=INITS.get(model, "kaiming"), main_rank=32, sub_rank=4)
    return build_segmentor(vit, num_classes=CLASSES, head=HeadShape(), merge=merged)


def restores(segmentor: Segmentor, optimiser: torch.optim.Optimizer) -> bool:
    """Save, spoil every trained tensor and all of the optimiser's state, load: is each bit as it was?"""
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), segmentor, optimiser, 1, fingerprint="full size")
        weights, state = digest(_tensors(segmentor, trained=True)), digest(_state(optimiser))
        with torch.no_grad():
            for tensor in (*_tensors(segmentor, trained=True).values(), *_state(optimiser).values()):
                tensor.fill_(7)
        spoiled = digest(_tensors(segmentor, trained=True)) != weights
        iteration = load_checkpoint(Path(folder), segmentor, optimiser, fingerprint="full size")
    return spoiled and iteration == 1 and (weights, state) == (
        digest(_tensors(segmentor, trained=True)), digest(_state(optimiser)))


def evaluated(segmentor: Segmentor) -> tuple[float, float, int]:
    """Seconds and processor seconds for one image, and the pixels in its confusion matrix."""
    assert len(windows(IMAGE, CROP, STRIDE)) == 18
    began, spent = time.perf_counter(), time.process_time()
    results = list(evaluate(
        segmentor, OneImage(), Inference(CROP, STRIDE, None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        common=common_space(CITYSCAPES19, CITYSCAPES19), device=torch.device("cpu")))
    return time.perf_counter() - began, time.process_time() - spent, int(sum(result.confusion.sum() for result in results))


def peak_gib() -> float:
    """The most that this process has held in memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def apart(model: str, batch: int, *, threads: int, steps: int = 1, image: bool = True) -> Measured:
    """`measure` in a fresh process, so that its memory is its own and given back."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, model, batch, threads, steps, image))
    process.start()
    sender.close()
    try:
        found: Measured = receiver.recv()
    except EOFError:
        raise RuntimeError(f"{model}, batch {batch}: its process ended early; too little memory?") from None
    finally:
        process.join()
    return found


def _send(sender: Connection, model: str, batch: int, threads: int, steps: int,
          image: bool) -> None:
    sender.send(measure(model, batch, threads=threads, steps=steps, image=image))


def _tensors(segmentor: Segmentor, *, trained: bool) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in segmentor.named_parameters()
            if parameter.requires_grad == trained}


def _state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    entries = optimiser.state_dict()["state"]
    return {f"{index}/{key}": value for index, entry in entries.items() for key, value in entry.items()}


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def report(found: Measured) -> str:
    image = "-" if found.image is None else f"{found.image:.0f} ({found.image_processor:.0f})"
    step = f"{found.step:.1f} ({found.step_processor:.1f})"
    return f"{found.model:<13} {found.batch:>5} {step:>19} {found.step_peak:>8.1f} {image:>19} {found.peak:>8.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(INITS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    print("model         batch  s a step (of cores) peak GiB s an image (cores)   in all", flush=True)
    for model in given.models:
        for batch in given.batches:  # one image is enough for each model: it does not know the batch
            found = apart(model, batch, threads=given.threads, steps=given.steps, image=batch == given.batches[0])
            print(json.dumps(asdict(found)) if given.json else report(found), flush=True)


if __name__ == "__main__":
    main()
