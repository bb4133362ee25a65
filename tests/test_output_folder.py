"""A folder is there whole, or as it was: whatever goes wrong, and whatever somebody put into it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from recyclelora.errors import InputError
from recyclelora.exchange.output_folder import ABOUT, replacing


def write_export(out: Path, content: str = "first") -> None:
    with replacing(out) as folder:
        (folder / "timm").mkdir()
        (folder / "timm" / "model.safetensors").write_text(content)
        (folder / ABOUT).write_text(json.dumps({"export": 1, "files": {"timm/model.safetensors": {}}}))


def content(out: Path) -> dict[str, str]:
    return {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()}


def test_an_export_takes_the_place_of_an_earlier_one_and_of_an_empty_folder(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    write_export(out)
    write_export(out, "second")
    assert content(out)["timm/model.safetensors"] == "second"
    (tmp_path / "empty").mkdir()
    write_export(tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "empty"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_what_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_export(out)
    for error in (RuntimeError("disk"), KeyboardInterrupt()):
        with pytest.raises(type(error)), replacing(out) as folder:
            (folder / "half").write_text("x")
            raise error
    assert content(out)["timm/model.safetensors"] == "first" and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failed_swap_puts_the_earlier_one_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    write_export(out)
    rename, refusals = os.replace, iter([True])

    def refuse(source: Path, target: Path) -> None:
        if target == out and next(refusals, False):  # the new folder, not the earlier one that is put back
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(InputError, match="No space"):
        write_export(out, "second")
    assert content(out)["timm/model.safetensors"] == "first" and [path.name for path in tmp_path.iterdir()] == ["out"]


def add_a_file(out: Path) -> None:
    (out / "timm" / "notes.txt").write_text("mine")


def add_a_link(out: Path) -> None:
    (out / "results").symlink_to(out.parent)


def lose_the_list(out: Path) -> None:
    (out / ABOUT).unlink()


def damage_the_list(out: Path) -> None:
    (out / ABOUT).write_text("{")


@pytest.mark.parametrize(("spoil", "said"), [
    (add_a_file, "holds timm/notes.txt, which is no part"), (add_a_link, "holds results, which is no part"),
    (lose_the_list, "holds timm/model.safetensors, which is no part"), (damage_the_list, "which is no part")])
def test_other_peoples_files_are_not_replaced(tmp_path: Path, spoil: Callable[[Path], None], said: str) -> None:
    out = tmp_path / "out"
    write_export(out)
    spoil(out)
    before = sorted(out.rglob("*"))
    with pytest.raises(InputError, match=said):
        write_export(out)
    assert sorted(out.rglob("*")) == before


def test_a_file_or_a_link_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(InputError, match="is there and is not a folder"):
            write_export(tmp_path / name)
    with pytest.raises(InputError, match="cannot be written .*choose another with --out"):
        write_export(tmp_path / "file" / "below")
