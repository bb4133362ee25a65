"""A space before it runs: the list of its trials, or the preview of one of its cells."""

import argparse
import json

from recyclelora.config import flatten
from recyclelora.errors import InputError
from recyclelora.spaces.space import Space, cells_of, expand
from recyclelora.verbs.console import CONSOLE, paths_of
from recyclelora.verbs.preview import describe
from recyclelora.verbs.preview_tables import print_config, print_trial
from recyclelora.verbs.trial_lists import check_cells, print_stage


def show_space(space: Space, given: argparse.Namespace) -> int:
    """Print the trials and their common config, or with `--cell` the preview of one cell at the first seed."""
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
        print_stage(space)
    return print_trial(trial, as_json=given.json)


def _list_trials(space: Space, *, as_json: bool) -> int:
    trials = [] if space.method == "tpe" else list(expand(space))
    if as_json:
        print(json.dumps([{"cell": trial.cell, "knobs": trial.knobs, "config": flatten(trial.config)}
                          for trial in trials], indent=1))
        return 0
    CONSOLE.print(f"{space.name}: {space.claim}", highlight=False)
    for trial in trials:
        CONSOLE.print(f"  {trial.cell}, seed {trial.config.seed}", highlight=False)
    print_stage(space)
    return print_config(space.resolve({}, space.seeds[0]), space.settings, as_json=False)
