"""What a `.pth` file is before anything in it is read: torch's archive with a checksum for each record, torch's old
format without any, a bare pickle, or something else. A damaged record is named."""

import pickletools
import zipfile
from enum import Enum
from pathlib import Path

from recyclelora.adapters.file_faults import kind_of
from recyclelora.errors import InputError

_OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number that torch's old format begins with, as a pickle
_CONVERT = ("load it where it was made and write its tensors with torch.save(state_dict, FILE) or as safetensors")

_PROTOCOL = 5  # the newest of pickle; a file of a protocol from 2 on begins with 0x80 and its number


class Format(Enum):
    """`VERIFIED`: every record has the checksum that was written with it. The others cannot be verified."""

    VERIFIED = "torch's archive, each record with the checksum that was written with it"
    WITHOUT = "torch's archive, written without checksums, so that damage to a value cannot be noticed"
    OLD = "torch's old format, which has no checksums, so that damage to a value cannot be noticed"


def examine(path: Path) -> Format:
    """The format of a file of torch. Raises InputError for another kind of file, and for an archive with a record that
    is not what was written, naming the record."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(_OLD):
        return Format.OLD
    if head.startswith(b"PK"):
        return _check_records(path)
    raise InputError(f"{path}: not a checkpoint of torch: {_kind(path, head)}")


def _check_records(path: Path) -> Format:
    record = ""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if not any(entry.filename.endswith("/data.pkl") for entry in entries):
                held = entries[0].filename if entries else "nothing"
                raise InputError(f"{path}: a zip archive, but not one of torch.save (it holds {held}); {_CONVERT}")
            if any(entry.filename.endswith("/constants.pkl") for entry in entries):
                raise InputError(f"{path}: a TorchScript program (torch.jit.save), which can run code; {_CONVERT}")
            if all(entry.CRC == 0 for entry in entries):
                return Format.WITHOUT
            for entry in entries:
                record = entry.filename
                with archive.open(entry) as content:
                    while content.read(1 << 20):  # zipfile compares the checksum at the end
                        pass
    except InputError:
        raise
    except Exception as error:  # zip's, zlib's and struct's errors share no base class
        if record:
            raise InputError(f"{path}: its record {record} is not what was written (checksum or header differ): the "
                             "file is damaged; copy it anew") from None
        raise InputError(f"{path}: not a checkpoint of torch, or cut short ({error})") from None
    return Format.VERIFIED


def _kind(path: Path, head: bytes) -> str:
    if (head[:1] == b"\x80" and 2 <= int.from_bytes(head[1:2]) <= _PROTOCOL) or _is_old_pickle(path):
        return (f"a bare pickle, not written by torch.save; it can run code when it is read, so it is not read here; "
                f"{_CONVERT}")
    return kind_of(head) or "cut short, or of another program (a state dict saved with torch.save is one)"


def _is_old_pickle(path: Path) -> bool:
    """Whether it parses as a pickle of protocol 0 or 1, which have no mark of their own. Nothing is run."""
    try:
        with path.open("rb") as file:
            return any(operation.name == "STOP" and at > 2 for at, (operation, _, _) in
                       enumerate(pickletools.genops(file)))
    except (ValueError, OSError, OverflowError, MemoryError):
        return False
