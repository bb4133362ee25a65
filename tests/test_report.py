"""The report: one page that loads nothing, escapes everything, and is the same for the same runs."""

import io
import math
import os
import re
import shutil
import socket
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recyclelora.errors import InputError
from recyclelora.tables import figures, html_page
from recyclelora.tables.cells import Cell
from recyclelora.tables.comparisons import Comparison, Word
from recyclelora.tables.figures import canvas
from recyclelora.tables.html_page import Page, Panel, Plate, RunLine, render
from recyclelora.tables.sheet import Column, Number, RunRef, Sheet, SheetRow
from recyclelora.tables.statistics import paired_difference
from recyclelora.trials.record import Record

METRIC = "miou/target_mean"
STORE = "http://127.0.0.1:5000/#/experiments/1/runs/"
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)> & {{ 7*7 }} \u202e'
CHROMIUM = shutil.which("chromium")


def png(width: int = 320, height: int = 200, seed: int = 0, noise: bool = False) -> bytes:
    rng, page = np.random.default_rng(seed), io.BytesIO()
    pixels = rng.integers(0, 256, (height, width, 3) if noise else (1, 1, 3), dtype=np.uint8)
    Image.fromarray(np.broadcast_to(pixels, (height, width, 3)).copy()).save(page, "PNG")
    return page.getvalue()


def cells() -> list[Cell]:
    def record(label: str, seed: int) -> Record:
        return Record(fingerprint=f"{label[:4]}{seed}" * 4, outcome="finished", tags={"run_id": f"run-{label}-{seed}",
                      "commit": "c" * 40}, config={"seed": seed, "adapter.init": label, "training.lr": 1e-4,
                      "resources.cpus": seed}, metrics={METRIC: 0.1 + 0.01 * seed + 0.03 * (label == "rrqr"),
                      "time/train": 100.0 + seed, "time/evaluate": 10.0})
    return [Cell("rrqr", {}, (0, 1, 2), {seed: record("rrqr", seed) for seed in range(3)}),
            Cell("svd", {}, (0, 1, 2), {seed: record("svd", seed) for seed in range(2)})]


def link(refs: list[RunRef]) -> str | None:
    return STORE + refs[0].run_id


def page(**changes: object) -> Page:
    rrqr, svd = cells()
    difference = paired_difference(svd.values(METRIC), rrqr.values(METRIC))
    drawing = figures.differences([Comparison("svd", "rrqr", METRIC, difference, 0.03, 1.0)], [rrqr, svd])
    sheet = Sheet(name="initialisation", columns=(Column("adapter.init", "adapter.init", numeric=False),
                                                  Column(METRIC, "target mean")),
                  rows=(SheetRow("rrqr", ("rrqr", Number(14.0, sd=1.0, mark="best")), (RunRef("run-rrqr-0", "f", 0),)),
                        SheetRow("chance", (None, Number(3.0)), apart=True)), caption=("mIoU in %.", "n 3."))
    config, differing = html_page.changes_of([rrqr, svd], "rrqr")
    made = Page(title="initialisation", claim="One start is better than another.", verdict="supported", at="scenes",
                sentence="Supported: rrqr - svd: +3.00 points [+1.00, +5.00], n = 3.", evidence="indicative",
                summary=Plate("Differences", drawing), tables=(("Results", sheet),),
                figures=(Plate("Cells", figures.cells([rrqr, svd], [METRIC])), Plate("Again", drawing)),
                adapters=(Plate("Cosines", figures.cosines({"a_main": np.eye(4)})),),
                panels=tuple(Panel(domain, label, 0, png(seed=place), STORE + f"run-{label}-0")
                             for domain in ("night", "fog") for place, label in enumerate(("rrqr", "svd"))),
                costs=html_page.costs_of([rrqr, svd]), machine="2 cores", facts={"commit": "c" * 40},
                runs=html_page.lines_of([rrqr, svd], link), config=config, changes=differing,
                commands=("recyclelora sweep experiments/initialisation.yaml",), notes=("Toy size.",))
    return replace(made, **changes)  # type: ignore[arg-type]


