"""Layers of dotted values (defaults, file, overrides) resolved into one Config, each value with its origin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from recyclelora.config import Config, flatten, needs
from recyclelora.documents import Document, Plain, nearest, parse_scalar, read
from recyclelora.errors import InputError
from recyclelora.fields import plainly
from recyclelora.methods import DEFAULT, METHODS

_CONFIG: TypeAdapter[Config] = TypeAdapter(Config)
DEFAULTS = flatten(Config())


@dataclass(frozen=True)
class Settings:
    """Values that differ from the defaults, by dotted key, and where each was given (`file:line` or `command line`)."""

    values: dict[str, Plain] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def override(self, values: Mapping[str, Plain], origin: str | Mapping[str, str]) -> "Settings":
        """These settings with `values` on top. What the values make meaningless goes, unless they give it themselves:
        the settings of another `adapter.method`, and those that some setting rules out (`fields.Needs`)."""
        gone = self._made_meaningless(values)
        merged = {key: value for key, value in self.values.items() if key not in gone} | dict(values)
        given = {key: origin if isinstance(origin, str) else origin[key] for key in values}
        origins = {key: where for key, where in self.origins.items() if key not in gone} | given
        return Settings(merged, origins)

    def _made_meaningless(self, values: Mapping[str, Plain]) -> set[str]:
        before = str(self.values.get("adapter.method", DEFAULT))
        method = str(values.get("adapter.method", before))
        if method != before:
            return {key for key in self.values if key.startswith("adapter.")}
        return {rule.key for rule in needs(method)
                if rule.other in values and rule.off(values[rule.other]) and rule.key not in values}

    def resolve(self) -> Config:
        """The whole Config. Raises InputError saying where the value at fault was given."""
        try:
            _check_keys(self.values)
            return _CONFIG.validate_python(nest({"adapter.method": DEFAULT, **self.values}))
        except ValidationError as error:
            raise self.locate(_complaint(error, self.values)) from None
        except InputError as error:
            raise self.locate(error) from None

    def locate(self, error: InputError) -> InputError:
        """The same complaint, with the origin of its key in front: where it was given, or what chose its method."""
        given = [*_lineage(error.key), *(["adapter.method"] if error.key.startswith("adapter.") else [])]
        origin = next((self.origins[key] for key in given if key in self.origins), "")
        named = error.args[0] if error.args[0].startswith(error.key) else f"{error.key}: {error.args[0]}"
        return type(error)(f"{origin}: {named}" if origin else named, key=error.key)


def read_settings(path: Path) -> Settings:
    """A config file: nested groups or dotted keys, whichever reads better."""
    return from_document(read(path))


def from_document(document: Document, *section: str) -> Settings:
    """The settings in a file, or in one section of it."""
    node: Any = document.data
    for name in section:
        node = node[name]
    if not isinstance(node, dict):
        raise InputError(f"{document.where(*section)}: {'.'.join(section)}: expected `key: value` lines")
    values, origins = {}, {}
    for path, value in _leaves(node, ()):
        key = ".".join(path)
        if key in values:
            raise InputError(f"{document.where(*section, *path)}: {key}: given twice; keep one")
        values[key], origins[key] = value, document.where(*section, *path)
    return Settings(values, origins)


def parse_overrides(arguments: Sequence[str]) -> dict[str, Plain]:
    """`adapter.main.rank=8` from the command line, values read as YAML, also a group: `training={lr: 1e-4}`."""
    values: dict[str, Plain] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name:
            raise InputError(f"{argument!r}: expected an override such as adapter.main.rank=8")
        try:
            value = parse_scalar(text)
        except InputError as error:
            raise InputError(f"command line: {name}: {error}", key=name) from None
        group = {name: value}
        if isinstance(value, dict):
            group = {".".join((name, *path)): leaf for path, leaf in _leaves(value, ())}
        if not group:
            raise InputError(f"command line: {name}: holds no settings; leave it out")
        for key, leaf in group.items():
            if key in values:
                raise InputError(f"command line: {key}: given twice; keep one")
            values[key] = leaf
    return values


def nest(flat: Mapping[str, Plain]) -> dict[str, Plain]:
    """The tree of dotted keys, none of which is both a value and a group."""
    tree: dict[str, Plain] = {}
    for key, value in flat.items():
        *groups, leaf = key.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})  # type: ignore[assignment]
        node[leaf] = value
    return tree


def in_group(key: str) -> list[str]:
    """The settings of a group, by dotted key; empty where `key` is no group."""
    return [name for name in known_keys() if name.startswith(f"{key}.")]


@cache
def known_keys(method: str = "") -> frozenset[str]:
    """All dotted keys, or those that exist with one adapter method."""
    methods = [METHODS[method]] if method in METHODS else list(METHODS.values())
    return frozenset().union(*(flatten(Config(adapter=each())) for each in methods))


def _leaves(node: Mapping[str, Plain], at: tuple[str, ...]) -> list[tuple[tuple[str, ...], Plain]]:
    found: list[tuple[tuple[str, ...], Plain]] = []
    for key, value in node.items():
        found += _leaves(value, (*at, key)) if isinstance(value, dict) else [((*at, key), value)]
    return found


def _lineage(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]


def _complaint(error: ValidationError, given: Mapping[str, Plain]) -> InputError:
    errors = error.errors()
    first = min(errors, key=lambda item: item["type"] != "unexpected_keyword_argument")
    path = [str(part) for part in first["loc"]]
    if path[:1] == ["adapter"] and path[1:2] and path[1] in METHODS:
        del path[1]  # pydantic names the method that it tried; the key does not
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        key = ".".join([*path, cause.key])
        return InputError(f"{key}: {cause.args[0]}", key=key)
    known = known_keys()
    key = next((name for name in _lineage(".".join(path)) if name in known), ".".join(path))
    if first["type"] == "unexpected_keyword_argument":
        return _unknown(next((name for name in given if name == key or name.startswith(key + ".")), key), given)
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        found = given.get("adapter.method")
        wrong = "no method is given" if found is None else f"{found!r} is not known"
        return InputError(f"adapter.method: {wrong}; known: {', '.join(METHODS)}", key="adapter.method")
    if first["type"] in ("missing", "too_short", "too_long") and isinstance(default := DEFAULTS.get(key), list):
        return InputError(f"{key}: {given.get(key)!r}: expected {len(default)} values, as in {default}", key=key)
    if first["type"] == "string_pattern_mismatch":
        return InputError(f"{key}: {first['input']!r}: may have letters, digits, '.', '_', '+' and '-' only", key=key)
    tried = [item["msg"] for item in errors if key == ".".join(path[:-1]) or item is first]  # a union's branches
    return InputError(f"{key}: {first['input']!r}: {' or '.join(plainly(message) for message in tried)}", key=key)


def _check_keys(values: Mapping[str, Plain]) -> None:
    """Raise InputError for a key that is no setting of any method."""
    for key in (key for key in values if key not in known_keys()):
        if members := in_group(key):
            raise InputError(f"{key}: is a group of settings, not a value; give one of them, such as {min(members)}",
                             key=key)
        raise _unknown(key, values)


def _unknown(key: str, given: Mapping[str, Plain]) -> InputError:
    method = str(given.get("adapter.method", DEFAULT))
    if key in known_keys():
        return InputError(f"{key}: is no setting of adapter.method {method}; leave it out or change the method",
                          key=key)
    return InputError(f"{key}: unknown setting{nearest(key, known_keys(method))}", key=key)
