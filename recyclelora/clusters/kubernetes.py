"""Parts of Kubernetes objects that several kinds share: the pods of a Ray cluster, and variables from secrets."""

from recyclelora.clusters import shell
from recyclelora.clusters.names import Folder, Object, Resource
from recyclelora.clusters.site import Node, Site
from recyclelora.documents import Plain, dump
from recyclelora.fields import Natural, Positive, settings

SECTION = "kubernetes"
NEEDS = {"kubernetes": "its namespace and its shared volume", "image": "it is what the pods run",
         "ray.token_secret": "without a token, every pod of the cluster could run code in this one"}
USER = 1000  # of the container file
Tree = dict[str, Plain]


@settings
class Kubernetes:
    namespace: Object
    claim: Object  # a PersistentVolumeClaim, ReadWriteMany
    mount: Folder = "/mnt/shared"
    gpu_resource: Resource = "nvidia.com/gpu"
    head_cpus: Positive = 2
    head_memory_gb: Positive = 8
    idle_seconds: Natural = 300  # until a GPU pod without work is removed
    priority_class: Object | None = None


def documents(use: str, *objects: Tree) -> str:
    """A file of Kubernetes objects. `use`: the command that applies it."""
    return f"# {use}\n# {shell.written_by()}\n" + "---\n".join(dump(each) for each in objects)


def metadata(own: Kubernetes, name: str) -> Tree:
    return {"name": name, "namespace": own.namespace, "labels": {"app.kubernetes.io/part-of": "recyclelora"}}


def from_secret(name: str, secret: str, key: str) -> Tree:
    """A variable of a container whose value only the cluster knows."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def limits(node: Node, own: Kubernetes) -> Tree:
    """The same as request and as limit, so that a pod is not the first to be evicted."""
    amount: Tree = {"cpu": str(node.cpus), "memory": f"{node.memory_gb}Gi"}
    if node.gpus:
        amount[own.gpu_resource] = str(node.gpus)
    return {"requests": amount, "limits": dict(amount)}


def secure() -> Tree:
    """What a container may not do."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def secure_pod() -> Tree:
    return {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"}}


def ray_cluster(site: Site, own: Kubernetes) -> Tree:
    """The spec of a RayCluster: a head without trials, and a group of GPU pods that come when trials ask for them."""
    head = Node(cpus=own.head_cpus, memory_gb=own.head_memory_gb)
    return {
        "rayVersion": site.ray.version,
        "authOptions": {"mode": "token", "secretName": str(site.ray.token_secret)},
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {"idleTimeoutSeconds": own.idle_seconds},
        "headGroupSpec": {
            "serviceType": "ClusterIP",  # inside of the cluster only
            "rayStartParams": {"num-cpus": "0", "num-gpus": "0"},
            "template": _pod(site, own, head, "ray-head", _driver_variables(site)),
        },
        "workerGroupSpecs": [{
            "groupName": "gpu", "replicas": 0, "minReplicas": 0, "maxReplicas": site.nodes,
            "rayStartParams": {"num-cpus": str(site.node.cpus), "num-gpus": str(site.node.gpus)},
            "template": _pod(site, own, site.node, "ray-worker", []),
        }],
    }


def sweep_command(site: Site) -> str:
    """The words of the sweep, without a shell around them."""
    return shell.sweep_words(site, slots=site.slots).replace('"$SPACE"', site.space)


def _driver_variables(site: Site) -> list[Plain]:
    """What the driver reads; it runs on the head."""
    folders = site.paths
    variables: list[Plain] = [{"name": "RECYCLELORA_CACHE", "value": folders.cache}]
    if folders.data:
        variables.append({"name": "DATA_ROOT", "value": folders.data})
    if site.mlflow:
        variables.append({"name": "MLFLOW_TRACKING_URI", "value": site.mlflow.address})
    if site.mlflow and site.mlflow.login_secret:
        variables += [from_secret(f"MLFLOW_TRACKING_{key.upper()}", site.mlflow.login_secret, key)
                      for key in ("username", "password")]
    return variables


def _pod(site: Site, own: Kubernetes, node: Node, name: str, variables: list[Plain]) -> Tree:
    container: Tree = {
        "name": name, "image": str(site.image), "workingDir": site.paths.checkout, "resources": limits(node, own),
        "securityContext": secure(),
        **({"env": variables} if variables else {}),
        "volumeMounts": [{"name": "shared", "mountPath": own.mount}, {"name": "shm", "mountPath": "/dev/shm"}],
    }
    spec: Tree = {"securityContext": secure_pod(), "containers": [container], "volumes": [
        {"name": "shared", "persistentVolumeClaim": {"claimName": own.claim}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{max(1, node.memory_gb // 4)}Gi"}}]}
    if node.gpus:
        spec["tolerations"] = [{"key": own.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}]
    if own.priority_class:
        spec["priorityClassName"] = own.priority_class
    return {"spec": spec}
