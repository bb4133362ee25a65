"""Times a few real training steps and a few real images of a trial, on its device, with as many copies side by side as
the sweep will run."""

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from recyclelora.config import Config, flatten
from recyclelora.data.datasets import DomainData, LabelledImages
from recyclelora.data.loader import Concatenation, draws
from recyclelora.documents import Plain
from recyclelora.errors import InputError
from recyclelora.models.segmentor import Segmentor
from recyclelora.settings import Settings
from recyclelora.training.loop import Diverged
from recyclelora.trials import build
from recyclelora.trials.analysis import keep_analysis
from recyclelora.trials.assembly import Assembly, assemble, train_steps
from recyclelora.trials.build import Domains
from recyclelora.trials.device import choose_device, forget_peak, name_of, peak_memory, wait_for
from recyclelora.trials.paths import Paths
from recyclelora.trials.protocol import commons
from recyclelora.trials.scores import PANEL, evaluate_domain, scored_during

# Keys that change what a trial learns, and not what it costs; those of a schedule's length are counted, not timed.
COSTLESS = frozenset((
    "seed", "backbone.weights", "adapter.init", "adapter.main.end", "adapter.main.lr_multiplier", "adapter.sub.end",
    "adapter.sub.lr_multiplier", "adapter.lr_multiplier", "adapter.scale",
    "adapter.scaling", "adapter.alpha", "data.train_images", "training.iterations",
    "adapter.weight_decay_multiplier", "training.lr", "training.weight_decay", "training.weight_decay_end",
    "training.power", "training.warmup", "training.warmup_start", "training.decay_queries", "training.ema_momentum",
    "training.clip", "training.start", "evaluation.every", "resources.checkpoint_every"))
WARM_UP, FEWEST = 3, 3  # steps: not counted, and counted however long they take
IMAGES = 8  # of each domain, at most: as many as go through the model at once where each is one window
RATE = 1e-6  # learning rate: any trial may stand for its class, also one that would diverge

Key = tuple[tuple[str, object], ...]


class Timing(NamedTuple):
    """One timed copy of a trial. `start_seconds` is what it takes to the first step with everything in the cache,
    `end_seconds` the analysis of its adapters; `during_images` are scored at each scored moment of training,
    `final_images` at its end. `peak_memory_bytes` is what torch had allocated on a GPU, and without one all that the
    process held at its peak (its data loaders not)."""

    step_seconds: list[float]
    evaluate_seconds_per_image: float
    start_seconds: float
    end_seconds: float
    peak_memory_bytes: int
    device: str
    note: str
    during_images: int
    final_images: int


SideBySide = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], Sequence[Any]]


def cost_key(config: Config) -> Key:
    """The settings that the cost of a step and of an image depends on. Trials with one key need one timing."""
    return tuple((key, tuple(value) if isinstance(value, list) else value) for key, value in flatten(config).items()
                 if key not in COSTLESS)


def representatives(configs: Iterable[Config]) -> dict[Key, Config]:
    """The first trial of each class."""
    found: dict[Key, Config] = {}
    for config in configs:
        found.setdefault(cost_key(config), config)
    return found


def time_classes(configs: Sequence[Config], paths: Paths, side_by_side: SideBySide, slots: int, *, steps: int = 20,
                 seconds: float = 60.0) -> dict[Key, list[Timing] | str]:
    """Timings of each class by its key, or why it cannot be timed here (its data or weights are absent, it does not
    fit into memory). `side_by_side(function, arguments)` calls the function with each tuple, on the cluster, and
    returns results in their order (a str: why there is none). Trials share cores, caches and buses, so as many copies
    run at once as trials will."""
    found: dict[Key, list[Timing] | str] = {}
    for key, config in representatives(configs).items():
        try:
            build.check(config, paths)
            task = (_portable(config, paths.cache), tuple(paths), steps, seconds)
            found[key] = _all_or_why(side_by_side(probe_flat, [task] * max(1, min(slots, len(configs)))))
        except InputError as error:
            found[key] = str(error)
    return found


def _portable(config: Config, cache: Path) -> dict[str, Plain]:
    flat = flatten(config)
    if config.backbone.weights:  # a worker has another working directory
        flat["backbone.weights"] = str(build.find_weights(config, cache).path.resolve())
    return flat


def _all_or_why(results: Sequence[Timing | str]) -> list[Timing] | str:
    """The timings, or the first reason if any copy failed: trials that run side by side would fail too."""
    return next((result for result in results if isinstance(result, str)), cast(list[Timing], list(results)))


def probe_flat(flat: Mapping[str, Plain], paths: tuple[Any, ...], steps: int, seconds: float) -> Timing | str:
    """`probe` of a flat config (on a worker); a str says why it cannot be timed."""
    try:
        return probe(Settings(dict(flat)).resolve(), Paths(*paths), steps, seconds)
    except (InputError, Diverged) as error:
        return str(error)
    except (torch.OutOfMemoryError, MemoryError) as error:
        return f"does not fit into memory beside the others: {str(error).partition(chr(10))[0]}"


