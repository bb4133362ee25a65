"""Spaces: expansion of grids and random designs, conditions, and the complaints of the file's reader."""

import itertools
import math
import random
from pathlib import Path

import pytest

from recyclelora.errors import InputError
from recyclelora.spaces.design import label_of
from recyclelora.spaces.space import Distribution, Parameter, Space, cells_of, expand, sample, suggest
from recyclelora.spaces.space_file import read_space

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = sorted((ROOT / "search_spaces").glob("*.yaml"))

GRID = """\
method: grid
parameters:
  adapter.init: {values: [rrqr, svd, kaiming]}
  adapter.sub.rank: {values: [0, 4]}
  adapter.sub.lr_multiplier: {values: [0.5, 1.0], when: {adapter.sub.rank: {not: 0}}}
baselines:
  frozen backbone: {adapter.method: frozen}
seeds: [0, 1]
"""


def space_of(tmp_path: Path, text: str) -> Space:
    (tmp_path / "space.yaml").write_text(text)
    return read_space(tmp_path / "space.yaml")


def test_a_grid_is_the_product_of_its_values_where_conditions_hold(tmp_path: Path) -> None:
    trials = list(expand(space_of(tmp_path, GRID)))
    expected = [{"adapter.method": "frozen"}]
    for init, rank in itertools.product(("rrqr", "svd", "kaiming"), (0, 4)):
        point = {"adapter.init": init, "adapter.sub.rank": rank}
        expected += [point] if rank == 0 else [{**point, "adapter.sub.lr_multiplier": rate} for rate in (0.5, 1.0)]
    assert [trial.knobs for trial in trials] == expected * 2
    assert [trial.config.seed for trial in trials] == [0] * 10 + [1] * 10
    assert trials[0].cell == "frozen backbone" and trials[1].cell == "init=rrqr, sub.rank=0"
    for trial in trials[1:10]:
        assert trial.config.adapter.init == trial.knobs["adapter.init"]
        assert trial.config.adapter.sub.rank == trial.knobs["adapter.sub.rank"]


def test_a_new_value_adds_cells_and_leaves_the_others(tmp_path: Path) -> None:
    before = {trial.cell: trial.config for trial in expand(space_of(tmp_path, GRID))}
    after = {trial.cell: trial.config for trial in expand(space_of(tmp_path, GRID.replace("[0, 4]", "[0, 4, 8]")))}
    assert before.items() <= after.items() and len(after) == len(before) + 6


RANDOM = """\
method: random
run_cap: 200
search_seed: 3
parameters:
  adapter.main.rank: {min: 2, max: 64, distribution: int_log_uniform}
  adapter.sub.rank: {min: 0, max: 3}
  training.lr: {min: 1e-4, max: 1e-2, distribution: log_uniform}
  adapter.sub.lr_multiplier: {min: 0.1, max: 0.9, when: {adapter.sub.rank: {not: 0}}}
"""


def test_a_random_design_is_drawn_from_its_distributions_once_for_all(tmp_path: Path) -> None:
    trials = list(expand(space_of(tmp_path, RANDOM)))
    assert trials == list(expand(space_of(tmp_path, RANDOM))) and len(trials) == 200
    rates = [math.log10(trial.config.training.lr) for trial in trials]
    assert -4 <= min(rates) and max(rates) <= -2
    assert abs(sum(rates) / 200 + 3) < 0.15, "uniform in the logarithm: mean -3, standard error 0.04"
    for trial in trials:
        assert ("adapter.sub.lr_multiplier" in trial.knobs) == (trial.config.adapter.sub.rank > 0)
    other = space_of(tmp_path, RANDOM.replace("search_seed: 3", "search_seed: 4"))
    assert [trial.knobs for trial in expand(other)] != [trial.knobs for trial in trials]


