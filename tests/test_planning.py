"""What the driver decides before anything runs: budget, baseline alone, identities of what cannot run here."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from recyclelora.cli import BAD_INPUT, main
from recyclelora.documents import dump
from recyclelora.errors import InputError
from recyclelora.spaces.space import Space, expand
from recyclelora.spaces.space_file import read_space
from recyclelora.sweeps import driver, planning
from recyclelora.sweeps.jobs import Part
from recyclelora.sweeps.options import Options
from recyclelora.trials.paths import Paths
from tests.tiny_config import TINY

FILE = """\
claim: Both are better than one.
base: config.yaml
method: cells
cells:
  aside: {adapter.init: kaiming}
  both: {}
  main only: {adapter.sub.rank: 0, adapter.sub.lr_multiplier: null, adapter.sub.end: null}
  frozen: {adapter.method: frozen}
baseline: both
expect: [{better: both, worse: main only}]
seeds: [3, 4, 5]
"""


@pytest.fixture
def paths(tmp_path: Path, cache: Path) -> Paths:
    return Paths(tmp_path / "results", cache, None)


def experiment(tmp_path: Path, more: str = "", **config: object) -> Space:
    (tmp_path / "config.yaml").write_text(dump({**TINY, **config}))
    (tmp_path / "both.yaml").write_text(FILE + more)
    return read_space(tmp_path / "both.yaml")


def test_a_budget_keeps_the_claim_and_shows_what_it_left_out(tmp_path: Path, paths: Paths) -> None:
    space = experiment(tmp_path, "budget: {trials: 7}\n")
    jobs = planning.plan(space, paths)
    kept = planning.within_budget(space, jobs, paths, None)
    assert [job.cell for job in kept[:6]] == ["both", "main only"] * 3 and [job.cell for job in kept[6:]] == ["aside"]
    assert Counter(job.cell for job in planning.unseen(jobs, kept)) == {"frozen": 3}, "cells without a trial are shown"
    assert planning.within_budget(experiment(tmp_path), jobs, paths, None) == jobs


def test_the_baseline_alone_serves_the_experiment(tmp_path: Path, paths: Paths) -> None:
    space = experiment(tmp_path)
    whole = {job.fingerprint for job in planning.plan(space, paths) if job.cell == "both"}
    alone = driver.baseline_alone(space, None)
    assert {job.fingerprint for job in planning.plan(alone, paths)} == whole and alone.sweep_name == "both-noise"
    more = [trial.config.seed for trial in expand(driver.baseline_alone(space, 5))]
    assert more == [3, 4, 5, 0, 1], "the file's seeds first, so that its runs are shared"
    assert [trial.config.seed for trial in expand(driver.baseline_alone(space, 2))] == [3, 4]
    with pytest.raises(InputError, match="one seed has no noise to see"):
        driver.baseline_alone(space, 1)
    with pytest.raises(InputError, match="a search has no baseline"):
        driver.baseline_alone(replace(space, method="tpe"), 3)


def test_verbs_that_need_no_data_go_on_without_a_declaration(
        tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    experiment(tmp_path, **{"data.targets": ["trails"], "data.source": "paths"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_ROOT", raising=False)
    monkeypatch.setenv("RECYCLELORA_CACHE", str(cache))
    for words in (["show", "config.yaml"], ["plan", "both.yaml", "--no-timing", "--data-root", str(tmp_path)],
                  ["sweep", "both.yaml", "--dry-run"]):
        assert main(words) == 0
        assert "there is no domain 'paths' here: either" in capfd.readouterr().out
    assert main(["sweep", "both.yaml"]) == BAD_INPUT
    assert "paths/dataset.yaml, which would declare it, is missing (set DATA_ROOT" in capfd.readouterr().err


def test_what_is_absent_is_said_and_what_is_wrong_is_refused(tmp_path: Path, paths: Paths) -> None:
    space = experiment(tmp_path, **{"data.source": "gtav"})
    names, reason = planning.identify_all(space, list(expand(space)), paths)
    assert names == {} and "gtav needs the data root" in reason and "config.yaml" in reason
    space = experiment(tmp_path, **{"data.targets": ["trails"]})
    for root in (None, tmp_path):
        names, reason = planning.identify_all(space, list(expand(space)), paths._replace(data_root=root))
        assert names == {} and "trails/dataset.yaml, which would declare it, is missing" in reason
    space = experiment(tmp_path, **{"data.targets": ["camvid-dat"]})
    with pytest.raises(InputError, match="there is no domain 'camvid-dat'"):
        planning.identify_all(space, list(expand(space)), paths._replace(data_root=tmp_path))
    space = experiment(tmp_path, **{"data.source": "scenes-dayy"})
    with pytest.raises(InputError, match="there is no domain 'scenes-dayy'"):
        planning.identify_all(space, list(expand(space)), paths)
    space = experiment(tmp_path)
    names, reason = planning.identify_all(space, list(expand(space)), paths)
    assert len(set(names.values())) == 12 and not reason

def test_shares_of_a_design_are_its_trials_once_each(tmp_path: Path, paths: Paths) -> None:
    space = experiment(tmp_path)
    jobs = planning.plan(space, paths)
    shares = [Part(which, 4).of(jobs) for which in (1, 2, 3, 4)]
    assert Counter(job.fingerprint for share in shares for job in share) == Counter(job.fingerprint for job in jobs)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    with pytest.raises(InputError, match="a search goes by what it has seen"):
        driver.run_sweep(replace(space, method="tpe"), paths, None, None, Options(part=Part(1, 2)))  # type: ignore[arg-type]
