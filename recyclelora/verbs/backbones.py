"""`backbones`: every backbone there is, and what adapting it means."""

import argparse
import json

from rich.table import Table

from recyclelora.documents import nearest
from recyclelora.errors import InputError
from recyclelora.models.catalogue import BACKBONES, STATISTICS
from recyclelora.models.inventory import Entry, describe
from recyclelora.verbs.room import CONSOLE

NOTE = """\
Adapters of rank 32 and 4, in millions of trainable parameters, on the blocks' linear layers; --json gives all digits.
Weights come from timm's repositories on the model hub; only their safetensors files are read."""


def backbones(given: argparse.Namespace) -> int:
    for name in given.names:
        if name not in BACKBONES:
            raise InputError(f"{name}: unknown backbone{nearest(name, BACKBONES)}")
    names = given.names or list(BACKBONES)
    if given.json:
        print(json.dumps([describe(name)._asdict() for name in names], indent=1))
        return 0
    with CONSOLE.status(f"counting {len(names)} backbones"):
        entries = [describe(name) for name in names]
    CONSOLE.print(_draw(entries), soft_wrap=False)
    CONSOLE.print(NOTE, style="dim", soft_wrap=False, highlight=False)
    return 0


def _draw(entries: list[Entry]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("backbone", "depth", "width", "patch", "a block's linears", "adapted", "r 32", "r 4", "normalised",
                    "licence", "hub (timm/)"):
        right = heading in ("depth", "width", "patch", "adapted", "r 32", "r 4")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True,
                         overflow="fold")
    family = ""
    for entry in entries:
        first = entry.name.partition("_")[0]
        if family not in ("", first):
            table.add_section()
        family = first
        table.add_row(entry.name, str(entry.depth), str(entry.width), str(entry.patch_size), _roles(entry.roles),
                      str(entry.adapted), f"{entry.params_r32 / 1e6:.2f}", f"{entry.params_r4 / 1e6:.2f}",
                      _statistics(entry), entry.licence, entry.hub.removeprefix("timm/"))
    for heading, needed in (("hub (timm/)", 165), ("licence", 120), ("depth", 100), ("width", 100), ("normalised", 100),
                            ("patch", 84)):
        if CONSOLE.width < needed:  # rather than every column cut short
            table.columns = [column for column in table.columns if column.header != heading]
    return table


def _roles(roles: dict[str, int]) -> str:
    """`qkv proj 2xfc1 fc2`."""
    return " ".join(f"{count}x{role}" if count > 1 else role for role, count in roles.items())


def _statistics(entry: Entry) -> str:
    """Mean and deviation by the name people know, or else as numbers."""
    names = [name for name, known in STATISTICS.items() if known == (entry.mean, entry.std)]
    return names[0] if names else f"{entry.mean}, {entry.std}"
