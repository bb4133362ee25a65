"""`stop`: end a running sweep in an orderly way, as Ctrl-C in its terminal would."""

import argparse
import time

from recyclelora.verbs.running_sweep import add_sweep, running

HELP = "end a running sweep as Ctrl-C would; the same sweep command goes on from there"
PATIENCE = 300.0  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.errors import Outage
    from recyclelora.sweeps.control import STOP, ask, running_in

    results, name = running(given)
    ask(results, name, STOP)
    deadline = time.monotonic() + PATIENCE
    while running_in(results) == name:
        if time.monotonic() > deadline:
            raise Outage(f"{name}: has not ended for {PATIENCE:.0f} s; look at its terminal, or end its process")
        time.sleep(0.5)
    print(f"{name}: stopped; the same sweep command goes on from there")
    return 0
