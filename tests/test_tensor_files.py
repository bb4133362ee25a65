"""Files of tensors: what cannot be stored or read is said in one line, by every writer and every reader."""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from recyclelora.adapters import (
    AdapterError,
    adapt,
    adapted_layers,
    attach_rein,
    load_adapter,
    load_rein,
    read_adapter,
    read_rein,
    reins_of,
    save_adapter,
    save_rein,
)
from recyclelora.adapters.tensor_files import read_checked, write_checked, write_tensors
from recyclelora.documents import dump
from recyclelora.errors import InputError
from recyclelora.exchange.import_checkpoint import Given, import_checkpoint
from recyclelora.models.pretrained_weights import resolve_weights
from recyclelora.training.checkpoint import CURRENT, PREVIOUS, load_checkpoint, save_checkpoint
from recyclelora.trials.artifacts import ADAPTER, CONFIG, HEAD, load_model
from recyclelora.trials.second_stage import _read as read_first_stage
from recyclelora.trials.stated import is_imported
from tests.narrow import backbone

Reader = Callable[[Path], object]


def model(path: Path) -> object:
    """The head is the first file of tensors that a model's folder is read from."""
    weights = path.parent / "weights.safetensors"
    save_file({"a": torch.ones(1)}, weights)
    (path.parent / CONFIG).write_text(dump({"backbone.name": "dinov2_small", "backbone.weights": str(weights)}))
    return load_model(path.parent, path.parent / "cache")


READERS: dict[str, tuple[str, Reader]] = {
    "load_adapter": ("a.safetensors", lambda path: load_adapter(backbone(), path)),
    "read_adapter": ("a.safetensors", read_adapter),
    "load_rein": ("r.safetensors", lambda path: load_rein(backbone(), path)),
    "read_rein": ("r.safetensors", read_rein),
    "load_model": (HEAD, model),
    "import_safetensors": ("m.safetensors", lambda path: import_checkpoint(path, path.parent / "out", Given(), path)),
    "import_pth": ("m.pth", lambda path: import_checkpoint(path, path.parent / "out", Given(), path)),
    "resolve_weights": ("w.safetensors", lambda path: resolve_weights("dinov2_small", file=path, cache=path)),
    "second_stage": (HEAD, read_first_stage),
    "second_stage_adapter": (ADAPTER, read_first_stage),
}


def _whole(path: Path) -> bytes:
    save = torch.save if path.suffix == ".pth" else save_file
    save({"a": torch.ones(50)}, path)  # type: ignore[operator]
    return path.read_bytes()


def absent(path: Path) -> None:
    pass


def folder(path: Path) -> None:
    path.mkdir()


def empty(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("<!DOCTYPE html>\nPlease log in\n")


def pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")


def truncated(path: Path) -> None:
    path.write_bytes(_whole(path)[:-30])


def few_bytes(path: Path) -> None:
    path.write_bytes(b"\x90\x01\x02")


def huge_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**40) + b"{}" + bytes(50))


def long_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 5000) + b"{}" + bytes(50))


def not_json(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 20) + b"\xff" * 70)


