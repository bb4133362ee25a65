"""The script that runs a sweep on a cluster that is up already."""

from recyclelora.clusters import shell
from recyclelora.clusters.site import Site


def driver_script(site: Site, address: str, where: str) -> str:
    """Run the sweep on the Ray cluster at `address`, with the words that the script is given. `where`: on which
    machine."""
    return shell.script(
        f"Run a sweep on the Ray cluster of {site.name}, {where}: bash sweep.sh [KEY=VALUE ...]",
        [*shell.environment(site), shell.export("RAY_ADDRESS", address), *shell.token(site)], shell.login(site),
        [shell.space(site), f'exec {shell.sweep_words(site, slots=site.slots)} "$@"'])
