"""The READMEs: links resolve, commands parse, examples run, and every room, space, experiment and verb is named."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recyclelora.cli import parse
from recyclelora.settings import parse_overrides
from recyclelora.verbs import NAMES

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (".", "cluster", "experiments", "experiments/results", "recyclelora", "recyclelora/data", "recyclelora/exchange",
           "search_spaces", "tests")
PAGES = {f"{folder}/README.md".removeprefix("./"): (ROOT / folder / "README.md").read_text("utf-8") for folder in FOLDERS}
LINK = re.compile(r"\]\(([^)\s]+)\)")
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
VARIABLES = set(re.findall(r"^([A-Z_]+) \?=", MAKEFILE, re.M)) | {"DATA_ROOT"}


def commands(text: str) -> list[str]:
    """The lines of the blocks without a language, and what stands in backticks, without comments."""
    text = re.sub(r"```[a-z]+\n.*?```", "", text, flags=re.S)
    lines = [line for block in re.findall(r"```\n(.*?)```", text, re.S) for line in block.splitlines()]
    quoted = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    return [line.strip() for line in (*lines, *quoted)]


def words_after(program: str) -> list[tuple[str, list[str]]]:
    """(page, words) of each command of all pages that starts with `program` or a path to it."""
    return [(page, words[1:]) for page, text in PAGES.items() for line in commands(text)
            if line.startswith((program + " ", f".venv/bin/{program} ")) and (words := shlex.split(line, comments=True))]


CALLS = [(page, words) for page, words in words_after("recyclelora") if words[0].islower()]
MAKES = words_after("make")


@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(page: str) -> None:
    for link in LINK.findall(PAGES[page]):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            headings = [re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
                        for line in target.read_text("utf-8").splitlines() if line.startswith("#")]
            assert anchor in headings, f"{page}: {link}"


def test_every_folder_with_a_readme_is_checked_and_the_first_page_is_short() -> None:
    tracked = subprocess.run(["git", "ls-files", "*README.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(tracked.stdout.split()) <= set(PAGES)
    assert len(PAGES["README.md"].splitlines()) < 200


@pytest.mark.parametrize(("page", "words"), CALLS, ids=[" ".join(words) for _, words in CALLS])
def test_commands_parse(page: str, words: list[str]) -> None:
    given = parse(words)
    parse_overrides(getattr(given, "overrides", []))
    for name in ("space", "config", "file"):
        path = getattr(given, name, None)
        if path is not None and path.suffix == ".yaml":
            assert (ROOT / path).exists(), f"{page}: {path}"


@pytest.mark.parametrize(("page", "words"), MAKES, ids=[" ".join(words) for _, words in MAKES])
def test_make_has_these_targets(page: str, words: list[str]) -> None:
    target, *rest = words
    assert target in TARGETS
    variables = dict(word.split("=", 1) for word in rest)
    assert set(variables) <= VARIABLES
    if "EXPERIMENT" in variables:
        path = ROOT / "experiments" / f"{variables['EXPERIMENT']}.yaml"
        assert path.exists()
        text = path.read_text()
        assert not (at := variables.get("AT")) or re.search(rf"^  {at}:", text, re.M)
        assert variables.get("CELL", "") in text
    if "SPACE" in variables:
        assert (ROOT / variables["SPACE"]).exists()


def test_enough_is_checked() -> None:
    assert len(CALLS) >= 15 and len(MAKES) >= 10


def test_modules_that_are_run_exist() -> None:
    for page, text in PAGES.items():
        for name in re.findall(r"python -m ([\w.]+)", text):
            if name != "pytest":
                assert (ROOT / f"{name.replace('.', '/')}.py").exists(), f"{page}: {name}"


def test_everything_there_is_named() -> None:
    rooms = [path.name for path in (ROOT / "recyclelora").iterdir() if (path / "__init__.py").exists()]
    for page in ("README.md", "recyclelora/README.md"):
        assert [room for room in rooms if f"{room}/" not in PAGES[page]] == [], page
    assert [verb for verb in NAMES if f"`{verb}`" not in PAGES["README.md"]] == []
    for folder in ("search_spaces", "experiments"):
        for path in (ROOT / folder).glob("*.yaml"):
            assert f"`{path.name}`" in PAGES[f"{folder}/README.md"]
    for path in [*(ROOT / "tests").glob("benchmark_*.py"), *(ROOT / "tests").glob("measure_*.py")]:
        assert f"tests.{path.stem}`" in PAGES["tests/README.md"]


def test_examples_of_space_files_are_read(tmp_path: Path) -> None:
    from recyclelora.spaces.space import expand
    from recyclelora.spaces.space_file import read_space

    for folder in ("search_spaces", "experiments"):  # beside the files that they name
        shutil.copytree(ROOT / folder, tmp_path / folder)
    path = tmp_path / "search_spaces" / "readme.yaml"
    (space,) = re.findall(r"```yaml\n(.*?)```", PAGES["search_spaces/README.md"], re.S)
    (experiment,) = re.findall(r"```yaml\n(.*?)```", PAGES["experiments/README.md"], re.S)
    path.write_text(space)
    assert len(list(expand(read_space(path)))) == 3 * (1 + 3 * (1 + 2))
    path.write_text(experiment)
    assert len(list(expand(read_space(path)))) == 4 * 5 and len(list(expand(read_space(path, at="large")))) == 4 * 8


def test_the_example_of_a_declared_set_is_read(tmp_path: Path) -> None:
    from recyclelora.data.declared import declarations

    text = PAGES["recyclelora/data/README.md"]
    folder = tmp_path / "mystreets"
    folder.mkdir()
    (folder / "dataset.yaml").write_text(text[text.index("# DATA_ROOT/mystreets"):].partition("```")[0])
    assert set(declarations(tmp_path)) == {"mystreets"}


@pytest.mark.slow
def test_the_library_example_runs(tmp_path: Path) -> None:
    code = PAGES["README.md"].partition("```python\n")[2].partition("```")[0]
    assert "merge(vit)" in code
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert (tmp_path / "adapter.safetensors").exists()
