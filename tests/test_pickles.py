"""Reading a `.pth` of another code: its tensors come out, and no code in it is ever run."""

import ast
import collections
import os
import pickle
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from recyclelora.errors import InputError
from recyclelora.exchange.pickles import Discarded, read_checkpoint

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def history_buffer() -> Iterator[type]:
    """MMEngine's class of loss curves, by its own name: arrays, NumPy numbers, and methods of itself in a dict."""
    module: Any = types.ModuleType("mmengine.logging.history_buffer")

    class HistoryBuffer:
        def __init__(self) -> None:
            self._log_history, self.last = np.arange(3.0), np.float64(2.0)
            self._statistics_methods = {"mean": HistoryBuffer.mean}

        def mean(self) -> float:
            return float(self._log_history.mean())

    HistoryBuffer.__module__ = HistoryBuffer.mean.__module__ = module.__name__
    HistoryBuffer.__qualname__, HistoryBuffer.mean.__qualname__ = "HistoryBuffer", "HistoryBuffer.mean"
    module.HistoryBuffer = HistoryBuffer
    names = ["mmengine", "mmengine.logging", module.__name__]
    sys.modules |= dict(zip(names, [types.ModuleType(names[0]), types.ModuleType(names[1]), module], strict=True))
    yield HistoryBuffer
    for name in names:
        del sys.modules[name]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_checkpoint_of_mmengine_with_its_logs(zipped: bool, history_buffer: type, tmp_path: Path) -> None:
    content = {"state_dict": collections.OrderedDict({"module.a": torch.arange(3.0), "b": torch.nn.Parameter(torch.ones(2))}),
               "meta": {"cfg": "lora_alpha=1.0", "seed": np.int64(3), "loss": np.float32(0.5), "kind": np.dtype("f4")},
               "message_hub": {"log_scalars": {"loss": history_buffer()}, "runtime_info": {"iter": 5}}}
    torch.save(content, tmp_path / "iter_5.pth", _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(tmp_path / "iter_5.pth")
    assert torch.equal(found.tensors["a"], torch.arange(3.0)) and torch.equal(found.tensors["b"], torch.ones(2))
    assert found.settings == "lora_alpha=1.0" and len(found.sha256) == 64


def test_where_weights_were_averaged_the_average_is_read(tmp_path: Path) -> None:
    """MMEngine's EMAHook puts the average under `state_dict` and the weights it came from under `ema_state_dict`."""
    torch.save({"state_dict": {"a": torch.ones(1)}, "ema_state_dict": {"module.a": torch.zeros(1)}}, tmp_path / "e.pth")
    assert torch.equal(read_checkpoint(tmp_path / "e.pth").tensors["a"], torch.ones(1))


class Runs:
    """A pickle that does something when it is read."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.what = function, arguments

    def __reduce__(self) -> Any:
        return self.what


def attacks(marker: Path) -> dict[str, Any]:
    return {"os.system": Runs(os.system, f"touch {marker}"), "eval": Runs(eval, f"open({str(marker)!r}, 'w')"),
            "open": Runs(open, str(marker), "w")}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("attack", ["os.system", "eval", "open"])
@pytest.mark.parametrize("where", ["meta", "state_dict"])
def test_a_pickle_with_code_is_refused_and_not_run(where: str, attack: str, zipped: bool, tmp_path: Path) -> None:
    content = {"state_dict": {"a": torch.ones(1)}, "meta": {}}
    content[where]["x"] = attacks(tmp_path / "ran")[attack]
    torch.save(content, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match="a pickle can run code when it is read, so the file is refused; nothing in it"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "evil.pth", weights_only=False)
    assert (tmp_path / "ran").exists(), "the attack would have worked on a careless reader"


def test_what_stands_for_getattr_gets_nothing(tmp_path: Path) -> None:
    """A name that is let through is never looked up: what is built from it is empty and cannot be called."""
    stood = Discarded("posix", "system")
    stood.__setstate__({"x": 1})
    assert vars(stood) == {} and not callable(stood)

    class Getter:
        def __reduce__(self) -> Any:
            return getattr, (types.SimpleNamespace, "__init__")

    torch.save({"state_dict": {"a": torch.ones(1)}, "meta": {"cfg": Getter()}}, tmp_path / "g.pth", pickle_protocol=2)
    with pytest.raises(InputError, match="SimpleNamespace"):
        read_checkpoint(tmp_path / "g.pth")


@pytest.mark.parametrize(("content", "complaint"), [
    ({"state_dict": {"a": 1}}, "holds no tensors by name"), ({}, "holds no tensors by name"),
    ([torch.ones(1)], "holds a list, no tensors by name"), (torch.ones(1), "holds a Tensor"),
    ({"a": torch.ones(2).to_sparse(), "b": torch.ones(2)}, "1 tensors that are sparse, quantised or empty, the first a"),
    ({"a": torch.ones(2, device="meta")}, "sparse, quantised or empty"),
    ({"a": torch.tensor([1.0, float("nan")])}, "1 tensors with values that are not finite, the first a"),
])
def test_no_checkpoint(content: object, complaint: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(InputError, match=complaint):
        read_checkpoint(tmp_path / "x.pth")


def test_no_file_of_torch(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(100)}, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    for name, content, said in (
            ("text", b"hello world", r"not a checkpoint of torch: it is a text \('hello world'\)"),
            ("empty", b"", "not a checkpoint of torch: it is empty; copy it anew"),
            ("short", whole[:300], "not a checkpoint of torch, or cut short"),
            ("cut", whole[:-40], "not a checkpoint of torch, or cut short"),
            ("bytes", bytes(range(128, 256)) * 9, "not a checkpoint of torch: cut short, or of another program"),
            ("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a pointer of Git LFS")):
        (tmp_path / f"{name}.pth").write_bytes(content)
        with pytest.raises(InputError, match=said):
            read_checkpoint(tmp_path / f"{name}.pth")
    with pytest.raises(InputError, match="no such file"):
        read_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(InputError, match="a folder; expected a .pth file"):
        read_checkpoint(tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"hello world")
    with pytest.raises(InputError, match="cannot be read as safetensors: it is a text"):
        read_checkpoint(tmp_path / "x.safetensors")


def record_of(path: Path, name: str) -> tuple[int, int]:
    """Where the bytes of a record lie in an archive: (begin, end)."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(name)
    head = path.read_bytes()[entry.header_offset: entry.header_offset + 30]
    begin = entry.header_offset + 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    return begin, begin + entry.file_size


@pytest.mark.parametrize("record", ["whole/data.pkl", "whole/data/0", "whole/data/1", "whole/version"])
def test_one_flipped_bit_is_noticed_and_its_record_named(record: str, tmp_path: Path) -> None:
    path = tmp_path / "whole.pth"
    torch.save({"decode_head.a": torch.ones(100), "b": torch.arange(4.0)}, path)
    assert read_checkpoint(path).doubt == ""
    begin, end = record_of(path, record)
    content = bytearray(path.read_bytes())
    content[(begin + end) // 2] ^= 1  # of a float, a low bit: still a number
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"whole.pth: its record {record} is not what was written .*copy it anew"):
        read_checkpoint(path)


def test_any_flipped_bit_is_noticed_or_harmless(tmp_path: Path) -> None:
    """One in each byte of a small archive: refused in one line, or the same tensors come out."""
    path = tmp_path / "whole.pth"
    torch.save({"a": torch.arange(5.0)}, path)
    whole, refused = path.read_bytes(), 0
    for at in range(0, len(whole), 7):
        content = bytearray(whole)
        content[at] ^= 16
        path.write_bytes(content)
        try:
            assert torch.equal(read_checkpoint(path).tensors["a"], torch.arange(5.0)), at
        except InputError as error:
            refused += 1
            assert "\n" not in str(error) and str(error).startswith(f"{path}: ")
    assert refused > len(whole) // 70


def test_what_cannot_be_verified_says_so(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert "old format, which has no checksums" in read_checkpoint(tmp_path / "old.pth").doubt
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(2)}, tmp_path / "without.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert "written without checksums" in read_checkpoint(tmp_path / "without.pth").doubt
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    assert "safetensors has no checksums" in read_checkpoint(tmp_path / "x.safetensors").doubt


def test_an_empty_record_has_no_checksum_and_the_others_are_verified_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "whole.pth"
    torch.save({"a": torch.ones(50), "none": torch.empty(0)}, path)
    with zipfile.ZipFile(path) as archive:
        assert any(entry.CRC == 0 and entry.file_size == 0 for entry in archive.infolist())
    assert read_checkpoint(path).doubt == ""
    begin, end = record_of(path, "whole/data/0")
    content = bytearray(path.read_bytes())
    content[(begin + end) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="its record whole/data/0 is not what was written"):
        read_checkpoint(path)


@pytest.mark.parametrize("settings", [{"lora_alpha": 1}, ["x"], 3, None])
def test_settings_that_are_no_text_are_none(settings: object, tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(1)}, "meta": {"cfg": settings}}, tmp_path / "x.pth")
    assert read_checkpoint(tmp_path / "x.pth").settings == ""


