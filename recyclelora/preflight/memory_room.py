"""The largest trial fits into memory: of a GPU where it gets one, else of the machine or of the container."""

import subprocess
from contextlib import suppress
from pathlib import Path

from recyclelora.preflight.finding import Answer, Check, Faults, Question

PROCESS = 6 << 27  # bytes of a worker before its model: about 0.8 GB with torch, timm and transformers (measured)
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def measure(asked: Question) -> Answer:
    """Bytes: `total` and `free` of the machine, `gpus` the total of each GPU. 0 and none where the system does not
    tell."""
    total, free = _of_machine()
    limits = [limit for limit in map(_limit, LIMITS) if limit]
    return {"total": min([total, *limits]), "free": min([free, *limits]), "gpus": _gpus() if asked.need.gpu else []}


def _of_machine() -> tuple[int, int]:
    found = {}
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            found[name] = 1024 * int(rest.split()[0])
    return found.get("MemTotal", 0), found.get("MemAvailable", 0)


def _limit(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # "max"
        return 0


def _gpus() -> list[int]:
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
        return [int(line) << 20 for line in lines if line.strip()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


def judge(asked: Question, here: Answer, there: Answer) -> Faults:
    needed = asked.need.memory
    if asked.cluster and there is here:
        return  # trials run on the nodes
    if asked.need.gpu:
        room = min(there["gpus"], default=0) * asked.need.gpu
        if there["gpus"] and room < needed:
            yield (f"a trial needs at least {needed / 1e9:.1f} GB, and its share of a GPU ({asked.need.gpu:g}) is "
                   f"{room / 1e9:.1f} GB; raise resources.gpus, or lower data.batch_size or data.crop"), True
        return
    if needed and there["total"] and there["total"] < needed + PROCESS:
        yield (f"a trial needs at least {(needed + PROCESS) / 1e9:.1f} GB, and the machine or container has "
               f"{there['total'] / 1e9:.1f} GB; lower data.batch_size or data.crop"), True
    elif needed and there["free"] and there["free"] < needed + PROCESS:
        yield (f"a trial needs at least {(needed + PROCESS) / 1e9:.1f} GB, and {there['free'] / 1e9:.1f} GB are free; "
               "end what else runs there"), False


CHECK = Check("memory", measure, judge)