class Reader(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes what is not open"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def values(self, *names: str) -> list[str]:
        return [value for _, attributes in self.tags for name, value in attributes.items() if name in names]

    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


# what is in it


def test_everything_given_is_shown() -> None:
    made = page()
    found = Reader(render(made, link))
    assert not found.open
    text = found.text()
    for words in (made.title, made.claim, "supported", made.sentence, "indicative", "at scenes", "Toy size.", "mIoU in %.",
                  "Differences", "Cells", "Cosines", "night", "fog", "2 cores", "c" * 40, "adapter.init", "svd",
                  "recyclelora sweep experiments/initialisation.yaml", "not run", "0.0001"):
        assert words in text, words
    for plate in (made.summary, *made.figures, *made.adapters):
        assert plate is not None and " ".join(plate.drawing.says.split()) in text
    assert [tag for tag, _ in found.tags].count("svg") == 4 and [tag for tag, _ in found.tags].count("img") == 4


def test_what_all_tables_say_is_said_once() -> None:
    sheets = [Sheet(name=name, columns=(), rows=(SheetRow("a", ()),), caption=(f"Only {name}.", "Source: night."))
              for name in ("results", "effects")]
    text = Reader(render(page(tables=tuple((sheet.name, sheet) for sheet in sheets)))).text()
    assert text.count("Source: night.") == 1 and "Only results." in text and "Only effects." in text


def test_an_empty_page_has_no_empty_sections() -> None:
    found = Reader(render(Page(title="t", claim="c", verdict="not tested", sentence="Not tested: no run yet.")))
    assert not {"section", "table", "figure", "details", "a"} & {tag for tag, _ in found.tags}
    assert "Not tested: no run yet." in found.text()


@pytest.mark.parametrize("word", Word.__args__)  # type: ignore[attr-defined]
def test_every_verdict_has_its_badge(word: str) -> None:
    found = Reader(render(page(verdict=word)))
    kind = word.replace(" ", "-")
    assert any(attributes.get("class") == f"verdict {kind}" for _, attributes in found.tags)
    assert f".{kind}" in render(page(verdict=word)) and word in found.text()
    with pytest.raises(ValueError, match="none of"):
        render(page(verdict="proved"))


def test_costs_are_sums_of_what_finished() -> None:
    costs = html_page.costs_of(cells())
    assert [(cost.cell, cost.runs, cost.train, cost.evaluate) for cost in costs] == \
        [("rrqr", 3, 303.0, 30.0), ("svd", 2, 201.0, 20.0)]
    assert html_page.total(costs)[1:] == (5, 504.0, 50.0)
    text = Reader(render(page())).text()
    assert "rrqr 3 5.0 min 30 s" in text and "all 5 8.4 min 50 s" in text
    assert html_page.duration(7200) == "2.00 h" and html_page.duration(59) == "59 s"


def test_what_a_run_did_not_record_is_unknown_on_its_page() -> None:
    some = cells()
    del some[1].records[0].metrics["time/train"], some[1].records[0].tags["commit"]
    costs = html_page.costs_of(some)
    assert costs[0].train == 303.0 and math.isnan(costs[1].train) and math.isnan(html_page.total(costs).train)
    assert html_page.duration(costs[1].train) == "unknown" and costs[1].evaluate == 20.0
    assert [line.commit for line in html_page.lines_of(some)[3:5]] == ["unknown", "c" * 40]
    assert "svd 2 unknown 20 s" in Reader(render(page(costs=costs))).text()


def test_a_cell_differs_from_the_baseline_in_settings_only() -> None:
    config, changes = html_page.changes_of(cells(), "svd")
    assert config == {"adapter.init": "svd", "training.lr": 1e-4}
    assert changes == {"rrqr": {"adapter.init": "rrqr"}}
    assert html_page.changes_of([Cell("none", {}, (0,), {})], None) == ({}, {})


def test_every_planned_trial_has_a_line() -> None:
    lines = html_page.lines_of(cells(), link)
    assert [(line.cell, line.seed, line.outcome) for line in lines][2:] == \
        [("rrqr", 2, "finished"), ("svd", 0, "finished"), ("svd", 1, "finished"), ("svd", 2, "not run")]
    assert lines[0].url == STORE + "run-rrqr-0" and lines[-1] == RunLine("svd", 2, "not run")


# that it is one page


def test_nothing_is_loaded_and_only_the_store_is_linked() -> None:
    text = render(page(), link)
    found = Reader(text)
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in found.tags}
    for address in found.values("src", "xlink:href"):
        assert address.startswith(("data:image/", "#")), address
    for address in found.values("href"):
        assert address.startswith((STORE, "#")), address
    assert not re.search(r"@import|url\((?!#)|srcset|http-equiv=.refresh", text)
    policy, = [attributes["content"] for _, attributes in found.tags if "http-equiv" in attributes]
    assert policy.startswith("default-src 'none'")
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]


