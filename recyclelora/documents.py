"""YAML files, read strictly: plain data, and the line of every key, so that an error can say where it is."""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from recyclelora.errors import InputError

MAX_BYTES = 1_000_000  # no config or space comes near it; a file given by mistake does
MAX_NODES = 20_000  # aliases included, each time they are used: an alias bomb is stopped while it is small

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]

NAME = re.compile(r"[A-Za-z0-9._-]{1,80}")  # safe in paths, in MLflow's tag keys and in its search filters


_TAG = "tag:yaml.org,2002:"
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
_WHOLE = re.compile(r"[-+]?(0|[1-9]\d*)")
LARGEST = 2**63 - 1  # what databases, NumPy and torch hold in a whole number


class _Misleading(yaml.constructor.ConstructorError):
    """A number that YAML 1.1 reads as another than most people do."""


class _Loader(yaml.SafeLoader):
    """SafeLoader whose numbers are those people write: YAML 1.1 reads `1e-4` as text, `1:30` as 90, `010` as 8 and
    `1_0` as 10. The first is a number here, the others are refused. No dates, no merge keys."""

    def construct_whole(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        if not _WHOLE.fullmatch(text):
            raise _misleading(node, super().construct_yaml_int(node))
        if len(text) > 20 or abs(int(text)) > LARGEST:
            raise _Misleading(None, None, f"{text[:40]} is too large; a whole number is at most {LARGEST}",
                              node.start_mark)
        return int(text)

    def construct_decimal(self, node: yaml.ScalarNode) -> float:
        if set("_:") & set(self.construct_scalar(node)):
            raise _misleading(node, super().construct_yaml_float(node))
        return float(super().construct_yaml_float(node))


def _misleading(node: yaml.ScalarNode, value: float) -> _Misleading:
    return _Misleading(None, None, f"{node.value} is read by YAML as the number {value}; write {value}, or "
                       f'"{node.value}" where text is meant', node.start_mark)


_Loader.add_constructor(_TAG + "int", _Loader.construct_whole)
_Loader.add_constructor(_TAG + "float", _Loader.construct_decimal)


class _Dumper(yaml.SafeDumper):
    """Quotes the text that `_Loader` would take for something else."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Text of several lines as lines; PyYAML quotes it where these would not be read back."""
    return dumper.represent_scalar(_TAG + "str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)

for _each in (_Loader, _Dumper):
    _each.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_TAG + "timestamp", _TAG + "merge")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _each.add_implicit_resolver(_TAG + "float", _FLOAT, list("-+.0123456789"))


@dataclass(frozen=True)
class Document:
    """The content of one YAML file. `lines` maps the path of a key (tuple of keys) to its line, counted from 1."""

    path: Path
    data: dict[str, Plain]
    text: str = ""
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)

    def where(self, *keys: str) -> str:
        """`file:line` of the key, or of its nearest parent that has a line."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.lines:
                return f"{self.path}:{self.lines[keys[:end]]}"
        return str(self.path)


def read(path: Path) -> Document:
    """Read a YAML mapping. Raises InputError for anything that is not plain, finite, unambiguous data."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{_siblings(path)}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if len(raw) > MAX_BYTES:
        raise InputError(f"{path}: {len(raw)} bytes; a settings file has at most {MAX_BYTES}")
    try:
        text = raw.decode("utf-8")
        loader = _Loader(text)
        node = loader.get_single_node()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(node, yaml.MappingNode):
        found = "nothing" if node is None else "a list" if isinstance(node, yaml.SequenceNode) else "one value"
        raise InputError(f"{path}: expected `key: value` lines, found {found}")
    document = Document(path, {}, text)
    try:
        document.data.update(_mapping(loader, node, (), document, iter(range(MAX_NODES))))
    except RecursionError:
        raise InputError(f"{path}: nested too deeply (an alias that holds itself?)") from None
    return document


def _mapping(loader: _Loader, node: yaml.MappingNode, at: tuple[str, ...], document: Document,
             budget: Iterator[int]) -> dict[str, Plain]:
    content: dict[str, Plain] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        plain = isinstance(key_node, yaml.ScalarNode) and key_node.tag == _TAG + "str"
        key = loader.construct_object(key_node) if plain else None
        if not isinstance(key, str) or key == "<<":
            raise InputError(f"{document.path}:{line}: a key must be plain text, not {key_node.value!r}")
        if key in content:
            raise InputError(f"{document.path}:{line}: {key}: given twice; keep one "
                             f"(the first is on line {document.lines[(*at, key)]})")
        document.lines[(*at, key)] = line
        content[key] = _value(loader, value_node, (*at, key), document, budget)
    return content


def _value(loader: _Loader, node: yaml.Node, at: tuple[str, ...], document: Document, budget: Iterator[int]) -> Plain:
    if next(budget, None) is None:
        raise InputError(f"{document.path}: more than {MAX_NODES} values once aliases are expanded; write them out")
    if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
        return _mapping(loader, node, at, document, budget)
    if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
        return [_value(loader, item, at, document, budget) for item in node.value]
    try:
        value = loader.construct_object(node, deep=True)
    except _Misleading as error:
        raise InputError(f"{document.path}:{node.start_mark.line + 1}: {'.'.join(at)}: {error.problem}") from None
    except (yaml.YAMLError, ValueError):
        value = object()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InputError(f"{document.path}:{node.start_mark.line + 1}: {'.'.join(at)}: a value of type {node.tag} is not "
                     "plain text, a number, true, false or null")


def parse_scalar(text: str) -> Plain:
    """A value typed on the command line, read as it would be in a YAML file. Raises InputError for a number that YAML
    reads as another than most people do."""
    try:
        value: Plain = yaml.load(text, Loader=_Loader)  # noqa: S506, _Loader is a SafeLoader
    except _Misleading as error:
        raise InputError(str(error.problem)) from None
    except yaml.YAMLError:
        return text
    return value


def dump(data: dict[str, Plain]) -> str:
    """YAML text of plain data, keys in the order given."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def nearest(word: str, known: Iterable[str]) -> str:
    """"; did you mean X?" or the list of what is known, for the end of an error line."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known: {', '.join(names)}" if 0 < len(names) <= 24 else ""


def _siblings(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f" (no folder {folder} either)"
    return nearest(path.name, [sibling.name for sibling in folder.glob("*.yaml")])


def check_name(name: str, kind: str) -> str:
    """The name, if it is plain. Raises InputError."""
    if not NAME.fullmatch(name) or name in (".", ".."):
        raise InputError(f"{kind} {name[:90]!r}: its name may have letters, digits, '.', '_' and '-' only, 80 at most")
    return name
