"""The designs of an ablation. Each yields its cells as (label, knobs), the baseline first where there is one."""

from collections.abc import Iterator, Mapping, Sequence

from recyclelora.documents import Plain

Knobs = dict[str, Plain]
BASELINE = "baseline"
ALL = 17  # digits, of a float64


def one_factor(values: Mapping[str, Sequence[Plain]], base: Mapping[str, Plain]) -> Iterator[tuple[str, Knobs]]:
    """The base config, then one change at a time: each value of each key, except the value that the base has."""
    yield BASELINE, {}
    for key, some in values.items():
        for value in some:
            if value != base.get(key):
                yield label_of({key: value}), {key: value}


def leave_one_out(components: Mapping[str, Knobs]) -> Iterator[tuple[str, Knobs]]:
    """The base config with all its components, then without one of them at a time. The knobs of a component remove
    it."""
    yield BASELINE, {}
    for name, knobs in components.items():
        yield f"without {name}", dict(knobs)


def add_one_in(components: Mapping[str, Knobs]) -> Iterator[tuple[str, Knobs]]:
    """The base config without components, then with each one alone, then with all. The knobs of a component add it."""
    yield BASELINE, {}
    for name, knobs in components.items():
        yield f"with {name}", dict(knobs)
    if len(components) > 1:
        yield "with all", {key: value for knobs in components.values() for key, value in knobs.items()}


def label_of(knobs: Mapping[str, Plain], digits: int = 4) -> str:
    """The label of a cell, made of its knobs: `init=rrqr, main.rank=8`. The first part of each key is left out."""
    parts = [f"{key.partition('.')[2] or key}={_short(value, digits)}" for key, value in knobs.items()]
    return ", ".join(parts) or "base"


def labelled(points: Sequence[Knobs]) -> Iterator[tuple[str, Knobs]]:
    """Points with their labels. Long numbers have four digits, or more where points would have one label."""
    for digits in (4, 8, ALL):
        labels = [label_of(knobs, digits) for knobs in points]
        if len(set(labels)) == len(labels):
            break
    yield from zip(labels, points, strict=True)


def _short(value: Plain, digits: int) -> str:
    if isinstance(value, float):
        exact = float(f"{value:.4g}") != value and (len(repr(value)) <= 8 or digits == ALL)
        return repr(value) if exact else f"{value:.{digits}g}"
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
