"""The list of verbs: each is one file with its own parser, and asking for help waits for nothing heavy."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from recyclelora import verbs
from recyclelora.cli import main, parse

HEAVY = ("torch", "transformers", "ray", "mlflow", "timm", "torchvision", "pandas", "optuna", "sqlalchemy", "scipy",
         "numpy", "pydantic", "matplotlib", "rich", "yaml")


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)


def imported_by(*arguments: str) -> list[str]:
    """Which of the heavy libraries a call of the command line imports before it ends."""
    code = ("import sys\nfrom recyclelora.cli import main\ntry:\n    main(sys.argv[1:])\nfinally:\n"
            f"    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)")
    result = run(code, *arguments)
    assert result.returncode == 0, result.stderr
    return eval(result.stderr.splitlines()[-1])


@pytest.mark.parametrize("verb", ["", *verbs.NAMES])
def test_help_imports_nothing_heavy(verb: str) -> None:
    assert imported_by(*([verb] if verb else []), "--help") == []


@pytest.mark.parametrize("name", verbs.NAMES)
def test_a_verb_says_what_it_does_in_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    verb = verbs.load_verb(name)
    assert callable(verb.run) and verb.HELP and "\n" not in verb.HELP
    with pytest.raises(SystemExit) as ended:
        parse([name, "--help"])
    assert ended.value.code == 0
    assert " ".join(verb.HELP.split()) in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", verbs.NAMES)
def test_every_argument_is_explained_and_its_default_is_true(name: str) -> None:
    """A default is written in brackets; of those that argparse knows, the text has the value itself."""
    parser = argparse.ArgumentParser()
    verbs.load_verb(name).add_arguments(parser)
    for action in parser._actions:
        assert action.help and "(default" not in action.help, action.dest
        default = action.default[0] if isinstance(action.default, list) and action.default else action.default
        if isinstance(default, (str, int)) and not isinstance(default, bool) and default != argparse.SUPPRESS:
            assert action.help.endswith(f"[{default}]"), action.dest


def test_every_file_with_a_help_line_is_in_the_list() -> None:
    folder = Path(verbs.__file__).parent
    files = {path.stem.rstrip("_") for path in folder.glob("*.py") if "\nHELP = " in path.read_text()}
    assert files == set(verbs.NAMES) and len(verbs.NAMES) == len(files)


def test_nothing_but_the_list_names_the_verbs() -> None:
    text = (Path(verbs.__file__).parent.parent / "cli.py").read_text()
    assert [name for name in verbs.NAMES if f'"{name}"' in text] == []


def test_a_verb_is_one_file_and_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "greet.py").write_text(
        "HELP = 'greet somebody'\n"
        "from recyclelora.verbs.arguments import add_results\n"
        "def add_arguments(parser):\n    parser.add_argument('name')\n    add_results(parser)\n"
        "def run(given):\n    print(f'good day, {given.name}, in {given.results}')\n    return 1\n")
    monkeypatch.setattr(verbs, "__path__", [*verbs.__path__, str(tmp_path)])
    monkeypatch.setattr(verbs, "NAMES", (*verbs.NAMES, "greet"))
    assert main(["greet", "Ada"]) == 1
    assert capsys.readouterr().out == "good day, Ada, in results\n"
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "greet somebody" in capsys.readouterr().out
    sys.modules.pop("recyclelora.verbs.greet")


@pytest.mark.parametrize("words", [
    "data check --images 2 camvid", "data --json check --images 2 camvid", "evaluate M a --images 2 b", "evaluate --images 2 M a b",
    "tables A --results R B", "export --to timm M --out F", "export --to timm --to peft M --out F", "show f.yaml --json seed=1",
    "sweep s.yaml seed=1 --cell a training.lr=1", "backbones --json a", "predict M --out F a b", "status --json A"])
def test_options_stand_anywhere_among_the_words(words: str) -> None:
    plain, options = [], []
    rest = iter(words.split())
    for word in rest:
        options += [word, *([] if word == "--json" else [next(rest)])] if word.startswith("--") else []
        plain += [] if word.startswith("--") else [word]
    assert parse(words.split()) == parse([*plain, *options]) == parse([plain[0], *options, *plain[1:]])


@pytest.mark.parametrize(("words", "complaint"), [
    ("", "recyclelora: the following arguments are required: VERB; see recyclelora --help"),
    ("nonsense", "recyclelora: argument VERB: invalid choice: 'nonsense'"),
    ("train", "recyclelora train: the following arguments are required: config; see recyclelora train --help"),
    ("show", "recyclelora show: the following arguments are required: file;"),
    ("sweep a --foo", "recyclelora sweep: unrecognized arguments: --foo;"),
    ("methods --results x", "recyclelora methods: unrecognized arguments: --results"),
    ("tables --data-root x", "recyclelora tables: unrecognized arguments: --data-root"),
    ("ui --port 0", "recyclelora ui: argument --port: expected the number of a port, 1 to 65535, found '0';"),
    ("ui --port 65536", "argument --port: expected the number of a port"),
    ("ui --port x", "argument --port: expected the number of a port"),
    ("evaluate M a --images 0", "recyclelora evaluate: argument --images: expected a whole number from 1"),
])
def test_a_wrong_command_line_is_one_line(words: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("recyclelora") and complaint in said and said.count("\n") == 1


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from recyclelora.runs.tracking import Tracker

    folder = tmp_path_factory.mktemp("store")
    Tracker.open(folder, uri=None)
    return folder


@pytest.mark.parametrize(("verb", "libraries"), [("status", {"torch"}), ("tables", set()), ("report", set())])
def test_verbs_that_read_runs_do_without_the_libraries_of_training(verb: str, libraries: set[str], store: Path) -> None:
    training = {"torchvision", "transformers", "timm", "ray", "optuna", *libraries}
    assert not training & set(imported_by(verb, "--results", str(store)))


@pytest.mark.parametrize("verb", ["status", "ui"])
def test_an_empty_folder_is_refused_before_mlflow_is_imported(verb: str, tmp_path: Path) -> None:
    assert "mlflow" not in imported_by(verb, "--results", str(tmp_path))


def test_whole_numbers_are_checked_while_parsing() -> None:
    from recyclelora.verbs.arguments import positive

    assert positive("12") == 12
    for text in ("0", "-1", "1.5", "x", "", "1_0", "1:30", "1000001", "99999999999999999999", "9" * 5000):
        with pytest.raises(argparse.ArgumentTypeError, match="a whole number from 1"):
            positive(text)


def test_names_with_brackets_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Cells, folders and classes may be called like the markup of the library that prints them."""
    from rich.table import Table

    from recyclelora.verbs.console import CONSOLE, ERRORS

    table = Table("cell")
    for name in ("[/b] x", "roles [qkv]", "[red]frozen"):
        CONSOLE.print(name, highlight=False)
        ERRORS.print(name, highlight=False)
        table.add_row(name)
    CONSOLE.print(table)
    said = capsys.readouterr()
    assert all(said.out.count(name) == 2 and name in said.err for name in ("[/b] x", "roles [qkv]", "[red]frozen"))
