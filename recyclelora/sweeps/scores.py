"""Scoring a trial's model: which domains when, and what is kept of it."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from recyclelora.config import Config
from recyclelora.data.datasets import DomainData
from recyclelora.data.labels import Common, Image, Label
from recyclelora.data.sheet import Row, draw_sheet
from recyclelora.models.backbones import BACKBONES
from recyclelora.models.segmentor import Segmentor
from recyclelora.sweeps.build import Domains, commons
from recyclelora.training.evaluation import ImageResult, evaluate, predict
from recyclelora.training.metrics import chance, iou_per_class, miou


def score_during(segmentor: Segmentor, config: Config, domains: Domains, device: torch.device) -> dict[str, float]:
    """`miou/source`; with selection `oracle` also `miou/<target>` and `miou/target_mean`."""
    scored = {"source": domains.source_val}
    if config.evaluation.selection == "oracle":
        scored |= domains.targets
    return summarise({name: miou(_total(_evaluate(segmentor, config, data, commons(domains)[name], device)))
                      for name, data in scored.items()})


def score_finally(segmentor: Segmentor, config: Config, domains: Domains, device: torch.device,
                  folder: Path) -> dict[str, float]:
    """All metrics of a record, over source val and every target. Leaves the confusion matrices per image in
    `confusions.safetensors` and one panel of predictions beside labels per domain in `panels/`."""
    metrics: dict[str, float] = {}
    means: dict[str, float] = {}
    kept: dict[str, torch.Tensor] = {}
    for name, data in {"source": domains.source_val, **domains.targets}.items():
        common = commons(domains)[name]
        kept[name] = torch.stack([result.confusion for result in _evaluate(segmentor, config, data, common, device)])
        means[name] = miou(kept[name].sum(0))
        metrics |= describe(kept[name].sum(0), common, name)
        _draw_panel(segmentor, config, data, common, device, folder / "panels" / f"{name}.png")
    save_file(kept, folder / "confusions.safetensors")
    return metrics | summarise(means)


def describe(confusion: torch.Tensor, common: Common, name: str) -> dict[str, float]:
    """`chance/<domain>` and `iou/<domain>/<class>`; a class that is absent from the domain is left out."""
    metrics = {f"chance/{name}": chance(confusion)}
    for cls, iou in zip(common.space.classes, iou_per_class(confusion).tolist(), strict=True):
        if math.isfinite(iou):
            metrics[f"iou/{name}/{cls.replace(' ', '_')}"] = iou
    return metrics


def evaluate_domain(segmentor: Segmentor, config: Config, data: DomainData, common: Common, device: torch.device,
                    name: str) -> dict[str, float]:
    """Metrics of one domain by the protocol of the config."""
    confusion = _total(_evaluate(segmentor, config, data, common, device))
    return describe(confusion, common, name) | {f"miou/{name}": miou(confusion)}


def predict_image(segmentor: Segmentor, config: Config, image: Image, device: torch.device) -> Label:
    """Train ids (H, W) of one RGB image (H, W, 3), by the protocol of the config."""
    return predict(segmentor, image, **_protocol(config), device=device)


def summarise(means: dict[str, float]) -> dict[str, float]:
    """`miou/<domain>` of each, and the plain mean of the targets' (method.md 1.10)."""
    metrics = {f"miou/{name}": value for name, value in means.items()}
    targets = [value for name, value in means.items() if name != "source"]
    if targets:
        metrics["miou/target_mean"] = sum(targets) / len(targets)
    return metrics


def _evaluate(segmentor: Segmentor, config: Config, data: DomainData, common: Common,
              device: torch.device) -> Iterator[ImageResult]:
    return evaluate(segmentor, data, common=common, **_protocol(config), device=device)


def _total(results: Iterator[ImageResult]) -> torch.Tensor:
    return torch.stack([result.confusion for result in results]).sum(0)


def _draw_panel(segmentor: Segmentor, config: Config, data: DomainData, common: Common, device: torch.device,
                path: Path, num_rows: int = 3) -> None:
    """The first images of a domain with label and prediction, in the space in which they are scored."""
    rows = []
    for sample in (data[index] for index in range(min(num_rows, len(data)))):
        prediction = predict_image(segmentor, config, sample.image, device)
        rows.append(Row(sample.name, sample.image, common.target_lut[sample.label], common.source_lut[prediction]))
    path.parent.mkdir(exist_ok=True)
    draw_sheet(rows, common.space).save(path)


def _protocol(config: Config) -> dict[str, Any]:
    backbone, evaluation = BACKBONES[config.backbone.name], config.evaluation
    return {"window": evaluation.window, "stride": evaluation.stride, "size": evaluation.size, "mean": backbone.mean,
            "std": backbone.std}
