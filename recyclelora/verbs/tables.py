"""`tables`: print and write the tables of sweeps again, from the tracked runs alone."""

import argparse

from recyclelora.verbs.arguments import add_results, add_sweeps

HELP = "print and write the tables of all sweeps again, from the tracked runs alone"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweeps(parser)
    add_results(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.verbs.console import open_existing, paths_of
    from recyclelora.verbs.sweep_names import each_of, names_of
    from recyclelora.verbs.sweep_tables import write_tables

    store, paths = open_existing(given), paths_of(given)
    return each_of(names_of(store, given.sweeps), lambda name: write_tables(store, name, paths))