def probe(config: Config, paths: Paths, steps: int = 20, seconds: float = 60.0) -> Timing:
    """Time up to `steps` training steps after a warm-up of 3, until `seconds` are over but at least 3, the evaluation
    of a few images of each domain in about as long, and what else begins and ends a trial. The trial is real but for
    its learning rate, and nothing of it is kept; what it factorises and renders stays in the cache for the sweep.
    Raises InputError for a config that cannot run here."""
    steps = max(steps, FEWEST)
    device = choose_device(config.resources.gpus)
    forget_peak(device)
    _fill_caches(config, paths, steps)
    started = time.monotonic()
    parts = assemble(_short(config, WARM_UP + steps), paths)
    wait_for(device)
    start = time.monotonic() - started
    taken = _time_steps(parts, seconds)
    per_image, evaluated = _time_images(config, parts.segmentor, parts.domains, device, seconds)
    end = _time_analysis(config, parts.segmentor, parts.domains, device)
    final = [parts.domains.source_val, *parts.domains.targets.values()]
    during = scored_during(config, final)
    return Timing(taken, per_image, start, end, peak_memory(device), name_of(device),
                  _note(len(taken), steps, evaluated, len(final)), sum(map(len, during)),
                  sum(len(data) + min(PANEL, len(data)) for data in final))


def _short(config: Config, iterations: int) -> Config:
    """The same work in a few iterations, at a rate that changes nothing. Weights are averaged from the first one."""
    average = None if config.training.ema_start is None else 1
    training = replace(config.training, iterations=iterations, lr=RATE, weight_decay=0.0, weight_decay_end=0.0,
                       warmup=0, warmup_start=None, ema_start=average, start=None)
    return replace(config, training=training)


def _fill_caches(config: Config, paths: Paths, steps: int) -> None:
    """Make weights, factorisations and rendered scenes first: in a sweep only the first trial makes them."""
    domains = build.open_domains(config, paths)
    weights = build.find_weights(config, paths.cache).path
    build.build(config, weights, paths.cache, len(domains.train.space.classes))
    for batch in draws(len(domains.train), config.data.batch_size, config.seed, 0, WARM_UP + steps):
        for draw in batch:
            domains.train[draw.sample]
    for data in (domains.source_val, *domains.targets.values()):
        for index in range(min(IMAGES, len(data))):
            data[index]


def _time_steps(parts: Assembly, seconds: float) -> list[float]:
    """Seconds of each step after the warm-up: its batch, forward and backward pass, and update."""
    taken: list[float] = []
    with closing(train_steps(parts)) as source:
        last = time.monotonic()
        for _ in source:
            wait_for(parts.device)
            now = time.monotonic()
            taken.append(now - last)
            last = now
            if len(taken) >= WARM_UP + FEWEST and sum(taken[WARM_UP:]) > seconds:
                break
    return taken[WARM_UP:]


def _time_images(config: Config, segmentor: Segmentor, domains: Domains, device: torch.device,
                 seconds: float) -> tuple[float, int]:
    """Seconds of an image, each domain weighted by its size, and the number of domains that were timed for it."""
    opened = {"source": domains.source_val, **domains.targets}
    spaces = commons(domains)

    def timed(name: str, count: int) -> float:
        some = _first(opened[name], count)
        started = time.monotonic()
        evaluate_domain(segmentor, config, some, spaces[name], device, name)
        wait_for(device)
        return (time.monotonic() - started) / len(some)

    timed("source", 1)  # a warm-up
    began, count = time.monotonic(), max(1, min(IMAGES, int(seconds / len(opened) / timed("source", 1))))
    total, images, evaluated = 0.0, 0, 0
    for name, data in opened.items():
        if evaluated and time.monotonic() - began > seconds:
            break
        total, images, evaluated = total + timed(name, count) * len(data), images + len(data), evaluated + 1
    return total / images, evaluated


def _time_analysis(config: Config, segmentor: Segmentor, domains: Domains, device: torch.device) -> float:
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        keep_analysis(segmentor, config, next(iter(domains.targets.values())), Path(folder))
        wait_for(device)
        return time.monotonic() - started


def _first(data: LabelledImages, count: int) -> DomainData:
    if isinstance(data, Concatenation):
        return _first(data.parts[0], count)
    assert isinstance(data, DomainData)
    return replace(data, names=data.names[:count])


def _note(taken: int, steps: int, evaluated: int, domains: int) -> str:
    """Says what was timed less often than asked for."""
    notes = [f"{taken} of {steps} steps timed"] if taken < steps else []
    return "; ".join(notes + ([f"images of {evaluated} of {domains} domains timed"] if evaluated < domains else []))
