"""Tables against recorded texts that a person has read, and against parsers of their formats."""

import csv
import io
import os
import random
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recyclelora.errors import InputError
from recyclelora.sweeps.plan import PlannedCell
from recyclelora.sweeps.record import Record
from recyclelora.sweeps.runs import Sweep
from recyclelora.sweeps.texts import clean
from recyclelora.tables import tables
from recyclelora.tables.records import Table, build

RECORDS = Path(__file__).parent / "records"
TARGETS = ["scenes-night", "scenes-fog"]
TAGS = {"protocol": "native size, window 112x84 stride 56x56, test split, all images", "selection": "last",
        "label_space": "cityscapes19", "weights_sha256": "0123456789ab" + "c" * 52, "data_fingerprint": "d" * 64,
        "commit": "abc123def456", "dirty": "false"}
NOISE = {0: (0.004, -0.003), 1: (-0.002, 0.001), 2: (0.001, 0.005), 3: (0.002, -0.001), 4: (0.0, 0.0)}
RANKS: dict[str, dict[str, object]] = {f"main.rank={rank}": {"adapter.main.rank": rank} for rank in (4, 8, 16)}


def sweep(name: str = "rank", method: str = "grid", objective: str = "miou/target_mean") -> Sweep:
    return Sweep(name, "0" * 32, method, objective, "maximize")


def planned(cells: dict[str, dict[str, object]], seeds: tuple[int, ...] = (0, 1, 2)) -> list[PlannedCell]:
    return [PlannedCell(cell, seed, f"{number:02d}{seed:02d}" * 4, knobs)
            for seed in seeds for number, (cell, knobs) in enumerate(cells.items())]


def record(cell: PlannedCell, level: float, outcome: str = "finished", **tags: str) -> Record:
    """A run at about `level` mIoU, with a seed's noise; the seeds' noise is alike in all cells, with a little of its
    own for each level, so that paired differences are small but not constant."""
    night, fog = (level + noise + (cell.seed - 1) * level / 500 for noise in NOISE[cell.seed])
    scores = {"miou/scenes-night": night, "miou/scenes-fog": fog, "miou/target_mean": (night + fog) / 2,
              "miou/source": level + 0.1 + NOISE[cell.seed][1], "chance/scenes-night": 0.031,
              "chance/scenes-fog": 0.027, "chance/source": 0.03,
              "params/adapter": 24576.0 * int(str(cell.knobs.get("adapter.main.rank", 0)))}
    config = {"seed": cell.seed, "data.source": "scenes-day", "data.targets": TARGETS,
              "adapter.method": "recyclelora", "adapter.init": "rrqr", **cell.knobs}
    reason = {"failed": "diverged", "pruned": "stopped early"}.get(outcome, "")
    return Record(fingerprint=cell.fingerprint, config=config, outcome=outcome,  # type: ignore[arg-type]
                  metrics=scores if outcome != "failed" else {}, reason=reason,
                  iteration=40 if outcome == "pruned" else 100,
                  tags={**TAGS, "cell": cell.cell, "run_id": "1" * 32, **tags})


LEVELS = {"main.rank=4": 0.30, "main.rank=8": 0.35, "main.rank=16": 0.351}


def ordinary() -> tuple[list[PlannedCell], list[Record]]:
    plan = planned(RANKS)
    return plan, [record(cell, LEVELS[cell.cell]) for cell in plan]


def text_of(table: Table) -> str:
    """The table in all its formats."""
    formats = {form: tables.render(table, form) for form in tables.FORMATS} | {"terminal": tables.terminal(table).plain}
    return "\n".join(f"===== {name} =====\n{text.rstrip()}\n" for name, text in formats.items())


def assert_recorded(name: str, text: str, folder: Path) -> None:
    """Fails unless `tests/records/<name>.txt` holds exactly this text."""
    recorded, actual = RECORDS / f"{name}.txt", folder / f"{name}.txt"
    actual.write_text(text, "utf-8")
    before = recorded.read_text("utf-8") if recorded.exists() else None
    assert text == before, f"if a person has read it and it is right, accept it with: cp {actual} {recorded}"


# recorded


def test_an_ordinary_ablation(tmp_path: Path) -> None:
    plan, records = ordinary()
    assert_recorded("ordinary", text_of(build(sweep(), plan, records)), tmp_path)


