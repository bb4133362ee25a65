import os
import pickle
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from recyclelora.errors import InputError
from recyclelora.training.average import MovingAverage
from recyclelora.training.checkpoint import CURRENT, PREVIOUS, digest, load_checkpoint, save_checkpoint
from recyclelora.training.loop import Update, train
from recyclelora.training.optim import Schedule, build_optimiser
from recyclelora.training.precision import build_scaler
from recyclelora.writing import UNFINISHED
from tests.tiny import groups_of, tiny_batches, tiny_segmentor

MINE = "0123456789abcdef"


def prepare(**shape: int) -> tuple[nn.Module, torch.optim.AdamW]:
    segmentor = tiny_segmentor(**shape)
    return segmentor, build_optimiser(groups_of(segmentor, lr=1e-3, weight_decay=0.05))


def run(model: nn.Module, optimiser: torch.optim.AdamW, start: int, stop: int) -> list[dict[str, float]]:
    steps = train(model, optimiser, tiny_batches(start, stop), start=start, stop=stop, schedule=Schedule(8), seed=7, update=Update(clip=1.0),
                  device=torch.device("cpu"))
    return [step.losses for step in steps]


def state(model: nn.Module, optimiser: torch.optim.AdamW) -> str:
    """A digest of every weight, frozen or not, and of all that the optimiser keeps."""
    tensors: dict[str, Tensor] = dict(model.state_dict())
    for number, group in enumerate(optimiser.param_groups):
        for index, parameter in enumerate(group["params"]):
            tensors |= {f"{number}/{index}/{key}": value for key, value in optimiser.state[parameter].items()}
    return digest(tensors)


def saved(folder: Path, *iterations: int) -> tuple[nn.Module, torch.optim.AdamW]:
    """A run with a checkpoint after each of the given iterations."""
    model, optimiser = prepare()
    for start, stop in zip((0, *iterations), iterations, strict=False):
        run(model, optimiser, start, stop)
        save_checkpoint(folder, model, optimiser, stop, fingerprint=MINE)
    return model, optimiser


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[str, list[dict[str, float]]]:
    """State after six iterations without a stop, and the losses of eight."""
    model, optimiser = prepare()
    losses = run(model, optimiser, 0, 6)
    return state(model, optimiser), losses + run(model, optimiser, 6, 8)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints of iterations 2 and 4."""
    folder = tmp_path_factory.mktemp("made")
    saved(folder, 2, 4)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be harmed."""
    return Path(shutil.copytree(made, tmp_path / "trial"))


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
        tmp_path: Path, uninterrupted: tuple[str, list[dict[str, float]]]) -> None:
    saved(tmp_path, 3)
    torch.manual_seed(99)  # whatever the new process has drawn before
    model, optimiser = prepare()
    assert load_checkpoint(tmp_path, model, optimiser, fingerprint=MINE) == 3
    losses = run(model, optimiser, 3, 6)
    assert state(model, optimiser) == uninterrupted[0]
    assert losses + run(model, optimiser, 6, 8) == uninterrupted[1][3:]


def test_a_new_process_resumes_bit_for_bit(folder: Path, uninterrupted: tuple[str, list[dict[str, float]]]) -> None:
    code = ("import sys; from pathlib import Path; from tests.test_checkpoint import *\n"
            "model, optimiser = prepare()\n"
            "start = load_checkpoint(Path(sys.argv[1]), model, optimiser, fingerprint=MINE)\n"
            "run(model, optimiser, start, 6); print(start, state(model, optimiser))\n")
    child = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True,
                           cwd=Path(__file__).parents[1])
    assert child.stdout.split() == ["4", uninterrupted[0]]


