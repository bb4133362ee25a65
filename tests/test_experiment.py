"""Experiments: the designs against what they are by definition, the bases of one file, and its reader's complaints."""

from pathlib import Path

import pytest

from recyclelora.config import Config, identity
from recyclelora.documents import read
from recyclelora.errors import InputError
from recyclelora.spaces.design import add_one_in, leave_one_out, one_factor
from recyclelora.spaces.space import Space, expand
from recyclelora.spaces.space_file import read_space
from recyclelora.spaces.statement import Expectation, Target, dump_statement, parse_statement

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = [pytest.param(path, at, id=f"{path.stem}-{at}") for path in sorted((ROOT / "experiments").glob("*.yaml"))
           for at in read(path).data["at"]]  # type: ignore[union-attr]

FILE = """\
claim: More rank helps.
at:
  small:
    config: {training.iterations: 5}
  large:
    config: {training.iterations: 9}
    seeds: [7]
    targets:
      both: {miou/target_mean: {value: 68.95, source: somebody, tier: note}}
method: cells
cells:
  both: {}
  main only: {adapter.sub.rank: 0}
  frozen: {adapter.method: frozen}
baseline: frozen
expect:
  - {better: both, worse: main only}
  - {better: both, worse: frozen, metric: miou/source}
seeds: [0, 1]
"""


def experiment(tmp_path: Path, text: str = FILE, at: str | None = None) -> Space:
    (tmp_path / "rank.yaml").write_text(text)
    return read_space(tmp_path / "rank.yaml", at=at)


def test_one_factor_changes_one_knob_at_a_time() -> None:
    base = {"a": 2, "b": "x"}
    cells = dict(one_factor({"a": [1, 2, 3], "b": ["x", "y"]}, base))
    assert list(cells.values()) == [{}, {"a": 1}, {"a": 3}, {"b": "y"}]
    assert all(sum(base[key] != value for key, value in knobs.items()) == len(knobs) <= 1 for knobs in cells.values())


def test_components_leave_and_enter_one_by_one() -> None:
    components = {"p": {"a": 0}, "q": {"b": 0, "c": None}}
    assert dict(leave_one_out(components)) == {"baseline": {}, "without p": {"a": 0}, "without q": {"b": 0, "c": None}}
    assert dict(add_one_in(components)) == {"baseline": {}, "with p": {"a": 0}, "with q": {"b": 0, "c": None},
                                            "with all": {"a": 0, "b": 0, "c": None}}
    assert "with all" not in dict(add_one_in({"p": {"a": 0}})), "which would be `with p` again"


def test_a_base_takes_the_place_of_what_stands_above(tmp_path: Path) -> None:
    first, large = experiment(tmp_path), experiment(tmp_path, at="large")
    assert (first.at, first.sweep_name, first.seeds) == ("small", "rank-small", (0, 1))
    assert (large.at, large.sweep_name, large.seeds) == ("large", "rank-large", (7,))
    assert {trial.config.training.iterations for trial in expand(first)} == {5}
    assert {trial.config.training.iterations for trial in expand(large)} == {9}
    assert large.statement.targets == (Target("both", "miou/target_mean", 68.95, "somebody", "note"),)
    assert first.statement.targets == ()
    assert large.layered({}, 7).origins["training.iterations"].endswith("rank.yaml:6")
    assert large.layered({}, 7).origins["seed"].endswith("rank.yaml:7")


def test_a_statement_is_what_the_file_says_and_survives_its_text(tmp_path: Path) -> None:
    statement = experiment(tmp_path, at="large").statement
    assert statement.expectations == (Expectation("both", "main only", "miou/target_mean"),
                                      Expectation("both", "frozen", "miou/source"))
    assert (statement.claim, statement.at, statement.baseline, statement.design) == (
        "More rank helps.", "large", "frozen", "cells")
    assert parse_statement(dump_statement(statement)) == statement
    for damaged in ("", "[]", "{}", '{"claim": 1', '{"expectations": [], "targets": [], "colour": 1}'):
        with pytest.raises(ValueError):
            parse_statement(damaged)


def test_cells_run_seed_by_seed(tmp_path: Path) -> None:
    trials = list(expand(experiment(tmp_path)))
    assert [(trial.cell, trial.config.seed) for trial in trials] == [
        (cell, seed) for seed in (0, 1) for cell in ("both", "main only", "frozen")]


def test_a_grid_of_several_factors_names_them(tmp_path: Path) -> None:
    text = """\
method: grid
parameters:
  adapter.main.rank: {values: [4, 8]}
  adapter.sub.rank: {values: [0, 4]}
  adapter.init: {values: [svd]}
  adapter.sub.end: {values: [minor, major], when: {adapter.sub.rank: {not: 0}}}
"""
    assert experiment(tmp_path, text).statement.factors == ("adapter.main.rank", "adapter.sub.rank")


@pytest.mark.parametrize(("path", "at"), SHIPPED)
def test_shipped_experiments_expand_at_every_base(path: Path, at: str) -> None:
    space = read_space(path, at=at)
    trials = list(expand(space))
    assert len({repr(identity(trial.config)) for trial in trials}) == len(trials) >= 2 * 5, "cells differ, five seeds"
    assert space.claim and space.statement.expectations, "a claim that can fail"
    assert all(target.tier != "memory" for target in space.statement.targets)
    budgets = {(trial.config.training.iterations, trial.config.data.batch_size) for trial in trials}
    assert len(budgets) == 1, "cells get equal budgets"


