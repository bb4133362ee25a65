"""`show`: what a file comes to. A config with the origin of each value; of a space its trials; and of one trial of it
the plan: who is trained at which rate, on which data, for how long, against which published number."""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.table import Column, Table

from recyclelora.config import Config, flatten
from recyclelora.data.sets import BY_DOMAIN
from recyclelora.documents import read
from recyclelora.errors import Absent, InputError
from recyclelora.settings import Settings, from_document, parse_overrides
from recyclelora.sweeps import evaluations, outlook
from recyclelora.sweeps.build import all_parts, open_domains
from recyclelora.sweeps.evaluations import Evaluations, look_at
from recyclelora.sweeps.outlook import DEVICES, Outlook, look_ahead, sketch
from recyclelora.sweeps.places import Places
from recyclelora.sweeps.space import Space, cells_of, expand
from recyclelora.sweeps.spacefile import read_space
from recyclelora.sweeps.statement import Target
from recyclelora.sweeps.trial import groups_of, schedule_of
from recyclelora.training.optim import poly_lr, weight_decay_at
from recyclelora.verbs.room import CONSOLE, places_of
from recyclelora.verbs.sweeping import check_cells, tell_stage

MOMENTS = (0, 0.25, 0.5, 0.75, 1)  # of the schedule
CLASSES = 19  # of the head where the data are not here to say


class Group(NamedTuple):
    """A parameter group of the optimiser."""

    name: str
    tensors: int
    parameters: int
    lr: float
    weight_decay: float


class Images(NamedTuple):
    """Images of one role in a trial: `num` of them are taken, `official` has the whole split; None: not known here."""

    role: str
    domain: str
    split: str
    num: int | None
    official: int | None
    space: str


