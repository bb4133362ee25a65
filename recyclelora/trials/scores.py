"""Scores the model of a trial: which domains are scored when, and which files are kept."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from recyclelora.adapters.tensor_files import write_tensors
from recyclelora.config import Config
from recyclelora.data.contact_sheet import Row, draw_sheet
from recyclelora.data.datasets import LabelledImages
from recyclelora.data.evaluation_sizes import size_of
from recyclelora.data.labels import Common, Image, Label
from recyclelora.data.many_files import save_whole
from recyclelora.models.catalogue import BACKBONES
from recyclelora.models.segmentor import Segmentor
from recyclelora.training.evaluation import ImageResult, Inference, evaluate, predict, summarise
from recyclelora.trials.build import Domains
from recyclelora.trials.protocol import commons

PANEL = 3  # images of each domain that are predicted once more at the end, for its panel
Item = TypeVar("Item")


def moments(config: Config) -> int:
    """How often a trial is scored while it trains: every `evaluation.every` iterations, and always at the last."""
    return -(-config.training.iterations // config.evaluation.every)


def scored_during(config: Config, every: Sequence[Item]) -> Sequence[Item]:
    """Those of the source's val split and the targets, in this order, that are scored at each of these moments."""
    return every if config.evaluation.selection == "oracle" else every[:1]


def score_during(segmentor: Segmentor, config: Config, domains: Domains, device: torch.device) -> dict[str, float]:
    """`miou/source`; with selection `oracle` also `miou/<target>` and `miou/target_mean`."""
    scored = dict(scored_during(config, [("source", domains.source_val), *domains.targets.items()]))
    return _with_mean({f"miou/{name}": evaluate_domain(segmentor, config, data, commons(domains)[name], device,
                                                       name)[f"miou/{name}"] for name, data in scored.items()})


def score_finally(segmentor: Segmentor, config: Config, domains: Domains, device: torch.device,
                  folder: Path) -> dict[str, float]:
    """All metrics of a record, over source val and every target. Leaves the confusion matrices per image in
    `confusions.safetensors` and one panel of predictions beside labels per domain in `panels/`."""
    metrics: dict[str, float] = {}
    kept: dict[str, torch.Tensor] = {}
    for name, data in {"source": domains.source_val, **domains.targets}.items():
        common = commons(domains)[name]
        results = list(_evaluate(segmentor, config, data, common, device))
        kept[name] = torch.stack([result.confusion for result in results])
        metrics |= _describe(results, common, name, config)
        _draw_panel(segmentor, config, data, common, device, folder / "panels" / f"{name}.png")
    write_tensors(kept, folder / "confusions.safetensors")
    return _with_mean(metrics)


def evaluate_domain(segmentor: Segmentor, config: Config, data: LabelledImages, common: Common, device: torch.device,
                    name: str,
                    watch: Callable[[Iterator[ImageResult]], Iterable[ImageResult]] = iter) -> dict[str, float]:
    """Metrics of one domain by the protocol of the config. `watch` sees the result of each image as it comes."""
    return _describe(watch(_evaluate(segmentor, config, data, common, device)), common, name, config)


def _describe(results: Iterable[ImageResult], common: Common, name: str, config: Config) -> dict[str, float]:
    """`miou/<domain>`, `chance/<domain>` and `iou/<domain>/<class>` of the classes that are counted."""
    (scores,) = summarise(results, common.scored, config.evaluation.absent_classes).values()
    iou = {f"iou/{name}/{cls.replace(' ', '_')}": value for cls, value in scores.iou.items()}
    return {f"miou/{name}": scores.miou, f"chance/{name}": scores.chance, **iou}


def _with_mean(metrics: dict[str, float]) -> dict[str, float]:
    """With `miou/target_mean`, the plain mean of the targets' mIoU (the authors' code)."""
    targets = [value for key, value in metrics.items() if key.startswith("miou/") and key != "miou/source"]
    return {**metrics, "miou/target_mean": sum(targets) / len(targets)} if targets else metrics


def predict_image(segmentor: Segmentor, config: Config, image: Image, device: torch.device,
                  domain: str | None = None) -> Label:
    """Train ids (H, W) of one RGB image (H, W, 3), by the protocol of the config. Where that has a size for each domain
    and none is named, the image keeps its size."""
    return predict(segmentor, image, inference_of(config, domain), device=device)


def _evaluate(segmentor: Segmentor, config: Config, data: LabelledImages, common: Common,
              device: torch.device) -> Iterator[ImageResult]:
    return evaluate(segmentor, data, inference_of(config, data.domain), common=common, device=device)


def _draw_panel(segmentor: Segmentor, config: Config, data: LabelledImages, common: Common, device: torch.device,
                path: Path, num_rows: int = PANEL) -> None:
    """The first images of a domain with label and prediction, in the space in which they are scored."""
    rows = []
    for sample in (data[index] for index in range(min(num_rows, len(data)))):
        prediction = predict_image(segmentor, config, sample.image, device, data.domain)
        rows.append(Row(sample.name, sample.image, common.target_lut[sample.label], common.source_lut[prediction]))
    save_whole(draw_sheet(rows, common.space, errors=True), path)


def inference_of(config: Config, domain: str | None) -> Inference:
    """How the images of a domain go through the model, by the protocol of the config."""
    backbone, evaluation = BACKBONES[config.backbone.name], config.evaluation
    by_domain = isinstance(evaluation.size, str)
    size = None if by_domain and domain is None else size_of(evaluation.size, domain or "")
    return Inference(evaluation.window, evaluation.stride, size, backbone.mean, backbone.std, evaluation.scales,
                     evaluation.flip)
