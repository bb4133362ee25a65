"""No secret can be read by others, and nobody else can change results or weights."""

from pathlib import Path
from stat import S_IMODE, S_ISVTX, S_IWOTH

from recyclelora.preflight.finding import Answer, Check, Faults, Question
from recyclelora.preflight.ray_token import token_file


def measure(asked: Question) -> Answer:
    """Path -> mode, of what is there."""
    results, cache = asked.paths.results, asked.paths.cache
    return {"secret": _modes(token_file()), "own": _modes(results, results / "mlflow.db", cache, cache / "weights")}


def _modes(*paths: Path) -> dict[str, int]:
    return {str(path): S_IMODE(path.stat().st_mode) for path in paths if path.exists()}


def judge(asked: Question, here: Answer, there: Answer) -> Faults:
    for path, mode in there["secret"].items():
        if mode & 0o077:
            yield f"{path}: others may read it (mode {mode:04o}); chmod 600 {path}", False
    if there is here:  # RESULTS and cache are the same everywhere
        for path, mode in there["own"].items():
            if mode & S_IWOTH and not mode & S_ISVTX:
                yield f"{path}: everybody may change it (mode {mode:04o}); chmod o-w {path}", False


CHECK = Check("file modes", measure, judge)
