"""The watch over a trial that hangs: it ends the process, and says where it stood."""

import subprocess
import sys
from pathlib import Path

import pytest

from recyclelora.trials.watch import HUNG, LEAST, TIMES, Watch, stood_at, watching

CODE = """import sys, time
from pathlib import Path
from recyclelora.trials.watch import watching
def stuck():
    {how}
with watching(Path(sys.argv[1]), float(sys.argv[2])) as watch:
    for _ in range(3):
        time.sleep(0.1)
        watch.heard()
    {rest}
    stuck()
print("through")"""


def run(folder: Path, how: str, limit: float, rest: str = "pass") -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", CODE.format(how=how, rest=rest), str(folder), str(limit)], capture_output=True,
                          text=True, timeout=60)


@pytest.mark.parametrize("how", ["time.sleep(30)", "import re; re.match('(a+)+$', 'a' * 40 + 'b')"], ids=["waits", "holds the interpreter"])
def test_a_trial_that_hangs_is_ended_and_where_it_stood_is_kept(tmp_path: Path, how: str) -> None:
    done = run(tmp_path / "trial", how, 0.5)
    assert done.returncode == 1 and "through" not in done.stdout
    assert stood_at(tmp_path / "trial").endswith("in stuck") or "re/" in stood_at(tmp_path / "trial")
    assert "in stuck" in (tmp_path / "trial" / HUNG).read_text()


@pytest.mark.parametrize(("how", "limit", "rest"), [("time.sleep(0.2)", 5, "pass"), ("time.sleep(1.5)", 0.5, "watch.rest()")])
def test_others_are_left_alone_and_leave_nothing(tmp_path: Path, how: str, limit: float, rest: str) -> None:
    done = run(tmp_path / "trial", how, limit, rest)
    assert done.stdout == "through\n" and done.returncode == 0
    assert not (tmp_path / "trial").exists() and stood_at(tmp_path / "trial") == ""


def test_how_long_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with open(tmp_path / "page", "w") as page:
        watch = Watch(page, None)
        assert watch.patience == LEAST
        for interval in (10.0, 200.0, 5.0):
            now[0] += interval
            watch.heard()
        assert watch.patience == TIMES * 200.0 > LEAST, "of its longest interval"
        watch.rest()
        fixed = Watch(page, 7.0)
        assert fixed.patience == 7.0
        fixed.rest()


def test_a_damaged_page_is_a_page(tmp_path: Path) -> None:
    (tmp_path / HUNG).write_bytes(b"\xff\xfe")
    assert stood_at(tmp_path) == "no frame"
    with watching(tmp_path, None):
        assert stood_at(tmp_path) == ""
    assert not (tmp_path / HUNG).exists()
