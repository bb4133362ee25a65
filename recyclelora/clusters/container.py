"""The container file: the locked environment, for the pods and machines of a site that runs an image."""

from recyclelora.clusters import shell
from recyclelora.clusters.kubernetes import USER
from recyclelora.clusters.names import Image
from recyclelora.clusters.site import Site
from recyclelora.fields import Bool, settings

HELP = "the image that clouds and Kubernetes run"
SECTION = "container"
NEEDS = {"image": "the name under which the image is pushed"}


@settings
class Container:
    base: Image = "python:3.11-slim"
    tracking: Bool = True  # with the second target, mlflow, for an MLflow server


SETTINGS = Container

# KubeRay asks for the health of a pod by wget; `ray up` copies by rsync, and `ray exec --tmux` is what it says.
SYSTEM = "git procps rsync tmux wget"
TRACKING = "'mlflow[auth]' 'psycopg[binary]' boto3"


def render(site: Site, own: Container) -> dict[str, str]:
    """The container file. Its context is the checkout."""
    targets = [_sweep(site, own), *([_tracking(site)] if own.tracking else [])]
    return {"Dockerfile": "\n".join(["# In the checkout:  docker build --target sweep "
                                     f"-t {site.image} -f cluster/{site.name}/Dockerfile .",
                                     f"# {shell.written_by()}", "", "\n".join(targets)]),
            "Dockerfile.dockerignore": f"# {shell.written_by()}\n.venv\nresults\n**/__pycache__\n"}


def _sweep(site: Site, own: Container) -> str:
    """Ray's extra `default` brings the dashboard's server, through which KubeRay submits jobs."""
    return f"""\
FROM {own.base} AS sweep
RUN apt-get update && apt-get install -y --no-install-recommends {SYSTEM} && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid {USER} --shell /bin/bash sweep \\
    && mkdir -p {site.paths.checkout} {site.paths.environment} \\
    && chown sweep:sweep {site.paths.checkout} {site.paths.environment}
USER sweep
ENV PATH={site.paths.environment}/bin:$PATH
WORKDIR {site.paths.checkout}
RUN python -m venv {site.paths.environment}
COPY --chown=sweep:sweep requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock \\
    && pip install --no-cache-dir 'ray[default]=={site.ray.version}'
COPY --chown=sweep:sweep . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e .
"""


def _tracking(site: Site) -> str:
    return f"""\
FROM sweep AS mlflow
RUN pip install --no-cache-dir {TRACKING}
"""