@pytest.mark.parametrize("stopped", [1, 3])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_average_and_loss_scale_resume_bit_for_bit(tmp_path: Path, stopped: int, precision: str) -> None:
    """Stopped before the average begins, and after; the scale grows on the way."""
    def part(folder: Path | None, start: int, stop: int) -> tuple[str, str, dict[str, object]]:
        model, optimiser = prepare()
        average, scaler = MovingAverage(model, 2, 0.3), build_scaler(precision, torch.device("cpu"))
        if scaler.is_enabled():
            scaler.set_growth_interval(2)
        given = {"fingerprint": MINE, "average": average, "scaler": scaler}
        if folder is not None:
            assert load_checkpoint(folder, model, optimiser, **given) == start
        list(train(model, optimiser, tiny_batches(start, stop), start=start, stop=stop, schedule=Schedule(8), seed=7,
                   update=Update(clip=1.0, precision=precision), device=torch.device("cpu"), average=average, scaler=scaler))
        save_checkpoint(tmp_path, model, optimiser, stop, **given)
        return state(model, optimiser), digest(average.tensors), scaler.state_dict()

    whole = part(None, 0, 6)
    part(None, 0, stopped)
    assert part(tmp_path, stopped, 6) == whole
    kept = {name.partition("/")[0] for name in load_file(tmp_path / CURRENT)}
    assert ("scaler" in kept) == (precision == "float16") and "average" in kept


def test_an_empty_folder_starts_at_zero_and_changes_nothing(tmp_path: Path) -> None:
    model, optimiser = prepare()
    before = state(model, optimiser)
    assert load_checkpoint(tmp_path / "none", model, optimiser, fingerprint=MINE) == 0
    assert state(model, optimiser) == before