def test_whole_numbers_reach_both_bounds_and_their_shares() -> None:
    draw = random.Random(0)
    log = Parameter("x", low=1, high=4, distribution="int_log_uniform")
    values = [sample(log, draw) for _ in range(20000)]
    for value in (1, 2, 3, 4):
        share = math.log((value + 0.5) / (value - 0.5)) / math.log(4.5 / 0.5)
        assert abs(values.count(value) / 20000 - share) < 0.015
    flat = Parameter("x", low=1, high=4, distribution="int_uniform")
    assert {sample(flat, draw) for _ in range(200)} == {1, 2, 3, 4}


def test_a_range_in_the_logarithm_may_be_written_as_w_and_b_does(tmp_path: Path) -> None:
    other = RANDOM.replace("distribution: log_uniform", "distribution: log_uniform_values")
    assert other != RANDOM
    assert [trial.knobs for trial in expand(space_of(tmp_path, other))] == [
        trial.knobs for trial in expand(space_of(tmp_path, RANDOM))]
    named = GRID.replace("{values: [0, 4]}", "{values: [0, 4], distribution: categorical}")
    assert [trial.knobs for trial in expand(space_of(tmp_path, named))] == [
        trial.knobs for trial in expand(space_of(tmp_path, GRID))]


SEARCH = """\
method: tpe
run_cap: 20
claim: Words.
config: {training.iterations: 40}
metric: {name: miou/source, goal: maximize}
parameters:
  adapter.init: {values: [rrqr, svd]}
  training.lr: {min: 1e-4, max: 1e-2, distribution: log_uniform, when: {adapter.init: rrqr}}
seeds: [3]
"""


@pytest.mark.parametrize(("old", "new"), [
    ("[rrqr, svd]", "[rrqr, kaiming]"), ("min: 1e-4", "min: 1e-5"), ("max: 1e-2", "max: 1e-1"), ("log_uniform", "uniform"),
    ("{adapter.init: rrqr}", "{adapter.init: svd}"), ("{adapter.init: rrqr}", "{adapter.init: {not: rrqr}}"),
    ("maximize", "minimize"), ("training.iterations: 40", "training.iterations: 41"), ("seeds: [3]", "seeds: [4]"),
    ("goal: maximize}", "goal: maximize}\nearly_terminate: {type: asha, min_iter: 2}"),
    ("{name: miou/source, goal: maximize}\n", "{name: miou/target_mean, goal: maximize}\n"),
    ("training.lr: {", "adapter.sub.lr_multiplier: {"),
])
def test_an_edited_search_is_another_one(tmp_path: Path, old: str, new: str) -> None:
    """Its study and its trials would mean nothing there."""
    text = SEARCH.replace("40}", "40, evaluation.selection: oracle}")
    assert old in text
    before, after = space_of(tmp_path, text), space_of(tmp_path, text.replace(old, new))
    assert before.digest() != after.digest() and before.sweep_name != after.sweep_name


@pytest.mark.parametrize(("old", "new"), [("run_cap: 20", "run_cap: 30"), ("Words.", "Others."), ("seeds", "# a note\nseeds"),
                                          ("log_uniform", "log_uniform_values")])
def test_more_trials_or_other_words_are_the_same_search(tmp_path: Path, old: str, new: str) -> None:
    assert old in SEARCH
    assert space_of(tmp_path, SEARCH).sweep_name == space_of(tmp_path, SEARCH.replace(old, new)).sweep_name


def test_a_grid_sees_the_base_config_where_a_condition_speaks_of_it(tmp_path: Path) -> None:
    text = ("method: grid\nconfig: {adapter.init: svd}\nparameters:\n"
            "  adapter.main.end: {values: [minor, major], when: {adapter.init: svd}}\n")
    assert [trial.knobs for trial in expand(space_of(tmp_path, text))] == [
        {"adapter.main.end": "minor"}, {"adapter.main.end": "major"}]


