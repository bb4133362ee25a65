"""The sweep that runs in a results folder, which another terminal wants something of."""

import argparse
from pathlib import Path

from recyclelora.verbs.arguments import add_results


def add_sweep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", nargs="?", metavar="SWEEP", help="name of the sweep [the one that runs]")
    add_results(parser)


def running(given: argparse.Namespace) -> tuple[Path, str]:
    """The results folder, and the name of the sweep that runs in it. Raises InputError where none does, or another
    one."""
    from recyclelora.errors import InputError
    from recyclelora.sweeps.control import running_in

    results = given.results.resolve()
    name = running_in(results)
    if not name:
        raise InputError(f"{results}: no sweep is running here; name its results folder with --results")
    if given.sweep not in (None, name):
        raise InputError(f"{results}: the sweep that is running here is {name}, not {given.sweep}")
    return results, name
