"""Lines of shell scripts that several kinds share. Values were checked when the profile was read, and are quoted still.

A script ends with exit code 2 where something that it needs is missing, as `recyclelora` does."""

import shlex
from collections.abc import Sequence

from recyclelora.clusters.site import Site

TOKEN = "make a token: (umask 077; ray get-auth-token --generate >/dev/null)"
LOGIN = "write MLFLOW_TRACKING_USERNAME=... and MLFLOW_TRACKING_PASSWORD=... into it"


def script(title: str, *blocks: Sequence[str], directives: Sequence[str] = ()) -> str:
    """A bash script: blocks of lines, an empty line between two."""
    head = ["#!/usr/bin/env bash", *directives, f"# {title}", f"# {written_by()}", "set -euo pipefail"]
    return "\n\n".join("\n".join(block) for block in (head, *blocks) if block) + "\n"


def written_by() -> str:
    """The second comment of every file."""
    return "Written by `recyclelora render` from profile.yaml: change that, and write this file again."


def path(text: str) -> str:
    """A path as a word of a shell; `~/` becomes $HOME."""
    return f'"$HOME"/{shlex.quote(text[2:])}' if text.startswith("~/") else shlex.quote(text)


def export(name: str, value: str) -> str:
    return f"export {name}={value}"


def environment(site: Site) -> list[str]:
    """The checkout as working folder, and the variables that a driver reads."""
    folders = site.paths
    lines = [f"cd {path(folders.checkout)}", export("PATH", f'{path(f"{folders.environment}/bin")}:"$PATH"')]
    if folders.data:
        lines.append(export("DATA_ROOT", path(folders.data)))
    return [*lines, export("RECYCLELORA_CACHE", path(str(folders.cache)))]


def private_file(variable: str, hint: str) -> list[str]:
    """Stop unless the file that the variable names holds something that nobody else can read."""
    return [f'[ -s "${variable}" ] || {{ echo "${variable}: no such file; {_escape(hint)}" >&2; exit 2; }}',
            f'[ -z "$(find -L "${variable}" -perm /077)" ] ||'
            f' {{ echo "${variable}: others can read it; chmod 600" >&2; exit 2; }}']


def token(site: Site) -> list[str]:
    """Ray's token, named in the environment of all that is started from here."""
    return [export("RAY_AUTH_MODE", "token"), export("RAY_AUTH_TOKEN_PATH", path(str(site.ray.token_file))),
            *private_file("RAY_AUTH_TOKEN_PATH", TOKEN)]


def secret_files(site: Site) -> list[str]:
    """What a machine needs to have, and others must not read."""
    login = site.mlflow.login_file if site.mlflow else None
    return [str(site.ray.token_file), *([login] if login else [])]


def make_private(site: Site) -> str:
    return f"chmod 600 {' '.join(map(path, secret_files(site)))}"


def login(site: Site) -> list[str]:
    """The tracking server and the login to it; nothing where runs are kept in the results folder."""
    if site.mlflow is None:
        return []
    lines = [export("MLFLOW_TRACKING_URI", shlex.quote(site.mlflow.address))]
    if site.mlflow.login_file:
        lines += [f"LOGIN={path(site.mlflow.login_file)}", *private_file("LOGIN", LOGIN),
                  "set -a", "# shellcheck disable=SC1090", '. "$LOGIN"', "set +a"]
    return lines


def sweep_words(site: Site, *, slots: int, results: str | None = None) -> str:
    """`recyclelora sweep` for a shell in which $SPACE names the space. `results`: a word of the shell."""
    words = ["recyclelora", "sweep", '"$SPACE"', "--results", results or path(site.paths.results),
             "--slots", str(slots), f"resources.cpus={site.trial.cpus:g}", f"resources.gpus={site.trial.gpus:g}"]
    return " ".join(words)


def space(site: Site) -> str:
    return f'SPACE="${{SPACE:-{site.space}}}"  # another one: SPACE=... in front of the command'


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
