"""The files of runs: logged through MLflow, and read directly where they are on this machine."""

import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from recyclelora.runs.encoding import clean


class Files:
    """`client` is an MlflowClient. `place` is the address of a run's artifacts, `name` a path inside them."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def log(self, run_id: str, name: str, path: Path) -> None:
        """Log a file or a folder to the run."""
        inside = _inside(name)
        if path.is_dir():
            self._client.log_artifacts(run_id, str(path), name)
            return
        with tempfile.TemporaryDirectory() as folder:
            named = path if path.name == inside.name else Path(shutil.copyfile(path, Path(folder, inside.name)))
            parent = None if inside.parent == PurePosixPath(".") else str(inside.parent)
            self._client.log_artifact(run_id, str(named), parent)

    def log_text(self, run_id: str, name: str, text: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, name)
            file.write_text(clean(text), "utf-8")
            self._client.log_artifact(run_id, str(file))

    def fetch(self, run_id: str, place: str, name: str, folder: Path) -> Path | None:
        """A copy of the file or folder in `folder`, None where the run has none of that name."""
        inside, here = _inside(name), _folder_at(place)
        if here is not None:
            return _copy(here / inside, folder / inside)
        parent = None if inside.parent == PurePosixPath(".") else str(inside.parent)
        if str(inside) not in {file.path for file in self._client.list_artifacts(run_id, parent)}:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        return Path(self._client.download_artifacts(run_id, str(inside), str(folder)))

    def read_text(self, run_id: str, place: str, name: str) -> str | None:
        """The text of a file, None where there is none. Raises ValueError where it is no UTF-8."""
        here = _folder_at(place)
        if here is not None:
            return (here / name).read_text("utf-8") if (here / name).is_file() else None
        with tempfile.TemporaryDirectory() as folder:
            found = self.fetch(run_id, place, name, Path(folder))
            return found.read_text("utf-8") if found else None


def _inside(name: str) -> PurePosixPath:
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or not inside.name:
        raise ValueError(f"artifact name {name!r} leaves the run's folder")
    return inside


def _folder_at(place: str) -> Path | None:
    """The folder at an address, None where it is another machine's."""
    parts = urlsplit(place)
    return Path(unquote(parts.path)) if parts.scheme == "file" and not parts.netloc else None


def _copy(source: Path, target: Path) -> Path | None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        return Path(shutil.copytree(source, target, dirs_exist_ok=True))
    return Path(shutil.copyfile(source, target)) if source.is_file() else None
