"""The command line: parse, call one verb, turn bad input into one line. `recyclelora VERB --help` says the rest."""

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from recyclelora import verbs
from recyclelora.errors import InputError, Outage, is_of_store, reason_of
from recyclelora.verbs import load_verb, load_verbs
from recyclelora.verbs.screen import drop_output, interruptible, screened

DONE, SOME_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

# Of these the user is told that a path is wrong; of others, such as a full disk, that the machine failed.
WRONG_PATH = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST,
              errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)

DESCRIPTION = """\
Sweeps and ablations of low-rank adapters on frozen vision foundation models, for domain-generalised semantic
segmentation. Settings are dotted keys; KEY=VALUE on the command line overrides a file: adapter.main.rank=8"""

EPILOG = """\
exit codes: 0 done; 1 some trials failed, some files are faulty, or a cluster, store or disk failed; 2 bad input;
130 interrupted (run the same command to go on)
environment: DATA_ROOT (folder of the data sets), MLFLOW_TRACKING_URI (an MLflow server), RAY_ADDRESS (a running Ray
cluster), RECYCLELORA_CACHE (pretrained weights and factorisations; default RESULTS/cache), RECYCLELORA_NOTIFY (a
webhook that hears when a sweep ends, fails or stalls)"""


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, as every other complaint."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message}; see {self.prog} --help\n")


def build_parser(verb: str = "") -> argparse.ArgumentParser:
    """The parser of one verb; without one, of the program, whose help lists them."""
    if verb:
        module = load_verb(verb)
        parser: argparse.ArgumentParser = _Parser(f"recyclelora {verb}", description=module.HELP)
        module.add_arguments(parser)
        return parser
    parser = _Parser("recyclelora", description=DESCRIPTION, epilog=EPILOG,
                     formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in load_verbs():
        listed.add_parser(name, help=module.HELP)
    return parser


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line as a namespace. Options may stand before, between and after the other words."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] and words[0] in verbs.NAMES:
        return build_parser(words[0]).parse_intermixed_args(words[1:], argparse.Namespace(verb=words[0]))
    return build_parser().parse_args(words)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    with screened(os.environ), interruptible() as interrupts:
        try:
            code = _run(arguments)
        except KeyboardInterrupt:
            code = INTERRUPTED
        except BrokenPipeError:  # whoever read the output has ended; together with this program, if it was interrupted
            drop_output()
            code = DONE if interrupts.last is None else INTERRUPTED
        if code and interrupts.last is not None:  # an error may be what the interruption looked like further down
            code = INTERRUPTED
        if code == INTERRUPTED:
            _say("interrupted; run the same command to go on")
        return code


def _run(arguments: Sequence[str] | None) -> int:
    given = parse(arguments)
    given.environment = {name: os.environ.get(name) or None for name in
                         ("DATA_ROOT", "MLFLOW_TRACKING_URI", "RAY_ADDRESS", "RECYCLELORA_CACHE", "RECYCLELORA_NOTIFY")}
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads spin where cores are shared: 34 s for 3 s of QR
    try:
        return load_verb(given.verb).run(given)
    except BrokenPipeError:
        raise
    except Exception as error:
        return _complain(error, given.verb)


def _complain(error: Exception, verb: str) -> int:
    """One line for whatever is not a fault of this program. For that, its traceback: on the same screen as all else,
    which hides secrets."""
    if isinstance(error, InputError):
        _say(str(error))
        return BAD_INPUT
    if isinstance(error, Outage):
        _say(f"{error}; run the same command to go on")
        return SOME_FAILED
    if is_of_store(error):
        _say(f"the tracking store failed ({reason_of(error)}); run the same command to go on")
        return SOME_FAILED
    if isinstance(error, OSError):  # a wrong path, a full disk, a lost file system: no bug
        _say(f"{error.filename or verb}: {error.strerror or error}")
        return BAD_INPUT if error.errno in WRONG_PATH else SOME_FAILED
    if isinstance(error, UnicodeEncodeError):  # in a locale such as C, whose file names are ASCII
        _say(f"{error.object!r}: no name for a file where the encoding is {error.encoding}; set LC_ALL=C.UTF-8")
        return BAD_INPUT
    from recyclelora.adapters import AdapterError  # late: it brings torch along

    if isinstance(error, AdapterError):
        _say(str(error))
        return BAD_INPUT
    traceback.print_exception(error)
    return SOME_FAILED


def _say(line: str) -> None:
    with suppress(OSError):
        print(f"recyclelora: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
