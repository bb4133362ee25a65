"""`submit`: run a sweep as a job on the cluster of a profile, and follow it."""

import argparse

from recyclelora.verbs.arguments import add_cells, add_profile, add_space

HELP = "run a sweep as a job on the cluster of a profile, and follow it; Ctrl-C leaves it running"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_profile(parser)
    add_space(parser, help="a YAML file under search_spaces/ or experiments/, the same in the cluster's checkout")
    add_cells(parser, help="run this cell alone (repeatable)")


def run(given: argparse.Namespace) -> int:
    from recyclelora.clusters.submission import entrypoint
    from recyclelora.settings import parse_overrides
    from recyclelora.spaces.space_file import read_space
    from recyclelora.sweeps.submissions import connect, submit
    from recyclelora.verbs.console import CONSOLE
    from recyclelora.verbs.job_servers import digest_of, follow_to_end, in_checkout, server_of
    from recyclelora.verbs.trial_lists import check_cells

    site, address = server_of(given.profile)
    path = in_checkout(given.space)
    space = read_space(given.space, parse_overrides(given.overrides), given.at)
    cells = [word for label in check_cells(space, given.cell) for word in ("--cell", label)]
    words = [*(["--at", given.at] if given.at else []), *cells, *given.overrides]
    server = connect(address)
    name, new = submit(server, space.sweep_name, digest_of(space, given.cell), entrypoint(site, path, words))
    CONSOLE.print(f"{name}: {'submitted to' if new else 'runs already at'} {address}; Ctrl-C leaves it running",
                  highlight=False, markup=False)
    return follow_to_end(server, name, given.profile, given.space)
