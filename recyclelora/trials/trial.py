"""One resolved config, once: build, train, evaluate, and return a record. Runs with neither Ray nor MLflow.

A trial keeps everything it writes in its own folder, `<results>/trials/<fingerprint>/`, and is resumable at any moment:
called again it goes on from its checkpoint, and called after it has finished it returns the record on file."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from recyclelora.config import Config, flatten
from recyclelora.documents import dump
from recyclelora.errors import InputError
from recyclelora.models.segmentor import Segmentor
from recyclelora.training.checkpoint import load_checkpoint, save_checkpoint
from recyclelora.training.loop import Diverged, Step
from recyclelora.trials import build
from recyclelora.trials.analysis import keep_analysis
from recyclelora.trials.artifacts import save_model
from recyclelora.trials.assembly import Assembly, assemble, train_steps
from recyclelora.trials.build import Domains, Identity
from recyclelora.trials.delivery import RECORD, other_trial, undelivered
from recyclelora.trials.device import arithmetic_of, choose_device, forget_peak, name_of, peak_memory
from recyclelora.trials.failures import TAG
from recyclelora.trials.history import HISTORY, History, read_history
from recyclelora.trials.label_mapping import label_tags
from recyclelora.trials.paths import Paths
from recyclelora.trials.protocol import protocol, scored_spaces
from recyclelora.trials.record import Record, read_record
from recyclelora.trials.scores import score_during, score_finally
from recyclelora.trials.second_stage import check_start
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


def run(config: Config, paths: Paths, report: Report | None = None,
        expected: Mapping[str, str] | None = None) -> Record:
    """Run one trial to its end, from wherever it stopped. Divergence is an outcome, not an error: the record then says
    `failed` and why. `expected` are the tags of the trial where it was planned, on another machine perhaps.

    Raises InputError for bad input, also where this machine has other code, weights or data than those of `expected`,
    and whatever else the machine raises (disk, memory)."""
    identity = build.identify(config, paths)
    if expected is not None and (wrong := other_trial(expected, identity.tags)):
        raise InputError(wrong)
    folder = paths.trial(identity.fingerprint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another results folder") from None
    with _alone_in(folder):
        finished = read_record(folder)
        if finished is not None and _whole(finished, identity, folder):
            if report is not None:  # a driver that was killed may not have heard of it
                entries = read_history(folder / HISTORY)
                report(Progress(finished.iteration, finished.iteration, finished.metrics, entries))
            return finished
        check_start(flatten(config), paths.trials)
        write_text(folder / "config.yaml", dump(flatten(config)))
        record = _train_and_score(config, paths, identity, folder, report or (lambda progress: None))
        write_text(folder / RECORD, json.dumps(asdict(record), indent=1))
        return record


def _whole(record: Record, identity: Identity, folder: Path) -> bool:
    """Whether there is nothing left to do. Where somebody removed a file, the trial ends once more, from its last
    checkpoint."""
    return (record.outcome == "finished" and record.fingerprint == identity.fingerprint
            and not undelivered(record, folder))


def tags_of(config: Config, identity: Identity, domains: Domains) -> dict[str, str]:
    """Tags of a run: the facts that tables need in addition to its metrics."""
    return {**identity.tags, "seed": str(config.seed), "protocol": protocol(config),
            "selection": config.evaluation.selection, **label_tags(domains.train.space, scored_spaces(domains)),
            "weights_source": identity.weights.source, "source_val": build.source_val_tag(domains),
            "images": build.images_tag(domains)}


def _train_and_score(config: Config, paths: Paths, identity: Identity, folder: Path, report: Report) -> Record:
    forget_peak(choose_device(config.resources.gpus))
    parts = assemble(config, paths)
    segmentor, domains, device = parts.segmentor, parts.domains, parts.device
    tags = {**tags_of(config, identity, domains), "device": name_of(device), "arithmetic": arithmetic_of(device)}
    selector = Selector(config.evaluation.selection, folder)
    try:
        seconds = _train(parts, folder, identity.fingerprint, selector, report)
    except Diverged as diverged:
        return Record(fingerprint=identity.fingerprint, config=flatten(config), outcome="failed",
                      tags={**tags, TAG: "diverged"},
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


def _train(parts: Assembly, folder: Path, fingerprint: str, selector: Selector, report: Report) -> float:
    """Train to the last iteration; returns the seconds it took, those before an interruption too. Reports losses, and
    every `evaluation.every` iterations scores of the source's val split (with `oracle`, of the targets too). Where the
    weights are averaged, it is the average that is scored, selected, and left in the model."""
    config, segmentor, total = parts.config, parts.segmentor, parts.config.training.iterations
    start = load_checkpoint(folder, segmentor, parts.optimiser, fingerprint=fingerprint, **parts.state)
    history, started = History(folder / HISTORY, start), time.monotonic()
    before = history.newest.get("time/trained", 0.0)
    if start:
        report(Progress(start, total, history.newest, list(history.entries)))
    with closing(train_steps(parts, start)) as steps:
        for step in steps:
            i = step.iteration
            scored = i % config.evaluation.every == 0 or i == total
            if scored or i % max(1, total // REPORTS) == 0:
                spent = time.monotonic() - started
                news = _news(step) | {"time/iteration": spent / (i - start), "time/trained": before + spent}
                if scored:
                    news |= _score(parts, selector)
                history.add(i, news)
                report(Progress(i, total, history.newest, [(i, news)]))
            if scored or i % config.resources.checkpoint_every == 0:
                save_checkpoint(folder, segmentor, parts.optimiser, i, fingerprint=fingerprint, **parts.state)
    parts.average.adopt()
    return before + time.monotonic() - started


def _news(step: Step) -> dict[str, float]:
    losses = {f"loss/{name}": value for name, value in step.losses.items()}
    return losses | {f"lr/{name}": value for name, value in step.lr.items()}


def _score(parts: Assembly, selector: Selector) -> dict[str, float]:
    with parts.average.in_place():
        scores = score_during(parts.segmentor, parts.config, parts.domains, parts.device)
        selector.offer(parts.segmentor, scores)
    return scores


@contextmanager
def _alone_in(folder: Path, patience: float = 60.0) -> Iterator[None]:
    """Hold the trial's folder. A killed driver's worker may live a moment longer and still write: wait for it."""
    try:
        with locked(folder / "lock", patience=patience):
            yield
    except Busy:
        raise InputError(f"{folder}: another process is running this trial; wait for it to end") from None
