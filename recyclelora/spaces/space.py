"""A space: which settings vary, and over which seeds. `expand` turns a design into configs; a search (tpe) asks for one
config at a time through `suggest`. Its file is YAML with the key names of W&B sweeps, under `search_spaces/`, or under
`experiments/` where it states a claim."""

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
from recyclelora.spaces import design
from recyclelora.spaces.design import Knobs
from recyclelora.spaces.statement import Statement

Distribution = Literal["uniform", "log_uniform", "int_uniform", "int_log_uniform"]
DISTRIBUTIONS = ("uniform", "log_uniform", "int_uniform", "int_log_uniform")
Method = Literal["grid", "random", "tpe", "one_factor", "leave_one_out", "add_one_in", "cells"]


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


class Budget(NamedTuple):
    """A limit to a design: a number of trials, or of hours on the whole cluster."""

    unit: Literal["trials", "hours"]
    amount: float


@dataclass(frozen=True)
class Space:
    """`settings` are the base config's differences from the defaults, `at` the name of that base where the file has
    several. `cells` are named in the file; `components` are what leave_one_out removes and add_one_in adds."""

    name: str
    path: Path
    claim: str
    settings: Settings
    method: Method
    metric: str
    goal: Literal["maximize", "minimize"]
    parameters: tuple[Parameter, ...]
    baselines: dict[str, Knobs]
    seeds: tuple[int, ...]
    asha: Asha | None
    run_cap: int | None
    search_seed: int
    document: Document
    at: str = ""
    cells: dict[str, Knobs] = field(default_factory=dict)
    components: dict[str, Knobs] = field(default_factory=dict)
    budget: Budget | None = None
    after: "Space | None" = None  # each trial begins with the weights of the trial of its cell and seed there
    statement: Statement = field(default_factory=Statement)

    def layered(self, knobs: Knobs, seed: int) -> Settings:
        """The base settings with these knobs and this seed on top, each with its line in the file."""
        origins = {key: self._origin(key) for key in knobs} | {"seed": self.document.where("seeds")}
        return self.settings.override({**knobs, "seed": seed}, origins)

    def resolve(self, knobs: Knobs, seed: int) -> Config:
        """The base config with these knobs and this seed. Raises InputError naming file and line."""
        return self.layered(knobs, seed).resolve()

    @property
    def sweep_name(self) -> str:
        """The name of the sweep: the file's and its base's, and for a search what it searches, so that an edited search
        is another one (its trials and study would mean nothing there; only `run_cap` may grow)."""
        name = f"{self.name}-{self.at}" if self.at else self.name
        return f"{name}-{self.digest()[:6]}" if self.method == "tpe" else name

    def doubled(self, first: str, second: str, why: str) -> InputError:
        """The complaint about two cells of one label or of one config, at the line of the later one."""
        named = [(section, cell) for cell in (second, first) for section in ("cells", "components", "baselines")
                 if cell in getattr(self, section)]
        place = self.document.where(*(named[0] if named else ("parameters",)))
        mend = "rename or remove one" if named else "give the knob that has no effect there a `when:`"
        return InputError(f"{place}: cells {first!r} and {second!r} {why}; {mend}")

    def digest(self) -> str:
        """A hash of what a search varies. Two spaces with the same digest may share a study."""
        base = identity(self.settings.override({"seed": self.seeds[0]}, "").resolve())
        content = repr((self.parameters, self.metric, self.goal, self.asha, base))
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def _origin(self, key: str) -> str:
        places = [path for path in self.document.lines if path[0] in VARYING and path[-1] == key]
        return self.document.where(*(places[0] if places else ("parameters",)))


class Planned(NamedTuple):
    """One trial of a design: its cell (a row of the table), its knobs, and its resolved config."""

    cell: str
    knobs: Knobs
    config: Config


def expand(space: Space) -> Iterator[Planned]:
    """The trials of a design, seed by seed so that an interrupted sweep has whole replicates.

    Raises InputError when two cells have the same config: a knob that changes nothing makes a false table."""
    cells = list(cells_of(space))
    seen: dict[str, str] = {}
    for cell, knobs in cells:
        key = repr(identity(space.resolve(knobs, space.seeds[0])))
        if key in seen:
            raise space.doubled(seen[key], cell, "are the same trial")
        seen[key] = cell
    for seed in space.seeds:
        for cell, knobs in cells:
            yield Planned(cell, knobs, space.resolve(knobs, seed))


def cells_of(space: Space) -> Iterator[tuple[str, Knobs]]:
    """Label and knobs of every cell, the baselines first. Raises InputError for a space with too few points."""
    yield from space.baselines.items()
    match space.method:
        case "grid":
            yield from design.labelled(list(_grid(space, space.parameters, {})))
        case "random":
            yield from design.labelled(_random_points(space))
        case "one_factor":
            yield from design.one_factor({parameter.key: parameter.values for parameter in space.parameters},
                                         identity(space.resolve({}, space.seeds[0])))
        case "leave_one_out":
            yield from design.leave_one_out(space.components)
        case "add_one_in":
            yield from design.add_one_in(space.components)
        case "cells":
            yield from space.cells.items()


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
    """One point of the space. `choose` picks a value for each knob that exists, given the knobs before it."""
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


def _base(space: Space) -> Knobs:
    return {**DEFAULTS, **space.settings.values}


DEFAULTS: Knobs = identity(Config())
VARYING = ("parameters", "baselines", "cells", "components")  # the keys of the file under which settings stand
