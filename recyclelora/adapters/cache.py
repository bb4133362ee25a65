"""Factorisations kept on disk: one per weight serves both ends, every rank, every trial and every process."""

import zlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from recyclelora.adapters.tensor_files import write_tensors
from recyclelora.writing import locked

_CHECKS = "checks"  # crc32 of each row over all tensors: a few rows can be verified without reading the others


class Factorisation:
    """Tensors of equally many rows, one row per direction, made at most once and only if no file holds them.

    `make` computes them; `path` is their safetensors file, or None to keep them in memory alone. Several processes may
    ask at once: one makes, the others wait for its file. A file that is torn or altered is made again."""

    def __init__(self, make: Callable[[], dict[str, Tensor]], path: Path | None) -> None:
        self._make, self._path = make, path
        self._made: dict[str, Tensor] | None = None

    def rows(self, start: int, stop: int) -> dict[str, Tensor]:
        """Rows start..stop-1 of every tensor; only they are read."""
        if self._made is None and self._path is None:
            self._made = self._make()
        if self._made is None and self._path is not None:
            found = _read(self._path, start, stop)
            if found is None:
                with locked(self._path.with_suffix(".lock")):
                    found = _read(self._path, start, stop)  # whoever held the lock before us may have made it
                    if found is None:
                        self._made = self._make()
                        write_tensors({**self._made, _CHECKS: _row_checks(self._made)}, self._path)
            if found is not None:
                return found
        assert self._made is not None
        return {name: tensor[start:stop] for name, tensor in self._made.items()}


def _read(path: Path, start: int, stop: int) -> dict[str, Tensor] | None:
    """The rows, or None where the file is absent or not what was written."""
    try:
        with safe_open(path, framework="pt") as file:
            rows = {name: file.get_slice(name)[start:stop] for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (FileNotFoundError, SafetensorError):
        return None
    if _CHECKS not in rows or any(len(tensor) != stop - start for tensor in rows.values()):
        return None
    checks = rows.pop(_CHECKS)
    return rows if torch.equal(checks, _row_checks(rows)) else None


def _row_checks(tensors: dict[str, Tensor]) -> Tensor:
    """crc32 of each row (rows,) int64, the tensors taken in the order of their names."""
    checks: list[int] = []
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        rows = tensor.reshape(len(tensor), -1).view(torch.uint8).numpy()
        checks = [zlib.crc32(row, check) for row, check in zip(rows, checks or [0] * len(rows), strict=True)]
    return torch.tensor(checks, dtype=torch.int64)
