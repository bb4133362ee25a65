"""`ray up` on machines that are there: workstations that are reached by ssh."""

from recyclelora.clusters import shell
from recyclelora.clusters.driving import HEAD, login, ray_up_files, with_token
from recyclelora.clusters.names import File, Host, Word
from recyclelora.clusters.site import Site
from recyclelora.documents import Plain
from recyclelora.errors import InputError
from recyclelora.fields import settings

HELP = "a few machines that you can reach by ssh"
SECTION = "machines"
NEEDS = {"machines": "its head, its workers and the user there",
         "ray.token_file": "without a token, everyone on the network of the machines could run code on them"}


@settings
class Machines:
    head: Host  # by the address under which the others reach it
    workers: tuple[Host, ...]
    user: Word
    key: File | None = None  # of ssh; None: what ssh finds by itself, on the head as well


SETTINGS = Machines


def render(site: Site, own: Machines) -> dict[str, str]:
    """The cluster, and the script that runs a sweep on its head."""
    if site.nodes != 1 + len(own.workers):
        raise InputError(f"nodes: {site.nodes}, but machines has a head and {len(own.workers)} workers")
    return ray_up_files(site, _cluster(site, own), f"{own.head}:{site.ray.port}", "on its head")


def _cluster(site: Site, own: Machines) -> dict[str, Plain]:
    return {
        "cluster_name": site.name,
        "provider": {"type": "local", "head_ip": own.head, "worker_ips": list(own.workers)},
        "auth": login(own.user, own.key),
        "max_workers": len(own.workers),
        "file_mounts": {file: file for file in shell.secret_files(site)},
        "setup_commands": [shell.make_private(site), f"test -x {shell.path(f'{site.paths.environment}/bin/ray')}"],
        "head_start_ray_commands": [_unless_running(site, "head", f"--head --node-ip-address={own.head} "
                                                    f"--port={site.ray.port} {HEAD}",
                                                    f"{own.head}:{site.ray.port}")],
        "worker_start_ray_commands": [_unless_running(site, "worker", f"--address=$RAY_HEAD_IP:{site.ray.port}",
                                                      f"$RAY_HEAD_IP:{site.ray.port}")],
    }


def _unless_running(site: Site, role: str, options: str, address: str) -> str:
    """Ray's own lists begin with `ray stop`, which ends every Ray of that user on that machine. This one leaves a
    cluster that runs as it is. The brackets keep the pattern from matching the shell that looks for it."""
    return (f'pgrep -u "$(id -u)" -f "[r]aylet/raylet .*--gcs-address={address}( |$)" >/dev/null || '
            f"(ulimit -n 65536; {start(site, options)})")


def start(site: Site, options: str) -> str:
    """`ray start` with a token and with what the site gives of a machine. Ray's second autoscaler counts the head as
    one of the workers, since all are of one type here, and starts one too few; the first does not."""
    ray = shell.path(f"{site.paths.environment}/bin/ray")
    return (f"RAY_enable_autoscaler_v2=0 {with_token(site)} {ray} start {options} "
            f"--num-cpus={site.node.cpus} --num-gpus={site.node.gpus}")
