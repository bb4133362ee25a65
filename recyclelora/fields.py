"""What settings are made of: their types, the decorator of a group of settings, and settings that mean something only
beside certain values of others."""

from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Annotated, Literal, NamedTuple, TypeVar, dataclass_transform

from pydantic import AllowInfNan, ConfigDict, Field, Strict
from pydantic.dataclasses import dataclass

from recyclelora.errors import InputError

Int = Annotated[int, Strict()]
Real = Annotated[float, Strict(), AllowInfNan(False)]
Bool = Annotated[bool, Strict()]
Text = Annotated[str, Strict()]
Positive = Annotated[Int, Field(ge=1)]
Natural = Annotated[Int, Field(ge=0)]
NotNegative = Annotated[Real, Field(ge=0)]
Above0 = Annotated[Real, Field(gt=0)]
Name = Annotated[str, Strict(), Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9._+-]+$")]
Size = tuple[Positive, Positive]  # (height, width) in pixels
Role = Literal["qkv", "q", "k", "v", "proj", "fc1", "fc2"]

Group = TypeVar("Group")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field, Field))
def settings(group: type[Group]) -> type[Group]:
    """Make a class a group of settings: a frozen dataclass that pydantic validates, without other keys."""
    return dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))(group)  # type: ignore[return-value]


class Needs(NamedTuple):
    """`key` means nothing where the value of the setting `other` is one for which `off` holds. Both by dotted name."""

    key: str
    other: str
    off: Callable[[object], bool]


def is_(*values: object) -> Callable[[object], bool]:
    """For `Needs.off`: the other setting has one of these values."""
    return lambda value: any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in values)


def is_not(*values: object) -> Callable[[object], bool]:
    """For `Needs.off`: the other setting has none of these values."""
    given = is_(*values)
    return lambda value: not given(value)


def complete(group: object, prefix: str, rules: Iterable[Needs], defaults: dict[str, object]) -> None:
    """Apply the rules to a group of settings, whose dotted names begin with `prefix`, while it is being validated: a
    setting that means nothing must be None, and one that is None and means something gets its default.

    Raises InputError for a value that would have no effect."""
    meaningless: set[str] = set()
    for rule in rules:
        deciding = _get(group, rule.other.removeprefix(prefix))
        if not rule.off(deciding):
            continue
        meaningless.add(rule.key)
        key = rule.key.removeprefix(prefix)
        if _get(group, key) is not None:
            raise InputError(f"means nothing when {rule.other} is {_show(deciding)}; leave it out", key=key)
    for name, default in defaults.items():
        if name not in meaningless and _get(group, name.removeprefix(prefix)) is None:
            fill(group, name.removeprefix(prefix), default)


def fill(group: object, key: str, value: object) -> None:
    """Set a field of a frozen group of settings while it is being validated."""
    *path, last = key.split(".")
    object.__setattr__(_get(group, ".".join(path)) if path else group, last, value)


def plainly(message: str) -> str:
    """What pydantic says of a value, in the words of a settings file."""
    for technical, plain in (("Input should be", "must be"), ("a valid dictionary or instance of", "a group such as"),
                             ("a dictionary or an instance of", "a group of settings, like"),
                             ("a valid integer", "a whole number"), ("valid tuple", "list"),
                             ("Tuple should", "must"), ("String should", "must"),
                             ("valid ", ""), (" after validation", "")):
        message = message.replace(technical, plain)
    return message


def _get(group: object, key: str) -> object:
    for name in key.split("."):
        group = getattr(group, name)
    return group


def _show(value: object) -> str:
    return "left out" if value is None else str(value)
