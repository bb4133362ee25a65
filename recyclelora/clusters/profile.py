"""A profile: one YAML file that describes a site, and the files that it gives."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from recyclelora.clusters import KINDS
from recyclelora.clusters.site import Site
from recyclelora.documents import Document, nearest, read
from recyclelora.errors import InputError
from recyclelora.fields import plainly

COMMON = {field.name for field in dataclasses.fields(Site)}
SECTIONS = {kind.SECTION: kind.SETTINGS for kind in KINDS.values() if kind.SECTION}


@dataclass(frozen=True)
class Profile:
    """A site and, by section, what single kinds know of it."""

    path: Path
    site: Site
    sections: dict[str, object]

    def render(self) -> dict[str, str]:
        """File name -> text, of all kinds of the site. Raises InputError, naming the profile."""
        files: dict[str, str] = {}
        for name in self.site.kinds:
            try:
                made = KINDS[name].render(self.site, self.sections.get(KINDS[name].SECTION))
            except InputError as error:
                raise InputError(f"{self.path}: {error}") from None
            if twice := sorted(files.keys() & made.keys()):
                raise InputError(f"{self.path}: kinds: {name} and another one both write {twice[0]}; give "
                                 "each a profile of its own")
            files |= made
        return files


def read_profile(path: Path) -> Profile:
    """Read a profile, every key and value checked. Raises InputError with file, line and key."""
    document = read(path)
    for key in document.data:
        if key not in COMMON | SECTIONS.keys():
            raise InputError(f"{document.where(key)}: {key}: unknown key{nearest(key, COMMON | SECTIONS.keys())}")
    site: Site = _validated(Site, {key: document.data[key] for key in document.data if key in COMMON}, (), document)
    for name in site.kinds:
        if name not in KINDS:
            raise InputError(f"{document.where('kinds')}: kinds: {name!r} is no kind of cluster{nearest(name, KINDS)}")
    sections = _sections(document, site)
    for name in site.kinds:
        _check_needs(document, name, {"": site, **sections})
    return Profile(path, site, sections)


def _sections(document: Document, site: Site) -> dict[str, object]:
    wanted = {KINDS[name].SECTION: name for name in site.kinds if KINDS[name].SECTION}
    for key in SECTIONS.keys() & document.data.keys():
        if key not in wanted:
            users = ", ".join(name for name, kind in KINDS.items() if kind.SECTION == key)
            raise InputError(f"{document.where(key)}: {key}: means nothing without one of its kinds ({users}) in kinds")
    return {key: _validated(typing.cast(type, SECTIONS[key]), document.data.get(key, {}), (key,), document)
            for key in wanted}


def _check_needs(document: Document, name: str, groups: Mapping[str, object]) -> None:
    for key, reason in KINDS[name].NEEDS.items():
        first, *rest = key.split(".")
        value: Any = groups[first] if first in groups else getattr(groups[""], first)
        for part in rest:
            value = getattr(value, part, None)
        if value is None:
            raise InputError(f"{document.where(*key.split('.'))}: {key}: is missing, and kind {name} needs it: "
                             f"{reason}")


def _validated(group: type, data: object, at: tuple[str, ...], document: Document) -> Any:
    try:
        return TypeAdapter(group).validate_python(data)
    except ValidationError as error:
        raise _complaint(error, group, at, document) from None


def _complaint(error: ValidationError, group: type, at: tuple[str, ...], document: Document) -> InputError:
    errors = error.errors()
    first = min(errors, key=lambda item: item["type"] != "unexpected_keyword_argument")
    path = (*at, *(str(part) for part in first["loc"]))
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        path = (*path, *filter(None, cause.key.split(".")))
        said = str(cause)
    elif first["type"] == "unexpected_keyword_argument":
        said = f"unknown key{nearest(path[-1], _keys_of(group, path[len(at):-1]))}"
    elif first["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        said = "is missing"
    else:
        said = f"{first['input']!r}: {plainly(first['msg'])}"
    return InputError(f"{document.where(*path)}: {'.'.join(path) or 'the profile'}: {said}", key=".".join(path))


def _keys_of(group: Any, path: tuple[str, ...]) -> list[str]:
    """The keys of the group of settings at `path` below this one."""
    for name in path:
        group = typing.get_type_hints(group)[name]
        if typing.get_origin(group) in (typing.Union, types.UnionType):
            group = next(each for each in typing.get_args(group) if dataclasses.is_dataclass(each))
    return [field.name for field in dataclasses.fields(group)]
