"""`pause`: let a running sweep start no more trials for now."""

import argparse

from recyclelora.verbs.running_sweep import add_sweep, running

HELP = "let a running sweep start no more trials until it is resumed; running ones go on"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.sweeps.control import PAUSE, ask

    results, name = running(given)
    ask(results, name, PAUSE)
    print(f"{name}: starts no more trials; `recyclelora resume` lets it go on")
    return 0
