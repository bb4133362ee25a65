"""All that trains a config, put together once: a trial runs it to its end, a probe times a few steps of it."""

from collections.abc import Generator
from contextlib import closing
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.amp import GradScaler

from recyclelora.config import Config
from recyclelora.data.loader import batches
from recyclelora.models.catalogue import BACKBONES
from recyclelora.models.segmentor import Segmentor
from recyclelora.training.average import MovingAverage
from recyclelora.training.loop import Step, Update, train
from recyclelora.training.optim import Schedule, build_optimiser, parameter_groups
from recyclelora.training.precision import build_scaler, check_precision
from recyclelora.trials import build
from recyclelora.trials.build import Domains
from recyclelora.trials.device import choose_device, num_workers
from recyclelora.trials.paths import Paths
from recyclelora.trials.second_stage import begin_from


class Assembly(NamedTuple):
    """The parts of a training that has not begun, on their device."""

    config: Config
    domains: Domains
    segmentor: Segmentor
    optimiser: torch.optim.AdamW
    average: MovingAverage
    scaler: GradScaler
    device: torch.device

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint holds beside model and optimiser."""
        return {"average": self.average, "scaler": self.scaler}


def assemble(config: Config, paths: Paths) -> Assembly:
    """Build what trains a config: on the first device that it asks for, with the weights of the stage before where
    `training.start` names one. Raises InputError for a config that cannot run here."""
    torch.set_num_threads(max(1, int(config.resources.cpus)))
    device = choose_device(config.resources.gpus)
    check_precision(config.training.precision, device)
    domains = build.open_domains(config, paths)
    weights = build.find_weights(config, paths.cache)
    space = domains.train.space
    segmentor = build.build(config, weights.path, paths.cache, len(space.classes))
    if config.training.start is not None:
        begin_from(segmentor, config.adapter, paths.trial(config.training.start), weights_sha256=weights.sha256,
                   space=space)
    build.arrange(segmentor.to(device), config, device)
    settings = config.training
    return Assembly(config, domains, segmentor, build_optimiser(groups_of(segmentor, config)),
                    MovingAverage(segmentor, settings.ema_start, settings.ema_momentum or 0.0),
                    build_scaler(settings.precision, device), device)


def train_steps(parts: Assembly, start: int = 0) -> Generator[Step]:
    """The iterations of a training after `start` of them, one by one. Raises Diverged."""
    config = parts.config
    with closing(training_batches(config, parts.domains, start, parts.device)) as source:
        yield from train(parts.segmentor, parts.optimiser, source, schedule_of(config), start=start,
                         stop=config.training.iterations, seed=config.seed, device=parts.device,
                         update=update_of(config), scaler=parts.scaler, average=parts.average)


def training_batches(config: Config, domains: Domains, start: int,
                     device: torch.device) -> Generator[tuple[Tensor, Tensor], None, None]:
    """The batches after the first `start`, on their way to `device`."""
    backbone, resources = BACKBONES[config.backbone.name], config.resources
    return batches(domains.train, build.recipe(config), batch_size=config.data.batch_size, seed=config.seed,
                   start=start, stop=config.training.iterations, mean=backbone.mean, std=backbone.std, device=device,
                   workers=num_workers(resources.workers, resources.cpus, device))


def groups_of(segmentor: Segmentor, config: Config) -> list[dict[str, Any]]:
    """The optimiser's parameter groups, with the rates of the config."""
    settings = config.training
    return parameter_groups(segmentor, config.adapter.groups(segmentor.vit), lr=settings.lr,
                            weight_decay=settings.weight_decay, decay_queries=settings.decay_queries)


def schedule_of(config: Config) -> Schedule:
    """The configured schedule in the optimiser's terms."""
    settings = config.training
    return Schedule(settings.iterations, settings.power, settings.weight_decay_end, settings.warmup,
                    1.0 if settings.warmup_start is None else settings.warmup_start, settings.schedule)


def update_of(config: Config) -> Update:
    """The configured update in the loop's terms."""
    return Update(config.training.clip, config.training.precision, config.training.accumulate)
