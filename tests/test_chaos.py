"""The chaos harness: a moment of two faults, and that it sees what it looks for."""

from pathlib import Path

import pytest

from tests.chaos import TRIALS, ToySweep, problems_of, run_case, table_of


@pytest.mark.slow
@pytest.mark.long
def test_faults_leave_nothing_behind_and_what_they_could_leave_is_seen(tmp_path: Path, cache: Path) -> None:
    for name in ("worker", "driver"):
        (tmp_path / name).mkdir()
    found = run_case("SIGKILL of a worker", 20, tmp_path / "worker", cache, None)
    assert (found.codes, found.problems) == ([0], [])
    sweep = ToySweep(tmp_path / "worker", cache)
    table = table_of(sweep)
    found = run_case("SIGKILL of the driver", 30, tmp_path / "driver", cache, table)
    assert found.codes[-1] == 0 and found.problems == []

    trial = sweep.trials()[0].data.tags["fingerprint"]
    (sweep.results / "trials" / trial / "work.log").write_text("x" * 60)
    assert problems_of(sweep, "", 5, b"other") == [f"work done again in {trial}: 20 iterations", "another table"]
    assert len(problems_of(sweep, "Traceback (most recent call last):\n", 20, table)) == 1
    assert len(sweep.trials()) == TRIALS
