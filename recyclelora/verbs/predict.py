"""`predict`: label images and overlays of a trained model for photographs of your own."""

import argparse
from pathlib import Path

from recyclelora.verbs.arguments import add_model, add_results

HELP = "segment images with a trained model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="a file, or a folder of them")
    parser.add_argument("--out", type=Path, default=None, help="folder for the predictions [RESULTS/predictions]")
    add_results(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.verbs.photo_predictions import predict

    return predict(given)