def test_an_unfinished_ablation(tmp_path: Path) -> None:
    """Seeds missing, stopped early and failed; a cell not run at all; a baseline without the others' knobs; runs of two
    commits; a trial with two runs."""
    ranks = {label: {**knobs, "adapter.init": "rrqr"} for label, knobs in RANKS.items()}
    cells = {"frozen": {"adapter.method": "frozen"}, **ranks, "main.rank=32": {"adapter.main.rank": 32},
             "sub.rank=4": {"adapter.main.rank": 8, "adapter.sub.rank": 4}, "alpha=2": {"adapter.alpha": 2.0}}
    plan = planned(cells)
    levels = {"frozen": 0.2, "main.rank=4": 0.3, "main.rank=8": 0.9, "main.rank=16": 0.8, "main.rank=32": 0.7}
    left_out = {("main.rank=8", 2), ("sub.rank=4", 0), ("sub.rank=4", 1), ("sub.rank=4", 2)}
    outcomes = {("main.rank=16", 0): "pruned", ("main.rank=16", 1): "failed", ("main.rank=32", 1): "pruned",
                ("alpha=2", 0): "failed", ("alpha=2", 1): "failed", ("alpha=2", 2): "failed"}
    records = [record(cell, levels.get(cell.cell, 0.5), outcomes.get((cell.cell, cell.seed), "finished"))
               for cell in plan if (cell.cell, cell.seed) not in left_out]
    records[0].tags.update(commit="999999999999", dirty="true", duplicates="2" * 32)
    assert_recorded("unfinished", text_of(build(sweep("unfinished"), plan, records)), tmp_path)


def test_single_runs(tmp_path: Path) -> None:
    plan = planned(RANKS, (0,))
    assert_recorded("single", text_of(build(sweep("single"), plan, [record(cell, LEVELS[cell.cell]) for cell in plan])),
                    tmp_path)


AWKWARD = ["a|b & c_d $x$ 100% #1 {y} ~z^2 \\input{/etc/passwd}", "=HYPERLINK(\"http://x\")",
           "[1] *bold* <script>`x`</script>", "line\nbreak\ttab", "größe – 漢", "+1", "-1+2", "@sum", "--dash---",
           "\\\\", ""]


def test_names_made_of_metacharacters(tmp_path: Path) -> None:
    plan = planned({name: {"adapter.note": name} for name in AWKWARD}, (0, 1, 2))
    assert_recorded("awkward", text_of(build(sweep("awkward"), plan, [record(cell, 0.3) for cell in plan])), tmp_path)


def test_a_search(tmp_path: Path) -> None:
    draw = random.Random(0)
    trials = [PlannedCell(f"lr={number}", 0, f"{number:08d}", {"training.lr": 10 ** draw.uniform(-4, -2),
                                                                "adapter.main.rank": draw.choice([4, 8])})
              for number in range(30)]
    outcomes = {3: "pruned", 7: "failed", 21: "pruned"}
    records = [record(trial, 0.2 + 0.01 * (number * 7 % 30), outcomes.get(number, "finished"))
               for number, trial in enumerate(trials[:16] + trials[20:24])]
    assert_recorded("search", text_of(build(sweep("search", "tpe"), [], records)), tmp_path)


# what a table may claim


def test_equal_records_in_any_order_give_equal_bytes() -> None:
    plan, records = ordinary()
    expected = text_of(build(sweep(), plan, records))
    for seed in range(5):
        shuffled = random.Random(seed).sample(records, len(records))
        assert text_of(build(sweep(), plan, shuffled)) == expected


def test_the_best_is_marked_and_so_is_doubt() -> None:
    plan, records = ordinary()
    rows = {row.label: row for row in build(sweep(), plan, records).rows}
    best = rows["main.rank=16"].measures["miou/target_mean"]
    assert best.best and not rows["main.rank=8"].measures["miou/target_mean"].best
    assert best.clear  # 0.1 points, but the same in every seed
    for made in records:
        if made.config["adapter.main.rank"] == 16:
            made.metrics["miou/target_mean"] += {0: 0.02, 1: -0.02, 2: 0.001}[int(str(made.config["seed"]))]
    rows = {row.label: row for row in build(sweep(), plan, records).rows}
    doubted = rows["main.rank=16"].measures["miou/target_mean"]
    assert doubted.best and not doubted.clear


