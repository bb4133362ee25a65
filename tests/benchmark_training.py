"""What the options of the training loop cost and save: `python -m tests.benchmark_training [--backbone dinov2_small]`.

Each option runs in a process of its own on the same batches: seconds of a step (the median after a warm-up) and the
peak of the process's memory above what it held before the first step, both also as ratios to the plain loop, which is
measured in the same run."""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from recyclelora.adapters.lora import adapt
from recyclelora.models.segmentor import HeadShape, build_segmentor
from recyclelora.models.timm_backbones import build_backbone
from recyclelora.training.execution import compile_blocks, recompute_activations
from recyclelora.training.loop import Update, train
from recyclelora.training.optim import Schedule, build_optimiser
from recyclelora.trials.device import forget_peak, peak_memory
from tests.tiny import groups_of

OPTIONS = ("plain", "activation_checkpointing", "accumulate", "bfloat16", "compile")


def measure(option: str, backbone: str, side: int, batch: int, steps: int, depth: int | None) -> dict[str, float]:
    """One option: random weights and images, the paper's head, adapters of rank 36 in all."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    device = torch.device("cpu")
    vit = build_backbone(backbone, patch_size=16, image_size=(side, side), weights=None)
    if depth is not None:
        vit.blocks = vit.blocks[:depth]  # type: ignore[index]
    adapt(vit, init="kaiming", main_rank=32, sub_rank=4)
    segmentor = build_segmentor(vit, num_classes=19, head=HeadShape())
    if option == "activation_checkpointing":
        recompute_activations(vit)
    if option == "compile":
        compile_blocks(vit, device)
    optimiser = build_optimiser(groups_of(segmentor, lr=1e-4, weight_decay=0.05))
    labels = torch.randint(19, (batch, side // 32, side // 32)).repeat_interleave(32, 1).repeat_interleave(32, 2)
    given = [(torch.randn(batch, 3, side, side), labels)] * (steps + 1)
    forget_peak(device)
    held, taken, last = peak_memory(device), [], time.monotonic()
    for _ in train(segmentor, optimiser, given, start=0, stop=steps + 1, schedule=Schedule(steps + 1), seed=0, device=device,
                   update=Update(precision="bfloat16" if option == "bfloat16" else "float32",
                                 accumulate=batch if option == "accumulate" else 1)):
        now = time.monotonic()
        taken.append(now - last)
        last = now
    return {"seconds": statistics.median(taken[1:]), "bytes": float(peak_memory(device) - held), "first": taken[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="dinov2_small")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--depth", type=int, help="blocks of the backbone that are kept")
    parser.add_argument("--only", choices=OPTIONS, help=argparse.SUPPRESS)
    parser.add_argument("--options", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    given = parser.parse_args()
    if given.only:
        print(json.dumps(measure(given.only, given.backbone, given.side, given.batch, given.steps, given.depth)))
        return
    found: dict[str, dict[str, float]] = {}
    for option in given.options:
        command = [sys.executable, "-m", "tests.benchmark_training", "--only", option, *sys.argv[1:]]
        made = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
        found[option] = json.loads(made.stdout.splitlines()[-1])
        one, base = found[option], found[given.options[0]]
        print(f"{option:26} {one['seconds']:7.2f} s a step ({one['seconds'] / base['seconds']:.2f}), peak "
              f"{one['bytes'] / 2**20:6.0f} MiB ({one['bytes'] / base['bytes']:.2f}), first step {one['first']:.1f} s",
              flush=True)


if __name__ == "__main__":
    main()
