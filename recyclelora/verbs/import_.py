"""`import`: a checkpoint of another code becomes a model that `evaluate` and `predict` take."""

import argparse
from pathlib import Path

from recyclelora.verbs.arguments import add_results, positive

HELP = "turn a checkpoint of another code, such as RecycleLoRA's or SoMA's, into a model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .pth file; code in it is never run")
    parser.add_argument("--out", type=Path, default=None, help="folder of the model [RESULTS/imported/NAME]")
    parser.add_argument("--backbone", default=None,
                        help="backbone of a file that holds adapters alone [the DINOv2 of their width]")
    parser.add_argument("--weights", type=Path, default=None,
                        help="pretrained weights of the backbone, .safetensors or DINOv2's own .pth [cache, hub]")
    parser.add_argument("--alpha", type=float, default=None, help="alpha of the adapters' scaling [as the file says]")
    parser.add_argument("--crop", type=positive, default=None, metavar="N",
                        help="side of the training images, where the file does not say [512]")
    add_results(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.exchange.import_checkpoint import Given, import_checkpoint
    from recyclelora.verbs.console import CONSOLE, paths_of

    paths = paths_of(given)
    out = (given.out or paths.results / "imported" / given.file.stem).resolve()  # `.` has no name of its own
    found = import_checkpoint(given.file, out, Given(given.backbone, given.weights, given.alpha, given.crop),
                              paths.cache)
    CONSOLE.print(f"layout: {found.layout}, backbone: {found.backbone}", highlight=False)
    for note in found.notes:
        CONSOLE.print(f"- {note}", highlight=False)
    CONSOLE.print(f"model: {out}", highlight=False)
    return 0
