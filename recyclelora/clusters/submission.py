"""A sweep as a job of a cluster's job server: what it runs on the head."""

import shlex
from collections.abc import Sequence

from recyclelora.clusters import shell
from recyclelora.clusters.site import Site


def entrypoint(site: Site, space: str, words: Sequence[str] = ()) -> str:
    """The shell command of the sweep of `space` (a path in the checkout of the site), with more words for `recyclelora
    sweep`. The job server names the cluster in its environment, and its token is that of the head."""
    sweep = shell.sweep_words(site, slots=site.slots)
    lines = ["set -euo pipefail", *shell.environment(site), *shell.login(site), f"SPACE={shlex.quote(space)}",
             " ".join(["exec", sweep, *map(shlex.quote, words)])]
    return f"bash -c {shlex.quote(chr(10).join(lines))}"
