"""Reads the file of a space or an experiment. Every key is checked, and every error names file, line and key. The key
names are those of W&B sweeps."""

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from recyclelora.documents import Document, Plain, check_name, nearest, read
from recyclelora.errors import InputError
from recyclelora.settings import known_keys
from recyclelora.spaces.columns import known_columns
from recyclelora.spaces.experiment import AROUND, choose_base, factor_keys, read_budget, read_statement
from recyclelora.spaces.space import VARYING, Knobs, Space, cells_of, sample, suggest
from recyclelora.spaces.space_reader import Reader

KEYS = ("claim", "base", "config", "at", "method", "metric", "parameters", "baselines", "cells", "components", "seeds",
        "early_terminate", "run_cap", "search_seed", "baseline", "expect", "targets", "tables", "figures", "columns",
        "budget", "after", "unknown")
EXHAUSTIVE = ("grid", "one_factor", "leave_one_out", "add_one_in", "cells")  # all cells, with equal budgets
ABLATION = ("cells", "components", "baseline", "expect", "targets", "budget")


def read_space(path: Path, overrides: Mapping[str, Plain] | None = None, at: str | None = None) -> Space:
    """Read and check a space file or an experiment; `at` chooses among its bases, `overrides` (from the command line)
    change its base config. Every value of every knob is resolved once, so that a bad one is refused before anything
    runs. Raises InputError with file and line."""
    document, chosen = choose_base(read(path), at)
    check_name(path.stem, "space")
    for key in document.data:
        if key not in KEYS:
            raise InputError(f"{document.where(key)}: {key}: unknown key of a space{nearest(key, KEYS)}")
    reader = Reader(document)
    parameters = reader.parameters()
    metric, goal = reader.metric()
    settings = reader.settings()
    if overrides:
        settings = settings.override(overrides, "command line")
        swept = [parameter.key for parameter in parameters if parameter.key in overrides]
        if swept:
            raise InputError(f"command line: {swept[0]}: is swept by {path}; edit its values there")
        named = [key for cells in (reader.named_knobs(section) for section in ("cells", "components", "baselines"))
                 for knobs in cells.values() for key in knobs if key in overrides]
        if named:
            raise InputError(f"command line: {named[0]}: is set by cells of {path}; edit it there")
    space = Space(
        name=path.stem, path=path, claim=reader.text("claim"), settings=settings, method=reader.method(), metric=metric,
        goal=goal, parameters=parameters, baselines=reader.named_knobs("baselines"), seeds=reader.seeds(),
        asha=reader.early_terminate(), run_cap=reader.count("run_cap"), search_seed=reader.count("search_seed", 0) or 0,
        document=document, at=chosen, cells=reader.named_knobs("cells"), components=reader.named_knobs("components"),
        budget=read_budget(document), after=_before(path, document, chosen, overrides))
    _check(space)
    labels = [] if space.method == "tpe" else [label for label, _ in cells_of(space)]
    repeated = [label for label in labels if labels.count(label) > 1]
    if repeated:
        raise space.doubled(repeated[0], repeated[0], "have one name")
    factors = factor_keys(reader.group("parameters"))
    columns = known_columns(_domains(space), known_keys())
    return replace(space, statement=read_statement(document, chosen, space.method, space.claim, labels, factors,
                                                   columns))


def _domains(space: Space) -> list[str]:
    """The target domains of the base config, and those that some cells have instead."""
    named = [*space.baselines.values(), *space.cells.values(), *space.components.values()]
    swept = [parameter.values for parameter in space.parameters if parameter.key == "data.targets"]
    lists = [space.settings.resolve().data.targets, *(knobs.get("data.targets") for knobs in named),
             *(value for values in swept for value in values)]
    return list(dict.fromkeys(str(domain) for each in lists if isinstance(each, list | tuple) for domain in each))


def _before(path: Path, document: Document, at: str, overrides: Mapping[str, Plain] | None) -> Space | None:
    """The base of the same file whose trials have to be run first: `after: NAME`."""
    name = document.data.get("after")
    if "after" not in document.data:
        return None
    if not at or not isinstance(name, str):
        raise InputError(f"{document.where('after')}: after: expected the name of another base of this file, found "
                         f"{name!r}")
    before: Plain = name
    seen = [at]
    while isinstance(before, str):  # up to the first stage
        if before in seen:
            raise InputError(f"{document.where('after')}: after: {' waits for '.join([*seen, before])}")
        seen.append(before)
        before = choose_base(read(path), before)[0].data.get("after")
    return read_space(path, overrides, name)


