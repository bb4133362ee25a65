"""Every node runs the same code."""

import hashlib
from pathlib import Path

import recyclelora
from recyclelora.preflight.finding import Answer, Check, Faults, Question


def measure(asked: Question) -> Answer:
    """The package's place, and a hash of its source files and their names."""
    package, digest = Path(recyclelora.__file__).parent, hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return {"digest": digest.hexdigest()[:12], "place": str(package)}


def judge(asked: Question, here: Answer, there: Answer) -> Faults:
    if here["digest"] != there["digest"]:
        yield (f"{there['place']} is version {there['digest']} of the code, the driver's is {here['digest']}; install "
               "the same checkout on every node"), True


CHECK = Check("code", measure, judge)
