"""A training in two stages: the second begins with the very weights that the first ended with."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from recyclelora.adapters.tensor_files import read_described, write_described
from recyclelora.cli import main
from recyclelora.config import Config, flatten
from recyclelora.data.labels import CITYSCAPES19
from recyclelora.documents import dump
from recyclelora.errors import Absent, InputError
from recyclelora.settings import Settings
from recyclelora.spaces.space import Space, expand
from recyclelora.spaces.space_file import read_space
from recyclelora.sweeps import planning
from recyclelora.trials import build
from recyclelora.trials.paths import Paths
from recyclelora.trials.second_stage import begin_from, check_start
from recyclelora.trials.trial import run
from tests.tiny_config import TINY, tiny

SPACE = """\
claim: A second stage helps.
at:
  first: {base: config.yaml}
  second: {base: config.yaml, after: first, config: {training.iterations: 1, training.lr: 1e-5}}
method: cells
cells:
  both: {}
  main only: {adapter.sub.rank: 0}
seeds: [0, 1]
"""


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Paths:
    return Paths(tmp_path_factory.mktemp("stages"), cache, None)


@pytest.fixture(scope="module")
def first(paths: Paths) -> str:
    """The fingerprint of a finished first stage."""
    return run(tiny(training__iterations=2, evaluation__every=2), paths).fingerprint


def second(start: str, **overrides: object) -> Config:
    return tiny(training__iterations=1, evaluation__every=1, training__start=start, **overrides)  # type: ignore[arg-type]


def test_every_trained_tensor_is_the_first_stages_last(first: str, paths: Paths) -> None:
    config = second(first)
    identity = build.identify(config, paths)
    segmentor = build.build(config, identity.weights.path, paths.cache, 19)
    before = {name: p.detach().clone() for name, p in segmentor.named_parameters()}
    begin_from(segmentor, config.adapter, paths.trial(first), weights_sha256=identity.weights.sha256, space=CITYSCAPES19)
    kept = {f"vit.{name}": tensor for name, tensor in load_file(paths.trial(first) / "adapter.safetensors").items()}
    kept |= load_file(paths.trial(first) / "head.safetensors")
    for name, parameter in segmentor.named_parameters():
        assert torch.equal(parameter, kept[name] if parameter.requires_grad else before[name]), name
        if name.endswith("lora_b_main"):
            assert not torch.equal(parameter, before[name]), "the first stage had moved it"


def test_other_classes_and_other_residuals_are_refused(first: str, paths: Paths, tmp_path: Path) -> None:
    config = second(first)
    identity = build.identify(config, paths)
    segmentor = build.build(config, identity.weights.path, paths.cache, 19)
    other = CITYSCAPES19._replace(name="mine", classes=CITYSCAPES19.classes[::-1])
    with pytest.raises(InputError, match=r"predicts other classes \(cityscapes19\) than this one \(mine\)"):
        begin_from(segmentor, config.adapter, paths.trial(first), weights_sha256=identity.weights.sha256, space=other)
    shutil.copytree(paths.trial(first), tmp_path / "copy")
    about, adapter = read_described(tmp_path / "copy/adapter.safetensors", 2, "not of format 2")
    adapter["blocks.3.attn.qkv.start_b_main"] *= -1  # a factorisation with the signs the other way round
    write_described(adapter, tmp_path / "copy/adapter.safetensors", {**about, "format": 2})
    with pytest.raises(InputError, match="adapters of blocks.3.attn.qkv began as others than they would here"):
        begin_from(segmentor, config.adapter, tmp_path / "copy", weights_sha256=identity.weights.sha256, space=CITYSCAPES19)


def test_rein_goes_on_as_well(paths: Paths) -> None:
    method = {"adapter__method": "rein", "adapter__tokens": 20, "adapter__rank": 2}
    before = run(tiny(training__iterations=1, evaluation__every=1, **method), paths).fingerprint  # type: ignore[arg-type]
    config = second(before, **method)
    identity = build.identify(config, paths)
    segmentor = build.build(config, identity.weights.path, paths.cache, 19)
    begin_from(segmentor, config.adapter, paths.trial(before), weights_sha256=identity.weights.sha256, space=CITYSCAPES19)
    kept = load_file(paths.trial(before) / "adapter.safetensors")
    assert kept and all(torch.equal(segmentor.get_parameter(f"vit.reins.{name}"), kept[name]) for name in kept)


def test_the_second_stage_is_a_trial_of_its_own_that_starts_from_there(first: str, paths: Paths) -> None:
    record = run(second(first), paths)
    assert record.outcome == "finished" and record.fingerprint != first
    fresh = run(tiny(training__iterations=1, evaluation__every=1), paths)
    heads = [load_file(paths.trial(name) / "head.safetensors") for name in (record.fingerprint, fresh.fingerprint)]
    assert record.fingerprint != fresh.fingerprint, "where it starts is part of what a trial is"
    assert not torch.equal(heads[0]["head.class_predictor.weight"], heads[1]["head.class_predictor.weight"])


@pytest.mark.parametrize(("overrides", "complaint"), [
    ({"adapter__main__rank": 8}, "has adapter.main.rank 4, this one 8"),
    ({"head__queries": 10}, "has head.queries 20, this one 10"),
    ({"adapter__init": "svd"}, "has adapter.init rrqr, this one svd"),
    ({"backbone__resize": "flexible"}, "has backbone.resize plain, this one flexible"),
])
def test_both_stages_train_one_model(first: str, paths: Paths, overrides: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        check_start(flatten(second(first, **overrides)), paths.trials)


def test_rates_are_each_stages_own(first: str, paths: Paths) -> None:
    check_start(flatten(second(first, adapter__main__lr_multiplier=0.1)), paths.trials)


def test_a_first_stage_that_has_not_run_is_asked_for(paths: Paths) -> None:
    with pytest.raises(Absent, match="trial 0123456789abcdef has not finished here"):
        check_start(flatten(second("0123456789abcdef")), paths.trials)
    with pytest.raises(Absent, match="has not finished here"):
        run(second("0123456789abcdef"), paths)


def staged(folder: Path, at: str, text: str = SPACE) -> Space:
    (folder / "config.yaml").write_text(dump(dict(TINY)))
    (folder / "space.yaml").write_text(text)
    return read_space(folder / "space.yaml", at=at)


def test_a_base_after_another_names_the_trial_of_the_same_cell_and_seed(tmp_path: Path, paths: Paths) -> None:
    one, two = staged(tmp_path, "first"), staged(tmp_path, "second")
    names, _ = planning.identify_all(one, list(expand(one)), paths)
    for job in planning.plan(two, paths):
        assert job.config["training.start"] == names[job.cell, int(job.tags["seed"])]
    ready, reason = planning.identify_all(two, list(expand(two)), paths)
    assert len(set(ready.values())) == 4 and "--at second goes on from --at first; both, seed 0: training.start" in reason


def test_what_comes_after_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"space.yaml:4: after: second waits for first waits for second"):
        staged(tmp_path, "second", SPACE.replace("{base: config.yaml}\n", "{base: config.yaml, after: second}\n", 1))
    with pytest.raises(InputError, match="no base is called 'third'"):
        staged(tmp_path, "second", SPACE.replace("after: first", "after: third"))
    with pytest.raises(InputError, match="after: expected the name of another base"):
        staged(tmp_path, "second", SPACE.replace("after: first", "after: 3"))


def test_open_points_are_said(tmp_path: Path) -> None:
    told = staged(tmp_path, "first", SPACE + "unknown: {which checkpoint: the last}\n").statement.unknown
    assert told == (("which checkpoint", "the last"),)
    with pytest.raises(InputError, match="unknown: expected `what is not public: what was chosen` lines"):
        staged(tmp_path, "first", SPACE + "unknown: [a, b]\n")


def test_the_start_is_a_setting_like_any_other() -> None:
    assert Settings().override({"training.start": "ab12"}, "x").resolve().training.start == "ab12"


def test_the_command_line_says_what_comes_first(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch,
                                                capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RECYCLELORA_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    staged(tmp_path, "second")
    for command in (["show"], ["show", "--cell", "main only"], ["plan", "--no-timing"], ["sweep", "--dry-run"]):
        assert main([command[0], "space.yaml", "--at", "second", *command[1:]]) == 0
        assert "starts from the trial of its cell and seed at --at first" in capfd.readouterr().out.replace("\n", " "), command
    assert main(["sweep", "space.yaml", "--at", "second"]) == 2
    assert "space.yaml: --at second goes on from --at first; both, seed 0: training.start" in capfd.readouterr().err


@pytest.mark.parametrize(("arguments", "complaint"), [
    (["space.yaml", "--cell", "man only"], "--cell: no cell of space.yaml is called 'man only'; did you mean main only?"),
    (["space.yaml", "--cell", "both", "--cell", "main only"], "--cell: one at a time, found 2"),
    (["config.yaml", "--cell", "both"], "a config has neither bases nor cells"),
    (["config.yaml", "--at", "first"], "a config has neither bases nor cells")])
def test_show_takes_one_cell_of_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str],
                                              complaint: str, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    staged(tmp_path, "first")
    assert main(["show", *arguments]) == 2 and complaint in capfd.readouterr().err
