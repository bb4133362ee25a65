"""Where processes put the sockets through which they talk: the path of a socket may have some 100 bytes, of which a
long TMPDIR, as clusters give to jobs, leaves too few."""

import os
import sys
import tempfile
from pathlib import Path

from recyclelora.errors import InputError

LONGEST = 107 if sys.platform == "linux" else 103  # bytes of a path
SHORT = ("/tmp", "/var/tmp", "/dev/shm")


def socket_folder(room: int, *, preferred: str | None = None, setting: str = "TMPDIR") -> Path:
    """A folder for sockets whose path is `room` bytes longer: `preferred`, by default the folder for temporary files,
    or else the first of SHORT that can be written. Raises InputError, naming the `setting` with the long path."""
    wanted = preferred or tempfile.gettempdir()
    if len(os.fsencode(wanted)) + room <= LONGEST:
        return Path(wanted)
    for folder in SHORT:
        if os.access(folder, os.W_OK | os.X_OK):
            return Path(folder)
    raise InputError(f"{setting}={wanted}: {len(os.fsencode(wanted))} bytes are too many for the sockets of worker "
                     f"processes, which may have {LONGEST - room}; set {setting} to a shorter folder")