def test_ids_are_unique_and_lead_somewhere() -> None:
    found = Reader(render(page(), link))
    ids = found.values("id")
    assert len(ids) == len(set(ids)) > 50
    used = {address[1:] for address in found.values("href", "xlink:href") if address.startswith("#")}
    used |= set(re.findall(r"url\(#([^)]*)\)", " ".join(found.values("clip-path", "style", "fill"))))
    assert used <= set(ids) and len(used) > 10


def test_figures_follow_the_colours_of_the_page() -> None:
    text = render(page(), link)
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert not re.findall("|".join(html_page.THEME), drawn) and "<style" not in drawn
    rules = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    assert len(rules) == 2  # light and dark
    for rule in rules:
        assert set(re.findall(r"var\(--(\w+)\)", drawn)) <= set(re.findall(r"--(\w[\w-]*):", rule))
    colours = {canvas.PAPER, canvas.INK, canvas.FAINT, canvas.RULE, canvas.BLUE, canvas.RED, *canvas.SERIES}
    assert colours == set(html_page.THEME)


def test_equal_pages_have_equal_bytes() -> None:
    assert render(page(), link) == render(page(), link)


def test_everything_is_escaped() -> None:
    rrqr, _ = cells()
    drawing = figures.cells([replace(rrqr, label=HOSTILE)], [METRIC])
    sheet = Sheet(name="s", columns=(Column("k", HOSTILE),), rows=(SheetRow(HOSTILE, (HOSTILE,)),), caption=(HOSTILE,))
    text = render(page(
        title=HOSTILE, claim=HOSTILE, sentence=HOSTILE, evidence=HOSTILE, at=HOSTILE, machine=HOSTILE, notes=(HOSTILE,),
        commands=(HOSTILE,), summary=Plate(HOSTILE, drawing), tables=((HOSTILE, sheet),), facts={HOSTILE: HOSTILE},
        panels=(Panel(HOSTILE, HOSTILE, 0, png(), "javascript:alert(3)"),), config={HOSTILE: [HOSTILE]},
        changes={HOSTILE: {HOSTILE: HOSTILE}},
        runs=(RunLine(HOSTILE, 0, HOSTILE, HOSTILE, HOSTILE, HOSTILE, f'https://x" onclick="{HOSTILE}'),)), link)
    found = Reader(text)
    tags = {tag for tag, _ in found.tags}
    assert "script" not in tags and not [address for address in found.values("src") if not address.startswith("data:")]
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    assert not [address for address in found.values("href") if "alert" in address]
    assert "{{ 7*7 }}" in found.text() and "\u202e" not in text
    assert found.text().count("alert(1)") > 15


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "https://a b", "", None, "//x", "http:x"])
def test_only_web_addresses_are_linked(address: str | None) -> None:
    assert html_page.web(address) == ""
    assert html_page.web("https://store.example/#/runs/1?a=b") == "https://store.example/#/runs/1?a=b"


# pictures


def test_panels_are_made_small_enough_for_a_page() -> None:
    few = html_page.shrink([Panel("night", "a", 0, png(1340, 900))])
    assert (few[0].width, few[0].height) == (1000, 672) and few[0].source.startswith("data:image/jpeg;base64,")
    small = html_page.shrink([Panel("night", "a", 0, png(320, 200))])
    assert (small[0].width, small[0].height) == (320, 200)  # never larger than it is
    many = html_page.shrink([Panel("night", str(place), 0, png(1340, 700, place, noise=True)) for place in range(16)])
    assert len(many) == 16 and len({picture.width for picture in many}) == 1 and many[0].width < 1000
    assert sum(len(picture.source) for picture in many) <= html_page.ROOM


def test_what_does_not_fit_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    panels = tuple(Panel("night", f"cell {place}", 0, png(400, 300, place, noise=True)) for place in range(3))
    one = len(html_page.shrink(panels[:1])[0].source)
    monkeypatch.setattr(html_page, "SIZES", html_page.SIZES[:1])
    monkeypatch.setattr(html_page, "ROOM", int(2.5 * one))
    text = Reader(render(page(panels=panels))).text()
    assert "1 is left out" in text and "cell 1, seed 0" in text and "cell 2, seed 0" not in text


def test_a_damaged_panel_is_named() -> None:
    for broken in (b"", b"no image", png()[:60]):
        with pytest.raises(InputError, match="panel of night, cell 'rrqr', seed 3: not a readable image"):
            render(page(panels=(Panel("night", "rrqr", 3, broken),)))


# in a browser


