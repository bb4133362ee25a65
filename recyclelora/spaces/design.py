"""The designs of an ablation. Each yields its cells as (label, knobs), the baseline first where there is one."""

from collections.abc import Iterator, Mapping, Sequence

from recyclelora.documents import Plain

Knobs = dict[str, Plain]
BASELINE = "baseline"


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


def label_of(knobs: Mapping[str, Plain]) -> str:
    """The label of a cell, made of its knobs: `init=rrqr, main.rank=8`. The first part of each key is left out."""
    return ", ".join(f"{key.partition('.')[2] or key}={_short(value)}" for key, value in knobs.items()) or "base"


def _short(value: Plain) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