@pytest.mark.parametrize(("distribution", "low", "high"), [("uniform", 0.1, 0.9), ("log_uniform", 1e-4, 1e-2)])
def test_numbers_are_drawn_from_the_whole_range_evenly(distribution: Distribution, low: float, high: float) -> None:
    draw, knob = random.Random(0), Parameter("x", low=low, high=high, distribution=distribution)
    place = math.log if distribution == "log_uniform" else float
    shares = [(place(sample(knob, draw)) - place(low)) / (place(high) - place(low)) for _ in range(4000)]  # type: ignore[arg-type]
    tenths = [sum(tenth <= 10 * share < tenth + 1 for share in shares) for tenth in range(10)]
    assert sum(tenths) == 4000 and max(abs(count - 400) for count in tenths) < 80, "4 standard deviations"


def test_the_last_draw_of_whole_numbers_is_the_upper_bound() -> None:
    class Last(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return b

    for high in range(2, 2000):
        assert sample(Parameter("x", low=1, high=high, distribution="int_log_uniform"), Last()) == high


@pytest.mark.parametrize(("method", "section"), [("leave_one_out", "components"), ("add_one_in", "components"),
                                                 ("cells", "cells"), ("grid", "baselines")])
def test_a_bad_value_of_a_named_cell_has_its_own_line(tmp_path: Path, method: str, section: str) -> None:
    text = f"method: {method}\n{section}:\n  one: {{training.lr: 1e-3}}\n  two: {{adapter.init: kaimin}}\n"
    with pytest.raises(InputError, match="space.yaml:4: adapter.init: 'kaimin'"):
        list(expand(space_of(tmp_path, text)))
    with pytest.raises(InputError, match="space.yaml:4: evaluation.images: cells measured by different protocols"):
        list(expand(space_of(tmp_path, text.replace("adapter.init: kaimin", "evaluation.images: 3"))))


def test_conditions() -> None:
    knob = Parameter("x", (1,), when={"a": (1, 2)}, unless={"b": ("off",)})
    assert knob.applies({"a": 1, "b": "on"}) and knob.applies({"a": 2})
    assert not knob.applies({"a": 3}) and not knob.applies({"a": 1, "b": "off"}) and not knob.applies({})


def test_suggest_sees_the_base_config(tmp_path: Path) -> None:
    text = "method: grid\nparameters:\n  adapter.main.end: {values: [minor, major], when: {adapter.init: [rrqr, svd]}}\n"
    assert suggest(space_of(tmp_path, text), lambda parameter: parameter.values[0]) == {"adapter.main.end": "minor"}
    with pytest.raises(InputError, match="its `when:` never holds"):
        space_of(tmp_path, text + "config: {adapter.init: kaiming}\n")


def test_labels_name_what_differs() -> None:
    assert label_of({}) == "base"
    assert label_of({"adapter.roles": ["qkv", "proj"], "training.lr": 0.00012345}) == "roles=qkv+proj, lr=0.0001234"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_spaces_read_and_expand(path: Path) -> None:
    space = read_space(path)
    assert space.claim
    if space.method != "tpe":
        trials = list(expand(space))
        assert len(trials) == len({repr(trial.config) for trial in trials})


def test_the_shipped_spaces_cover_the_axes_of_the_mission() -> None:
    swept = {parameter.key for path in SHIPPED for parameter in read_space(path).parameters}
    assert {"adapter.main.rank", "adapter.sub.lr_multiplier", "adapter.init", "backbone.name"} <= swept
    assert {read_space(path).method for path in SHIPPED} >= {"grid", "tpe"}
    assert any(read_space(path).asha for path in SHIPPED)


def test_overrides_change_the_base_and_not_what_is_swept(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(GRID)
    space = read_space(tmp_path / "space.yaml", {"training.iterations": 7})
    assert {trial.config.training.iterations for trial in expand(space)} == {7}
    with pytest.raises(InputError, match="command line: adapter.init: is swept by"):
        read_space(tmp_path / "space.yaml", {"adapter.init": "svd"})
    with pytest.raises(InputError, match="command line: training.iterations: 'x'"):
        read_space(tmp_path / "space.yaml", {"training.iterations": "x"})


@pytest.mark.parametrize(("old", "new", "complaint"), [
    ("method: grid", "method: gird", ":1: method: expected one of grid, random, tpe, one_factor"),
    ("method: grid", "methd: grid", ":1: methd: unknown key of a space; did you mean method?"),
    ("method: grid", "method: grid\nrun_cap: 3", ":2: run_cap: method grid runs all its cells"),
    ("method: grid", "method: random", ":1: method random needs run_cap"),
    ("method: grid", "method: random\nrun_cap: 0", ":2: run_cap: expected a whole number from 1, found 0"),
    ("method: grid", "method: random\nrun_cap: 99", ":2: run_cap: 99 trials asked for"),
    ("method: grid", "method: tpe\nrun_cap: 3", "seeds: a search takes one seed (found 2)"),
    ("method: grid", "method: grid\nmetric: {name: miou/sorce}", ":2: metric: name: 'miou/sorce' is not reported"),
    ("method: grid", "method: grid\nmetric: {name: miou/source, goal: up}", "metric: goal: expected maximize or minimize"),
    ("method: grid", "method: grid\nmetric: {nam: miou/source}", "metric: nam: unknown"),
    ("method: grid", "method: grid\nmetric: miou", "metric: expected `key: value` lines"),
    ("method: grid", "method: grid\nmetric: {name: miou/target_mean}", "selects on the test domains"),
    ("method: grid", "method: grid\nbase: nowhere.yaml", "nowhere.yaml: no such file"),
    ("method: grid", "method: grid\nbase: [1]", "base: expected the path of a config file"),
    ("method: grid", "method: grid\nconfig: {training.lrr: 1}", ":2: training.lrr: unknown setting"),
    ("method: grid", "method: grid\nclaim: [1]", "claim: expected text"),
    ("method: grid", "method: grid\nearly_terminate: {type: median}", "early_terminate: type: expected asha"),
    ("method: grid", "method: grid\nearly_terminate: {type: asha}", "min_iter: expected a number of iterations"),
    ("method: grid", "method: grid\nearly_terminate: {type: asha, min_iter: 5, eta: 1}", "eta: expected a whole number"),
    ("method: grid", "method: grid\nearly_terminate: {type: asha, min_itr: 5}", "min_itr: unknown"),
    ("adapter.init: {values: [rrqr, svd, kaiming]}", "adapter.int: {values: [1]}", "did you mean adapter.init?"),
    ("kaiming]", "kaimin]", ":3: adapter.init: 'kaimin': must be 'rrqr', 'svd' or 'kaiming'"),
    ("[0, 4]", "[0, 0]", ":4: adapter.sub.rank: values: 0 is listed twice"),
    ("[0, 4]", "[]", ":4: adapter.sub.rank: values: expected a list of at least one value"),
    ("[0, 4]", "4", ":4: adapter.sub.rank: values: expected a list"),
    ("[0, 4]", "[4, .nan]", "nan is not a finite number"),
    ("[0, 4]", "[4, four]", ":4: adapter.sub.rank: 'four': must be a whole number"),
    ("{values: [0, 4]}", "{vales: [0, 4]}", "vales: unknown; did you mean values?"),
    ("{values: [0, 4]}", "[0, 4]", "adapter.sub.rank: expected `key: value` lines"),
    ("{values: [0, 4]}", "{values: [4], min: 1}", "give either `values: [...]` or `min` and `max`"),
    ("{values: [0, 4]}", "{min: 1, max: 4}", "a grid needs `values`, not a range"),
    ("{values: [0, 4]}", "{min: 4, max: 1}", "min: 4 is not below max (1)"),
    ("{values: [0, 4]}", "{min: 4, max: 4}", "min: 4 is not below max (4)"),
    ("{values: [0, 4]}", "{min: .nan, max: 4}", "min: expected a finite number, found nan"),
    ("{values: [0, 4]}", "{min: 1, max: .inf}", "max: expected a finite number, found inf"),
    ("{values: [0, 4]}", "{min: 1}", "max: expected a finite number, found None"),
    ("{values: [0, 4]}", "{min: 0, max: 4, distribution: int_log_uniform}", "0 has no logarithm"),
    ("{values: [0, 4]}", "{min: 1, max: 4, distribution: loguniform}", "did you mean log_uniform?"),
    ("{values: [0, 4]}", "{min: 1, max: 4, distribution: q_uniform}", "use int_uniform, for other steps list the `values`"),
    ("{values: [0, 4]}", "{min: 1, max: 4, distribution: q_log_uniform}", "for whole numbers use int_log_uniform"),
    ("{values: [0, 4]}", "{min: 1, max: 4, distribution: q_log_uniform_values}", "for whole numbers use int_log_uniform"),
    ("{values: [0, 4]}", "{min: 1, max: 4, distribution: q_normal}", "for whole numbers use int_uniform"),
    ("{values: [0, 4]}", "{min: 1, max: 4, distribution: log_normal}", "'log_normal' is not offered; use uniform or"),
    ("{values: [0, 4]}", "{min: 1, max: 4, distribution: categorical}", "give `values: [...]`, or one `value`"),
    ("{values: [0, 4]}", "{min: -9.2, max: -2.3, distribution: log_uniform}", ":4: adapter.sub.rank: min: -9.2 has no "
     "logarithm: min and max of log_uniform are values of the knob, not exponents as in W&B's log_uniform; for e^-9.2 to "
     "e^-2.3 write min: 0.000101, max: 0.1003"),
    ("{values: [0, 4]}", "{values: [0, 4], distribution: log_uniform}", "'log_uniform' means nothing with `values`"),
    ("{values: [0, 4]}", "{value: 4, max: 5}", "give either `values: [...]` or `min` and `max`, or one `value`"),
    ("{values: [0, 4]}", "{value: 4, values: [4]}", "give either `values: [...]` or `min` and `max`, or one `value`"),
    ("{values: [0, 4]}", "{when: {adapter.init: rrqr}}", "give either `values: [...]` or `min` and `max`, or one `value`"),
    ("seeds: [0, 1]", "seeds: [1:30]", ":8: seeds: 1:30 is read by YAML as the number 90; write 90"),
    ("seeds: [0, 1]", "seeds: [0, 99999999999999999999]", ":8: seeds: 99999999999999999999 is too large"),
    ("[0, 4]", "[0, 010]", ":4: parameters.adapter.sub.rank.values: 010 is read by YAML as the number 8"),
    ("{values: [0, 4]}", "{min: 0.5, max: 4, distribution: int_uniform}", "needs whole bounds"),
    (", when: {adapter.sub.rank: {not: 0}}", "", "means nothing when adapter.sub.rank is 0"),
    ("{adapter.sub.rank: {not: 0}}", "{adapter.sub.rnk: {not: 0}}", "adapter.sub.rnk: unknown setting; did you mean"),
    ("{adapter.sub.rank: {not: 0}}", "{adapter.sub.rank: {nt: 0}}", "expected a value, a list of values, or {not: value}"),
    ("{values: [0, 4]}", "{values: [4], when: {adapter.sub.lr_multiplier: 1}}", "is swept further down"),
    ("seeds: [0, 1]", "seeds: [0, 0]", ":8: seeds: [0, 0] names a seed twice"),
    ("seeds: [0, 1]", "seeds: []", ":8: seeds: expected a list such as [0, 1, 2]"),
    ("seeds: [0, 1]", "seeds: [-1]", ":8: seeds: -1 is not a whole number from 0"),
    ("seeds: [0, 1]", "seeds: [true]", ":8: seeds: True is not a whole number"),
    ("adapter.init: {values: [rrqr, svd, kaiming]}", "seed: {values: [0, 1]}", "list them under `seeds:`"),
    ("adapter.init: {values: [rrqr, svd, kaiming]}", "resources.cpus: {values: [1.0]}", "no setting that can be swept; "
     "resources are no part of what a trial is: set them under `config:`"),
    ("adapter.init: {values: [rrqr, svd, kaiming]}", "adapter.main: {values: [1]}", ":3: adapter.main: no setting that can "
     "be swept; it is a group, sweep one of its settings: adapter.main.end, adapter.main.lr_multiplier, adapter.main.rank"),
    ("adapter.init: {values: [rrqr, svd, kaiming]}", "training.clip: {values: [1, true]}", ":3: training.clip: True: must"),
    ("adapter.init: {values: [rrqr, svd, kaiming]}", "training.clip: {values: [1, 1]}", ":3: training.clip: values: 1 is listed twice"),
    ("{values: [0, 4]}", "{min: 0, max: 4, distribution: log_uniform}", "min: 0 has no logarithm: min of log_uniform must be above 0"),
    ("frozen backbone:", '"":', ":7: baselines: '': a name has 1 to 80 characters in one line"),
    ("frozen backbone:", '"a\\nb":', ":7: baselines: 'a\\nb': a name has 1 to 80 characters in one line"),
    ("frozen backbone:", f"{'x' * 81}:", "a name has 1 to 80 characters in one line"),
    ("method: grid", "method: random\nrun_cap: 2\nearly_terminate: {type: asha, min_iter: 40001}",
     ":3: early_terminate: min_iter: 40001 is above training.iterations (40000), so no trial would ever be stopped"),
    ("frozen}", "frzen}", ":7: adapter.method: 'frzen' is not known"),
])
def test_bad_spaces_say_what_is_wrong(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in GRID
    with pytest.raises(InputError) as caught:
        list(expand(space_of(tmp_path, GRID.replace(old, new))))
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_the_name_of_a_space_is_checked_when_it_is_read(tmp_path: Path) -> None:
    for name in ("my space.yaml", "größe.yaml", f"{'x' * 81}.yaml"):
        (tmp_path / name).write_text(GRID)
        with pytest.raises(InputError, match="its name may have letters, digits, '.', '_' and '-' only, 80 at most"):
            read_space(tmp_path / name)


@pytest.mark.parametrize(("values", "labels"), [
    ("[0.12345, 0.123451]", ["power=0.12345", "power=0.123451"]), ("[0.9, 0.25]", ["power=0.9", "power=0.25"]),
    ("[0.12345678, 0.12345679]", ["power=0.12345678", "power=0.12345679"]),
    ("[0.1234567891, 0.1234567892]", ["power=0.1234567891", "power=0.1234567892"]),
    ("[0.3333333333, 0.1]", ["power=0.3333", "power=0.1"])])
def test_labels_have_as_many_digits_as_tell_them_apart(tmp_path: Path, values: str, labels: list[str]) -> None:
    space = space_of(tmp_path, f"method: grid\nparameters:\n  training.power: {{values: {values}}}\n")
    assert [cell for cell, _ in cells_of(space)] == labels


@pytest.mark.parametrize(("text", "complaint"), [
    ("  power=0.9: {training.power: 0.7}", ":5: cells 'power=0.9' and 'power=0.9' have one name; rename or remove one"),
    ("  mine: {training.power: 0.9}", ":5: cells 'mine' and 'power=0.9' are the same trial; rename or remove one")])
def test_a_baseline_that_is_a_cell_again_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    grid = "method: grid\nparameters:\n  training.power: {values: [0.9, 0.8]}\nbaselines:\n"
    with pytest.raises(InputError) as caught:
        list(expand(space_of(tmp_path, grid + text)))
    assert complaint in str(caught.value)


def test_a_cell_whose_method_does_not_fit_the_head_says_which_line(tmp_path: Path) -> None:
    text = "method: cells\nconfig: {head.queries: 20}\ncells:\n  a: {}\n  b: {adapter.method: rein}\n"
    with pytest.raises(InputError, match=r"space.yaml:5: adapter.tokens: 100 tokens cannot make the 20 queries"):
        space_of(tmp_path, text)


def test_two_cells_that_are_one_trial_are_refused(tmp_path: Path) -> None:
    text = "method: grid\nparameters:\n  adapter.main.end: {values: [minor, null]}\n"
    with pytest.raises(InputError, match="are the same trial; give the knob that has no effect there a `when:`"):
        list(expand(space_of(tmp_path, text)))
