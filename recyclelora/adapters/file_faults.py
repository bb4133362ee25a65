"""What is wrong with a file that should hold tensors, in a few words: a reader's own message rarely says it."""

import struct
from pathlib import Path

_MOST = 100_000_000  # bytes of a safetensors header that readers take
_READ = 4096  # bytes of a file that are looked at
_POINTER = b"version https://git-lfs"


def fault_of(path: Path, error: Exception) -> str:
    """Why `path` is no whole safetensors file, without the path; `error` is what its reader said."""
    try:
        if not path.exists():
            return "no such file"
        if path.is_dir():
            return "it is a folder; expected a file"
        with path.open("rb") as file:
            head = file.read(_READ)
        size = path.stat().st_size
    except OSError as refused:
        return refused.strerror or str(refused)
    return kind_of(head) or _header_fault(head, size) or f"cut short or damaged ({_first_line(error)})"


def kind_of(head: bytes) -> str | None:
    """What a file's first bytes say that it is, where that is no file of tensors; None where they say nothing."""
    if not head:
        return "it is empty; copy it anew"
    if head.startswith(_POINTER):
        return "it is a pointer of Git LFS, not the file itself; fetch that with `git lfs pull`"
    if head.startswith(b"PK\x03\x04"):
        return "it is a zip archive, as torch.save writes"
    if head[0] == 0x80 and len(head) > 1 and head[1] <= 5:
        return "it is a pickle"
    text = _text(head)
    return None if text is None else f"it is a text ({text[:40]!r})"


def _text(head: bytes) -> str | None:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if len(head) < _READ or error.start < len(head) - 3:  # else a character was cut in two by reading so far
            return None
        text = head[: error.start].decode()
    return text if all(character.isprintable() or character.isspace() for character in text) else None


def _header_fault(head: bytes, size: int) -> str | None:
    if len(head) < 8:
        return "cut short"
    (announced,) = struct.unpack("<Q", head[:8])
    if announced > _MOST:
        return f"it begins with no header of safetensors (one of {announced:,} bytes; readers take {_MOST:,})"
    if announced > size - 8:
        return f"cut short: a header of {announced:,} bytes is announced, and the file has {size:,}"
    return None


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
