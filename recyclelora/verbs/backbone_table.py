"""The backbones as a table, with as many columns as the terminal has room for."""

from rich.table import Table

from recyclelora.models.catalogue import STATISTICS
from recyclelora.models.inventory import Entry
from recyclelora.verbs.console import CONSOLE

NOTE = """\
Adapters of rank 32 and 4, in millions of trainable parameters, on the blocks' linear layers; --json gives all digits.
Weights come from timm's repositories on the model hub; only their safetensors files are read."""

# From how many characters of a terminal on a column is shown: better left out than every column cut short.
_NEEDED = {"depth": 100, "width": 100, "patch": 84, "normalised": 100, "licence": 120, "hub (timm/)": 165}
_WORDS = ("backbone", "a block's linears", "normalised", "licence", "hub (timm/)")  # the rest are numbers


def print_entries(entries: list[Entry]) -> None:
    CONSOLE.print(_draw(entries), soft_wrap=False)
    CONSOLE.print(NOTE, style="dim", soft_wrap=False, highlight=False)
    shown = _headings(entries[0])
    if left_out := [heading for heading in _cells(entries[0]) if heading not in shown]:
        CONSOLE.print(f"Not shown for lack of room: {', '.join(left_out)}; {max(_NEEDED.values())} columns show it, "
                      "--json has it.", style="dim", soft_wrap=False, highlight=False)


def _headings(entry: Entry) -> list[str]:
    return [heading for heading in _cells(entry) if CONSOLE.width >= _NEEDED.get(heading, 0)]


def _draw(entries: list[Entry]) -> Table:
    headings = _headings(entries[0])
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in _WORDS else "right", no_wrap=True)
    for entry in entries:
        cells = _cells(entry)
        table.add_row(*(cells[heading] for heading in headings))
    return table


def _cells(entry: Entry) -> dict[str, str]:
    return {"backbone": entry.name, "depth": str(entry.depth), "width": str(entry.width),
            "patch": str(entry.patch_size), "a block's linears": _roles(entry.roles), "adapted": str(entry.adapted),
            "r 32": f"{entry.params_r32 / 1e6:.2f}", "r 4": f"{entry.params_r4 / 1e6:.2f}",
            "normalised": _statistics(entry), "licence": entry.licence, "hub (timm/)": entry.hub.removeprefix("timm/")}


def _roles(roles: dict[str, int]) -> str:
    """`qkv proj 2xfc1 fc2`."""
    return " ".join(f"{count}x{role}" if count > 1 else role for role, count in roles.items())


def _statistics(entry: Entry) -> str:
    """Mean and deviation by the name people know, or else as numbers."""
    names = [name for name, known in STATISTICS.items() if known == (entry.mean, entry.std)]
    return names[0] if names else f"{entry.mean}, {entry.std}"
