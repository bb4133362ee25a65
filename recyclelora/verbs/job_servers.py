"""What `submit` and `remote` share: the job server of a profile, the name of a job, and how it is followed and left."""

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recyclelora.clusters.profile import read_profile
from recyclelora.clusters.site import Site
from recyclelora.config import identity
from recyclelora.errors import InputError
from recyclelora.spaces.space import Space, expand
from recyclelora.sweeps.submissions import Server, follow, status
from recyclelora.verbs.console import CONSOLE


def server_of(profile: Path) -> tuple[Site, str]:
    """The site of a profile (a file, or the name of a folder in cluster/) and the address of its job server."""
    named = Path("cluster") / profile / "profile.yaml"
    path = profile if profile.is_file() else named
    if not path.is_file():
        raise InputError(f"{profile}: is no profile of a cluster; give a profile.yaml, or its folder in cluster/ (with "
                         "make: CLUSTER=workstations)")
    site = read_profile(path).site
    if site.ray.jobs is None:
        raise InputError(f"{path}: ray.jobs: is missing; it is the address of the cluster's job server, such as "
                         "http://127.0.0.1:8265 at the end of: ssh -L 8265:127.0.0.1:8265 HEAD")
    return site, site.ray.jobs


def in_checkout(space: Path) -> str:
    """The path of a space as the cluster's checkout has it. Raises InputError for one outside of this one."""
    try:
        return space.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        raise InputError(f"{space}: is not in this folder, so that the cluster's checkout cannot have it; put it under "
                         "search_spaces/ here and there") from None


def digest_of(space: Space, cells: Sequence[str] = ()) -> str:
    """A hash of the trials that a sweep has, or that a search may propose."""
    if space.method == "tpe":
        content: list[Any] = [space.digest(), space.run_cap]
    else:
        content = [(cell, sorted(identity(config).items(), key=repr)) for cell, _, config in expand(space)
                   if not cells or cell in cells]
    return hashlib.sha256(repr(content).encode()).hexdigest()[:12]


def follow_to_end(server: Server, name: str, profile: Path, space: Path | None) -> int:
    """Print what the job prints. Returns 0 if it succeeded, 1 if it did not. When it is left (Ctrl-C),
    says how to come back and how to stop it, and raises KeyboardInterrupt."""
    words: list[Any] = [profile, *([space] if space else [])]
    try:
        for text in follow(server, name):
            CONSOLE.print(text, end="", highlight=False, markup=False)
    except KeyboardInterrupt:
        for does, action in (("back to it", "logs"), ("to stop it", "stop")):
            CONSOLE.print(f"{does}: recyclelora remote {action} {shlex.join(map(str, words))}", highlight=False,
                          markup=False)
        raise
    ended = status(server, name)
    CONSOLE.print(f"{name}: {ended.status}: {ended.message}", highlight=False, markup=False)
    return 0 if ended.status == "SUCCEEDED" else 1
