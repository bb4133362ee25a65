"""What is committed under experiments/results: what its page of findings says is what its tables hold."""

import csv
import re
from pathlib import Path

import pytest
from scipy import stats

from recyclelora.tables.statistics import detectable_difference

ROOT = Path(__file__).parents[1] / "experiments" / "results"
FINDINGS = (ROOT / "README.md").read_text("utf-8")
FOLDERS = sorted(path.name for path in ROOT.iterdir() if path.is_dir())
MEAN, EFFICIENCY = "miou/target_mean", "adapter/rank_efficiency/main"
REACH = 2.7764451051977934 / 5**0.5  # half a 95 % interval of five values, in their s.d.

# what the findings say of a claim -> cell of each experiment's differences, which are the other way round: worse - better
CLAIMS = {"rrqr is a better start than SVD": ("initialisation", "svd"), "... than Kaiming": ("initialisation", "kaiming"),
          "... than rrqr with its ends swapped": ("initialisation", "rrqr, ends swapped"),
          "both adapters are better than main alone": ("components", "main only"),
          "... than sub alone": ("components", "sub only"), "... than the frozen backbone": ("components", "frozen backbone"),
          "minor directions want the full rate (0.4 against 0.1)": ("ends_and_rates", "main.end=minor, main.lr_multiplier=0.1")}

# sweep and table, row, column, and how the findings write it
ADAPTERS = [
    ("rank_efficiency-scenes", "rrqr, r = 32", EFFICIENCY, 3), ("rank_efficiency-scenes", "svd, r = 32", EFFICIENCY, 3),
    ("rank_efficiency-scenes", "rrqr, r = 16", EFFICIENCY, 3), ("rank_efficiency-scenes", "svd, r = 16", EFFICIENCY, 3),
    ("initialisation-scenes", "rrqr", "adapter/grassmann/between_b", 3),
    ("initialisation-scenes", "kaiming", "adapter/grassmann/between_b", 3),
    ("initialisation-scenes", "rrqr", "adapter/column_ratio/main", 1)]
ALONE = [("rank_efficiency-scenes", "svd, r = 32", f"adapter_start/{EFFICIENCY.partition('/')[2]}", 3),
         ("rank_efficiency-scenes", "svd, r = 16", f"adapter_start/{EFFICIENCY.partition('/')[2]}", 3),
         ("initialisation-scenes", "svd", "adapter/drift_norm/main", 3), ("initialisation-scenes", "rrqr", "adapter/drift_norm/main", 3),
         ("initialisation-scenes", "kaiming", "adapter/drift_norm/main", 3),
         ("initialisation-scenes", "rrqr", "adapter/grassmann_chance/between_b", 3),
         ("ends_and_rates-scenes", "main.end=minor, main.lr_multiplier=1.6", EFFICIENCY, 2)]


def rows(sweep: str, table: str) -> dict[str, dict[str, str]]:
    """Row label -> column -> what the CSV has."""
    with open(ROOT / sweep / f"{sweep}.{table}.csv", encoding="utf-8", newline="") as file:
        return {next(iter(row.values())): row for row in csv.DictReader(file)}


def bounded(low: float, value: float, high: float) -> str:
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]".replace("-", "\N{MINUS SIGN}")


def found(row: dict[str, str], metric: str = MEAN) -> tuple[float, float, float]:
    return float(row[f"{metric} low"]), float(row[metric]), float(row[f"{metric} high"])


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_claims_are_those_of_the_tables(claim: str) -> None:
    experiment, cell = CLAIMS[claim]
    told = next(line for line in FINDINGS.splitlines() if line.startswith(f"| {claim} |"))
    for base, column in zip(("scenes", "dusk"), told.split("|")[2:4], strict=True):
        low, value, high = found(rows(f"{experiment}-{base}", "differences")[cell])
        assert column.strip() == f"not distinguishable: {bounded(-high, -value, -low)}"


def test_the_effects_are_those_of_the_tables() -> None:
    interaction = "main.end: major − minor × main.lr_multiplier: 1.6 − 0.4"
    text = re.sub(r"\s+", " ", FINDINGS)
    scenes, dusk = (rows(f"ends_and_rates-{base}", "effects")[interaction] for base in ("scenes", "dusk"))
    low, value, high = found(scenes, "miou/source")
    assert f"{value:.2f} points more of source mIoU than the major end ([{low:+.2f}, {high:+.2f}], " in text
    assert f"p = {float(scenes['miou/source p']):.3f} after Holm over the ten effects" in text
    assert bounded(*found(scenes)) in text and bounded(*found(dusk)) in text


