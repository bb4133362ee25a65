"""`backbones`: all backbones, with the layers that are adapted and the parameters of their adapters."""

import argparse

from recyclelora.verbs.arguments import add_json

HELP = "list the backbones: layers, adapter parameters, patch size, normalisation, licence"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", default=[], metavar="BACKBONE", help="only these [all]")
    add_json(parser)


def run(given: argparse.Namespace) -> int:
    import json

    from recyclelora.models.catalogue import BACKBONES, find_backbone
    from recyclelora.models.inventory import describe
    from recyclelora.verbs.backbone_table import print_entries
    from recyclelora.verbs.console import CONSOLE

    for name in given.names:
        find_backbone(name)
    names = given.names or list(BACKBONES)
    if given.json:
        print(json.dumps([describe(name)._asdict() for name in names], indent=1))
        return 0
    with CONSOLE.status(f"counting {len(names)} backbones"):
        entries = [describe(name) for name in names]
    print_entries(entries)
    return 0
