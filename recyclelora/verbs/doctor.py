"""`doctor`: the checks that a sweep makes before its first trial, alone."""

import argparse
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from recyclelora.verbs.arguments import add_base, add_data_root, add_json, add_overrides, add_results

HELP = "check this machine, or every node of the cluster RAY_ADDRESS, for what would stop a sweep"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("space", type=Path, nargs="?", help="check for the trials of this space or experiment too")
    add_overrides(parser, "its base config")
    add_base(parser)
    add_json(parser)
    add_results(parser)
    add_data_root(parser)


def run(given: argparse.Namespace) -> int:
    import json

    from recyclelora.verbs.console import CONSOLE

    began = time.monotonic()
    found, nodes = _examine(given)
    if given.json:
        print(json.dumps([finding._asdict() for finding in found], indent=1))
    else:
        for finding in found:
            CONSOLE.print(str(finding), style="red" if finding.stops else "yellow", highlight=False)
        where = f"{nodes} nodes of {given.environment['RAY_ADDRESS']}" if nodes else "this machine"
        stops = sum(finding.stops for finding in found)
        CONSOLE.print(f"{where}: {stops} findings that stop a sweep, {len(found) - stops} to note; "
                      f"{time.monotonic() - began:.1f} s", highlight=False)
    return 1 if any(finding.stops for finding in found) else 0


def _examine(given: argparse.Namespace) -> tuple[list[Any], int]:
    """The findings, and the number of nodes of the cluster that were asked."""
    from recyclelora.errors import Absent, InputError, Outage
    from recyclelora.preflight.finding import Finding
    from recyclelora.preflight.shared_folder import probing
    from recyclelora.sweeps.capacity import working_nodes
    from recyclelora.sweeps.cluster import cluster
    from recyclelora.sweeps.options import Options
    from recyclelora.sweeps.preflight import HERE, examine, question_of
    from recyclelora.verbs.console import paths_of

    paths, address = paths_of(given), given.environment["RAY_ADDRESS"]
    found = list[Finding]()
    try:
        configs, jobs = _trials(given, paths) if given.space else ([], [])
    except Absent as absent:
        configs, jobs = [], []
        found.append(Finding("weights and data", HERE, str(absent)))
    with ExitStack() as held:
        joined = address
        if address:
            try:
                held.enter_context(cluster(address))
            except (InputError, Outage) as error:
                joined = None
                found.append(Finding("cluster", HERE, str(error)))
        asked = question_of(configs, jobs, paths, Options(joined, given.environment["MLFLOW_TRACKING_URI"]))
        try:
            asked = held.enter_context(probing(asked))
        except OSError as error:
            found.append(Finding("results", HERE, f"{paths.results} cannot be written ({error.strerror}); choose "
                                                  "another with --results"))
        found += examine(asked)[1]
        return found, len(working_nodes()) if joined else 0


def _trials(given: argparse.Namespace, paths: Any) -> tuple[list[Any], list[Any]]:
    """The configs of the space and their jobs. Raises InputError."""
    from recyclelora.settings import parse_overrides
    from recyclelora.spaces.space_file import read_space
    from recyclelora.sweeps.planning import plan, prepare
    from recyclelora.verbs.progress import hash_data
    from recyclelora.verbs.trial_lists import configs_of

    space = read_space(given.space, parse_overrides(given.overrides), given.at)
    configs = list(configs_of(space))
    hash_data(configs, paths)
    return configs, plan(space, paths) or [prepare(space, {}, "", space.seeds[0], paths)]
