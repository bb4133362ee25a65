"""A RayJob of KubeRay: a cluster that lives as long as its sweep."""

from recyclelora.clusters.kubernetes import NEEDS, SECTION, Kubernetes, documents, metadata, ray_cluster, sweep_command
from recyclelora.clusters.site import Site

__all__ = ["HELP", "NEEDS", "SECTION", "SETTINGS", "render"]

HELP = "a Kubernetes cluster with KubeRay, one sweep at a time"
SETTINGS = Kubernetes


def render(site: Site, own: Kubernetes) -> dict[str, str]:
    """The job, for `kubectl create`."""
    return {"ray-job.yaml": documents("kubectl create -f ray-job.yaml; each call is a new job of the same sweep", {
        "apiVersion": "ray.io/v1", "kind": "RayJob",
        "metadata": {**{key: value for key, value in metadata(own, "").items() if key != "name"},
                     "generateName": f"{site.name}-"},
        "spec": {
            "entrypoint": sweep_command(site),
            "backoffLimit": 0,  # a retry is a new cluster, whose pods may overlap those of the last one
            "activeDeadlineSeconds": site.hours * 3600,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 600,
            "rayClusterSpec": ray_cluster(site, own),
        }})}
