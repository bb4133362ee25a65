"""`ray up` on AWS: a small head, and GPU machines that come when trials ask for them and go when they are idle."""

from recyclelora.clusters import shell
from recyclelora.clusters.driving import HEAD, login, ray_up_files, with_token
from recyclelora.clusters.names import File, Host, Word
from recyclelora.clusters.site import Site
from recyclelora.documents import Plain
from recyclelora.fields import Bool, Natural, Positive, settings

HELP = "machines of AWS that come and go with the work"
SECTION = "aws"
NEEDS = {"aws": "its region and its types of machines",
         "image": "it is where the environment of every machine comes from",
         "ray.token_file": "without a token, everyone who reaches the machines could run code on them"}


@settings
class Aws:
    region: Word
    head_type: Word
    worker_type: Word
    shared: Host  # an NFS server (EFS), mounted at `mount`
    mount: File = "/mnt/shared"
    machine_image: Word | None = None  # AMI with Docker and the driver of the GPUs; None: Ray's choice for the region
    user: Word = "ubuntu"
    key: File | None = None  # of ssh; None: Ray makes one
    spot: Bool = False  # cheaper machines that may be taken away; their trials go on elsewhere
    disk_gb: Positive = 150
    idle_minutes: Natural = 10


SETTINGS = Aws


def render(site: Site, own: Aws) -> dict[str, str]:
    """The cluster, and the script that runs a sweep on its head."""
    return ray_up_files(site, _cluster(site, own), f"127.0.0.1:{site.ray.port}", "in the container on its head")


def _cluster(site: Site, own: Aws) -> dict[str, Plain]:
    return {
        "cluster_name": site.name,
        # the machines of the cluster reach each other; from outside only ssh does
        "provider": {"type": "aws", "region": own.region, "cache_stopped_nodes": False},
        "auth": login(own.user, own.key),
        "max_workers": site.nodes,
        "idle_timeout_minutes": own.idle_minutes,
        "docker": {"image": str(site.image), "container_name": "recyclelora", "pull_before_run": True,
                   "run_options": ["--ulimit nofile=65536:65536", "--shm-size=8g", f"-v {own.mount}:{own.mount}"]},
        "available_node_types": {"head": _head(own), "gpu": _worker(site, own)},
        "head_node_type": "head",
        "initialization_commands": [f"sudo mkdir -p {own.mount}",
                                    f"mountpoint -q {own.mount} || sudo mount -t nfs4 -o nfsvers=4.1,hard,noresvport "
                                    f"{own.shared}:/ {own.mount}"],
        "file_mounts": {file: file for file in shell.secret_files(site)},
        "setup_commands": [shell.make_private(site)],
        # the container is ours alone, and with it every Ray that `ray stop` ends
        "head_start_ray_commands": ["ray stop", _start(site, f"--head --port={site.ray.port} {HEAD}")],
        "worker_start_ray_commands": ["ray stop", _start(site, f"--address=$RAY_HEAD_IP:{site.ray.port}")],
    }


def _head(own: Aws) -> dict[str, Plain]:
    """No CPUs for trials: it holds the driver, and a trial there would have no GPU."""
    return {"resources": {"CPU": 0}, "node_config": _machine(own, own.head_type)}


def _worker(site: Site, own: Aws) -> dict[str, Plain]:
    machine = _machine(own, own.worker_type)
    spot: dict[str, Plain] = {"InstanceMarketOptions": {"MarketType": "spot"}} if own.spot else {}
    return {"min_workers": 0, "max_workers": site.nodes,
            "resources": {"CPU": site.node.cpus, "GPU": site.node.gpus}, "node_config": machine | spot}


def _machine(own: Aws, kind: str) -> dict[str, Plain]:
    disk: Plain = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": own.disk_gb, "VolumeType": "gp3"}}]
    image: dict[str, Plain] = {"ImageId": own.machine_image} if own.machine_image else {}
    return {"InstanceType": kind, **image, "BlockDeviceMappings": disk}


def _start(site: Site, options: str) -> str:
    return f"{with_token(site)} ray start {options}"
