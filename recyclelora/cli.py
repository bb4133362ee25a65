"""The command line: parse, call one verb, turn bad input into one line. `recyclelora VERB --help` says the rest."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from recyclelora.errors import InputError, Outage
from recyclelora.verbs.terminal import drop_output, interruptible, screened

DONE, SOME_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

STORE = ("mlflow", "sqlalchemy", "sqlite3", "requests", "urllib3")  # their errors: a server or database went away

DESCRIPTION = """\
Sweeps and ablations of low-rank adapters on frozen vision foundation models, for domain-generalised semantic
segmentation. Settings are dotted keys; KEY=VALUE on the command line overrides a file: adapter.main.rank=8"""

EPILOG = """\
exit codes: 0 done; 1 some trials failed, some files are faulty, or a cluster or store went away; 2 bad input;
130 interrupted (run the same command to go on)
environment: DATA_ROOT (folder of the data sets), MLFLOW_TRACKING_URI (an MLflow server), RAY_ADDRESS (a running Ray
cluster), RECYCLELORA_CACHE (pretrained weights and factorisations; default RESULTS/cache)"""

VERBS = {
    "sweep": "run what is missing of a space, then print its table",
    "train": "train and evaluate one config (a trial), without Ray",
    "evaluate": "score a trained model on any domain",
    "predict": "segment images with a trained model",
    "export": "write a trained model for PEFT, timm, torch.export or ONNX, with a model card",
    "import": "make a model of a checkpoint of the authors' RecycleLoRA code, of SoMA or of Rein",
    "plan": "what a space or experiment would train, what is there already, and what the rest will cost",
    "noise": "run an experiment's baseline on its seeds, and say how small a difference could be seen",
    "status": "how far each sweep is",
    "tables": "write the tables of all sweeps again, from MLflow alone",
    "explain": "go from a number in a table back to its runs",
    "report": "write the page of each experiment: verdict, tables, figures, provenance",
    "analyse": "analyse the adapters of runs that ended without it",
    "show": "print a resolved config with the origin of each value, or the trials of a space",
    "backbones": "list the backbones: layers, adapter parameters, patch size, normalisation, licence",
    "weights": "find, download or convert pretrained weights; print file and sha256",
    "data": "list domains, check that one is whole and sound, or prepare it",
    "ui": "open MLflow's pages on the results (127.0.0.1)",
}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("recyclelora", description=DESCRIPTION, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--results", type=Path, default=Path("results"), help="folder of all that is written [results]")
    common.add_argument("--data-root", type=Path, default=None, help="folder of the data sets [$DATA_ROOT]")
    made = {name: verbs.add_parser(name, help=text, description=text, parents=[common],
                                   formatter_class=argparse.ArgumentDefaultsHelpFormatter)
            for name, text in VERBS.items()}

    sweep = made["sweep"]
    sweep.add_argument("space", type=Path, help="a YAML file under search_spaces/ or experiments/")
    sweep.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes to its base config")
    sweep.add_argument("--at", metavar="BASE", help="which base of an experiment [its first]")
    sweep.add_argument("--cell", action="append", default=[], metavar="CELL", help="run this cell alone (repeatable)")
    sweep.add_argument("--dry-run", action="store_true", help="print what would run, and run nothing")
    sweep.add_argument("--retries", type=int, default=2, choices=range(11), metavar="N",
                       help="times a crashed trial is tried again")

    for name in ("plan", "noise"):
        made[name].add_argument("space", type=Path, help="a YAML file under experiments/ or search_spaces/")
        made[name].add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes to its base config")
        made[name].add_argument("--at", metavar="BASE", help="which base of an experiment [its first]")
    made["plan"].add_argument("--cell", action="append", default=[], metavar="CELL", help="count this cell alone")
    made["plan"].add_argument("--steps", type=_positive, default=20, metavar="N", help="training steps that are timed")
    made["plan"].add_argument("--no-timing", action="store_true", help="count, and time nothing")
    made["noise"].add_argument("--seeds", type=_positive, metavar="K", help="so many seeds [those of the file]")

    train = made["train"]
    train.add_argument("config", type=Path, help="a YAML file of settings, such as experiments/bases/scenes.yaml")
    train.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    train.add_argument("--dry-run", action="store_true", help="print the resolved config, and run nothing")

    evaluate = made["evaluate"]
    evaluate.add_argument("model", type=Path, help="folder of a finished trial, or its fingerprint")
    evaluate.add_argument("domains", nargs="+", metavar="DOMAIN", help="see `recyclelora data`")
    evaluate.add_argument("--split", default=None, help="one for all [test, or val where there is no test]")
    evaluate.add_argument("--images", type=_positive, default=None, metavar="N", help="only so many of each domain")
    evaluate.add_argument("--classes", action="store_true", help="print the IoU of each class too")
    evaluate.add_argument("--json", action="store_true")

    predict = made["predict"]
    predict.add_argument("model", type=Path, help="folder of a finished trial, or its fingerprint")
    predict.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="a file, or a folder of them")
    predict.add_argument("--out", type=Path, default=None, help="folder for what is drawn [RESULTS/predictions]")

    export = made["export"]
    export.add_argument("model", type=Path, help="folder of a finished trial, or its fingerprint")
    export.add_argument("--to", nargs="+", default=["all"], metavar="FORMAT", help="peft, timm, torch, onnx or all")
    export.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder, or an earlier export")
    imported = made["import"]
    imported.add_argument("file", type=Path, help="a .pth file; code in it is never run")
    imported.add_argument("--out", type=Path, default=None, help="folder of the model [RESULTS/imported/NAME]")
    imported.add_argument("--backbone", default=None, help="of adapters without a backbone [by their width, DINOv2]")
    imported.add_argument("--weights", type=Path, default=None,
                          help="its pretrained weights, .safetensors or DINOv2's own .pth [cache, hub]")
    imported.add_argument("--alpha", type=float, default=None, help="of the adapters' scaling [as the file says]")
    imported.add_argument("--crop", type=_positive, default=None, metavar="N",
                          help="side of the training images, where the file does not say [512]")

    for name in ("status", "tables", "report", "analyse"):
        made[name].add_argument("sweeps", nargs="*", metavar="SWEEP", help="names of sweeps, or files [all]")
    made["report"].add_argument("--out", type=Path, default=None, help="folder of the pages [RESULTS/reports]")
    made["report"].add_argument("--no-pictures", action="store_true",
                                help="leave out images of the data, which its licence may not let you pass on")

    explain = made["explain"]
    explain.add_argument("table", help="name of a table, such as initialisation-scenes.differences")
    explain.add_argument("row", help="label of a row, or how it begins")
    explain.add_argument("column", help="heading or key of a column")

    made["status"].add_argument("--json", action="store_true")

    show = made["show"]
    show.add_argument("file", type=Path, help="a config or a space")
    show.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    show.add_argument("--at", metavar="BASE", help="which base of an experiment [its first]")
    show.add_argument("--cell", action="append", default=[], metavar="CELL", help="the plan of one cell")
    show.add_argument("--json", action="store_true")

    made["backbones"].add_argument("names", nargs="*", metavar="BACKBONE", help="only these [all]")
    made["backbones"].add_argument("--json", action="store_true")

    weights = made["weights"]
    weights.add_argument("backbone", nargs="?", default="dinov2_small")
    weights.add_argument("--file", type=Path, default=None, help="a safetensors file of your own")

    data = made["data"]
    data.add_argument("what", nargs="*", metavar="[check|prepare] DOMAIN", help="`check DOMAIN ...` reads all of them "
                      "and says what is wrong, `prepare DOMAIN ...` makes once what is read; without it all are listed")
    data.add_argument("--split", default=None, help="only this one [all]")
    data.add_argument("--images", type=_positive, default=None, metavar="N", help="only so many of each split [all]")
    data.add_argument("--sheet", type=Path, default=None, metavar="PNG", help="draw a contact sheet")
    data.add_argument("--json", action="store_true")

    made["ui"].add_argument("--port", type=int, default=5000)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text!r}")
    return int(text)


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
    with screened(os.environ), interruptible() as interrupts:
        try:
            code = _run(arguments)
        except KeyboardInterrupt:
            code = INTERRUPTED
        if code and interrupts.last is not None:  # an error may be what the interruption looked like further down
            code = INTERRUPTED
        if code == INTERRUPTED:
            _say("interrupted; run the same command to go on")
        return code


def _run(arguments: Sequence[str] | None) -> int:
    given = parse(arguments)
    given.environment = {name: os.environ.get(name) or None for name in
                         ("DATA_ROOT", "MLFLOW_TRACKING_URI", "RAY_ADDRESS", "RECYCLELORA_CACHE")}
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads spin where cores are shared: 34 s for 3 s of QR
    try:
        from recyclelora.verbs import find_verb

        return find_verb(given.verb)(given)  # torch and its kin take seconds: only those who need them should wait
    except BrokenPipeError:
        drop_output()
        return DONE
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
    if type(error).__module__.partition(".")[0] in STORE:
        _say(f"the tracking store failed ({reason_of(error)}); run the same command to go on")
        return SOME_FAILED
    if isinstance(error, OSError):  # a full disk, a lost file system: the machine's trouble, not a bug
        _say(f"{error.filename or verb}: {error.strerror or error}")
        return BAD_INPUT
    from recyclelora.adapters import AdapterError  # late: it brings torch along

    if isinstance(error, AdapterError):
        _say(str(error))
        return BAD_INPUT
    traceback.print_exception(error)
    return SOME_FAILED


def reason_of(error: BaseException) -> str:
    """The first line of what a store says; of a database its driver's own words, without the statement."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0][:300] or type(error).__name__


def _say(line: str) -> None:
    with suppress(OSError):
        print(f"recyclelora: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