DAMAGES: dict[Callable[[Path], None], str] = {
    absent: "no such", folder: "folder", empty: "it is empty; copy it anew",
    text: r"it is a text \('<!DOCTYPE html>.nPlease log in", pointer: "a pointer of Git LFS.*git lfs pull",
    truncated: "cut short|cannot be read", few_bytes: "cut short", huge_header: "of 1,099,511,627,776 bytes|cut short",
    long_header: "a header of 5,000 bytes is announced, and the file has 60|cut short", not_json: "cut short or damaged|cut short"}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_every_reader_says_what_is_wrong_in_one_line(damage: Callable[[Path], None], reader: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    path = tmp_path / name
    damage(path)
    with pytest.raises((AdapterError, InputError), match=rf"(?s){name}.*({DAMAGES[damage]})") as caught:
        read(path)
    said = str(caught.value)
    assert "\n" not in said and len(said) < 600 and str(path) in said and not (tmp_path / "out").exists()
    assert not is_imported(path)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_passed_over_for_the_previous_one(damage: Callable[[Path], None], tmp_path: Path) -> None:
    layer = nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(layer.parameters())
    for iteration in (1, 2):
        layer(torch.ones(1, 3)).sum().backward()
        optimiser.step()
        save_checkpoint(tmp_path, layer, optimiser, iteration, fingerprint="f")
    (tmp_path / CURRENT).unlink()
    damage(tmp_path / CURRENT)
    assert load_checkpoint(tmp_path, layer, optimiser, fingerprint="f") == 1
    (tmp_path / PREVIOUS).unlink()
    assert load_checkpoint(tmp_path, layer, optimiser, fingerprint="f") == 0


# ---------------------------------------------------------------------------------------------------- what is written


def test_any_plain_tensors_are_stored_whatever_memory_they_share(tmp_path: Path) -> None:
    whole = torch.arange(24.0).view(4, 6)
    tensors = {"whole": whole, "again": whole, "row": whole[1], "strided": whole[:, ::2], "turned": whole.T,
               "overlapping": whole[1:3], "expanded": torch.ones(1, 3).expand(4, 3), "empty": torch.empty(0, 3),
               "scalar": torch.tensor(2.0), "conjugate": torch.tensor([1 + 2j]).conj(), "grad": nn.Parameter(torch.ones(2))}
    write_tensors(tensors, tmp_path / "a.safetensors")
    read = load_file(tmp_path / "a.safetensors")
    assert read.keys() == tensors.keys() and all(torch.equal(read[name], tensors[name]) for name in tensors)
    assert (tmp_path / "a.safetensors").stat().st_size < 3000  # a row is stored, not the memory it lies in


@pytest.mark.parametrize(("tensors", "header", "said"), [
    ({"a": torch.eye(3).to_sparse()}, {}, "a: sparse; only a plain tensor can be stored"),
    ({"a": torch.ones(2, device="meta")}, {}, "a: on the meta device, without values"),
    ({"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, {}, "a: quantised"),
    ({"a": [1.0]}, {}, "a: a list; only a plain tensor"),
    ({"__metadata__": torch.ones(1)}, {}, "cannot be called __metadata__"),
    ({"a": torch.ones(1)}, {"notes": 3}, "metadata 'notes': 3 is a int; a header holds text"),
    ({"a": torch.ones(1)}, {"notes": "x" * 100_000_001}, "metadata of 100,000,1.. bytes, more than the 100,000,000"),
    ({"x" * 99_999_990: torch.ones(1)}, {}, "header too large|more than the 100,000,000"),
], ids=["sparse", "meta", "quantised", "list", "metadata", "number", "long", "long name"])
@pytest.mark.parametrize("write", [write_tensors, write_checked])
@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor")
def test_what_cannot_be_stored_is_refused_and_leaves_the_old_file(write: Callable[..., None], tensors: dict, header: dict,
                                                                  said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_checked({"old": torch.ones(1)}, path, {})
    before = path.read_bytes()
    with pytest.raises(AdapterError, match=said) as caught:
        write(tensors, path, header)
    assert "\n" not in str(caught.value)[:500] and path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_names_of_the_files_own_are_refused(tmp_path: Path) -> None:
    vit = backbone()
    adapt(vit, main_rank=2, sub_rank=1)
    for key in ("recyclelora", "content"):
        with pytest.raises(AdapterError, match=f"metadata '{key}' is a name of this file's own; choose another"):
            save_adapter(vit, tmp_path / "a.safetensors", metadata={key: "x"})


# ------------------------------------------------------------------------------------------------------- what is damaged


@pytest.fixture
def adapter(tmp_path: Path) -> Iterator[Path]:
    vit = backbone()
    adapt(vit, main_rank=2, sub_rank=1, roles=("proj",))
    save_adapter(vit, tmp_path / "a.safetensors", metadata={"fingerprint": "0123"})
    yield tmp_path / "a.safetensors"


def _rewritten(path: Path, change: Callable[[dict], None]) -> None:
    """The header changed as a slip of a disk or of a person might, the tensors as they were."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8: 8 + size])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size:])


def other_alpha(header: dict) -> None:
    header["__metadata__"]["recyclelora"] = header["__metadata__"]["recyclelora"].replace('"alpha": 1.0', '"alpha": 3.0')


def other_fingerprint(header: dict) -> None:
    header["__metadata__"]["fingerprint"] = "0124"


def renamed(header: dict) -> None:
    header["blocks.0.attn.proj.lora_a_mian"] = header.pop("blocks.0.attn.proj.lora_a_main")


def without_digest(header: dict) -> None:
    del header["__metadata__"]["content"]


def a_list(header: dict) -> None:
    header["__metadata__"]["recyclelora"] = "[1]"


def no_json(header: dict) -> None:
    header["__metadata__"]["recyclelora"] = "{"


@pytest.mark.parametrize(("change", "said"), [
    (other_alpha, "damaged since it was written; copy it anew"), (other_fingerprint, "damaged since it was written"),
    (renamed, "damaged since it was written"), (without_digest, "holds no digest of its content"),
    (a_list, "not an adapter file of format 2"), (no_json, "not an adapter file of format 2")])
def test_a_changed_header_is_noticed(change: Callable[[dict], None], said: str, adapter: Path) -> None:
    assert read_adapter(adapter)
    _rewritten(adapter, change)
    vit = backbone()
    with pytest.raises(AdapterError, match=said):
        load_adapter(vit, adapter)
    assert not adapted_layers(vit) and all(parameter.requires_grad for parameter in vit.parameters())


def test_one_flipped_bit_of_a_head_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / HEAD
    write_checked({"head.a": torch.ones(50)}, path, {"fingerprint": "f", "weights_sha256": "w"})
    assert read_checked(path)[1] == {"fingerprint": "f", "weights_sha256": "w"}
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"training.start: {path}: damaged since it was written; copy it anew"):
        read_first_stage(path)


def test_rein_is_loaded_once(tmp_path: Path) -> None:
    vit = backbone()
    attach_rein(vit, tokens=4, rank=2)
    save_rein(vit, tmp_path / "r.safetensors")
    with pytest.raises(AdapterError, match="adapted already; build another"):
        load_rein(vit, tmp_path / "r.safetensors")
    again = backbone()
    load_rein(again, tmp_path / "r.safetensors")
    assert reins_of(again) is not None
