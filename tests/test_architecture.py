"""The house rules of the design, walked over the imports."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "recyclelora"
MODULES = sorted(PACKAGE.rglob("*.py"))

# A room may import itself and the rooms before it.
ORDER = ["errors", "writing", "sockets", "documents", "fields", "adapters", "models", "scenes", "data", "training", "methods", "config",
         "settings", "spaces", "trials", "runs", "costs", "preflight", "exchange", "sweeps", "tables", "clusters", "verbs", "cli"]
OWNERS = {  # who alone may import what
    "ray": {"sweeps/"}, "optuna": {"sweeps/optuna_search.py"}, "mlflow": {"runs/tracking.py"}, "timm": {"models/", "exchange/timm_files.py"},
    "transformers": {"models/"}, "onnx": {"models/", "exchange/"}, "onnxruntime": {"exchange/"}, "onnxscript": {"exchange/"}, "peft": {"exchange/"}, "yaml": {"documents.py"}, "rich": {"sweeps/display.py",
    "sweeps/driver.py", "sweeps/bookkeeping.py", "sweeps/preflight.py", "tables/", "verbs/"}, "pydantic": {"fields.py", "methods/", "config.py", "settings.py", "clusters/"}, "pickle": set(), "filelock": {"writing.py"},
    "matplotlib": {"tables/figures/"}, "jinja2": {"tables/html_page.py"},
}
ALONE = {"adapters": {"torch", "scipy", "numpy", "safetensors"}}  # rooms somebody may take with them
FORBIDDEN_NAMES = {"utils", "common", "misc", "helpers", "base", "manager"}


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room(place: str) -> str:
    return place.split("/")[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_imports_point_up(path: Path) -> None:
    if path.name == "__init__.py" and path.parent == PACKAGE:
        return
    own = ORDER.index(room(place(path)))
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "recyclelora" and len(parts) > 1 and parts[1] in ORDER:
            assert ORDER.index(parts[1]) <= own, f"{place(path)} imports {name}, which is further down"


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_libraries_have_one_owner(path: Path) -> None:
    for name in imports_of(path):
        owners = OWNERS.get(name.split(".")[0])
        if owners is not None:
            assert any(place(path).startswith(owner) for owner in owners), f"{place(path)} imports {name}"


def test_the_adapters_can_be_taken_alone() -> None:
    for room_name, allowed in ALONE.items():
        for path in (PACKAGE / room_name).rglob("*.py"):
            for name in imports_of(path):
                top = name.split(".")[0]
                own = name.startswith((f"recyclelora.{room_name}", "recyclelora.writing")) or name == "recyclelora"
                assert own or top in allowed or top in sys.stdlib_module_names, f"{place(path)} imports {name}"


def test_only_the_owners_of_whole_configs_see_them() -> None:
    for path in MODULES:
        if room(place(path)) in ("adapters", "models", "data", "training", "methods", "tables"):
            assert "recyclelora.config" not in imports_of(path), place(path)


def test_nobody_below_the_command_line_reads_the_environment() -> None:
    for path in MODULES:
        if room(place(path)) in ("fields", "methods", "config", "settings", "adapters", "models", "scenes", "data", "training", "spaces", "tables"):
            text = path.read_text()
            assert "os.environ" not in text and "getenv" not in text, place(path)


def test_a_method_is_named_in_its_own_rooms_only() -> None:
    """Whatever else needs to know a method asks it. Adapters are the methods' parts; checkpoints of other codes have
    layouts of their own."""
    for path in MODULES:
        if room(place(path)) not in ("methods", "adapters", "exchange"):
            assert not re.search(r"\brein\b|reins?_", path.read_text(), re.IGNORECASE), place(path)


def test_reading_settings_does_not_load_torch() -> None:
    code = "import sys, recyclelora.settings; sys.exit(bool({'torch', 'timm', 'ray', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_names() -> None:
    for path in MODULES:
        assert path.stem not in FORBIDDEN_NAMES, place(path)
        assert len(path.read_text().splitlines()) <= 460, f"{place(path)} is too long to be one thing"


def test_no_two_modules_have_one_name() -> None:
    stems = [path.stem.rstrip("_") for path in MODULES if path.name != "__init__.py" and place(path) != "sweeps/ray_tune.py"]
    assert sorted(stem for stem in set(stems) if stems.count(stem) > 1) == []


def test_experiments_and_spaces_hold_no_python() -> None:
    assert not [*(ROOT / "experiments").rglob("*.py"), *(ROOT / "search_spaces").rglob("*.py")]