@dataclass(frozen=True)
class Trial:
    """One trial as it would be run."""

    config: Config
    settings: Settings
    groups: tuple[Group, ...]
    images: tuple[Images, ...]
    absent: str  # why data are not here
    needs: Outlook
    scored: Evaluations
    targets: tuple[Target, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()


def show(given: argparse.Namespace) -> int:
    document = read(given.file)
    overrides = parse_overrides(given.overrides)
    if "parameters" in document.data or "method" in document.data:
        return _show_space(read_space(given.file, overrides, given.at), given)
    if given.at or given.cell:
        raise InputError(f"{given.file}: a config has neither bases nor cells; leave out --at and --cell")
    settings = from_document(document).override(overrides, "command line")
    return _show_trial(describe(settings, places_of(given)), as_json=given.json)


def _show_space(space: Space, given: argparse.Namespace) -> int:
    """The trials and their common config; with `--cell` the plan of one cell at the first seed."""
    if len(given.cell) > 1:
        raise InputError(f"command line: --cell: one at a time, found {len(given.cell)}")
    (label,) = check_cells(space, given.cell) or (None,)
    if label is None:
        return _list_trials(space, as_json=given.json)
    settings = space.layered(dict(cells_of(space))[label], space.seeds[0])
    targets = tuple(target for target in space.statement.targets if target.cell == label)
    trial = describe(settings, places_of(given), targets, space.statement.unknown)
    if not given.json:
        CONSOLE.print(f"{space.sweep_name}, {label}: {space.claim}", highlight=False)
        tell_stage(space)
    return _show_trial(trial, as_json=given.json)


def describe(settings: Settings, places: Places, targets: Sequence[Target] = (),
             unknown: Sequence[tuple[str, str]] = ()) -> Trial:
    """Everything about one trial that can be known before it runs, and without its weights. Raises InputError for
    settings that no machine could run."""
    config = settings.resolve()
    images, classes, absent = _images(config, places)
    scored = _evaluations(config, images)
    groups = groups_of(sketch(config, classes), config)
    counted = tuple(Group(group["name"], len(group["params"]), sum(p.numel() for p in group["params"]), group["lr"],
                          group["weight_decay"]) for group in groups)
    return Trial(config, settings, counted, images, absent, look_ahead(config, classes), scored, tuple(targets),
                 tuple(unknown))


def _images(config: Config, places: Places) -> tuple[tuple[Images, ...], int, str]:
    """Counts by role, the number of classes, and "" or why the data are not here."""
    data, split = config.data, config.evaluation.split
    asked = [*(("train", name, "train") for name in data.sources), *(("source", name, "val") for name in data.sources),
             *(("target", name, split) for name in data.targets)]
    try:
        domains = open_domains(config, places)
    except Absent as absent:
        limits = data.train_images if isinstance(data.train_images, tuple) else [data.train_images] * len(data.sources)
        wanted = [*limits, *[config.evaluation.images] * (len(asked) - len(data.sources))]
        told = zip(asked, wanted, strict=True)
        return tuple(Images(*each, limit, _official(*each[1:]), "") for each, limit in told), CLASSES, str(absent)
    return (tuple(Images(*each, len(part), _official(*each[1:]), part.space.name)
                  for each, part in zip(asked, all_parts(domains), strict=True)), len(domains.train.space.classes), "")


def _evaluations(config: Config, images: Sequence[Images]) -> Evaluations:
    """What is scored of these images, or of as many as are published where the data are not here."""
    source, targets = ([look_at(config, each.domain, each.official if each.num is None else each.num,
                                config.data.source if role == "source" else "")
                        for each in images if each.role == role] for role in ("source", "target"))
    return evaluations.count(config, source, targets)


def _official(domain: str, split: str) -> int | None:
    """How many images the split has as published, where that is known."""
    return BY_DOMAIN[domain].domains[domain].get(split) if domain in BY_DOMAIN else None


def _show_trial(trial: Trial, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(_plain(trial), indent=1))
        return 0
    print_config(trial.config, trial.settings, as_json=False)
    for table in (_groups(trial), _schedule(trial), _data(trial), _needs(trial), _targets(trial)):
        if table.row_count:
            CONSOLE.print(table)
    if trial.absent:
        CONSOLE.print(f"The data are not here: {trial.absent}", style="yellow", highlight=False)
    for what, chosen in trial.unknown:
        CONSOLE.print(f"Not public: {what}. Chosen: {chosen}.", highlight=False)
    return 0


def _plain(trial: Trial) -> dict[str, Any]:
    return {"config": flatten(trial.config), "origins": trial.settings.origins,
            "groups": [group._asdict() for group in trial.groups], "schedule": list(_moments(trial)),
            "data": [each._asdict() for each in trial.images], "absent": trial.absent,
            "needs": {**trial.needs._asdict(), "memory_bytes": trial.needs.memory_bytes,
                      "estimated_hours": dict(_hours(trial)),
                      "evaluation": {**trial.scored._asdict(), "estimated_hours": dict(_evaluation_hours(trial))}},
            "targets": [target._asdict() for target in trial.targets], "unknown": dict(trial.unknown)}


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left")


def _groups(trial: Trial) -> Table:
    table = _table("what is trained", "group", "tensors", "parameters", "rate", "weight decay")
    for group in trial.groups:
        table.add_row(group.name, str(group.tensors), f"{group.parameters:,}", f"{group.lr:.3g}",
                      f"{group.weight_decay:.3g}")
    return table


def _moments(trial: Trial) -> Iterator[dict[str, float]]:
    """The schedule at some iterations: each group's rate, and its weight decay."""
    total, schedule = trial.config.training.iterations, schedule_of(trial.config)
    end = schedule.pop("weight_decay_end")
    for done in sorted({schedule.get("warmup", 0), *(round(share * total) for share in MOMENTS)}):
        rate = poly_lr(done, total, **schedule)
        decays = {f"weight_decay/{group.name}": weight_decay_at(done, total, group.weight_decay, end)
                  for group in trial.groups}
        yield {"iteration": done, **{f"lr/{group.name}": rate * group.lr for group in trial.groups}, **decays}


def _schedule(trial: Trial) -> Table:
    """A line for each rate and weight decay, a column for each moment."""
    moments = list(_moments(trial))
    table = _table("schedule", "after iteration", *(f"{moment['iteration']:,}" for moment in moments))
    for key in moments[0]:
        if key != "iteration":
            kind, _, group = key.partition("/")
            table.add_row(f"{kind.replace('_', ' ').replace('lr', 'rate')}, {group}",
                          *(f"{moment[key]:.3g}" for moment in moments))
    return table


def _data(trial: Trial) -> Table:
    table = _table("data", "role", "domain", "split", "images", "official", "label space")
    for each in trial.images:
        num, official = ("–" if count is None else f"{count:,}" for count in (each.num, each.official))
        table.add_row(each.role, each.domain, each.split, num, official, each.space)
    return table


def _hours(trial: Trial) -> Iterator[tuple[str, float]]:
    kind = "float32" if trial.config.training.precision == "float32" else "half"
    for device, peaks in DEVICES.items():
        yield device, trial.needs.hours(trial.config.training.iterations, peaks[kind])


def _evaluation_hours(trial: Trial) -> Iterator[tuple[str, float]]:
    """Of all evaluations together, which are made in float32."""
    for device, peaks in DEVICES.items():
        yield device, trial.needs.evaluation_hours(trial.scored.during + trial.scored.final, peaks["float32"])


def _say(hours: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{device} {each:,.0f} h" if each > 10 else f"{device} {each:.1f} h" for device, each in hours)


def _needs(trial: Trial) -> Table:
    """Counted, not measured: `recyclelora plan` times real steps."""
    needs = trial.needs
    table = _table("needs", "counted, not measured (`recyclelora plan` times real steps)", "")
    weights, optimiser, kept, memory = (
        f"{count / 2**30:.1f}" for count in (needs.weight_bytes, needs.optimiser_bytes, needs.kept_bytes,
                                             needs.memory_bytes))
    table.add_row("memory of a step, at least", f"{memory} GiB: weights {weights}, gradients and AdamW {optimiser}, "
                  f"kept for the backward pass {kept}")
    table.add_row("arithmetic of a step", f"{needs.step_flops / 1e12:,.2f} TFLOP, without the loss")
    table.add_row("arithmetic of a window", f"{needs.window_flops / 1e12:,.2f} TFLOP")
    table.add_row(f"training at {outlook.UTILISATION:.0%} of the data sheet's {trial.config.training.precision}",
                  _say(_hours(trial)))
    scored = trial.scored
    if scored.during + scored.final:
        table.add_row("windows that are scored", f"{scored.during:,} while training, {scored.final:,} at its end")
        table.add_row(f"evaluation at {outlook.UTILISATION:.0%} of the data sheet's float32",
                      _say(_evaluation_hours(trial)))
    if scored.at_most:
        table.add_row("sizes vary: each counted as the largest", ", ".join(scored.at_most))
    if scored.unknown:
        table.add_row("not counted: size or number not known", ", ".join(scored.unknown))
    return table


def _targets(trial: Trial) -> Table:
    table = _table("published", "metric", "mIoU %", "tier", "read in")
    for target in trial.targets:
        table.add_row(target.metric, f"{target.value:.2f}", target.tier, target.source)
    return table


def print_config(config: Config, settings: Settings, *, as_json: bool) -> int:
    flat = flatten(config)
    if as_json:
        print(json.dumps({"config": flat, "origins": settings.origins}, indent=1))
        return 0
    table = Table(Column("setting", no_wrap=True), Column("value", overflow="fold"), Column("from", overflow="fold"))
    for key, value in flat.items():
        table.add_row(key, json.dumps(value), settings.origins.get(key, "default"))
    CONSOLE.print(table)
    return 0


def _list_trials(space: Space, *, as_json: bool) -> int:
    trials = [] if space.method == "tpe" else list(expand(space))
    if as_json:
        print(json.dumps([{"cell": trial.cell, "knobs": trial.knobs, "config": flatten(trial.config)}
                          for trial in trials], indent=1))
        return 0
    CONSOLE.print(f"{space.name}: {space.claim}", highlight=False)
    for trial in trials:
        CONSOLE.print(f"  {trial.cell}, seed {trial.config.seed}", highlight=False)
    tell_stage(space)
    return print_config(space.resolve({}, space.seeds[0]), space.settings, as_json=False)
