"""A space: what may vary, over which seeds. `expand` turns a grid or a random design into configs; a search (tpe) asks
for them one at a time through `suggest`. A YAML file under `search_spaces/`, with the key names of W&B sweeps."""

import hashlib
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from recyclelora.config import Config, identity
from recyclelora.documents import Document, Plain
from recyclelora.errors import InputError
from recyclelora.settings import Settings

Distribution = Literal["uniform", "log_uniform", "int_uniform", "int_log_uniform"]
DISTRIBUTIONS = ("uniform", "log_uniform", "int_uniform", "int_log_uniform")
Knobs = dict[str, Plain]


@dataclass(frozen=True)
class Parameter:
    """One knob: `values` to choose from, or a range [low, high] with its distribution. It exists where each key of
    `when` has one of its values (or, with `unless`, none of them)."""

    key: str
    values: tuple[Plain, ...] = ()
    low: float = 0.0
    high: float = 0.0
    distribution: Distribution | None = None
    when: dict[str, tuple[Plain, ...]] = field(default_factory=dict)
    unless: dict[str, tuple[Plain, ...]] = field(default_factory=dict)

    def applies(self, chosen: Mapping[str, Plain]) -> bool:
        return (all(chosen.get(key) in values for key, values in self.when.items())
                and all(chosen.get(key) not in values for key, values in self.unless.items()))


class Asha(NamedTuple):
    min_iter: int
    eta: int


@dataclass(frozen=True)
class Space:
    """`settings` are the base config's differences from the defaults. `origin` says where a key of the file stands."""

    name: str
    path: Path
    claim: str
    settings: Settings
    method: Literal["grid", "random", "tpe"]
    metric: str
    goal: Literal["maximize", "minimize"]
    parameters: tuple[Parameter, ...]
    baselines: dict[str, Knobs]
    seeds: tuple[int, ...]
    asha: Asha | None
    run_cap: int | None
    search_seed: int
    document: Document

    def layered(self, knobs: Knobs, seed: int) -> Settings:
        """The base settings with these knobs and this seed on top, each with its line in the file. A knob whose `when:`
        does not hold goes back to unset, whatever the base gives it."""
        context = {**_base(self), **knobs}
        unset: Knobs = {parameter.key: None for parameter in self.parameters if parameter.key in self.settings.values
                        and parameter.key not in knobs and not parameter.applies(context)}
        origins = {key: self._origin(key) for key in (*unset, *knobs)} | {"seed": self.document.where("seeds")}
        return self.settings.override({**unset, **knobs, "seed": seed}, origins)

    def resolve(self, knobs: Knobs, seed: int) -> Config:
        """The base config with these knobs and this seed. Raises InputError naming file and line."""
        return self.layered(knobs, seed).resolve()

    @property
    def sweep_name(self) -> str:
        """The name of the sweep: the file's, and for a search what it searches, so that an edited search is another
        one (its trials and study would mean nothing there; only `run_cap` may grow)."""
        return f"{self.name}-{self.digest()[:6]}" if self.method == "tpe" else self.name

    def digest(self) -> str:
        """Names what a search searches: two spaces with one digest may share a study."""
        base = identity(self.settings.override({"seed": self.seeds[0]}, "").resolve())
        content = repr((self.parameters, self.metric, self.goal, base))
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def _origin(self, key: str) -> str:
        places = [path for path in self.document.lines if path[0] in ("parameters", "baselines") and path[-1] == key]
        return self.document.where(*(places[0] if places else ("parameters",)))


class Planned(NamedTuple):
    """One trial of a design: its cell (a row of the table), its knobs, and its resolved config."""

    cell: str
    knobs: Knobs
    config: Config


def expand(space: Space) -> Iterator[Planned]:
    """The trials of a grid or random design, seed by seed so that an interrupted sweep has whole replicates.

    Raises InputError when two cells come to the same config: a knob that changes nothing makes a false table."""
    cells = list(_cells(space))
    seen: dict[str, str] = {}
    for cell, knobs in cells:
        key = repr(identity(space.resolve(knobs, space.seeds[0])))
        if key in seen:
            raise InputError(f"{space.path}: cells {seen[key]!r} and {cell!r} are the same trial; "
                             "give the knob that has no effect there a `when:`")
        seen[key] = cell
    for seed in space.seeds:
        for cell, knobs in cells:
            yield Planned(cell, knobs, space.resolve(knobs, seed))


def _cells(space: Space) -> Iterator[tuple[str, Knobs]]:
    for label, knobs in space.baselines.items():
        yield label, knobs
    if space.method == "random":
        points = _random_points(space)
    else:
        points = list(_grid(space, space.parameters, {}))
    for knobs in points:
        yield label_of(knobs), knobs


def _random_points(space: Space) -> list[Knobs]:
    """`run_cap` different points. Raises InputError when the space has fewer."""
    draw = random.Random(space.search_seed)
    points: list[Knobs] = []
    for _ in range(1000 * (space.run_cap or 0)):
        point = suggest(space, lambda parameter: sample(parameter, draw))
        if point not in points:
            points.append(point)
        if len(points) == space.run_cap:
            return points
    raise InputError(f"{space.document.where('run_cap')}: run_cap: {space.run_cap} trials asked for, but the space has "
                     f"only {len(points)} different points; lower it, or use method: grid")


def _grid(space: Space, parameters: tuple[Parameter, ...], chosen: Knobs) -> Iterator[Knobs]:
    if not parameters:
        yield dict(chosen)
        return
    first, *rest = parameters
    if not first.applies({**_base(space), **chosen}):
        yield from _grid(space, tuple(rest), chosen)
        return
    for value in first.values:
        yield from _grid(space, tuple(rest), {**chosen, first.key: value})


def suggest(space: Space, choose: Callable[[Parameter], Plain]) -> Knobs:
    """One point of the space: `choose` picks a value for each knob that exists given the knobs before it."""
    chosen: Knobs = {}
    base = _base(space)
    for parameter in space.parameters:
        if parameter.applies({**base, **chosen}):
            chosen[parameter.key] = choose(parameter)
    return chosen


def sample(parameter: Parameter, draw: random.Random) -> Plain:
    """A random value of one knob: uniform over its values, or by its distribution."""
    low, high = parameter.low, parameter.high
    match parameter.distribution:
        case None:
            return draw.choice(parameter.values)
        case "uniform":
            return draw.uniform(low, high)
        case "log_uniform":
            return math.exp(draw.uniform(math.log(low), math.log(high)))
        case "int_uniform":
            return draw.randint(int(low), int(high))
        case "int_log_uniform":  # each whole number has the share of its log interval
            return min(int(high), round(math.exp(draw.uniform(math.log(low - 0.5), math.log(high + 0.5)))))


def label_of(knobs: Knobs) -> str:
    """A cell's label, from its knobs: `init=rrqr, main.rank=8`. Keys lose their first part."""
    return ", ".join(f"{key.partition('.')[2] or key}={_short(value)}" for key, value in knobs.items()) or "base"


def _short(value: Plain) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _base(space: Space) -> Knobs:
    return {**DEFAULTS, **space.settings.values}


DEFAULTS: Knobs = identity(Config())
