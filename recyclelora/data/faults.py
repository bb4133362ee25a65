"""Many faults told in few lines: those of one kind together, with how many there are and how the kind is mended."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from recyclelora.data.pairs import ForeignIds, LabelFormat, foreign_ids

LISTED, MOST_KINDS = 3, 10  # files that are named of a kind, kinds that are told before they are only counted


class Fault(NamedTuple):
    """What is wrong with one sample or file: the `message` names it; `kind` is the message without its names."""

    message: str
    kind: str
    name: str
    ids: tuple[int, ...] = ()  # of a label that has others than its encoding, `stored`
    stored: LabelFormat | None = None


def fault(error: Exception, name: str, *named: object) -> Fault:
    """The fault of a sample called `name`, whose files `named` its message may hold."""
    kind = message = str(error)
    for each in sorted(map(str, named), key=len, reverse=True):
        kind = kind.replace(each, "…")
    if isinstance(error, ForeignIds):
        return Fault(message, "foreign ids", name, error.ids, error.stored)
    return Fault(message, kind, name)


def summarise(faults: Iterable[Fault]) -> list[str]:
    """A line for each fault that is alone of its kind, and one for each kind that several have: the first, how many
    there are, and what others are called. The commonest kinds come first."""
    kinds: dict[str, list[Fault]] = {}
    for each in sorted(faults, key=lambda each: each.message):
        kinds.setdefault(each.kind, []).append(each)
    by_number = sorted(kinds.values(), key=len, reverse=True)
    lines = [_tell(kind) for kind in by_number[:MOST_KINDS]]
    left = by_number[MOST_KINDS:]
    return [*lines, f"and {sum(map(len, left)):,} more of {len(left)} other kinds"] if left else lines


def _tell(kind: Sequence[Fault]) -> str:
    first = kind[0]
    if len(kind) == 1:
        return first.message
    if first.stored is not None:
        ids = tuple(sorted({i for each in kind for i in each.ids}))
        return f"{len(kind):,} labels, {_named(kind)}: {foreign_ids(ids, first.stored).replace('has ids', 'have ids')}"
    return f"{first.message} ({len(kind):,} such faults: {_named(kind)})"


def _named(kind: Sequence[Fault]) -> str:
    more = len(kind) - LISTED
    return ", ".join(each.name for each in kind[:LISTED]) + (f" and {more:,} more" if more > 0 else "")
