"""A RayCluster of KubeRay: a cluster that stays, for several sweeps one after the other."""

from recyclelora.clusters.kubernetes import NEEDS, SECTION, Kubernetes, documents, metadata, ray_cluster, sweep_command
from recyclelora.clusters.site import Site

__all__ = ["HELP", "NEEDS", "SECTION", "SETTINGS", "render"]

HELP = "a Kubernetes cluster with KubeRay, for several sweeps"
SETTINGS = Kubernetes


def render(site: Site, own: Kubernetes) -> dict[str, str]:
    """The cluster, for `kubectl apply`, and how a sweep is run on its head."""
    use = (f"kubectl apply -f ray-cluster.yaml; then, on the head: RAY_ADDRESS=127.0.0.1:{site.ray.port} "
           f"{sweep_command(site)}")
    return {"ray-cluster.yaml": documents(use, {
        "apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata(own, site.name),
        "spec": ray_cluster(site, own)})}