@pytest.mark.parametrize(("sweep", "cell", "measure", "digits"), [*ADAPTERS, *ALONE])
def test_the_adapters_are_those_of_the_tables(sweep: str, cell: str, measure: str, digits: int) -> None:
    row = rows(sweep, "adapters")[cell]
    told = f"{float(row[measure]):.{digits}f}"
    if (sweep, cell, measure, digits) in ADAPTERS:
        told += f" ± {float(row[f'{measure} sd']):.{digits}f}"
    assert re.search(rf"(?<![\d.]){re.escape(told)}(?!\d)", FINDINGS)


def test_the_noise_is_that_of_the_tables() -> None:
    medians, single, ratios = [], [], []
    for folder in FOLDERS:
        text = (ROOT / folder / f"{folder}.differences.md").read_text("utf-8")
        medians.append(float(re.search(r"target mean is ([\d.]+) points \(median\)", text)[1]))  # type: ignore[index]
        for row in rows(folder, "differences").values():
            half, image = (float(row[f"{MEAN}{of} high"]) - float(row[f"{MEAN}{of} low"]) for of in ("", " images"))
            single.append(half / 2 / REACH)
            ratios.append(half / image)
    text = re.sub(r"\s+", " ", FINDINGS)
    assert f"is {min(medians):.2f} to {max(medians):.2f} points" in text and f"{min(single):.2f} to {max(single):.2f})" in text
    least, most = (detectable_difference(sd, 5) for sd in (min(medians), max(medians)))
    assert f"a difference of {least:.2f} to {most:.2f} points with 80 % power" in text
    assert f"{min(ratios):.0f} to {max(ratios):.0f} times narrower" in text
    needed = next(n for n in range(5, 200) if detectable_difference(min(medians), n) <= 0.7)
    assert f"would need {needed} seeds" in text


def test_every_folder_is_named_with_its_verdict() -> None:
    named = re.findall(r"^\| [^|]+ \| ([\w ,]+) \| (.*) \| .* \|$", FINDINGS, re.MULTILINE)
    verdicts = {folder: word for words, folders in named
                for folder, word in zip(re.findall(r"`([\w-]+)`", folders), words.split(", "), strict=True)}
    assert set(verdicts) == set(FOLDERS)
    stated = {f"{experiment}-{base}" for experiment, _ in CLAIMS.values() for base in ("scenes", "dusk")}
    assert {folder for folder, word in verdicts.items() if word == "not distinguishable"} == stated


@pytest.mark.parametrize("rank", [16, 32])
def test_the_claim_that_is_supported_is_clear_of_noise_in_its_table(rank: int) -> None:
    """The pairs are gone with the runs, so here the seeds stand for independent ones, which asks for more."""
    one, other = (rows("rank_efficiency-scenes", "adapters")[f"{init}, r = {rank}"] for init in ("rrqr", "svd"))
    means, spreads = ([float(each[f"{EFFICIENCY}{part}"]) for each in (one, other)] for part in ("", " sd"))
    assert stats.ttest_ind_from_stats(means[0], spreads[0], 5, means[1], spreads[1], 5, equal_var=False).pvalue < 0.025


def committed() -> list[Path]:
    """What stands here but for pages, which are made by `make report` and never committed."""
    return sorted(path for path in ROOT.rglob("*") if path.is_file() and path.suffix != ".html")


def test_what_is_committed_is_small_and_is_what_the_page_tells() -> None:
    assert sum(path.stat().st_size for path in committed()) < 450_000
    assert {path.suffix for path in committed()} <= {".md", ".tex", ".csv", ".svg"}
    figures = {path.relative_to(ROOT).as_posix() for path in committed() if path.suffix == ".svg"}
    assert figures == set(re.findall(r"\]\(([^)]+\.svg)\)", FINDINGS))
    ignored = (ROOT.parents[1] / ".gitignore").read_text("utf-8").split()
    assert "/experiments/results/**/*.html" in ignored


def test_a_table_has_its_long_csv_or_the_page_says_that_it_cannot() -> None:
    lacking = [folder for folder in FOLDERS if not (ROOT / folder / f"{folder}.long.csv").exists()]
    assert not lacking or "there is no `<sweep>.long.csv` of them, and none can be made" in FINDINGS


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.svg")), ids=lambda path: path.name)
def test_nothing_is_loaded_from_anywhere(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.findall(r"<(?:script|link|iframe|object|embed|audio|video|base)\b|@import", text)
    assert not [address for address in re.findall(r'(?:\bsrc|xlink:href|srcset)="([^"]*)"', text) if not address.startswith(("data:", "#"))]
    assert not [address for address in re.findall(r"url\(([^)]*)\)", text) if not address.startswith("#")]
