"""Arguments that several verbs take, each declared once. A default is in brackets at the end of the help text."""

import argparse
from pathlib import Path


def positive(text: str) -> int:
    """The type of a whole number from 1 to a million; nothing that is counted here comes near that."""
    if not text.isdecimal() or len(text) > 7 or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 1000000, found {text[:40]!r}")
    return int(text)


def port(text: str) -> int:
    """The type of the number of a port."""
    if not text.isdecimal() or len(text) > 5 or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"expected the number of a port, 1 to 65535, found {text[:40]!r}")
    return int(text)


def add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, default=Path("results"),
                        help="folder of runs, models, tables and cache [results]")


def add_data_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-root", type=Path, default=None, help="folder of the data sets [$DATA_ROOT]")


def add_store_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store-wait", type=positive, default=600, metavar="SECONDS",
                        help="how long to wait, when all else is done, for a tracking store that does not answer [600]")


def add_overrides(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help=f"changes to {what}")


def part(text: str) -> tuple[int, int]:
    """The type of a share of something: 2/5 is the second of five."""
    which, slash, among = text.partition("/")
    if not slash or not all(number.isdecimal() and len(number) <= 7 for number in (which, among)) \
            or not 1 <= int(which) <= int(among):
        raise argparse.ArgumentTypeError(f"expected a share such as 2/5, the second of five; found {text[:40]!r}")
    return int(which), int(among)


def add_space(parser: argparse.ArgumentParser, help: str) -> None:
    """A space or an experiment, changes to its base config, and which base."""
    parser.add_argument("space", type=Path, help=help)
    add_overrides(parser, "its base config")
    add_base(parser)


def add_profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("profile", type=Path, help="a cluster's profile.yaml, or the name of its folder in cluster/")


def add_base(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--at", metavar="BASE", help="base of an experiment [its first]")


def add_cells(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("--cell", action="append", default=[], metavar="CELL", help=help)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="folder of a finished trial, or its fingerprint")


def add_sweeps(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweeps", nargs="*", default=[], metavar="SWEEP", help="names of sweeps, or files [all]")
