"""A TMPDIR too long for sockets: everything that starts processes works all the same, or says so in a line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recyclelora import sockets
from recyclelora.errors import InputError
from recyclelora.sockets import LONGEST, socket_folder

LOADER = """
import sys
from pathlib import Path
from recyclelora.data.datasets import open_domain
from recyclelora.data.loader import batches
from recyclelora.data.transforms import Recipe
data = open_domain("scenes-day", "train", root=None, cache=Path(sys.argv[1]), limit=2)
made = batches(data, Recipe((28, 28)), batch_size=2, seed=0, stop=2, workers=1, mean=(0, 0, 0), std=(1, 1, 1))
print("made", [tuple(images.shape) for images, labels in made])
"""
PROCESSES = """
from recyclelora.data.many_files import in_processes
if __name__ == "__main__":
    print("made", list(in_processes(abs, [1, 2], 2, 2)))
"""
CLUSTER = """
from recyclelora.sweeps.capacity import Share
from recyclelora.sweeps.cluster import cluster, run_on_cluster
def size(number): return abs(number)
with cluster(None):
    print("made", run_on_cluster(size, [(-3,)], Share(1.0, 0.0, 1)))
"""


@pytest.fixture
def long_folder(tmp_path: Path) -> Path:
    """Above 76 bytes, the shortest that kept batches from coming."""
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    return folder


@pytest.mark.parametrize(("code", "made"), [
    (LOADER, "made [(2, 3, 28, 28), (2, 3, 28, 28)]"), (PROCESSES, "made [(0, 2), (1, 2), (2, 2)]"), (CLUSTER, "made [3]")],
    ids=["loader", "processes", "cluster"])
def test_processes_work_under_a_long_tmpdir(code: str, made: str, long_folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(code)
    environment = {key: value for key, value in os.environ.items() if key != "RAY_TMPDIR"}
    environment |= {"TMPDIR": str(long_folder), "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    done = subprocess.run([sys.executable, str(script), str(tmp_path / "cache")], env=environment, capture_output=True,
                          text=True, timeout=120)
    assert done.stdout.strip().endswith(made), done.stderr[-2000:]


def test_the_folder_is_the_one_wanted_as_long_as_a_path_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                             long_folder: Path) -> None:
    room = 32
    fits = "/" + "x" * (LONGEST - room - 1)
    assert socket_folder(room, preferred=fits) == Path(fits)
    assert socket_folder(room, preferred=fits + "x") == Path("/tmp")
    assert socket_folder(room, preferred="/" + "ü" * (len(fits) - 20)) == Path("/tmp"), "bytes count, not characters"
    monkeypatch.setattr(sockets, "SHORT", (str(tmp_path / "absent"),))
    with pytest.raises(InputError, match=f"TMPDIR={long_folder}: .* set TMPDIR to a shorter folder"):
        socket_folder(room, preferred=str(long_folder))
    with pytest.raises(InputError, match="^RAY_TMPDIR=/x"):
        socket_folder(room, preferred=fits.replace("/x", "/xy"), setting="RAY_TMPDIR")
