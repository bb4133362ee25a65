"""`weights`: find, download or convert the pretrained weights of a backbone."""

import argparse
from pathlib import Path

from recyclelora.verbs.arguments import add_results

HELP = "find, download or convert pretrained weights; print the file and its sha256"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("backbone", nargs="?", default="dinov2_small", help="name of a backbone [dinov2_small]")
    parser.add_argument("--file", type=Path, default=None, help="a safetensors file of your own")
    add_results(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.models.pretrained_weights import resolve_weights
    from recyclelora.verbs.console import CONSOLE, paths_of

    found = resolve_weights(given.backbone, file=given.file, cache=paths_of(given).cache,
                            say=lambda text: CONSOLE.print(text, highlight=False))
    CONSOLE.print(f"{found.path}\nsha256 {found.sha256}\nfrom {found.source}", highlight=False)
    return 0
