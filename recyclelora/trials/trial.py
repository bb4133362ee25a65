"""One resolved config, once: build, train, evaluate, and return a record. Runs with neither Ray nor MLflow.

A trial keeps everything it writes in its own folder, `<results>/trials/<fingerprint>/`, and is resumable at any moment:
called again it goes on from its checkpoint, and called after it has finished it returns the record on file."""

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from recyclelora.config import Config, RecycleLoRA, Rein, flatten
from recyclelora.data.loader import batches
from recyclelora.documents import dump
from recyclelora.errors import InputError
from recyclelora.models.backbones import BACKBONES
from recyclelora.models.segmentor import Segmentor
from recyclelora.training.average import MovingAverage
from recyclelora.training.checkpoint import load_checkpoint, save_checkpoint
from recyclelora.training.loop import Diverged, train
from recyclelora.training.optim import build_optimiser, parameter_groups
from recyclelora.training.precision import build_scaler, check_precision
from recyclelora.trials import build
from recyclelora.trials.analysis import keep_analysis
from recyclelora.trials.artifacts import save_model
from recyclelora.trials.build import Domains, Identity
from recyclelora.trials.device import arithmetic_of, choose_device, forget_peak, name_of, num_workers, peak_memory
from recyclelora.trials.history import History, read_history
from recyclelora.trials.label_mapping import label_tags
from recyclelora.trials.paths import Paths
from recyclelora.trials.protocol import protocol, scored_spaces
from recyclelora.trials.record import Record
from recyclelora.trials.scores import score_during, score_finally
from recyclelora.trials.second_stage import begin_from, check_start
from recyclelora.trials.selection import Selector
from recyclelora.writing import Busy, locked, write_text


class Progress(NamedTuple):
    """News from a running trial: `history` holds (iteration, metrics) since the last report, `metrics` the newest of
    each name. `done` of `total` iterations."""

    done: int
    total: int
    metrics: dict[str, float]
    history: list[tuple[int, dict[str, float]]]


Report = Callable[[Progress], None]
REPORTS = 50  # a trial reports its losses about this many times


