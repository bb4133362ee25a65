"""What the kinds that use `ray up` share: its file, and the script that runs a sweep on the cluster that is up then."""

from collections.abc import Mapping

from recyclelora.clusters import shell
from recyclelora.clusters.site import Site
from recyclelora.documents import Plain, dump

HEAD = "--dashboard-host=127.0.0.1 --autoscaling-config=~/ray_bootstrap_config.yaml"  # options of `ray start` there


def ray_up_files(site: Site, cluster: Mapping[str, Plain], address: str, where: str) -> dict[str, str]:
    """The cluster for `ray up`, and the script for its head. `where` is that, in words."""
    return {"ray-up.yaml": f"# ray up ray-up.yaml\n# {shell.written_by()}\n{dump(dict(cluster))}",
            "sweep.sh": driver_script(site, address, where)}


def login(user: str, key: str | None) -> dict[str, Plain]:
    """How `ray up` reaches a machine by ssh."""
    return {"ssh_user": user, **({"ssh_private_key": key} if key else {})}


def with_token(site: Site) -> str:
    """The variables in front of `ray start` that make it ask for the token."""
    return f"RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={shell.path(str(site.ray.token_file))}"


def driver_script(site: Site, address: str, where: str) -> str:
    """Run the sweep on the Ray cluster at `address`, with the words that the script is given. `where`: on which
    machine."""
    return shell.script(
        f"Run a sweep on the Ray cluster of {site.name}, {where}: bash sweep.sh [KEY=VALUE ...]",
        [*shell.environment(site), shell.export("RAY_ADDRESS", address), *shell.token(site)], shell.login(site),
        [shell.space(site), f'exec {shell.sweep_words(site, slots=site.slots)} "$@"'])
