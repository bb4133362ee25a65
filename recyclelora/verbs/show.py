"""`show`: what a file comes to. A config with the origin of each value; of a space its trials; and of one trial of it
the plan: who is trained at which rate, on which data, for how long, against which published number."""

import argparse
import json
from collections.abc import Iterable

from rich.table import Column, Table

from recyclelora.config import Config, flatten
from recyclelora.costs import requirements
from recyclelora.documents import read
from recyclelora.errors import InputError
from recyclelora.settings import Settings, from_document, parse_overrides
from recyclelora.spaces.space import Space, cells_of, expand
from recyclelora.spaces.space_file import read_space
from recyclelora.verbs.console import CONSOLE, paths_of
from recyclelora.verbs.preview import (
    Prospect,
    describe,
    evaluation_hours_of,
    hours_of,
    moments_of,
    to_plain,
)
from recyclelora.verbs.sweeping import check_cells, tell_stage


def show(given: argparse.Namespace) -> int:
    document = read(given.file)
    overrides = parse_overrides(given.overrides)
    if "parameters" in document.data or "method" in document.data:
        return _show_space(read_space(given.file, overrides, given.at), given)
    if given.at or given.cell:
        raise InputError(f"{given.file}: a config has neither bases nor cells; leave out --at and --cell")
    settings = from_document(document).override(overrides, "command line")
    return _show_trial(describe(settings, paths_of(given)), as_json=given.json)


def _show_space(space: Space, given: argparse.Namespace) -> int:
    """The trials and their common config; with `--cell` the plan of one cell at the first seed."""
    if len(given.cell) > 1:
        raise InputError(f"command line: --cell: one at a time, found {len(given.cell)}")
    (label,) = check_cells(space, given.cell) or (None,)
    if label is None:
        return _list_trials(space, as_json=given.json)
    settings = space.layered(dict(cells_of(space))[label], space.seeds[0])
    targets = tuple(target for target in space.statement.targets if target.cell == label)
    trial = describe(settings, paths_of(given), targets, space.statement.unknown)
    if not given.json:
        CONSOLE.print(f"{space.sweep_name}, {label}: {space.claim}", highlight=False)
        tell_stage(space)
    return _show_trial(trial, as_json=given.json)


def _show_trial(trial: Prospect, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(to_plain(trial), indent=1))
        return 0
    print_config(trial.config, trial.settings, as_json=False)
    for table in (_groups(trial), _schedule(trial), _data(trial), _needs(trial), _targets(trial)):
        if table.row_count:
            CONSOLE.print(table)
    if trial.absent:
        CONSOLE.print(f"The data are not here: {trial.absent}", style="yellow", highlight=False)
    for name in trial.slow:
        CONSOLE.print(f"{name} is read from large PNG files, at some 15 images a second and core: `recyclelora data "
                      f"prepare {name}` makes copies that are read 2.5 times as fast", highlight=False)
    for what, chosen in trial.unknown:
        CONSOLE.print(f"Not public: {what}. Chosen: {chosen}.", highlight=False)
    return 0


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left")


def _groups(trial: Prospect) -> Table:
    table = _table("what is trained", "group", "tensors", "parameters", "rate", "weight decay")
    for group in trial.groups:
        table.add_row(group.name, str(group.tensors), f"{group.parameters:,}", f"{group.lr:.3g}",
                      f"{group.weight_decay:.3g}")
    return table


def _schedule(trial: Prospect) -> Table:
    """A line for each rate and weight decay, a column for each moment."""
    moments = list(moments_of(trial))
    table = _table("schedule", "after iteration", *(f"{moment['iteration']:,}" for moment in moments))
    for key in moments[0]:
        if key != "iteration":
            kind, _, group = key.partition("/")
            table.add_row(f"{kind.replace('_', ' ').replace('lr', 'rate')}, {group}",
                          *(f"{moment[key]:.3g}" for moment in moments))
    return table


def _data(trial: Prospect) -> Table:
    table = _table("data", "role", "domain", "split", "images", "official", "label space")
    for each in trial.images:
        num, official = ("–" if count is None else f"{count:,}" for count in (each.num, each.official))
        table.add_row(each.role, each.domain, each.split, num, official, each.space)
    return table


def _say(hours: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{device} {each:,.0f} h" if each > 10 else f"{device} {each:.1f} h" for device, each in hours)


def _needs(trial: Prospect) -> Table:
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
    table.add_row(f"training at {requirements.UTILISATION:.0%} of the data sheet's {trial.config.training.precision}",
                  _say(hours_of(trial)))
    scored = trial.scored
    if scored.during + scored.final:
        table.add_row("windows that are scored", f"{scored.during:,} while training, {scored.final:,} at its end")
        table.add_row(f"evaluation at {requirements.UTILISATION:.0%} of the data sheet's float32",
                      _say(evaluation_hours_of(trial)))
    if scored.at_most:
        table.add_row("sizes vary: each counted as the largest", ", ".join(scored.at_most))
    if scored.unknown:
        table.add_row("not counted: size or number not known", ", ".join(scored.unknown))
    return table


def _targets(trial: Prospect) -> Table:
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
