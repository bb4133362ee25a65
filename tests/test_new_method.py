"""A method is added as one file and one name: it then trains, saves, is listed and stands in a table, and the contract
holds it as any other. The package is copied, so that nothing else can have been touched."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recyclelora.documents import dump
from tests.tiny_config import TINY

REPO = Path(__file__).resolve().parent.parent
EXAMPLE = REPO / "tests" / "example_method" / "ssf.py"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(REPO / "recyclelora", folder / "recyclelora", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REPO / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "pyproject.toml", folder)
    shutil.copy(EXAMPLE, folder / "recyclelora" / "methods")
    listed = folder / "recyclelora" / "methods" / "__init__.py"
    before = listed.read_text()
    listed.write_text(before.replace('"rein")', '"rein", "ssf")'))
    assert listed.read_text() != before
    return folder


def call(checkout: Path, *arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(checkout), "RECYCLELORA_CACHE": str(cache)}
    return subprocess.run([sys.executable, *arguments], cwd=checkout, env=environment, capture_output=True, text=True,
                          timeout=900)


def test_it_is_listed(checkout: Path, cache: Path) -> None:
    result = call(checkout, "-m", "recyclelora.cli", "methods", "--json", cache=cache)
    assert result.returncode == 0, result.stderr
    (row,) = [row for row in json.loads(result.stdout) if row["name"] == "ssf"]
    assert (row["layers"], row["parameters"]) == (96, 24 * 2 * (3072 + 1024 + 4096 + 1024))
    assert row["source"] == "Lian et al., NeurIPS 2022" and row["keeps"]


def test_the_contract_holds_it(checkout: Path, cache: Path) -> None:
    result = call(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_methods.py", "-k", "ssf",
                  cache=cache)
    assert result.returncode == 0, result.stdout[-3000:]
    assert " passed" in result.stdout and "ssf" in EXAMPLE.read_text()


def test_its_settings_are_checked(checkout: Path, cache: Path) -> None:
    (checkout / "config.yaml").write_text(dump({"adapter.method": "ssf", "adapter.lr_multiplyer": 1.0}))
    result = call(checkout, "-m", "recyclelora.cli", "show", "config.yaml", cache=cache)
    assert result.returncode == 2
    assert "config.yaml:2: adapter.lr_multiplyer: unknown setting; did you mean adapter.lr_multiplier?" in result.stderr


@pytest.mark.slow
def test_it_stands_in_a_table_and_can_be_used(checkout: Path, cache: Path) -> None:
    base = {key: value for key, value in TINY.items() if not key.startswith("adapter.")}
    (checkout / "base.yaml").write_text(dump(base))
    (checkout / "space.yaml").write_text(dump({
        "claim": "A scale and a shift are enough.", "base": "base.yaml", "method": "cells", "seeds": [0],
        "cells": {"scale and shift": {"adapter.method": "ssf"}, "frozen backbone": {"adapter.method": "frozen"}},
        "baseline": "frozen backbone"}))
    result = call(checkout, "-m", "recyclelora.cli", "sweep", "space.yaml", cache=cache)
    assert result.returncode == 0, result.stderr
    assert "scale and shift" in result.stdout and "2 trials: 2 finished" in result.stdout
    trials = [path for path in (checkout / "results" / "trials").iterdir() if (path / "adapter.safetensors").exists()]
    assert len(trials) == 1, "the frozen one has no adapter to save"
    result = call(checkout, "-m", "recyclelora.cli", "evaluate", trials[0].name, "scenes-night", "--images", "1", "--json",
                  cache=cache)
    assert result.returncode == 0, result.stderr