def test_a_cell_with_a_seed_missing_is_not_best() -> None:
    plan, records = ordinary()
    records = [made for made in records if not (made.tags["cell"] == "main.rank=16" and made.config["seed"] == 2)]
    rows = {row.label: row for row in build(sweep(), plan, records).rows}
    assert rows["main.rank=16"].status == "2 of 3 seeds"
    assert not any(measure.best for measure in rows["main.rank=16"].measures.values())
    assert rows["main.rank=8"].measures["miou/target_mean"].best


def test_a_run_stopped_early_is_in_no_mean() -> None:
    plan, records = ordinary()
    with_pruned = [made if made.config["seed"] else record(cell, 0.99, "pruned")
                   for cell, made in zip(plan, records, strict=True)]
    row = build(sweep(), plan, with_pruned).rows[0]
    assert row.status == "2 of 3 seeds (1 pruned)" and set(row.measures["miou/target_mean"].values) == {1, 2}
    assert plan[0].fingerprint not in row.fingerprints


def test_five_seeds_make_a_claim() -> None:
    plan = planned(RANKS, (0, 1, 2, 3, 4))
    caption = " ".join(build(sweep(), plan, [record(cell, 0.3) for cell in plan]).caption)
    assert "5 seeds a cell: enough for a claim." in caption and "15 trials: 15 finished" in caption


@pytest.mark.parametrize(("tag", "what"), [("protocol", "evaluation protocols"), ("selection", "selection rules")])
@pytest.mark.parametrize("other", ["oracle, 2048x1024", ""])
def test_runs_measured_differently_are_refused(tag: str, what: str, other: str) -> None:
    plan, records = ordinary()
    records[4] = record(plan[4], 0.3, **{tag: other})
    with pytest.raises(InputError, match=what) as refused:
        build(sweep(), plan, records)
    message = str(refused.value)
    assert f"main.rank=8 {plan[4].fingerprint}" in message and "\n" not in message and len(message) < 600
    with pytest.raises(InputError, match=what):
        build(sweep(method="tpe"), [], records)
    records[4] = record(plan[4], 0.3, "failed", **{tag: other})  # its numbers are in no row
    build(sweep(), plan, records)


def test_a_run_outside_the_plan_is_in_no_row() -> None:
    plan, records = ordinary()
    assert text_of(build(sweep(), plan[:6], records)) == text_of(build(sweep(), plan[:6], records[:6]))


def test_nothing_run_yet() -> None:
    table = build(sweep(), planned(RANKS), [])
    assert [row.status for row in table.rows] == ["not run"] * 3 and table.chance is None
    assert "9 trials: 0 finished, 0 pruned, 0 failed, 9 not run" in tables.render(table, "md")
    assert "0 of 0 trials" in tables.render(build(sweep(method="tpe"), [], []), "md")


def test_numbers_that_are_none_are_shown_as_none() -> None:
    plan, records = ordinary()
    for made in records[:3]:
        made.metrics.pop("miou/scenes-fog")
    records[0].metrics["miou/source"] = float("nan")
    assert "nan" not in text_of(build(sweep(), plan, records))


def test_a_search_ranks_by_its_objective_and_never_by_a_trial_that_stopped_early() -> None:
    plan, records = ordinary()
    records[2] = record(plan[2], 0.99, "pruned")
    table = build(sweep(method="tpe", objective="miou/source"), [], records)
    scores = [row.measures["miou/source"].values.get(0) for row in table.rows]
    finished = [score for score, row in zip(scores, table.rows, strict=True) if row.status == "finished"]
    assert finished == sorted(finished, reverse=True) and table.rows[-1].status == "pruned at 40"  # type: ignore[type-var]
    lowest = build(sweep(method="tpe", objective="miou/source")._replace(goal="minimize"), [], records)
    assert [row.fingerprints for row in lowest.rows[:2]] != [row.fingerprints for row in table.rows[:2]]
    assert "loss/x" in tables.render(build(sweep(method="tpe", objective="loss/x"), [], records), "csv")


# formats


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)  # halves of surrogate pairs too