def test_only_what_is_trained_is_saved(folder: Path) -> None:
    model = tiny_segmentor()
    kept = {name.removeprefix("weight/") for name in load_file(folder / CURRENT) if name.startswith("weight/")}
    assert kept == {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_the_last_two_are_kept_and_nothing_else(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([CURRENT, PREVIOUS])
    (tmp_path / CURRENT).unlink()
    assert load_checkpoint(tmp_path, *prepare(), fingerprint=MINE) == 2


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def flip_a_bit_of_a_tensor(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def alter_the_iteration(path: Path) -> None:
    content = path.read_bytes()
    assert content.count(b'"iteration":"4"') == 1
    path.write_bytes(content.replace(b'"iteration":"4"', b'"iteration":"5"'))


def replace_by_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [cut_short, empty, flip_a_bit_of_a_tensor, alter_the_iteration, replace_by_a_directory, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_falls_back_to_the_previous_one(
        folder: Path, uninterrupted: tuple[str, list[dict[str, float]]], damage: Callable[[Path], None]) -> None:
    damage(folder / CURRENT)
    model, optimiser = prepare()
    assert load_checkpoint(folder, model, optimiser, fingerprint=MINE) == 2
    run(model, optimiser, 2, 6)
    assert state(model, optimiser) == uninterrupted[0]


def test_two_damaged_checkpoints_start_again(folder: Path) -> None:
    cut_short(folder / CURRENT)
    cut_short(folder / PREVIOUS)
    model, optimiser = prepare()
    before = state(model, optimiser)
    assert load_checkpoint(folder, model, optimiser, fingerprint=MINE) == 0
    assert state(model, optimiser) == before


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("write", [pickle.dumps, "torch"])
def test_a_pickle_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object) -> None:
    monkeypatch.chdir(tmp_path)
    if write == "torch":
        torch.save({"model": Bomb()}, tmp_path / CURRENT)
    else:
        (tmp_path / CURRENT).write_bytes(pickle.dumps(Bomb()))
    assert load_checkpoint(tmp_path, *prepare(), fingerprint=MINE) == 0
    assert not (tmp_path / "exploded").exists()


def refused(folder: Path, model: nn.Module, optimiser: torch.optim.AdamW, fingerprint: str = MINE) -> str:
    before = state(model, optimiser)
    with pytest.raises(InputError) as caught:
        load_checkpoint(folder, model, optimiser, fingerprint=fingerprint)
    assert state(model, optimiser) == before
    assert "\n" not in str(caught.value) and str(folder / CURRENT) in str(caught.value)
    return str(caught.value)


def test_a_checkpoint_of_another_trial_is_refused(folder: Path) -> None:
    said = refused(folder, *prepare(), fingerprint="feed")
    assert f"belongs to other trial ({MINE}) than this run (feed" in said


def test_other_frozen_weights_are_refused(folder: Path) -> None:
    model, optimiser = prepare()
    frozen = next(parameter for parameter in model.vit.parameters() if not parameter.requires_grad)
    with torch.no_grad():
        frozen.view(-1)[0] += 1e-6
    assert "belongs to other frozen weights" in refused(folder, model, optimiser)


def test_a_model_of_other_tensors_is_refused(folder: Path) -> None:
    assert "does not fit this model" in refused(folder, *prepare(num_classes=6))


def test_a_tensor_that_never_got_a_gradient_resumes_too(tmp_path: Path) -> None:
    model, optimiser = prepare()
    model.vit.norm.weight.requires_grad_(True)
    spare = nn.Parameter(torch.ones(2))
    model.head.register_parameter("spare", spare)
    optimiser.add_param_group({"params": [spare], "name": "spare", "initial_lr": 1.0, "initial_weight_decay": 0.0})
    run(model, optimiser, 0, 2)
    save_checkpoint(tmp_path, model, optimiser, 2, fingerprint=MINE)
    before = state(model, optimiser)
    assert load_checkpoint(tmp_path, model, optimiser, fingerprint=MINE) == 2
    assert state(model, optimiser) == before and spare not in {p for p in optimiser.state if optimiser.state[p]}


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """A longer file fails on the way, after some of it was written: as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_leaves_the_older_checkpoints(tmp_path: Path) -> None:
    model, optimiser = saved(tmp_path, 1, 2)
    half = (tmp_path / CURRENT).stat().st_size // 2
    with files_no_longer_than(half), pytest.raises(InputError) as caught:
        save_checkpoint(tmp_path, model, optimiser, 3, fingerprint=MINE)
    line = rf"{tmp_path}: a checkpoint of \d+ bytes cannot be written \(File too large\), \d+ bytes free; make room .*"
    assert re.fullmatch(line, str(caught.value))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([CURRENT, PREVIOUS]), "no partial file"
    assert load_checkpoint(tmp_path, *prepare(), fingerprint=MINE) == 2
    (tmp_path / CURRENT).unlink()
    assert load_checkpoint(tmp_path, *prepare(), fingerprint=MINE) == 1


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    model, optimiser = prepare()
    with pytest.raises(InputError, match="bytes cannot be written") as caught:
        save_checkpoint(tmp_path / "file", model, optimiser, 1, fingerprint=MINE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("moment", ["while the new file is written", "between the two renamings"])
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                        moment: str) -> None:
    class Killed(BaseException):
        pass

    model, optimiser = saved(tmp_path, 1, 2)
    calls = iter(range(10))
    real = os.replace

    def die(*paths: object) -> None:
        if moment.startswith("between") and next(calls) == 0:
            real(*paths)  # type: ignore[arg-type]
        else:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace" if moment.startswith("between") else "fsync", die)
        with pytest.raises(Killed):
            save_checkpoint(tmp_path, model, optimiser, 3, fingerprint=MINE)
    again, again_optimiser = prepare()
    assert load_checkpoint(tmp_path, again, again_optimiser, fingerprint=MINE) == 2
    assert state(again, again_optimiser) == state(model, optimiser)
    save_checkpoint(tmp_path, model, optimiser, 3, fingerprint=MINE)  # what was left does not stand in the way
    assert not list(tmp_path.glob(f"{UNFINISHED}*"))
    assert load_checkpoint(tmp_path, again, again_optimiser, fingerprint=MINE) == 3


def test_the_digest_sees_names_types_shapes_and_bits() -> None:
    one = {"a": torch.zeros(2, 3), "b": torch.ones(2)}
    others = [{"a": torch.zeros(3, 2), "b": torch.ones(2)}, {"a": torch.zeros(2, 3), "c": torch.ones(2)},
              {"a": torch.zeros(2, 3, dtype=torch.int32), "b": torch.ones(2)},
              {"a": -torch.zeros(2, 3), "b": torch.ones(2)}, {"a": torch.zeros(2, 3)}]
    assert len({digest(tensors) for tensors in (one, *others)}) == 6
    assert digest(dict(reversed(one.items()))) == digest(one)
    assert digest({"a": torch.arange(6).view(2, 3).T.contiguous()}) == digest({"a": torch.arange(6).view(2, 3).T})