def run(config: Config, paths: Paths, report: Report | None = None) -> Record:
    """Run one trial to its end, from wherever it stopped. Divergence is an outcome, not an error: the record then says
    `failed` and why. Raises InputError for bad input, and whatever else the machine raises (disk, memory)."""
    identity = build.identify(config, paths)
    folder = paths.trial(identity.fingerprint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another results folder") from None
    with _alone_in(folder):
        finished = read_record(folder)
        if finished is not None and finished.outcome == "finished":
            if report is not None:  # a driver that was killed may not have heard of it
                entries = read_history(folder / "history.jsonl")
                report(Progress(finished.iteration, finished.iteration, finished.metrics, entries))
            return finished
        check_start(flatten(config), paths.trials)
        write_text(folder / "config.yaml", dump(flatten(config)))
        record = _train_and_score(config, paths, identity, folder, report or (lambda progress: None))
        write_text(folder / "record.json", json.dumps(asdict(record), indent=1))
        return record


def read_record(folder: Path) -> Record | None:
    """The record in a trial's folder, if it has ended."""
    try:
        return Record(**json.loads((folder / "record.json").read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def tags_of(config: Config, identity: Identity, domains: Domains) -> dict[str, str]:
    """What a table must know of a run beside its metrics."""
    return {"fingerprint": identity.fingerprint, "seed": str(config.seed), "protocol": protocol(config),
            "selection": config.evaluation.selection, **label_tags(domains.train.space, scored_spaces(domains)),
            "weights_sha256": identity.weights.sha256, "weights_source": identity.weights.source,
            "data_fingerprint": identity.data_fingerprint, "source_val": build.source_val_tag(domains)}


def _train_and_score(config: Config, paths: Paths, identity: Identity, folder: Path, report: Report) -> Record:
    torch.set_num_threads(max(1, int(config.resources.cpus)))
    device = choose_device(config.resources.gpus)
    forget_peak(device)
    check_precision(config.training.precision, device)
    domains = build.open_domains(config, paths)
    segmentor = build.build(config, identity.weights.path, paths.cache, len(domains.train.space.classes))
    if config.training.start is not None:
        begin_from(segmentor, paths.trial(config.training.start), weights_sha256=identity.weights.sha256,
                   space=domains.train.space)
    build.arrange(segmentor.to(device), config, device)
    tags = {**tags_of(config, identity, domains), "device": name_of(device), "arithmetic": arithmetic_of(device)}
    selector = Selector(config.evaluation.selection, folder)
    try:
        seconds = _train(config, segmentor, domains, folder, identity.fingerprint, selector, report, device)
    except Diverged as diverged:
        return Record(fingerprint=identity.fingerprint, config=flatten(config), outcome="failed", tags=tags,
                      reason=f"diverged at iteration {diverged.iteration}: {diverged.reason}",
                      iteration=diverged.iteration)
    selector.restore(segmentor)
    started = time.monotonic()
    metrics = score_finally(segmentor, config, domains, device, folder)
    metrics["time/evaluate"] = time.monotonic() - started
    metrics["time/train"] = seconds
    metrics |= _count(segmentor)
    metrics["memory/peak"] = float(peak_memory(device))
    save_model(segmentor, folder, config, identity, domains.train.space)
    metrics |= keep_analysis(segmentor, config, next(iter(domains.targets.values())), folder).summary
    return Record(fingerprint=identity.fingerprint, config=flatten(config), outcome="finished", metrics=metrics,
                  tags=tags, iteration=config.training.iterations)


def _count(segmentor: Segmentor) -> dict[str, float]:
    trained = {name: p.numel() for name, p in segmentor.named_parameters() if p.requires_grad}
    adapter = sum(count for name, count in trained.items() if name.startswith("vit."))
    return {"params/adapter": float(adapter), "params/trainable": float(sum(trained.values()))}


def _train(config: Config, segmentor: Segmentor, domains: Domains, folder: Path, fingerprint: str, selector: Selector,
           report: Report, device: torch.device) -> float:
    """Train to the last iteration; returns the seconds spent here. Reports losses, and every `evaluation.every`
    iterations scores of the source's val split (with `oracle`, of the targets too). Where the weights are averaged, it
    is the average that is scored, selected, and left in the model."""
    settings = config.training
    optimiser = build_optimiser(groups_of(segmentor, config))
    average = MovingAverage(segmentor, settings.ema_start, settings.ema_momentum or 0.0)
    scaler = build_scaler(settings.precision, device)
    state: dict[str, Any] = {"fingerprint": fingerprint, "average": average, "scaler": scaler}
    start = load_checkpoint(folder, segmentor, optimiser, **state)
    history = History(folder / "history.jsonl", start)
    total, started = settings.iterations, time.monotonic()
    if start:
        report(Progress(start, total, history.newest, list(history.entries)))
    with closing(_batches(config, domains, start, device)) as source:
        for step in train(segmentor, optimiser, source, start=start, stop=total, total=total, seed=config.seed,
                          device=device, clip=settings.clip, precision=settings.precision, scaler=scaler,
                          accumulate=settings.accumulate, average=average, **schedule_of(config)):
            i = step.iteration
            scored = i % config.evaluation.every == 0 or i == total
            if scored or i % max(1, total // REPORTS) == 0:
                news = {f"loss/{name}": value for name, value in step.losses.items()}
                news |= {f"lr/{name}": value for name, value in step.lr.items()}
                news["time/iteration"] = (time.monotonic() - started) / (i - start)
                if scored:
                    with average.in_place():
                        scores = score_during(segmentor, config, domains, device)
                        selector.offer(segmentor, scores)
                    news |= scores
                history.add(i, news)
                report(Progress(i, total, history.newest, [(i, news)]))
            if scored or i % config.resources.checkpoint_every == 0:
                save_checkpoint(folder, segmentor, optimiser, i, **state)
    average.adopt()
    return time.monotonic() - started


def _batches(config: Config, domains: Domains, start: int,
             device: torch.device) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
    backbone, resources = BACKBONES[config.backbone.name], config.resources
    return batches(domains.train, build.recipe(config), batch_size=config.data.batch_size, seed=config.seed,
                   start=start, stop=config.training.iterations, mean=backbone.mean, std=backbone.std, device=device,
                   workers=num_workers(resources.workers, resources.cpus, device))


def groups_of(segmentor: Segmentor, config: Config) -> list[dict[str, Any]]:
    """The optimiser's parameter groups, with the rates of the config."""
    settings, given = config.training, dict[str, float | None]()
    if isinstance(config.adapter, RecycleLoRA):
        given = {"main_lr_multiplier": config.adapter.main.lr_multiplier,
                 "sub_lr_multiplier": config.adapter.sub.lr_multiplier,
                 "adapter_decay_multiplier": config.adapter.weight_decay_multiplier}
    elif isinstance(config.adapter, Rein):
        given = {"rein_lr_multiplier": config.adapter.lr_multiplier}
    multipliers: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    return parameter_groups(segmentor, lr=settings.lr, weight_decay=settings.weight_decay,
                            decay_queries=settings.decay_queries, **multipliers)


def schedule_of(config: Config) -> dict[str, Any]:
    """The shape of the schedule, for `train` and `apply_schedule`."""
    settings = config.training
    warmup = {} if settings.warmup_start is None else {"warmup": settings.warmup, "warmup_start": settings.warmup_start}
    return {"power": settings.power, "weight_decay_end": settings.weight_decay_end, **warmup}


@contextmanager
def _alone_in(folder: Path, patience: float = 60.0) -> Iterator[None]:
    """Hold the trial's folder. A killed driver's worker may live a moment longer and still write: wait for it."""
    try:
        with locked(folder / "lock", patience=patience):
            yield
    except Busy:
        raise InputError(f"{folder}: another process is running this trial; wait for it to end") from None
