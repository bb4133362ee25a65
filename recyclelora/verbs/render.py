"""`render`: the files that start a sweep on a cluster, from the profile of a site."""

import argparse
from pathlib import Path

HELP = "write the files that start a sweep on a cluster, from the profile of a site"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("profile", type=Path, help="a YAML file such as cluster/centre/profile.yaml")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write the files there [print them]")
    parser.add_argument("--check", action="store_true",
                        help="say which files beside the profile (or in --out) are not what it gives; exit code 1")


def run(given: argparse.Namespace) -> int:
    from recyclelora.clusters.profile import read_profile
    from recyclelora.verbs.console import CONSOLE
    from recyclelora.writing import write_text

    files = read_profile(given.profile).render()
    if given.check:
        return _compare(files, given.out or given.profile.parent)
    for name, text in files.items():
        if given.out:
            write_text(given.out / name, text)
            CONSOLE.print(str(given.out / name), highlight=False)
        else:
            CONSOLE.print(f"==> {name} <==\n{text}", highlight=False)
    return 0


def _compare(files: dict[str, str], folder: Path) -> int:
    from recyclelora.clusters.comparison import differences
    from recyclelora.verbs.console import CONSOLE

    found = differences(files, folder)
    for line in found:
        CONSOLE.print(line, highlight=False)
    if not found:
        CONSOLE.print(f"{folder}: {len(files)} files, as the profile gives them", highlight=False)
    return 1 if found else 0
