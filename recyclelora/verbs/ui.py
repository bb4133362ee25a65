"""`ui`: MLflow's pages on the results."""

import argparse
from pathlib import Path

from recyclelora.verbs.arguments import add_results, port

HELP = "open MLflow's pages on the results (127.0.0.1)"
GRACE = 10.0  # seconds that the server has to end


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=port, default=5000, help="port of the pages [5000]")
    add_results(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.verbs.console import CONSOLE, open_existing, paths_of

    command = open_existing(given).ui_command(port=given.port)
    CONSOLE.print(f"http://127.0.0.1:{given.port} (Ctrl-C ends it)", highlight=False)
    return _serve(command, paths_of(given).results)


def _serve(command: list[str], folder: Path) -> int:
    """Run the server until it ends or this program is ended. It is several processes, and the first does not end the
    others: they are one group here, which is ended as one."""
    import os
    import signal
    import subprocess
    from contextlib import suppress

    server = subprocess.Popen(command, cwd=folder, start_new_session=True)
    try:
        return server.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
