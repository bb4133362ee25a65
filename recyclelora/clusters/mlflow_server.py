"""An MLflow server on Kubernetes: runs in PostgreSQL, files in a bucket, and nobody without a login."""

from recyclelora.clusters.kubernetes import (
    Tree,
    documents,
    from_secret,
    secure,
    secure_pod,
)
from recyclelora.clusters.names import Address, Bucket, Image, Object, Word
from recyclelora.clusters.site import Site
from recyclelora.documents import Plain
from recyclelora.errors import InputError
from recyclelora.fields import Positive, settings

HELP = "an MLflow server of your own on Kubernetes, beside a RayJob or a RayCluster"
SECTION = "mlflow_server"
NEEDS = {"mlflow_server": "its bucket and its secrets", "mlflow.login_secret": "it is the login of the sweeps"}
PORT = 5000
DATABASE = 5432


@settings
class MlflowServer:
    namespace: Object
    artifacts: Bucket
    image: Image  # of the container file, target mlflow
    database_image: Image = "postgres:17"
    database_gb: Positive = 20
    database_secret: Object  # with the key password, of letters and digits (it becomes part of an address)
    bucket_secret: Object  # with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    admin_secret: Object  # with the keys username and password, and flask (a random text that signs forms)
    bucket_address: Address | None = None  # of an object store that is not Amazon's
    bucket_region: Word | None = None


SETTINGS = MlflowServer


def render(site: Site, own: MlflowServer) -> dict[str, str]:
    """The server, its database, and their services."""
    right = f"http://mlflow.{own.namespace}.svc:{PORT}"
    if site.mlflow is None or site.mlflow.address != right:
        raise InputError(f"mlflow.address: must be {right}, which is where mlflow_server puts it")
    return {"mlflow.yaml": documents("kubectl apply -f mlflow.yaml", *_database(own), *_server(own))}


def allowed_hosts(own: MlflowServer) -> str:
    """The names under which the server may be called. They replace MLflow's own list and are compared with the port,
    except where one has a star."""
    names = ("mlflow", f"mlflow.{own.namespace}", f"mlflow.{own.namespace}.svc")
    return ",".join([*(f"{name}{port}" for name in names for port in ("", f":{PORT}")),
                     f"mlflow.{own.namespace}.svc.*", "localhost:*", "127.0.0.1:*"])


def _database(own: MlflowServer) -> list[Tree]:
    container: Tree = {
        "name": "postgres", "image": own.database_image, "securityContext": secure(),
        "env": [{"name": "POSTGRES_USER", "value": "mlflow"}, {"name": "POSTGRES_DB", "value": "mlflow"},
                {"name": "PGDATA", "value": "/var/lib/postgresql/data/files"},
                from_secret("POSTGRES_PASSWORD", own.database_secret, "password")],
        "ports": [{"containerPort": DATABASE}],
        "readinessProbe": {"exec": {"command": ["pg_isready", "-U", "mlflow"]}, "periodSeconds": 5},
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}],
    }
    user = {**secure_pod(), "runAsUser": 999, "runAsGroup": 999, "fsGroup": 999}  # of the image
    return [_service(own, "mlflow-database", DATABASE), {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": _meta(own, "mlflow-database"),
        "spec": {"serviceName": "mlflow-database", "replicas": 1,
                 "selector": {"matchLabels": _label("mlflow-database")},
                 "template": {"metadata": {"labels": _label("mlflow-database")},
                              "spec": {"securityContext": user, "containers": [container]}},
                 "volumeClaimTemplates": [{
                     "metadata": {"name": "data"},
                     "spec": {"accessModes": ["ReadWriteOnce"],
                              "resources": {"requests": {"storage": f"{own.database_gb}Gi"}}}}]}}]


def _server(own: MlflowServer) -> list[Tree]:
    container: Tree = {
        "name": "mlflow", "image": own.image, "securityContext": secure(), "command": ["sh", "-c", START],
        "env": _variables(own), "ports": [{"containerPort": PORT}],
        "readinessProbe": {"exec": {"command": ["python", "-c", PROBE]}, "periodSeconds": 10, "timeoutSeconds": 10},
        "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec: Tree = {"securityContext": secure_pod(), "containers": [container],
                  "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}]}
    return [_service(own, "mlflow", PORT), {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": _meta(own, "mlflow"),
        "spec": {"replicas": 1, "strategy": {"type": "Recreate"},  # two would migrate the database at once
                 "selector": {"matchLabels": _label("mlflow")},
                 "template": {"metadata": {"labels": _label("mlflow")}, "spec": spec}}}]


# The accounts are in the database too: the default is a file in the working folder, which is lost with the pod. What
# holds the password is written in memory, and read by its owner alone.
START = """\
umask 077
printf '[mlflow]\\ndefault_permission = READ\\ndatabase_uri = %s\\n' "$MLFLOW_BACKEND_STORE_URI" >/tmp/auth.ini
exec mlflow server --app-name basic-auth --host 0.0.0.0 --port 5000
"""

# /health answers although clients are refused; this asks as a client does, under the server's own name.
PROBE = """\
import base64, os, urllib.request
login = f"{os.environ['MLFLOW_AUTH_ADMIN_USERNAME']}:{os.environ['MLFLOW_AUTH_ADMIN_PASSWORD']}".encode()
urllib.request.urlopen(urllib.request.Request(
    "http://127.0.0.1:5000/api/2.0/mlflow/experiments/search?max_results=1",
    headers={"Host": os.environ["SERVER_NAME"], "Authorization": "Basic " + base64.b64encode(login).decode()}),
    timeout=8)
"""


def _variables(own: MlflowServer) -> list[Plain]:
    """Kubernetes puts the password into the address of the database when the container starts."""
    address = f"postgresql+psycopg://mlflow:$(DATABASE_PASSWORD)@mlflow-database:{DATABASE}/mlflow"
    plain = {"MLFLOW_BACKEND_STORE_URI": address, "MLFLOW_ARTIFACTS_DESTINATION": own.artifacts,
             "MLFLOW_SERVER_ALLOWED_HOSTS": allowed_hosts(own), "MLFLOW_AUTH_CONFIG_PATH": "/tmp/auth.ini",
             "SERVER_NAME": f"mlflow.{own.namespace}.svc:{PORT}", "HOME": "/tmp",
             **({"MLFLOW_S3_ENDPOINT_URL": own.bucket_address} if own.bucket_address else {}),
             **({"AWS_DEFAULT_REGION": own.bucket_region} if own.bucket_region else {})}
    values: list[Plain] = [{"name": name, "value": value} for name, value in plain.items()]
    return [from_secret("DATABASE_PASSWORD", own.database_secret, "password"),
            from_secret("MLFLOW_AUTH_ADMIN_USERNAME", own.admin_secret, "username"),
            from_secret("MLFLOW_AUTH_ADMIN_PASSWORD", own.admin_secret, "password"),
            from_secret("MLFLOW_FLASK_SERVER_SECRET_KEY", own.admin_secret, "flask"),
            *(from_secret(key, own.bucket_secret, key) for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
            *values]


def _service(own: MlflowServer, name: str, port: int) -> Tree:
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta(own, name),
            "spec": {"type": "ClusterIP", "selector": _label(name), "ports": [{"port": port, "targetPort": port}]}}


def _meta(own: MlflowServer, name: str) -> Tree:
    return {"name": name, "namespace": own.namespace, "labels": _label(name)}


def _label(name: str) -> Tree:
    return {"app.kubernetes.io/name": name}
