"""Designs: which cells an ablation has. Each yields (label, knobs), the baseline first where there is one."""

from collections.abc import Iterator, Mapping, Sequence

from recyclelora.documents import Plain

Knobs = dict[str, Plain]
BASELINE = "baseline"


def one_factor(values: Mapping[str, Sequence[Plain]], base: Mapping[str, Plain]) -> Iterator[tuple[str, Knobs]]:
    """The base config, then one change at a time: each value of each key that the base does not have already."""
    yield BASELINE, {}
    for key, some in values.items():
        for value in some:
            if value != base.get(key):
                yield label_of({key: value}), {key: value}


def leave_one_out(components: Mapping[str, Knobs]) -> Iterator[tuple[str, Knobs]]:
    """The base config with all its components, then without each; the knobs of a component take it out."""
    yield BASELINE, {}
    for name, knobs in components.items():
        yield f"without {name}", dict(knobs)


def add_one_in(components: Mapping[str, Knobs]) -> Iterator[tuple[str, Knobs]]:
    """The bare base config, then with each component alone, then with all; the knobs of a component put it in."""
    yield BASELINE, {}
    for name, knobs in components.items():
        yield f"with {name}", dict(knobs)
    if len(components) > 1:
        yield "with all", {key: value for knobs in components.values() for key, value in knobs.items()}


def label_of(knobs: Mapping[str, Plain]) -> str:
    """A cell's label, from its knobs: `init=rrqr, main.rank=8`. Keys lose their first part."""
    return ", ".join(f"{key.partition('.')[2] or key}={_short(value)}" for key, value in knobs.items()) or "base"


def _short(value: Plain) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
