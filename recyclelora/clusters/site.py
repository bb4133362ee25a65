"""A site: what every kind of cluster needs to know of it."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from recyclelora.clusters.names import Address, File, Folder, Image, Label, Object, Relative, Version, is_loopback
from recyclelora.errors import InputError
from recyclelora.fields import Above0, Int, Natural, NotNegative, Positive, Text, fill, settings


@settings
class Node:
    """One machine, as far as it is given to sweeps."""

    cpus: Positive
    gpus: Natural = 0
    memory_gb: Positive = 16


@settings
class Trial:
    """What one trial takes of a node: `resources.cpus` and `resources.gpus` of its config."""

    cpus: Above0 = 1.0
    gpus: NotNegative | None = None  # None: one, where a node has some


@settings
class Folders:
    """Paths that every node sees under the same name; in a container, the container's."""

    checkout: Folder
    results: Folder
    environment: Folder | None = None  # of Python; None: .venv in the checkout
    data: Folder | None = None  # DATA_ROOT
    cache: Folder | None = None  # RECYCLELORA_CACHE; None: cache in the results

    @model_validator(mode="after")
    def _complete(self) -> "Folders":
        fill(self, "environment", self.environment or f"{self.checkout}/.venv")
        fill(self, "cache", self.cache or f"{self.results}/cache")
        return self


@settings
class Ray:
    """A cluster over a network asks for a token; there is no setting that turns it off."""

    version: Version = "2.60.0"
    port: Annotated[Int, Field(ge=1024, le=65535)] = 6379
    jobs: Address | None = None  # of the job server, as the one who submits a sweep reaches it
    token_file: File | None = None  # mode 600
    token_secret: Object | None = None  # of Kubernetes, with the key auth_token


@settings
class Mlflow:
    """The tracking server, as the driver reaches it."""

    address: Address
    login_file: File | None = None  # lines MLFLOW_TRACKING_USERNAME=... and MLFLOW_TRACKING_PASSWORD=..., mode 600
    login_secret: Object | None = None  # of Kubernetes, with the keys username and password

    @model_validator(mode="after")
    def _check(self) -> "Mlflow":
        host = str(urlsplit(self.address).hostname)
        if not is_loopback(host) and self.login_file is None and self.login_secret is None:
            raise InputError(f"{host} is reached over a network, and without a login it would be open to everyone "
                             "there; name its login_file (or login_secret), or serve it on 127.0.0.1", key="address")
        return self


@settings
class Site:
    """The part of a profile that all kinds share."""

    name: Label
    kinds: tuple[Text, ...] = Field(min_length=1)
    nodes: Positive  # at most; with the head's, where the head runs trials
    node: Node
    paths: Folders
    trial: Trial = Field(default_factory=Trial)
    ray: Ray = Field(default_factory=Ray)
    mlflow: Mlflow | None = None
    space: Relative = "search_spaces/default.yaml"  # what is swept, unless the shell variable SPACE names another file
    image: Image | None = None
    hours: Positive = 24  # the longest that one job may take

    @model_validator(mode="after")
    def _check(self) -> "Site":
        if self.trial.gpus is None:
            fill(self, "trial.gpus", min(1.0, float(self.node.gpus)))
        for what in ("cpus", "gpus"):
            wanted, there = getattr(self.trial, what), getattr(self.node, what)
            if wanted > there:
                raise InputError(f"{wanted:g}, but a node has {there}; a trial runs on one node", key=f"trial.{what}")
        if len(set(self.kinds)) < len(self.kinds):
            raise InputError("name each kind once", key="kinds")
        return self

    @property
    def slots_per_node(self) -> int:
        """Trials side by side on one node."""
        fit = int(self.node.cpus / self.trial.cpus + 1e-9)
        return min(fit, int(self.node.gpus / self.trial.gpus + 1e-9)) if self.trial.gpus else fit

    @property
    def slots(self) -> int:
        """Trials side by side on all nodes."""
        return self.nodes * self.slots_per_node
