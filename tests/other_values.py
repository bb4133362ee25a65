"""Another legal value of a setting, from its type alone: so that a test reaches every setting without a list of them."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints


def settings_of(group: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, type and value of each setting of a group and of the groups in it."""
    hints = get_type_hints(type(group), include_extras=True)
    for item in fields(group):
        value = getattr(group, item.name)
        if is_dataclass(value):
            yield from settings_of(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", hints[item.name], value


def other(kind: Any, value: Any) -> Any:
    """A value of the type that is not `value`."""
    return next(each for each in _values(kind, value) if each != value)


def _values(kind: Any, value: Any) -> Iterator[Any]:
    if get_origin(kind) is Annotated:
        yield from _values(get_args(kind)[0], value)
    elif get_origin(kind) in (Union, UnionType):
        for one in get_args(kind):
            if one is not NoneType:
                yield from _values(one, value)
    elif get_origin(kind) is Literal:
        yield from get_args(kind)
    elif get_origin(kind) is tuple:
        yield list(value[:-1]) if len(value) > 1 else [next(_values(get_args(kind)[0], None))]
    elif kind is bool:
        yield not value
    elif kind is int:
        yield value - 1 if isinstance(value, int) and value > 2 else 1
        yield 2
    elif kind is float:
        yield 2.0 * value if isinstance(value, float) and value else 0.5
    else:
        raise TypeError(f"no other value of {kind} is known: teach it to tests/other_values.py")
