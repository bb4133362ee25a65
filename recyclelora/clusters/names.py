"""The types of a profile's values. All of them end in shell scripts and YAML files, and some become paths or names of
Kubernetes objects: each is checked when the profile is read, so that no text has to be escaped later."""

import ipaddress
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Strict

from recyclelora.errors import InputError


def _like(pattern: str, what: str) -> Callable[[str], str]:
    """A check that a text matches the whole pattern. `what` says, after "expected", what would be right."""
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise InputError(f"{text[:80]!r}: expected {what}")
        return text
    return check


_PLAIN = r"[A-Za-z0-9._+@%=,:-]+"


def _check_path(text: str) -> str:
    """No blanks and quotes, which directives of Slurm cannot hold; no `..`."""
    steps = text.removeprefix("~/").strip("/").split("/")
    if not all(re.fullmatch(_PLAIN, step) and step not in (".", "..") for step in steps):
        raise InputError(f"{text[:80]!r}: expected a path of letters, digits and any of . _ + @ % = , : - without '..'")
    return str(PurePosixPath(text))


def _check_folder(text: str) -> str:
    if not text.startswith("/"):
        raise InputError(f"{text[:80]!r}: expected an absolute path, the same on every node")
    return _check_path(text)


def _check_file(text: str) -> str:
    if not text.startswith(("/", "~/")):
        raise InputError(f"{text[:80]!r}: expected an absolute path, or one below ~/")
    return _check_path(text)


def _check_relative(text: str) -> str:
    if text.startswith(("/", "~", "-")):
        raise InputError(f"{text[:80]!r}: expected a path relative to the checkout, such as experiments/ranks.yaml")
    return _check_path(text)


def is_loopback(host: str) -> bool:
    """Whether only processes of the same machine reach this host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or not re.fullmatch(r"[A-Za-z0-9.:-]+",
                                                                                      parts.hostname):
        raise InputError(f"{text.rpartition('@')[2][:80]!r}: expected an address such as http://127.0.0.1:5000")
    if parts.username or parts.password or parts.query:
        raise InputError("an address with a user or a password; a profile is for others to read: put them into the "
                         "file that login_file names")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}" if port is None or port else text


def _check_storage(text: str) -> str:
    return _like(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?", "a bucket such as s3://name/folder")(text)


_LABEL = _like(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", "lower-case letters, digits and '-', 40 at most, a letter first: it "
               "becomes the name of jobs and of Kubernetes objects")

Label = Annotated[str, Strict(), AfterValidator(_LABEL)]  # a DNS label
Object = Annotated[str, Strict(), AfterValidator(_like(  # the name of a Kubernetes object: a DNS subdomain
    r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?",
    "lower-case letters, digits, '-' and '.', as in the name of a Kubernetes object"))]
Resource = Annotated[str, Strict(), AfterValidator(_like(r"[a-z0-9.-]+/[a-z0-9.-]+", "one such as nvidia.com/gpu"))]
Word = Annotated[str, Strict(), AfterValidator(_like(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", "letters, digits, '.', '_' and '-'"))]
Host = Annotated[str, Strict(), AfterValidator(_like(
    r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", "the name or IPv4 address of a machine"))]
Image = Annotated[str, Strict(), AfterValidator(_like(
    r"[a-z0-9]([a-z0-9._/:-]{0,200}[a-z0-9])?(:[A-Za-z0-9._-]{1,128})?(@sha256:[0-9a-f]{64})?",
    "a container image such as registry.example/team/recyclelora:1"))]
Version = Annotated[str, Strict(), AfterValidator(_like(r"\d+\.\d+\.\d+", "a version such as \"2.60.0\""))]
Command = Annotated[str, Strict(), AfterValidator(_like(r"[A-Za-z0-9 ._+@%=,:/-]+", "a plain command, without quotes"))]
Folder = Annotated[str, Strict(), AfterValidator(_check_folder)]
File = Annotated[str, Strict(), AfterValidator(_check_file)]
Relative = Annotated[str, Strict(), AfterValidator(_check_relative)]
Address = Annotated[str, Strict(), AfterValidator(_check_address)]
Bucket = Annotated[str, Strict(), AfterValidator(_check_storage)]