def one_cell(label: str) -> Table:
    plan = planned({label: {"adapter.note": label}, "other": {"adapter.note": 1}})
    return build(sweep(), plan, [record(cell, 0.3) for cell in plan])


@given(ANY_TEXT)
def test_csv_gives_any_name_back_and_runs_none_as_a_formula(label: str) -> None:
    rows = list(csv.reader(io.StringIO(tables.render(one_cell(label), "csv"))))
    assert len({len(row) for row in rows}) == 1 and len(rows) == 4
    cell = rows[1][0]
    plain = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", clean(label))
    assert cell in (plain, f"'{plain}")
    assert not re.match(r"\s*[=+\-@]", cell) or re.fullmatch(r"[-+.\deE]+", cell)


@given(ANY_TEXT)
def test_markdown_has_the_same_columns_in_every_row(label: str) -> None:
    lines = tables.render(one_cell(label), "md").split("\n\n")[0].split("\n")
    assert len(lines) == 5
    assert len({len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines}) == 1
    assert not re.search(r"<(?!br)|(?<!\\)`", "".join(lines))


@given(ANY_TEXT)
@example(AWKWARD[0])
def test_latex_is_balanced_and_executes_nothing(label: str) -> None:
    text = tables.render(one_cell(label), "tex")
    known = {"begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "textbf", "pm",
             "dagger", "textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar"}
    body = text.partition("\n")[2]  # the first line is a comment
    assert set(re.findall(r"\\([a-zA-Z]+)", body)) <= known
    bare = re.sub(r"\\[^a-zA-Z]", "", body.replace(r"$\pm$", "").replace(r"$^\dagger$", ""))
    assert bare.count("{") == bare.count("}") and not re.search(r"[%#_^$~]", bare)
    rows = [line for line in body.splitlines() if line.endswith(r" \\")]
    assert len(rows) == 4 and len({re.sub(r"\\[^a-zA-Z]", "", row).count("&") for row in rows}) == 1
    assert not any(re.match(r"\s*[\[*]", row) for row in rows)


def test_csv_has_all_digits_and_the_way_back() -> None:
    plan, records = ordinary()
    rows = list(csv.DictReader(io.StringIO(tables.render(build(sweep(), plan, records), "csv"))))
    values = [made.metrics["miou/scenes-fog"] for made in records if made.tags["cell"] == "main.rank=8"]
    assert rows[1]["cell"] == "main.rank=8" and rows[1]["adapter.main.rank"] == "8"
    assert float(rows[1]["miou/scenes-fog mean"]) == pytest.approx(100 * sum(values) / 3, abs=1e-4)
    assert rows[1]["fingerprints"].split() == [cell.fingerprint for cell in plan if cell.cell == "main.rank=8"]
    assert rows[1]["params/adapter"] == "196608" and rows[1]["runs"] == "3"


def test_the_terminal_table_fits(tmp_path: Path) -> None:
    plan = planned({f"cell {i} " + "x" * 60: {"adapter.main.rank": i, "adapter.a_rather_long_name.of_it": f"{i}" * 70}
                    for i in range(3)})
    lines = tables.terminal(build(sweep("long-" * 10), plan, [record(cell, 0.3) for cell in plan])).plain.splitlines()
    assert max(map(len, lines)) <= 160 and "\x1b" not in "".join(lines)


def test_files_are_whole_and_the_same_when_written_again(tmp_path: Path) -> None:
    table = build(sweep(), *ordinary())
    paths = tables.write(table, tmp_path / "tables", "rank")
    before = {path: path.read_bytes() for path in paths}
    assert [path.name for path in paths] == ["rank.md", "rank.csv", "rank.tex"]
    assert tables.write(table, tmp_path / "tables", "rank") == paths
    assert {path: path.read_bytes() for path in (tmp_path / "tables").iterdir()} == before
    with pytest.raises(InputError, match="letters, digits"):
        tables.write(table, tmp_path, "../rank")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        tables.write(table, tmp_path / "file", "rank")
    os.mkdir(tmp_path / "rank.md")
    with pytest.raises(InputError, match="cannot be written"):
        tables.write(table, tmp_path, "rank")
    assert not list(tmp_path.glob(".rank*"))
