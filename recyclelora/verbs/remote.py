"""`remote`: the sweeps that were submitted to the cluster of a profile: list them, follow one, stop one."""

import argparse
from pathlib import Path
from typing import Any

from recyclelora.verbs.arguments import add_base, add_profile

HELP = "list the sweeps that were submitted to the cluster of a profile, follow one, or stop one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("status", "logs", "stop"), help="list them; follow one; stop one")
    add_profile(parser)
    parser.add_argument("space", type=Path, nargs="?", help="the file that was submitted [of all; the last one]")
    add_base(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.errors import InputError
    from recyclelora.spaces.space_file import read_space
    from recyclelora.sweeps.submissions import connect, stop, submissions
    from recyclelora.verbs.console import CONSOLE
    from recyclelora.verbs.job_servers import follow_to_end, server_of

    _, address = server_of(given.profile)
    sweep = read_space(given.space, at=given.at).sweep_name if given.space else None
    server = connect(address)
    found = submissions(server, sweep)
    if given.action == "status":
        CONSOLE.print(_table(found))
        return 0
    if not found:
        raise InputError(f"{address}: no sweep{f' {sweep}' if sweep else ''} was submitted there; `recyclelora submit` "
                         "does")
    last = found[-1]
    if given.action == "logs":
        return follow_to_end(server, last.id, given.profile, given.space)
    if last.running:
        stop(server, last.id)
    said = "is told to stop; the same submit goes on from there" if last.running else f"is not running ({last.status})"
    CONSOLE.print(f"{last.id}: {said}", highlight=False, markup=False)
    return 0


def _table(found: list[Any]) -> Any:
    from datetime import datetime

    from rich.table import Table

    table = Table("job", "sweep", "status", "began", "message")
    for each in found:
        table.add_row(each.id, each.sweep, each.status, f"{datetime.fromtimestamp(each.began):%Y-%m-%d %H:%M}",
                      each.message)
    return table