def _check(space: Space) -> None:
    where = space.document.where
    _check_design(space)
    if space.method in EXHAUSTIVE:
        for parameter in space.parameters:
            if parameter.distribution:
                raise InputError(f"{where('parameters', parameter.key)}: {parameter.key}: a {space.method} needs "
                                 "`values`, not a range; list them, or use method: random or tpe")
        if space.asha:
            raise InputError(f"{where('early_terminate')}: early_terminate: a {space.method} is an ablation, its cells "
                             "get equal budgets; leave it out, or use method: random or tpe")
        if space.run_cap is not None:
            raise InputError(f"{where('run_cap')}: run_cap: method {space.method} runs all its cells; leave it out, "
                             "or set a budget")
    iterations = space.settings.resolve().training.iterations
    if space.asha and space.asha.min_iter > iterations:
        raise InputError(f"{where('early_terminate', 'min_iter')}: early_terminate: min_iter: {space.asha.min_iter} is "
                         f"above training.iterations ({iterations}), so no trial would ever be stopped; lower it")
    if space.method not in EXHAUSTIVE and space.run_cap is None:
        raise InputError(f"{where('method')}: method {space.method} needs run_cap, the number of trials")
    if space.method == "tpe" and len(space.seeds) > 1:
        raise InputError(f"{where('seeds')}: seeds: a search takes one seed (found {len(space.seeds)}); confirm what "
                         "it finds with a grid over several")
    if space.metric == "miou/target_mean" and space.resolve({}, space.seeds[0]).evaluation.selection != "oracle":
        raise InputError(f"{where('metric', 'name')}: metric: name: miou/target_mean selects on the test domains; say "
                         "so with evaluation.selection: oracle, or use miou/source")
    if not space.parameters and space.method in ("random", "tpe", "one_factor"):
        raise InputError(f"{space.path}: method {space.method} needs parameters")
    if space.method == "tpe" and space.baselines:
        raise InputError(f"{where('baselines')}: baselines: a search has no table rows to compare with; use a grid")
    earlier: set[str] = set()
    for parameter in space.parameters:
        for key in (*parameter.when, *parameter.unless):
            if key not in earlier and key not in known_keys():
                raise InputError(f"{where('parameters', parameter.key, 'when', key)}: {key}: unknown setting"
                                 f"{nearest(key, known_keys())}")
            if key in {later.key for later in space.parameters} - earlier:
                raise InputError(f"{where('parameters', parameter.key, 'when', key)}: {key}: is swept further down; "
                                 "move it above the knob that depends on it")
        earlier.add(parameter.key)
    _check_protocol(space)
    named = (space.baselines.values(), space.cells.values(), space.components.values())
    for knobs in itertools.chain(*named, _probes(space)):
        space.resolve(knobs, space.seeds[0])


def _check_protocol(space: Space) -> None:
    """Refuse a design whose cells differ in protocol or selection rule: no table may mix them, so none should be
    trained."""
    for path in space.document.lines:
        key = path[-1]
        if path[0] in VARYING and "when" not in path and key.startswith("evaluation."):
            raise InputError(f"{space.document.where(*path)}: {key}: cells measured by different protocols cannot "
                             "stand in one table; set it under `config:`, or write a file for each")


def _check_design(space: Space) -> None:
    """Check that the file lists what varies under the one key that its method reads."""
    where = space.document.where
    own = {"cells": "cells", "leave_one_out": "components", "add_one_in": "components"}.get(space.method, "parameters")
    for key, found in (("parameters", space.parameters), ("cells", space.cells), ("components", space.components)):
        if found and key != own:
            raise InputError(f"{where(key)}: {key}: means nothing with method {space.method}, which varies `{own}`")
    if own != "parameters" and not (space.cells or space.components):
        raise InputError(f"{where('method')}: method {space.method} needs `{own}:` with `NAME: {{key: value}}` lines")
    if space.method == "one_factor" and any(parameter.when or parameter.unless for parameter in space.parameters):
        raise InputError(f"{where('parameters')}: parameters: `when:` means nothing with one_factor, where one knob "
                         "changes at a time")
    if "baseline" in space.document.data and space.method in (*AROUND, "tpe", "random"):
        raise InputError(f"{where('baseline')}: baseline: method {space.method} has its own; leave it out")
    if space.method == "tpe" and (wrong := [key for key in ABLATION if key in space.document.data]):
        raise InputError(f"{where(wrong[0])}: {wrong[0]}: belongs to an ablation, and a search is none; leave it out")


def _probes(space: Space) -> Iterator[Knobs]:
    """Points that together show every value and bound of every knob, each in a context where the knob exists."""
    for probed in space.parameters:
        ends: tuple[Plain, ...] = probed.values
        if probed.distribution:
            integral = probed.distribution.startswith("int")
            ends = tuple(int(end) if integral else end for end in (probed.low, probed.high))
        for value in ends:
            for seed in range(64):  # a random context until the knob exists in it
                draw = random.Random(seed)
                chosen = suggest(space, lambda p, v=value, d=draw: v if p is probed else sample(p, d))  # type: ignore[misc]  # noqa: B023
                if probed.key in chosen:
                    yield chosen
                    break
            else:
                where = space.document.where("parameters", probed.key)
                raise InputError(f"{where}: {probed.key}: its `when:` never holds")