def browse(text: str, folder: Path, *flags: str) -> str:
    (folder / "page.html").write_text(text, "utf-8")
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
             f"--user-data-dir={folder / 'profile'}")
    done = subprocess.run([str(CHROMIUM), *quiet, *flags, (folder / "page.html").as_uri()], capture_output=True,
                          text=True, timeout=600, env={**os.environ, "HOME": str(folder)})
    return done.stdout


def unguarded(text: str) -> str:
    """The page without its policy, which lets nothing run and nothing load."""
    return re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_shows_it_without_sideways_scrolling(tmp_path: Path, width: int) -> None:
    wide = Sheet(name="wide", columns=tuple(Column(f"k{place}", f"column {place}") for place in range(30)),
                 rows=(SheetRow("cell", tuple(Number(12.34, sd=1.0) for _ in range(30))),))
    text = render(page(tables=(("Wide", wide),), claim="word " * 60), link)
    measured = unguarded(text).replace(
        "</body>", "<script>const box = some => document.querySelector(some).getBoundingClientRect();"
        "document.title = [document.documentElement.scrollWidth, innerWidth,"
        "[...document.images].every(image => image.naturalWidth > 0),"
        "getComputedStyle(document.querySelector('.verdict')).borderLeftWidth, box('.badge').bottom < innerHeight,"
        "box('.plate svg').width, box('.plate svg').height].join(' ')</script></body>")
    dom = browse(measured, tmp_path, f"--window-size={width},900", "--dump-dom", "--virtual-time-budget=2000")
    told = re.search(r"<title>(.*?)</title>", dom)[1].split()  # type: ignore[index]
    scrolled, inner, loaded, border, seen, drawn, high = told
    assert int(scrolled) <= int(inner) and loaded == "true" and border in ("3px", "4px")
    assert seen == "true" and float(drawn) > 400 and float(high) > 80  # the verdict is on the first screen


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_a_browser_asks_nobody_for_anything(tmp_path: Path) -> None:
    def asked(text: str) -> set[str]:
        browse(text, tmp_path, f"--log-net-log={tmp_path / 'net.json'}", f"--screenshot={tmp_path / 'net.png'}")
        own = [entry for entry in (tmp_path / "net.json").read_text().splitlines()
               if '"initiator":' in entry and '"initiator":"not an origin"' not in entry]  # which is the browser itself
        return set(re.findall(r'"url":"(https?:[^"]*)"', "".join(own)))

    text = render(page(panels=(Panel("night", "rrqr", 0, png()),)), link)
    nobody = f"http://127.0.0.1:{unused_port()}/x.png"
    assert asked(text) == set()
    assert asked(text.replace("</body>", f'<img src="{nobody}"></body>')) == set()  # its policy would not let it
    assert asked(unguarded(text).replace("</body>", f'<img src="{nobody}"></body>')) == {nobody}  # and we would see it


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_a_browser_draws_and_prints_it(tmp_path: Path) -> None:
    text = render(page(), link)
    drawn = {}
    for scheme in ("0", "1"):  # dark, light
        browse(text, tmp_path, "--window-size=1280,2000", f"--blink-settings=preferredColorScheme={scheme}",
               f"--screenshot={tmp_path / scheme}.png")
        drawn[scheme] = np.array(Image.open(tmp_path / f"{scheme}.png").convert("L")).astype(float)
    assert np.median(drawn["0"]) < 50 and np.median(drawn["1"]) > 240
    assert drawn["1"].std() > 5 and drawn["0"].std() > 5
    browse(text, tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}")
    pages = re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes())
    assert 2 <= len(pages) <= 8


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None or shutil.which("pdftotext") is None, reason="no chromium, or no pdftotext")
@pytest.mark.parametrize("columns", [12, 13, 20])
def test_a_wide_table_is_printed_whole(tmp_path: Path, columns: int) -> None:
    sheet = Sheet(name="wide", columns=tuple(Column(f"k{place}", f"adapter.main.lr_multiplier_{place}")
                                             for place in range(columns)),
                  rows=(SheetRow("a cell", tuple(Number(10 + place / 100, sd=5 + place / 100)
                                                 for place in range(columns))),))
    browse(render(page(tables=(("Wide", sheet),)), link), tmp_path, f"--print-to-pdf={tmp_path / 'wide.pdf'}")
    told = subprocess.run(["pdftotext", tmp_path / "wide.pdf", "-"], capture_output=True, text=True, check=True).stdout
    assert not [place for place in range(columns) if f"{10 + place / 100:.2f}" not in told
                or f"± {5 + place / 100:.2f}" not in told]
