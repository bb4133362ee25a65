"""Factorisations on disk: made once whoever asks, read in part, made again when the file is not what was written."""

import json
import multiprocessing
import os
import struct
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from recyclelora.adapters.cache import Factorisation
from recyclelora.adapters.directions import lowrank
from recyclelora.adapters.tensor_files import combined_digest, tensor_digest


def weight(shape: tuple[int, int] = (40, 24), seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Counted:
    """A made-up factorisation of 64 directions that counts how often it is made."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, Tensor]:
        self.calls += 1
        return {"u": weight((64, 7)), "s": torch.arange(64.0), "pivots": torch.arange(64).flip(0)}


@pytest.mark.parametrize("init", ["rrqr", "svd"])
@pytest.mark.parametrize("end", ["minor", "major"])
@pytest.mark.parametrize("shape", [(40, 24), (24, 40)])
def test_cached_factors_are_the_uncached_ones_bit_for_bit(init: str, end: str, shape: tuple[int, int],
                                                          tmp_path: Path) -> None:
    for rank in (5, 24):  # the first cut makes the file, the others read it
        for _ in range(2):
            cached = lowrank(weight(shape), rank, init, end, scaling=0.25, cache=tmp_path)
            for found, expected in zip(cached, lowrank(weight(shape), rank, init, end, scaling=0.25), strict=True):
                assert torch.equal(found, expected) and found.stride() == expected.stride()
    (file,) = (tmp_path / "factors").iterdir()  # one file for both ranks, and no lock or partial file left
    assert file.name == f"{init}-{tensor_digest(weight(shape))}.safetensors"


def test_one_making_serves_every_rank_end_and_visit(tmp_path: Path) -> None:
    make, path = Counted(), tmp_path / "factors" / "made.safetensors"
    for _ in range(3):
        factorisation = Factorisation(make, path)
        for start, stop in ((0, 4), (60, 64), (0, 64)):
            rows = factorisation.rows(start, stop)
            assert all(torch.equal(rows[name], tensor[start:stop]) for name, tensor in Counted()().items())
    assert make.calls == 1
    alone = Factorisation(make, None)
    alone.rows(0, 1), alone.rows(5, 9)
    assert make.calls == 2  # without a folder: once per weight and model


def payload_start(path: Path) -> int:
    return 8 + int(struct.unpack("<Q", path.read_bytes()[:8])[0])


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero(path: Path) -> None:
    content, start = path.read_bytes(), payload_start(path)
    path.write_bytes(content[:start] + bytes(len(content) - start))


def scribble(path: Path) -> None:
    path.write_bytes(b"not a safetensors file at all" * 20)


def replace_by_another(path: Path) -> None:
    save_file({"weight": torch.zeros(64, 3)}, path)


def shorten(path: Path) -> None:
    save_file({name: tensor[:10].clone() for name, tensor in Counted()().items()}, path)


def end_early(path: Path) -> None:
    """Another whole file, of fewer directions."""
    path.unlink()
    Factorisation(lambda: {name: tensor[:30] for name, tensor in Counted()().items()}, path).rows(0, 30)


@pytest.mark.parametrize("damage", [end_early, truncate, empty, zero, scribble, replace_by_another, shorten])
def test_a_damaged_file_is_made_again(damage: Callable[[Path], None], tmp_path: Path) -> None:
    make, path = Counted(), tmp_path / "made.safetensors"
    Factorisation(make, path).rows(0, 64)
    whole = path.read_bytes()
    damage(path)
    rows = Factorisation(make, path).rows(20, 64)
    assert make.calls == 2 and torch.equal(rows["u"], weight((64, 7))[20:])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("name", ["u", "s", "pivots"])
def test_a_flipped_byte_is_noticed_where_it_is_read_and_only_there(name: str, tmp_path: Path) -> None:
    make, path = Counted(), tmp_path / "made.safetensors"
    Factorisation(make, path).rows(0, 64)
    content, start = bytearray(path.read_bytes()), payload_start(path)
    begin, end = json.loads(content[8:start])[name]["data_offsets"]
    content[start + begin + 50 * (end - begin) // 64] ^= 1  # the lowest bit of the first number in row 50
    path.write_bytes(content)
    assert torch.equal(Factorisation(make, path).rows(0, 50)["u"], weight((64, 7))[:50])
    assert make.calls == 1  # the other rows were not even read: small ranks read few bytes
    assert torch.equal(Factorisation(make, path).rows(40, 64)["u"], weight((64, 7))[40:])
    assert make.calls == 2


def test_a_damaged_factorisation_gives_the_same_adapter(tmp_path: Path) -> None:
    before = lowrank(weight(), 6, "rrqr", "minor", cache=tmp_path)
    (file,) = (tmp_path / "factors").iterdir()
    zero(file)
    after = lowrank(weight(), 6, "rrqr", "minor", cache=tmp_path)
    assert torch.equal(before.a, after.a) and torch.equal(before.b, after.b)


FORK = multiprocessing.get_context("fork")  # torch is imported already: children start in milliseconds


def work(folder: Path, seconds: float) -> None:
    """A process that asks for rows of a factorisation whose making takes `seconds`, once the folder says go."""

    def make() -> dict[str, Tensor]:
        with (folder / "calls").open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(seconds)
        return {"u": torch.arange(12.0).reshape(6, 2)}

    (folder / f"ready-{os.getpid()}").touch()
    wait_for((folder / "go").exists)
    rows = Factorisation(make, folder / "factors" / "made.safetensors").rows(2, 5)
    (folder / f"answer-{os.getpid()}").write_text(str(rows["u"].tolist()))


def start_worker(folder: Path, seconds: float) -> BaseProcess:
    process = FORK.Process(target=work, args=(folder, seconds))
    process.start()
    return process


def wait_for(found: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def answers(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.glob("answer-*")]


def test_processes_that_ask_at_once_factorise_once(tmp_path: Path) -> None:
    workers = [start_worker(tmp_path, 0.5) for _ in range(4)]
    wait_for(lambda: len(list(tmp_path.glob("ready-*"))) == 4)
    (tmp_path / "go").touch()
    for worker in workers:
        worker.join(240)
    assert answers(tmp_path) == ["[[4.0, 5.0], [6.0, 7.0], [8.0, 9.0]]"] * 4
    assert len((tmp_path / "calls").read_text().splitlines()) == 1
    assert [path.name for path in (tmp_path / "factors").iterdir()] == ["made.safetensors"]


def test_a_killed_process_leaves_its_work_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    killed = start_worker(tmp_path, 600)
    wait_for((tmp_path / "calls").exists)  # it holds the lock now
    waiting = start_worker(tmp_path, 0)
    wait_for(lambda: len(list(tmp_path.glob("ready-*"))) == 2)
    killed.kill()
    killed.join()
    waiting.join(240)
    assert answers(tmp_path) == ["[[4.0, 5.0], [6.0, 7.0], [8.0, 9.0]]"]
    assert len((tmp_path / "calls").read_text().splitlines()) == 2


def test_digests_tell_bytes_shape_and_dtype_apart() -> None:
    zeros = [torch.zeros(4, 6), torch.zeros(6, 4), torch.zeros(24), torch.zeros(4, 6, dtype=torch.int32),
             torch.zeros(4, 6, dtype=torch.bfloat16), -torch.zeros(4, 6), torch.zeros(())]
    assert len({tensor_digest(tensor) for tensor in zeros}) == len(zeros)
    whole = weight((8, 8))
    assert tensor_digest(whole.T) == tensor_digest(whole.T.contiguous()) != tensor_digest(whole)
    assert combined_digest({"a": "1", "b": "2"}) == combined_digest({"b": "2", "a": "1"})
    assert combined_digest({"a": "1", "b": "2"}) != combined_digest({"a": "2", "b": "1"})
