"""`ui`: MLflow's pages on the results."""

import argparse

from recyclelora.verbs.arguments import add_results, port

HELP = "open MLflow's pages on the results (127.0.0.1)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=port, default=5000, help="port of the pages [5000]")
    add_results(parser)


def run(given: argparse.Namespace) -> int:
    import subprocess

    from recyclelora.verbs.console import CONSOLE, open_existing, paths_of

    command = open_existing(given).ui_command(port=given.port)
    CONSOLE.print(f"http://127.0.0.1:{given.port} (Ctrl-C ends it)", highlight=False)
    return subprocess.run(command, cwd=paths_of(given).results).returncode
