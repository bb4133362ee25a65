"""Safetensors files: whole or not there, and as readable as the umask makes any file."""

import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from recyclelora.adapters import AdapterError
from recyclelora.adapters.tensor_files import write_tensors


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_file_is_for_those_whom_the_umask_lets(umask: int, tmp_path: Path) -> None:
    """The library leaves its files to their owner alone: nobody else could load a shared model."""
    before = os.umask(umask)
    try:
        write_tensors({"a": torch.arange(6).view(2, 3).T}, tmp_path / "new" / "file.safetensors", {"said": "so"})
        (tmp_path / "other").touch()
    finally:
        os.umask(before)
    path = tmp_path / "new" / "file.safetensors"
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    assert torch.equal(load_file(path)["a"], torch.arange(6).view(2, 3).T)
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"said": "so"}


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path, tensor = tmp_path / "file.safetensors", torch.zeros(4)
    write_tensors({"a": tensor}, path)
    content = path.read_bytes()
    with pytest.raises(AdapterError, match="b: sparse; only a plain tensor can be stored"):
        write_tensors({"a": tensor, "b": torch.eye(3).to_sparse()}, path)
    assert path.read_bytes() == content and list(tmp_path.iterdir()) == [path]
