"""Files of a data set by name: walking folders strictly, and saying what is missing in one line."""

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from recyclelora.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".rar", ".7z")
Node = tuple[int, int]  # device and inode: what a folder is, whatever leads there


def find_files(
    folder: Path,
    endings: tuple[str, ...],
    *,
    but: tuple[str, ...] = (),
    deep: bool = False,
    with_folder: bool = False,
) -> dict[str, Path]:
    """What `match_files` returns. Raises InputError where that is nothing."""
    files = match_files(folder, endings, but=but, deep=deep, with_folder=with_folder)
    if not files:
        raise nothing_found(folder, endings)
    return files


def match_files(
    folder: Path, endings: tuple[str, ...], *, but: tuple[str, ...], deep: bool, with_folder: bool
) -> dict[str, Path]:
    """Name -> file, by name, of the files of `folder` that have one of the `endings`.

    The name is the file's own without the ending; `with_folder` puts the folder's name and `_` before it.
    Names that end with one of `but` are passed over, and so are hidden files. Capitals make no difference in endings.
    `deep` looks into folders below too, through links. Raises InputError for a missing folder, a loop of links, and two
    files of one name.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}{unpacked_hint(folder)}")
    files: dict[str, Path] = {}
    passed_over = tuple(part.lower() for part in but)
    for path in sorted(_walk(str(folder), deep, ())):
        parent, file = os.path.split(path)
        ending = next((ending for ending in endings if file.lower().endswith(ending.lower())), None)
        if ending is None or file[: -len(ending)].lower().endswith(passed_over):
            continue
        name = file[: -len(ending)]
        name = f"{os.path.basename(parent)}_{name}" if with_folder else name
        if name in files:
            raise InputError(f"{folder} holds both {_within(files[name], folder)} and {_within(Path(path), folder)}: "
                             "keep one of them")  # fmt: skip
        files[name] = Path(path)
    return dict(sorted(files.items()))


def holds(folder: Path, *endings: str) -> bool:
    """Whether a folder or one below it has a file with one of the endings. Raises InputError for a folder that cannot
    be read."""
    lower = tuple(ending.lower() for ending in endings)
    return folder.is_dir() and any(path.lower().endswith(lower) for path in _walk(str(folder), True, ()))


def nothing_found(folder: Path, endings: tuple[str, ...]) -> InputError:
    kinds = " or ".join(f"*{ending}" for ending in endings)
    return InputError(f"{folder} holds no {kinds} file{unpacked_hint(folder / 'any')}")


def _within(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _walk(folder: str, deep: bool, above: tuple[Node, ...]) -> Iterator[str]:
    """Files, links followed. A folder met again below itself is a loop; met twice side by side it is not."""
    try:
        status = os.stat(folder)
        node = (status.st_dev, status.st_ino)
        if node in above:
            raise InputError(f"{folder} leads back to a folder above it: remove this link")
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if not entry.is_dir():
                    yield entry.path
                elif deep:
                    yield from _walk(entry.path, deep, (*above, node))
    except OSError as error:
        raise InputError(f"cannot read {error.filename or folder}: {error.strerror}") from error


def match_stars(folder: Path, pattern: str) -> Iterator[tuple[tuple[str, ...], Path]]:
    """What the stars of a pattern such as `images/*/*_rgb.png` stand for, and the file, by name. A star stands for any
    part of one name, links are followed, hidden files and folders passed over. Capitals make no difference in the last
    ending, here .png. Raises InputError for a folder that cannot be read."""
    first, _, rest = pattern.partition("/")
    stem, ending = (first, "") if rest else os.path.splitext(first)
    parts = ("(.*)".join(map(re.escape, piece.split("*"))) for piece in (stem, ending))
    expression = re.compile("{}(?i:{})".format(*parts), re.DOTALL)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"cannot read {error.filename or folder}: {error.strerror}") from error
    for entry in entries:
        found = expression.fullmatch(entry.name)
        if found and not entry.name.startswith("."):
            if rest and entry.is_dir():
                yield from (((*found.groups(), *stars), path) for stars, path in match_stars(Path(entry.path), rest))
            elif not rest and not entry.is_dir():
                yield found.groups(), Path(entry.path)


def first_folder(folder: Path, *candidates: str) -> Path:
    """The first of the candidates that exists in `folder`; the first of all, to be named in an error, if none does."""
    return next((folder / name for name in candidates if (folder / name).is_dir()), folder / candidates[0])


def unpacked_hint(missing: Path, patterns: tuple[str, ...] = ("*",)) -> str:
    """What to add to a complaint about a missing file or folder: the archives that lie where it should be, if any."""
    above = next((parent for parent in missing.parents if parent.is_dir()), None)
    try:
        names = sorted(os.listdir(above)) if above else []
    except OSError:
        names = []
    found = [name for name in names if name.lower().endswith(_ARCHIVES) and any(fnmatch(name, p) for p in patterns)]
    if not found:
        return ""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"; {found[0]}{more} is there but not unpacked"