def test_experiments_share_cells() -> None:
    """A cell of several experiments has one identity, so it is trained once."""
    def configs(name: str) -> dict[str, Config]:
        return {trial.cell: trial.config for trial in expand(read_space(ROOT / "experiments" / f"{name}.yaml"))
                if trial.config.seed == 0}

    initialisation, components, rates = (configs(name) for name in ("initialisation", "both_adapters", "ends_and_rates"))
    assert initialisation["rrqr"] == components["both"] == configs("learning_rates")["baseline"]
    assert initialisation["frozen backbone"] == components["frozen backbone"]
    assert components["main only"] == rates["main.end=minor, main.lr_multiplier=0.4"]


def test_the_shipped_experiments_cover_the_ablations_of_the_method() -> None:
    spaces = [read_space(path) for path in sorted((ROOT / "experiments").glob("*.yaml"))]
    swept = {key for space in spaces for trial in expand(space) for key in trial.knobs}
    assert {"adapter.init", "adapter.main.end", "adapter.main.lr_multiplier", "adapter.sub.lr_multiplier",
            "adapter.main.rank", "adapter.sub.rank", "adapter.roles", "adapter.skip_blocks", "adapter.scaling",
            "backbone.name"} <= swept
    assert {"cells", "grid", "one_factor", "leave_one_out"} <= {space.method for space in spaces}
    index = (ROOT / "experiments" / "README.md").read_text()
    assert all(f"`{space.path.name}`" in index for space in spaces)


@pytest.mark.parametrize(("old", "new", "complaint"), [
    ("baseline: frozen", "baseline: frzen", ":15: baseline: no cell is called 'frzen'; did you mean frozen?"),
    ("worse: main only", "worse: man only", "expect: no cell is called 'man only'; did you mean main only?"),
    ("worse: main only", "worse: both", "expect: 'both' is compared with itself"),
    ("worse: main only}", "wors: main only}", "expect: expected {better: CELL, worse: CELL}"),
    ("metric: miou/source", "metric: loss", "expect: metric: expected miou/target_mean"),
    ("      both: {miou", "      bth: {miou", ":9: targets: no cell is called 'bth'; did you mean both?"),
    ("value: 68.95", "value: 6895", "value: expected mIoU in % (0 to 100), found 6895"),
    ("tier: note", "tier: memory", "tier: expected one of paper-copy, readme, figure, note, found 'memory'"),
    (", tier: note", "", ":9: targets: both: miou/target_mean: expected {value: mIoU in %"),
    ("both: {miou/target_mean", "both: {loss", "a target is a published mIoU"),
    ("method: cells", "method: cell", "method: expected one of grid, random, tpe, one_factor"),
    ("method: cells", "method: cells\nparameters: {adapter.init: {values: [svd]}}", "means nothing with method cells"),
    ("method: cells", "method: leave_one_out", "cells: means nothing with method leave_one_out, which varies `components`"),
    ("method: cells", "method: cells\nbudget: {euros: 3}", "budget: expected {trials: 40} or {hours: 6}"),
    ("method: cells", "method: cells\nbudget: {trials: 0}", "budget: trials: expected a number above 0, found 0"),
    ("method: cells", "method: cells\nbudget: {trials: 1.5}", "budget: trials: expected a number above 0, found 1.5"),
    ("method: cells", "method: cells\nfigures: [diferences]", "figures: 'diferences' is unknown; did you mean differences?"),
    ("method: cells", "method: cells\ntables: results", "tables: expected a list of some of results"),
    ("method: cells", "method: cells\nbaselines: {both: {adapter.init: svd}}", "cells 'both' and 'both' have one name; rename or remove one"),
    ("  both: {}", "  both: {adapter.main.rnk: 3}", "adapter.main.rnk: no setting that a cell can have; did you mean"),
    ("  both: {}", "  both: {seed: 3}", "seed: no setting that a cell can have"),
    ("  both: {}", "  both: {adapter.method: frozen}", "are the same trial"),
    ("  both: {}", "  both: {adapter.main.rank: -1}", ":12: adapter.main.rank: -1"),
    ("    seeds: [7]", "    sids: [7]", ":7: sids: unknown key of a space; did you mean seeds?"),
    ("    seeds: [7]", "    seeds: [7, 7]", ":7: seeds: [7, 7] names a seed twice"),
    ("    seeds: [7]", "    at: {}", "at: large: expected `base: file`"),
])
def test_bad_experiments_say_what_is_wrong(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in FILE
    with pytest.raises(InputError) as caught:
        list(expand(experiment(tmp_path, FILE.replace(old, new, 1), at="large")))
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "at", "complaint"), [
    (FILE, "huge", "at: no base is called 'huge'; this file has: small, large"),
    ("method: grid\nparameters: {adapter.init: {values: [svd]}}\n", "small", "has no `at:`, so there is no base 'small'"),
    ("at: 3\nmethod: grid\n", None, "at: expected `name: {base: file, ...}` lines"),
    ("at: {a b: {}}\nmethod: grid\n", None, "base 'a b': its name may have"),
    ("method: one_factor\nparameters: {adapter.init: {values: [svd]}}\nbaseline: baseline\n", None,
     "baseline: method one_factor has its own; leave it out"),
    ("method: one_factor\nparameters: {adapter.main.rank: {min: 1, max: 3}}\n", None, "a one_factor needs `values`"),
    ("method: one_factor\n", None, "method one_factor needs parameters"),
    ("method: cells\n", None, "method cells needs `cells:`"),
    ("method: tpe\nrun_cap: 2\nparameters: {adapter.init: {values: [svd, rrqr]}}\nexpect: []\n", None,
     "expect: belongs to an ablation, and a search is none"),
])
def test_bad_designs_say_what_is_wrong(tmp_path: Path, text: str, at: str | None, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        experiment(tmp_path, text, at)
    assert complaint in str(caught.value) and "\n" not in str(caught.value)
