"""`resume`: let a paused sweep go on."""

import argparse

from recyclelora.verbs.running_sweep import add_sweep, running

HELP = "let a paused sweep go on"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.sweeps.control import take_back

    results, name = running(given)
    take_back(results, name)
    print(f"{name}: goes on")
    return 0
