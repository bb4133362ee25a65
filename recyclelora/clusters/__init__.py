"""The kinds of clusters: one module each, which turns a site into the text of the files that start a sweep there. To
add one, write its module and add its name to `NAMES`. The module holds

    HELP      one line: what it is, and for whom
    SECTION   the key of a profile under which its own settings stand ("" for none)
    SETTINGS  their type, a group of settings (None for none); kinds may share a section
    NEEDS     dotted keys of a profile that it cannot do without, each with the reason
    render    (site, own settings) -> file name -> text; a pure function"""

from importlib import import_module
from typing import Any, Protocol, cast

from recyclelora.clusters.site import Site

NAMES = ("ray_up_local", "ray_up_cloud", "slurm", "slurm_array", "skypilot", "ray_job", "ray_cluster", "mlflow_server",
         "container")


class Kind(Protocol):
    HELP: str
    SECTION: str
    SETTINGS: type | None
    NEEDS: dict[str, str]

    def render(self, site: Site, own: Any) -> dict[str, str]: ...


KINDS: dict[str, Kind] = {name: cast(Kind, import_module(f"{__name__}.{name}")) for name in NAMES}