@pytest.mark.parametrize("protocol", range(6))
def test_a_bare_pickle_is_named_as_one(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "state.pth"
    path.write_bytes(pickle.dumps({"state_dict": {"a": [1.0, 2.0]}}, protocol=protocol))
    with pytest.raises(InputError, match=r"a bare pickle, not written by torch\.save; .*write its tensors with torch.save") as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)


def test_a_bare_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    for protocol in (0, 2, 4):
        (tmp_path / "evil.pth").write_bytes(pickle.dumps(attacks(tmp_path / "ran")["os.system"], protocol=protocol))
        with pytest.raises(InputError, match="a bare pickle"):
            read_checkpoint(tmp_path / "evil.pth")
        assert not (tmp_path / "ran").exists()


def test_other_archives_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", a=np.ones(2))
    (tmp_path / "arrays.npz").rename(tmp_path / "arrays.pth")
    with pytest.raises(InputError, match=r"a zip archive, but not one of torch\.save \(it holds a\.npy\)"):
        read_checkpoint(tmp_path / "arrays.pth")
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "script.pth")
    with pytest.raises(InputError, match=r"a TorchScript program \(torch\.jit\.save\), which can run code"):
        read_checkpoint(tmp_path / "script.pth")


def test_one_place_reads_pickles() -> None:
    def calls(path: Path) -> bool:
        return any(isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load")
                   for node in ast.walk(ast.parse(path.read_text())))

    readers = [path.relative_to(ROOT).as_posix() for path in (ROOT / "recyclelora").rglob("*.py") if calls(path)]
    assert readers == ["recyclelora/exchange/pickles.py"]
