"""Preview of a trial: its parameter groups and their rates, its data, and what it needs of time and memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from recyclelora.config import Config, flatten
from recyclelora.costs import evaluations
from recyclelora.costs.evaluations import Evaluations, count_windows
from recyclelora.costs.requirements import DEVICES, Requirements, build_shapes, count_requirements
from recyclelora.data.datasets import DOMAINS
from recyclelora.data.labels import CITYSCAPES19, LabelSpace
from recyclelora.data.sets import BY_DOMAIN
from recyclelora.errors import Absent
from recyclelora.methods.method import Difference
from recyclelora.settings import Settings
from recyclelora.spaces.statement import Target
from recyclelora.training.optim import poly_lr, weight_decay_at
from recyclelora.trials.assembly import groups_of, schedule_of
from recyclelora.trials.build import all_parts, open_domains
from recyclelora.trials.fidelity import differences
from recyclelora.trials.paths import Paths
from recyclelora.verbs.data_preparation import is_slow

MOMENTS = (0, 0.25, 0.5, 0.75, 1)  # of the schedule
CLASSES = 19  # of the head, where the source is declared on another machine


class Group(NamedTuple):
    """A parameter group of the optimiser."""

    name: str
    tensors: int
    parameters: int
    lr: float
    weight_decay: float


class Images(NamedTuple):
    """Images of one role in a trial: `num` are used, the published split has `official`. None: not known here."""

    role: str
    domain: str
    split: str
    num: int | None
    official: int | None
    space: str


@dataclass(frozen=True)
class Preview:
    """One trial as it would run."""

    config: Config
    settings: Settings
    groups: tuple[Group, ...]
    images: tuple[Images, ...]
    absent: str  # why data are not here
    slow: tuple[str, ...]  # sources in PNG files without copies that decode quickly
    needs: Requirements
    scored: Evaluations
    targets: tuple[Target, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()

    @property
    def differences(self) -> tuple[Difference, ...]:
        """From the released code, as far as they are known."""
        return differences(self.config)


def describe(settings: Settings, paths: Paths, targets: Sequence[Target] = (),
             unknown: Sequence[tuple[str, str]] = ()) -> Preview:
    """Preview of the trial of these settings, made without its weights. Raises InputError for settings that no machine
    could run."""
    config = settings.resolve()
    images, classes, absent = _images(config, paths)
    scored = _evaluations(config, images)
    groups = groups_of(build_shapes(config, classes), config)
    counted = tuple(Group(group["name"], len(group["params"]), sum(p.numel() for p in group["params"]), group["lr"],
                          group["weight_decay"]) for group in groups)
    slow = tuple(name for name in config.data.sources if is_slow(name, paths))
    return Preview(config, settings, counted, images, absent, slow, count_requirements(config, classes), scored,
                    tuple(targets), tuple(unknown))


def _images(config: Config, paths: Paths) -> tuple[tuple[Images, ...], int, str]:
    """The images of each role, the number of classes, and the reason why data are not here, or ""."""
    data, split = config.data, config.evaluation.split
    asked = [*(("train", name, "train") for name in data.sources), *(("source", name, "val") for name in data.sources),
             *(("target", name, split) for name in data.targets)]
    try:
        domains = open_domains(config, paths)
    except Absent as absent:
        limits = data.train_images if isinstance(data.train_images, tuple) else [data.train_images] * len(data.sources)
        wanted = [*limits, *[config.evaluation.images] * (len(asked) - len(data.sources))]
        listed = tuple(Images(*each, limit, _official(*each[1:]), space.name if (space := _space(each[1])) else "")
                       for each, limit in zip(asked, wanted, strict=True))
        learnt = _space(data.sources[0])
        return listed, len(learnt.classes) if learnt else CLASSES, str(absent)
    return (tuple(Images(*each, len(part), part.official, part.space.name)
                  for each, part in zip(asked, all_parts(domains), strict=True)), len(domains.train.space.classes), "")


def _evaluations(config: Config, images: Sequence[Images]) -> Evaluations:
    """What is scored of these images; where the data are not here, of as many as the set has as published."""
    source, targets = ([count_windows(config, each.domain, each.official if each.num is None else each.num,
                                config.data.source if role == "source" else "")
                        for each in images if each.role == role] for role in ("source", "target"))
    return evaluations.count(config, source, targets)


def _official(domain: str, split: str) -> int | None:
    """The published number of images of a split, None where it is not known."""
    return BY_DOMAIN[domain].domains[domain].get(split) if domain in BY_DOMAIN else None


def _space(domain: str) -> LabelSpace | None:
    """The label space of a domain, None where it cannot be known without the data."""
    if domain in BY_DOMAIN:
        return BY_DOMAIN[domain].space
    return CITYSCAPES19 if domain in DOMAINS else None


def to_plain(trial: Preview) -> dict[str, Any]:
    return {"config": flatten(trial.config), "origins": trial.settings.origins,
            "groups": [group._asdict() for group in trial.groups], "schedule": list(moments_of(trial)),
            "data": [each._asdict() for each in trial.images], "absent": trial.absent,
            "needs": {**trial.needs._asdict(), "memory_bytes": trial.needs.memory_bytes,
                      "estimated_hours": dict(hours_of(trial)),
                      "evaluation": {**trial.scored._asdict(), "estimated_hours": dict(evaluation_hours_of(trial))}},
            "targets": [target._asdict() for target in trial.targets], "unknown": dict(trial.unknown),
            "differences": [each._asdict() for each in trial.differences]}


def moments_of(trial: Preview) -> Iterator[dict[str, float]]:
    """The schedule at some iterations: each group's rate, and its weight decay."""
    total, schedule = trial.config.training.iterations, schedule_of(trial.config)
    for done in sorted({schedule.warmup, *(round(share * total) for share in MOMENTS)}):
        rate = poly_lr(done, schedule)
        decays = {f"weight_decay/{group.name}": weight_decay_at(done, total, group.weight_decay,
                                                                schedule.weight_decay_end)
                  for group in trial.groups}
        yield {"iteration": done, **{f"lr/{group.name}": rate * group.lr for group in trial.groups}, **decays}


def hours_of(trial: Preview) -> Iterator[tuple[str, float]]:
    kind = "float32" if trial.config.training.precision == "float32" else "half"
    for device, peaks in DEVICES.items():
        yield device, trial.needs.hours(trial.config.training.iterations, peaks[kind])


def evaluation_hours_of(trial: Preview) -> Iterator[tuple[str, float]]:
    """Hours of all evaluations together, which run in float32."""
    for device, peaks in DEVICES.items():
        yield device, trial.needs.evaluation_hours(trial.scored.during + trial.scored.final, peaks["float32"])
