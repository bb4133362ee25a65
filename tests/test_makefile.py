"""The Makefile: each variable reaches the program as one word, whatever is in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ODD = "my  'odd' \"name\" ; echo `pwd` *, é"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that is set up, with a program that prints its words, one a line."""
    folder = tmp_path / "my checkout"
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("requirements.lock", "pyproject.toml"):
        (folder / name).touch()
    program = folder / ".venv" / "bin" / "recyclelora"
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    program.chmod(0o755)
    (folder / ".venv" / "ready").touch()
    return folder


def words(checkout: Path, *arguments: str, **environment: str) -> list[str]:
    run = subprocess.run(["make", *arguments], cwd=checkout, capture_output=True, text=True,
                         env={**os.environ, **environment})
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.mark.parametrize("value", [ODD, "my space.yaml", "plain"])
@pytest.mark.parametrize(("target", "variables", "expected"), [
    ("sweep", ("SPACE", "AT", "CELL", "RESULTS"), ["sweep", "{}", "--at", "{}", "--cell", "{}", "--results", "{}"]),
    ("plan", ("SPACE", "AT", "CELL", "RESULTS"), ["plan", "{}", "--at", "{}", "--cell", "{}", "--results", "{}"]),
    ("sweep", ("CLUSTER", "SPACE", "AT", "CELL"), ["submit", "{}", "{}", "--at", "{}", "--cell", "{}"]),
    ("cluster-status", ("CLUSTER",), ["remote", "status", "{}"]),
    ("cluster-logs", ("CLUSTER", "SPACE", "AT"), ["remote", "logs", "{}", "{}", "--at", "{}"]),
    ("cluster-stop", ("CLUSTER", "SPACE", "AT"), ["remote", "stop", "{}", "{}", "--at", "{}"]),
    ("noise", ("SPACE", "AT", "RESULTS"), ["noise", "{}", "--at", "{}", "--results", "{}"]),
    ("status", ("RESULTS",), ["status", "--results", "{}"]),
    ("tables", ("RESULTS",), ["tables", "--results", "{}"]),
    ("report", ("RESULTS",), ["report", "--results", "{}"]),
    ("ui", ("RESULTS", "PORT"), ["ui", "--results", "{}", "--port", "{}"]),
])
def test_every_variable_is_one_word(checkout: Path, target: str, variables: tuple[str, ...], expected: list[str],
                                    value: str) -> None:
    assert words(checkout, target, *(f"{name}={value}" for name in variables)) == [each.format(value) for each in expected]
    from_environment = words(checkout, target, **dict.fromkeys(variables, value))
    assert from_environment == [each.format(value) for each in expected]


@pytest.mark.parametrize("name", ["my study", "it's", "plain"])
def test_an_experiment_is_a_name_or_a_file(checkout: Path, name: str) -> None:
    assert words(checkout, "plan", f"EXPERIMENT={name}")[1] == f"experiments/{name}.yaml"
    (checkout / f"{name}.yml").touch()
    assert words(checkout, "plan", f"EXPERIMENT={name}.yml")[1] == f"{name}.yml"
    assert words(checkout, "plan")[1] == "search_spaces/default.yaml"


def test_the_list_of_targets_shows_what_was_given(checkout: Path) -> None:
    shown = "\n".join(words(checkout, f"SPACE={ODD}", f"RESULTS={ODD}", f"PORT={ODD}"))
    assert f"SPACE={ODD}, then" in shown and f"RESULTS={ODD} is" in shown and f"(PORT={ODD})" in shown


def test_python_may_lie_in_a_folder_with_blanks(checkout: Path) -> None:
    place = checkout / "my pythons"
    place.mkdir()
    (place / "python").symlink_to(sys.executable)
    shutil.rmtree(checkout / ".venv")
    run = subprocess.run(["make", "-n", "setup", f"PYTHON={place}/python"], cwd=checkout, capture_output=True, text=True)
    assert f"|| '{place}/python' -m venv" in run.stdout and f"'{place}/python' -c" in run.stdout
