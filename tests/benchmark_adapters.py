"""Ratios behind the adapters' design, each pair measured side by side in one run:

    python -m tests.benchmark_adapters [--backbone vit_small_patch14_dinov2] [--rounds 7] [--threads 1]

1. One training step (forward, backward, AdamW) of the backbone: both adapters fused into one low-rank path, as two
   separate paths, and as PEFT's two active adapters.
2. The start of both adapters for all layers of two blocks: one geqp3 and ormqr on the wanted columns, the authors' two
   economic SciPy QRs, one SVD; and reading a factorisation made before.
"""

import argparse
import copy
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import timm
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from recyclelora.adapters import Directions, adapt, linears
from tests.literal_adapter import LiteralDualAdapter, literal_rrqr

MAIN_RANK, SUB_RANK = 32, 4


def in_two_paths(vit: nn.Module) -> nn.Module:
    vit.requires_grad_(False)
    for target in linears(vit):
        parent, _, child = target.name.rpartition(".")
        setattr(vit.get_submodule(parent), child, LiteralDualAdapter(target.module, MAIN_RANK, SUB_RANK))
    return vit


def with_peft(vit: nn.Module) -> nn.Module:
    names = [target.name for target in linears(vit)]
    for adapter, rank in (("main", MAIN_RANK), ("sub", SUB_RANK)):
        config = LoraConfig(r=rank, lora_alpha=1, target_modules=names, init_lora_weights="gaussian")
        with warnings.catch_warnings(action="ignore"):  # PEFT's, that two adapters share the model: they are meant to
            vit = inject_adapter_in_model(config, vit, adapter)
    for module in vit.modules():
        if isinstance(module, BaseTunerLayer):
            module.set_adapter(["main", "sub"])
    return vit


def fused(vit: nn.Module) -> nn.Module:
    adapt(vit, main_rank=MAIN_RANK, sub_rank=SUB_RANK)
    return vit


def training_step(vit: nn.Module, images: Tensor) -> Callable[[], None]:
    optimiser = torch.optim.AdamW([parameter for parameter in vit.parameters() if parameter.requires_grad], lr=1e-4)

    def step() -> None:
        optimiser.zero_grad()
        vit.forward_features(images).square().mean().backward()
        optimiser.step()

    return step


def starts(vit: nn.Module, cache: Path) -> dict[str, Callable[[], None]]:
    weights = [target.module.weight.detach() for target in linears(vit) if target.block < 2]

    def once(init: str, folder: Path | None = None) -> None:
        for weight in weights:
            directions = Directions(weight, init, cache=folder)
            directions.cut(MAIN_RANK, "minor")
            directions.cut(SUB_RANK, "major")

    def twice() -> None:
        for weight in weights:
            literal_rrqr(weight, MAIN_RANK, "minor")
            literal_rrqr(weight, SUB_RANK, "major")

    once("rrqr", cache)
    return {"one geqp3, ormqr on the wanted columns": lambda: once("rrqr"), "two economic SciPy QRs": twice,
            "one SVD": lambda: once("svd"), "a factorisation read back": lambda: once("rrqr", cache)}


def compare(title: str, ways: Mapping[str, Callable[[], None]], rounds: int) -> None:
    """Print each way's processor time relative to the first's: the median over rounds, and the quartiles. The ways take
    turns within a round, and processor time does not count what the neighbours do."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            begun = time.process_time()
            way()
            seconds[name].append(time.process_time() - begun)
    first = next(iter(seconds.values()))
    print(f"\n{title}, processor time, {rounds} rounds")
    for name, values in seconds.items():
        low, middle, high = statistics.quantiles([own / its for own, its in zip(values, first, strict=True)])
        print(f"  {middle:5.2f}x ({low:.2f}-{high:.2f})  {statistics.median(values) * 1e3:8.1f} ms  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="vit_small_patch14_dinov2", help="a timm name")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="torch's; SciPy's are set by OPENBLAS_NUM_THREADS")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    vit = timm.create_model(chosen.backbone, num_classes=0, img_size=chosen.image_size)
    images = torch.randn(chosen.batch_size, 3, chosen.image_size, chosen.image_size)
    with tempfile.TemporaryDirectory() as folder:
        compare("The start of both adapters", starts(vit, Path(folder)), chosen.rounds)
    models = {"both adapters in one path": fused, "two separate paths": in_two_paths, "PEFT, two adapters": with_peft}
    steps = {name: training_step(build(copy.deepcopy(vit)), images) for name, build in models.items()}
    compare("One training step", steps, chosen.rounds)


if __name__ == "__main__":
    main()
