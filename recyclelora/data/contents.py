"""What the files of a data set hold, as hashes."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from recyclelora.data.pairs import Pair
from recyclelora.errors import InputError


def digest_pairs(pairs: Sequence[Pair]) -> Iterable[str]:
    """For each pair the sha256 over the sha256 of both files, wherever they lie."""
    return (hashlib.sha256(_file_sha256(pair.image) + _file_sha256(pair.label)).hexdigest() for pair in pairs)


def _file_sha256(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
