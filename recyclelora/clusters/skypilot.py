"""SkyPilot: whichever cloud has the machines, or is the cheapest one."""

from recyclelora.clusters import shell
from recyclelora.clusters.names import Folder, Object, Relative, Word
from recyclelora.clusters.site import Site
from recyclelora.documents import Plain, dump
from recyclelora.errors import InputError
from recyclelora.fields import Bool, Positive, settings

HELP = "several clouds, of which SkyPilot chooses one"
SECTION = "skypilot"
NEEDS = {"skypilot": "its accelerator and its volume",
         "image": "it is where the environment of every machine comes from",
         "ray.token_file": "without a token, everyone who reaches the machines could run code on them"}
TOKEN = "~/.recyclelora/ray_token"  # not where Ray looks by itself: SkyPilot has a Ray of its own there

SKY_PORTS = (6380, 8266)


@settings
class SkyPilot:
    accelerator: Word  # such as A100
    volume: Object  # that all nodes can write to at once
    mount: Folder = "/mnt/shared"
    infra: Relative | None = None  # a cloud, or one of its regions (aws/eu-central-1); None: any
    spot: Bool = False
    disk_gb: Positive = 150


SETTINGS = SkyPilot


def render(site: Site, own: SkyPilot) -> dict[str, str]:
    """The task, for `sky launch`."""
    if site.ray.port in SKY_PORTS:
        raise InputError(f"ray.port: {site.ray.port} is that of SkyPilot's own Ray; choose another")
    return {"sky.yaml": f"# sky launch -c {site.name} sky.yaml\n# {shell.written_by()}\n{dump(_task(site, own))}"}


def _task(site: Site, own: SkyPilot) -> dict[str, Plain]:
    chosen: dict[str, Plain] = {"infra": own.infra} if own.infra else {}
    gpus: dict[str, Plain] = {"accelerators": f"{own.accelerator}:{site.node.gpus}"} if site.node.gpus else {}
    return {
        "name": site.name,
        "num_nodes": site.nodes,
        "resources": {**chosen, **gpus, "cpus": f"{site.node.cpus}+", "memory": f"{site.node.memory_gb}+",
                      "image_id": f"docker:{site.image}", "use_spot": own.spot, "disk_size": own.disk_gb},
        "volumes": {own.mount: own.volume},
        "file_mounts": {TOKEN: str(site.ray.token_file),
                        **({site.mlflow.login_file: site.mlflow.login_file}
                           if site.mlflow and site.mlflow.login_file else {})},
        "envs": {"SPACE": site.space},
        "run": _run(site),
    }


def _run(site: Site) -> str:
    """Every node runs this; the sweep runs on the first. The ports are not those of SkyPilot's own Ray (6380, 8266),
    which `ray stop` would end as well."""
    lines = ["set -euo pipefail", *shell.environment(site), f"chmod 600 {shell.path(TOKEN)}",
             shell.export("RAY_AUTH_MODE", "token"), shell.export("RAY_AUTH_TOKEN_PATH", shell.path(TOKEN)),
             shell.export("RAY_HEAD_PORT", str(site.ray.port)), shell.export("RAY_DASHBOARD_PORT", "8265"),
             shell.export("RAY_DASHBOARD_HOST", "127.0.0.1"), "~/sky_templates/ray/start_cluster",
             '[ "$SKYPILOT_NODE_RANK" = 0 ] || exit 0', *shell.login(site),
             'RAY_ADDRESS="$(echo "$SKYPILOT_NODE_IPS" | head -n1):$RAY_HEAD_PORT"', "export RAY_ADDRESS",
             shell.sweep_words(site, slots=site.slots)]
    return "\n".join(lines) + "\n"
