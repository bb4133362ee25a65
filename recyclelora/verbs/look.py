"""`weights`, `data`, `ui`: looking at what is there, before and after."""

import argparse
import subprocess

import numpy as np
from rich.table import Table

from recyclelora.data.datasets import DOMAINS, DomainData, open_domain
from recyclelora.data.sheet import Row, draw_sheet
from recyclelora.errors import InputError
from recyclelora.models.backbones import BACKBONES
from recyclelora.models.weights import resolve_weights
from recyclelora.verbs.room import CONSOLE, open_existing, places_of


def weights(given: argparse.Namespace) -> int:
    if given.backbone not in BACKBONES:
        raise InputError(f"{given.backbone}: unknown backbone; known: {', '.join(BACKBONES)}")
    found = resolve_weights(given.backbone, file=given.file, cache=places_of(given).cache,
                            say=lambda text: CONSOLE.print(text, highlight=False))
    CONSOLE.print(f"{found.path}\nsha256 {found.sha256}\nfrom {found.source}", highlight=False)
    return 0


def data(given: argparse.Namespace) -> int:
    places = places_of(given)
    if given.domain is None:
        for name, splits in DOMAINS.items():
            CONSOLE.print(f"{name}: {', '.join(splits)}", highlight=False)
        return 0
    opened = open_domain(given.domain, given.split, root=places.data_root, cache=places.cache, limit=given.images)
    if given.sheet:
        rows = [Row(opened[i].name, opened[i].image, opened[i].label) for i in range(min(8, len(opened)))]
        draw_sheet(rows, opened.space).save(given.sheet)
        CONSOLE.print(given.sheet, highlight=False)
        return 0
    return _print_histogram(opened)


def _print_histogram(opened: DomainData) -> int:
    """Reads every sample, so that whatever is wrong with one is said; prints how often each class occurs."""
    counts = np.zeros(256, np.int64)
    images = np.zeros(256, np.int64)
    for index in range(len(opened)):
        found = np.bincount(opened[index].label.ravel(), minlength=256)
        counts += found
        images += found > 0
    title = f"{opened.domain}, {opened.split}: {len(opened)} images, all readable"
    table = Table("class", "pixels %", "images", title=title)
    for train_id, name in [*enumerate(opened.space.classes), (255, "ignored")]:
        table.add_row(name, f"{100 * counts[train_id] / counts.sum():.2f}", str(images[train_id]))
    CONSOLE.print(table)
    return 0


def ui(given: argparse.Namespace) -> int:
    command = open_existing(given).ui_command(port=given.port)
    CONSOLE.print(f"http://127.0.0.1:{given.port} (Ctrl-C ends it)", highlight=False)
    return subprocess.run(command, cwd=places_of(given).results).returncode
