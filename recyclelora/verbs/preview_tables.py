"""The tables in which `show` prints a config and the preview of a trial."""

import json
from collections.abc import Iterable

from rich.table import Column, Table

from recyclelora.config import Config, flatten
from recyclelora.costs import requirements
from recyclelora.data.datasets import count_of
from recyclelora.settings import Settings
from recyclelora.trials.stated import UNKNOWN, Stated, known_settings
from recyclelora.verbs.console import CONSOLE
from recyclelora.verbs.preview import Preview, evaluation_hours_of, hours_of, moments_of, to_plain


def print_trial(trial: Preview, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(to_plain(trial), indent=1))
        return 0
    print_config(trial.config, trial.settings, as_json=False)
    for table in (_groups(trial), _schedule(trial), _data(trial), _needs(trial), _targets(trial), _differences(trial)):
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


def _groups(trial: Preview) -> Table:
    table = _table("what is trained", "group", "tensors", "parameters", "rate", "weight decay")
    for group in trial.groups:
        table.add_row(group.name, str(group.tensors), f"{group.parameters:,}", f"{group.lr:.3g}",
                      f"{group.weight_decay:.3g}")
    return table


def _schedule(trial: Preview) -> Table:
    """A row for each learning rate and weight decay, a column for each of some iterations."""
    moments = list(moments_of(trial))
    table = _table("schedule", "after iteration", *(f"{moment['iteration']:,}" for moment in moments))
    for key in moments[0]:
        if key != "iteration":
            kind, _, group = key.partition("/")
            table.add_row(f"{kind.replace('_', ' ').replace('lr', 'rate')}, {group}",
                          *(f"{moment[key]:.3g}" for moment in moments))
    return table


def _data(trial: Preview) -> Table:
    table = _table("data", "role", "domain", "split", "images", "official", "label space")
    for each in trial.images:
        num = "–" if each.num is None else count_of(each.num, each.official)
        official = "–" if each.official is None else f"{each.official:,}"
        table.add_row(each.role, each.domain, each.split, num, official, each.space)
    return table


def _say(hours: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{device} {each:,.0f} h" if each > 10 else f"{device} {each:.1f} h" for device, each in hours)


def _needs(trial: Preview) -> Table:
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


def _targets(trial: Preview) -> Table:
    table = _table("published", "metric", "mIoU %", "tier", "read in")
    for target in trial.targets:
        table.add_row(target.metric, f"{target.value:.2f}", target.tier, target.source)
    return table


def _differences(trial: Preview) -> Table:
    table = _table("known differences from the released code", "what", "here", "there", "size")
    for each in trial.differences:
        table.add_row(*each)
    return table


def print_config(config: Config, settings: Settings, *, as_json: bool, stated: Stated = None) -> int:
    """Each setting with its origin. Of an imported model (`stated`), what is not stated is unknown."""
    flat, known = flatten(config), known_settings(config, stated)
    if as_json:
        unknown = {} if stated is None else {"unknown": [key for key in flat if key not in known]}
        print(json.dumps({"config": known, "origins": settings.origins, **unknown}, indent=1))
        return 0
    table = Table(Column("setting", no_wrap=True), Column("value", overflow="fold"), Column("from", overflow="fold"))
    for key, value in flat.items():
        if key in known:
            table.add_row(key, json.dumps(value), settings.origins.get(key, "default"))
        else:
            table.add_row(key, UNKNOWN, "not stated by the import")
    CONSOLE.print(table)
    return 0
