"""The command line: parse, call one verb, turn bad input into one line. `recyclelora VERB --help` says the rest."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from recyclelora.errors import InputError
from recyclelora.verbs import load_verb, load_verbs

DONE, SOME_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

STORE = ("mlflow", "sqlalchemy", "requests", "urllib3")  # whose errors mean that a server or database went away

DESCRIPTION = """\
Sweeps and ablations of low-rank adapters on frozen vision foundation models, for domain-generalised semantic
segmentation. Settings are dotted keys; KEY=VALUE on the command line overrides a file: adapter.main.rank=8"""

EPILOG = """\
exit codes: 0 done, 1 some trials failed or some files are faulty, 2 bad input, 130 interrupted (call again to go on)
environment: DATA_ROOT (folder of the data sets), MLFLOW_TRACKING_URI (an MLflow server), RAY_ADDRESS (a running Ray
cluster), RECYCLELORA_CACHE (pretrained weights and factorisations; default RESULTS/cache)"""

def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("recyclelora", description=DESCRIPTION, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--results", type=Path, default=Path("results"),
                        help="folder that everything is written to [results]")
    common.add_argument("--data-root", type=Path, default=None, help="folder of the data sets [$DATA_ROOT]")
    for name, verb in load_verbs():
        verb.add_arguments(verbs.add_parser(name, help=verb.HELP, description=verb.HELP, parents=[common]))
    return parser


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line as a namespace. Overrides may stand before and after options, which argparse alone refuses."""
    parser = build_parser()
    given, rest = parser.parse_known_args(arguments)
    if rest and (not hasattr(given, "overrides") or any(argument.startswith("-") for argument in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        given.overrides = [*given.overrides, *rest]
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = parse(arguments)
    given.environment = {name: os.environ.get(name) or None for name in
                         ("DATA_ROOT", "MLFLOW_TRACKING_URI", "RAY_ADDRESS", "RECYCLELORA_CACHE")}
    signal.signal(signal.SIGTERM, _interrupt)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads spin where cores are shared: 34 s for 3 s of QR
    try:
        return load_verb(given.verb).run(given)
    except InputError as error:
        return _refuse(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:  # a full disk, a lost file system: the machine's trouble, not a bug
        print(f"recyclelora: {error.filename or given.verb}: {error.strerror or error}", file=sys.stderr)
        return BAD_INPUT
    except Exception as error:
        from recyclelora.adapters import AdapterError

        if isinstance(error, AdapterError):
            return _refuse(error)
        if type(error).__module__.partition(".")[0] not in STORE:
            raise
        reason = str(error).partition("\n")[0][:300]
        print(f"recyclelora: the tracking store failed ({reason}); the same command goes on from here", file=sys.stderr)
        return SOME_FAILED
    except KeyboardInterrupt:
        print("recyclelora: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED


def _refuse(error: Exception) -> int:
    print(f"recyclelora: {error}", file=sys.stderr)
    return BAD_INPUT


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
