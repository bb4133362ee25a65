"""The commit of the code that runs."""

import functools
import subprocess
from pathlib import Path


@functools.cache
def commit_tags() -> dict[str, str]:
    """The commit of the code that runs, and whether the tree differs from it."""
    here = Path(__file__).parent
    try:
        commit, status, new = (
            subprocess.run(["git", *command], cwd=here, capture_output=True, text=True, check=True).stdout
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"),
                            ("ls-files", "--others", "--exclude-standard", "*.py")))  # of the package alone
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "dirty": "unknown"}
    return {"commit": commit.strip()[:12], "dirty": str(bool(status.strip() or new.strip())).lower()}
