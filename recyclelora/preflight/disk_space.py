"""There is room on the disks of RESULTS, of the cache and of temporary files for the largest trial."""

import shutil
import tempfile
from pathlib import Path

from recyclelora.preflight.finding import Answer, Check, Faults, Question

LEAST = 1 << 28  # bytes: the database, logs, panels and what others write meanwhile


def measure(asked: Question) -> Answer:
    """Free bytes, by folder."""
    folders = (asked.paths.results, asked.paths.cache, Path(tempfile.gettempdir()))
    return {str(folder): shutil.disk_usage(_existing(folder)).free for folder in folders}


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def judge(asked: Question, here: Answer, there: Answer) -> Faults:
    for folder, free in there.items():
        needed = asked.need.disk if folder == str(asked.paths.results) else 0
        if free < needed:
            yield f"{free / 1e6:,.0f} MB are free for {folder}, and a trial writes {needed / 1e6:,.0f} MB", True
        elif free < needed + LEAST:
            yield f"only {free / 1e6:,.0f} MB are free for {folder}", False


CHECK = Check("disk", measure, judge)
