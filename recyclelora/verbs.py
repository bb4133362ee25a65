"""What each verb of the command line does: read, call the rooms, print. Each returns its exit code."""

import argparse
import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PillowImage
from rich.console import Console
from rich.table import Table

from recyclelora.config import Config, flatten
from recyclelora.data.datasets import DOMAINS, DomainData, open_domain
from recyclelora.data.labels import colourise, common_space
from recyclelora.data.sheet import Row, draw_sheet
from recyclelora.documents import read
from recyclelora.errors import InputError
from recyclelora.models.backbones import BACKBONES
from recyclelora.models.weights import resolve_weights
from recyclelora.settings import Settings, from_document, parse_overrides
from recyclelora.sweeps.build import Places, check
from recyclelora.sweeps.space import Space
from recyclelora.sweeps.spacefile import read_space
from recyclelora.tables import tables as tabulate

CONSOLE = Console(soft_wrap=True)


def places_of(given: argparse.Namespace) -> Places:
    """Absolute places, command line before environment before default."""
    results = given.results.resolve()
    cache = given.environment["RECYCLELORA_CACHE"]
    root = given.data_root or given.environment["DATA_ROOT"]
    return Places(results, Path(cache).resolve() if cache else results / "cache",
                  Path(root).resolve() if root else None)


def sweep(given: argparse.Namespace) -> int:
    from recyclelora.sweeps import driver
    from recyclelora.sweeps.tracking import Tracker

    places = places_of(given)
    space = read_space(given.space, parse_overrides(given.overrides))
    if given.dry_run:
        return _print_plan(space, places)
    tracker = Tracker.open(places.results, uri=given.environment["MLFLOW_TRACKING_URI"])
    counts = driver.run_sweep(space, places, tracker, CONSOLE, address=given.environment["RAY_ADDRESS"],
                              retries=given.retries)
    _write_tables(tracker, [space.sweep_name], places)
    CONSOLE.print(f"\nruns and figures: make ui, or recyclelora ui --results {given.results}", highlight=False)
    if counts.failed or counts.left:
        again = "" if space.method == "tpe" else "; the same command tries them again"
        CONSOLE.print(f"{counts.failed} of {counts.total} trials failed{again}", style="red", highlight=False)
    return 1 if counts.failed or counts.left else 0


def _print_plan(space: Space, places: Places) -> int:
    from recyclelora.sweeps import driver

    jobs = driver.plan(space, places)
    for job in jobs:
        CONSOLE.print(f"{job.fingerprint}  {job.cell}, seed {job.tags['seed']}", highlight=False)
    if space.method == "tpe":
        CONSOLE.print(f"a search: {space.run_cap} trials proposed by TPE over {len(space.parameters)} knobs")
    cells = len({job.cell for job in jobs})
    CONSOLE.print(f"{len(jobs)} trials: {cells} cells x {len(space.seeds)} seeds. Nothing was run.", highlight=False)
    return 0


def train(given: argparse.Namespace) -> int:
    from recyclelora.sweeps import driver
    from recyclelora.sweeps.board import Board, Display
    from recyclelora.sweeps.tracking import Tracker
    from recyclelora.sweeps.trial import run

    places = places_of(given)
    settings = from_document(read(given.config)).override(parse_overrides(given.overrides), "command line")
    config = _checked(settings, places)
    if given.dry_run:
        return _print_config(config, settings, as_json=False)
    job = driver.job_of(config, places, cell=given.config.stem, knobs={}, sweep_name="")
    del job.tags["sweep"]
    tracker = Tracker.open(places.results, uri=given.environment["MLFLOW_TRACKING_URI"])
    board = Board(given.config.stem, "miou/source", 1)
    with (driver.alone_in(places.results), driver.closing_runs(tracker),
          Display(board, CONSOLE, pause=10) as display):
        keeper = driver.Bookkeeper(tracker, None, places, board, display)
        keeper.started(job)
        record = run(config, places, lambda progress: keeper.progressed(job, progress))
        keeper.ended(job, record)
    if record.outcome == "failed":
        CONSOLE.print(f"failed: {record.reason}", style="red", highlight=False)
        return 1
    _print_scores(record.metrics)
    CONSOLE.print(f"model: {places.trial(record.fingerprint)}", highlight=False)
    return 0


def _checked(settings: Settings, places: Places) -> Config:
    config = settings.resolve()
    try:
        check(config, places)
    except InputError as error:
        raise (settings.locate(error) if error.key else error) from None
    return config


def _print_scores(metrics: Mapping[str, float]) -> None:
    table = Table("domain", "mIoU %", "chance %")
    for name, value in metrics.items():
        if name.startswith("miou/") and name != "miou/target_mean":
            domain = name.removeprefix("miou/")
            table.add_row(domain, f"{100 * value:.2f}", f"{100 * metrics[f'chance/{domain}']:.2f}")
    if "miou/target_mean" in metrics:
        table.add_row("mean of targets", f"{100 * metrics['miou/target_mean']:.2f}", "")
    CONSOLE.print(table)


def _find_model(given: argparse.Namespace, places: Places) -> Any:
    from recyclelora.sweeps.artifacts import load_model

    folder = given.model if given.model.is_dir() else places.trial(str(given.model))
    if not folder.is_dir():
        raise InputError(f"{given.model}: neither a folder nor the fingerprint of a trial in {places.results}")
    return load_model(folder, places.cache)


def evaluate(given: argparse.Namespace) -> int:
    from recyclelora.sweeps.scores import evaluate_domain

    places = places_of(given)
    model = _find_model(given, places)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    metrics: dict[str, float] = {}
    for domain in given.domains:
        data = open_domain(domain, given.split, root=places.data_root, cache=places.cache, limit=given.images)
        common = common_space(model.space, data.space)
        metrics |= evaluate_domain(model.segmentor.to(device), model.config, data, common, device, domain)
    if given.json:
        print(json.dumps({"model": model.fingerprint, "split": given.split, "metrics": metrics}, indent=1))
    else:
        _print_scores(metrics)
    return 0


def predict(given: argparse.Namespace) -> int:
    from recyclelora.sweeps.scores import predict_image

    places = places_of(given)
    model = _find_model(given, places)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out = given.out or places.results / "predictions"
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); choose another with --out") from None
    for path in given.images:
        image = _read_image(path)
        label = predict_image(model.segmentor.to(device), model.config, image, device)
        PillowImage.fromarray(label).save(out / f"{path.stem}_label.png")
        overlay = (0.5 * image + 0.5 * colourise(label, model.space)).astype(np.uint8)
        PillowImage.fromarray(overlay).save(out / f"{path.stem}_overlay.png")
        CONSOLE.print(out / f"{path.stem}_overlay.png", highlight=False)
    return 0


def _read_image(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    try:
        with PillowImage.open(path) as image:
            return np.array(image.convert("RGB"))  # a copy: torch wants what it may write to
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path}: not a readable image ({error})") from None


def status(given: argparse.Namespace) -> int:
    tracker = _open_existing(given)
    rows = []
    for name in given.sweeps or [sweep.name for sweep in tracker.sweeps()]:
        planned, records = tracker.plan(name), tracker.records(name)
        outcomes = [record.outcome for record in records]
        total = max(len(planned), len(records))
        rows.append({"sweep": name, "trials": total, "finished": outcomes.count("finished"),
                     "pruned": outcomes.count("pruned"), "failed": outcomes.count("failed"),
                     "left": total - len(records) if planned else None})  # a search has no plan to subtract from
    if given.json:
        print(json.dumps(rows, indent=1))
        return 0
    table = Table(*(rows[0] if rows else ["no sweep yet"]))
    for row in rows:
        table.add_row(*("–" if value is None else str(value) for value in row.values()))
    CONSOLE.print(table)
    return 0


def tables(given: argparse.Namespace) -> int:
    tracker = _open_existing(given)
    _write_tables(tracker, given.sweeps or [sweep.name for sweep in tracker.sweeps()], places_of(given))
    return 0


def _open_existing(given: argparse.Namespace) -> Any:
    from recyclelora.sweeps.tracking import Tracker

    places, uri = places_of(given), given.environment["MLFLOW_TRACKING_URI"]
    if uri is None and not (places.results / "mlflow.db").exists():
        raise InputError(f"{places.results}: holds no runs yet; run a sweep first, or name another folder (--results)")
    return Tracker.open(places.results, uri=uri)


def _write_tables(tracker: Any, names: Iterable[str], places: Places) -> None:
    for name in names:
        table = tabulate.build(tracker.sweep(name), tracker.plan(name), tracker.records(name))
        CONSOLE.print(tabulate.terminal(table))
        for path in tabulate.write(table, places.results / "tables", name):
            CONSOLE.print(f"  {path}", highlight=False)


def show(given: argparse.Namespace) -> int:
    document = read(given.file)
    places = places_of(given)
    if "parameters" in document.data or "method" in document.data:
        return _print_space(read_space(given.file, parse_overrides(given.overrides)), places, as_json=given.json)
    settings = from_document(document).override(parse_overrides(given.overrides), "command line")
    return _print_config(settings.resolve(), settings, as_json=given.json)


def _print_config(config: Config, settings: Settings, *, as_json: bool) -> int:
    flat = flatten(config)
    if as_json:
        print(json.dumps({"config": flat, "origins": settings.origins}, indent=1))
        return 0
    table = Table("setting", "value", "from")
    for key, value in flat.items():
        table.add_row(key, json.dumps(value), settings.origins.get(key, "default"))
    CONSOLE.print(table)
    return 0


def _print_space(space: Space, places: Places, *, as_json: bool) -> int:
    from recyclelora.sweeps.space import expand

    trials = [] if space.method == "tpe" else list(expand(space))
    if as_json:
        print(json.dumps([{"cell": trial.cell, "knobs": trial.knobs, "config": flatten(trial.config)}
                          for trial in trials], indent=1))
        return 0
    CONSOLE.print(f"{space.name}: {space.claim}", highlight=False)
    for trial in trials:
        CONSOLE.print(f"  {trial.cell}, seed {trial.config.seed}", highlight=False)
    return _print_config(space.resolve({}, space.seeds[0]), space.settings, as_json=False)


def weights(given: argparse.Namespace) -> int:
    if given.backbone not in BACKBONES:
        raise InputError(f"{given.backbone}: unknown backbone; known: {', '.join(BACKBONES)}")
    found = resolve_weights(given.backbone, file=given.file, cache=places_of(given).cache,
                            say=lambda text: CONSOLE.print(text, highlight=False))
    CONSOLE.print(f"{found.path}\nsha256 {found.sha256}\nfrom {found.source}", highlight=False)
    return 0


def data(given: argparse.Namespace) -> int:
    places = places_of(given)
    if given.domain is None:
        for name, splits in DOMAINS.items():
            CONSOLE.print(f"{name}: {', '.join(splits)}", highlight=False)
        return 0
    opened = open_domain(given.domain, given.split, root=places.data_root, cache=places.cache, limit=given.images)
    if given.sheet:
        rows = [Row(opened[i].name, opened[i].image, opened[i].label) for i in range(min(8, len(opened)))]
        draw_sheet(rows, opened.space).save(given.sheet)
        CONSOLE.print(given.sheet, highlight=False)
        return 0
    return _print_histogram(opened)


def _print_histogram(opened: DomainData) -> int:
    """Reads every sample, so that whatever is wrong with one is said; prints how often each class occurs."""
    counts = np.zeros(256, np.int64)
    images = np.zeros(256, np.int64)
    for index in range(len(opened)):
        found = np.bincount(opened[index].label.ravel(), minlength=256)
        counts += found
        images += found > 0
    title = f"{opened.domain}, {opened.split}: {len(opened)} images, all readable"
    table = Table("class", "pixels %", "images", title=title)
    for train_id, name in [*enumerate(opened.space.classes), (255, "ignored")]:
        table.add_row(name, f"{100 * counts[train_id] / counts.sum():.2f}", str(images[train_id]))
    CONSOLE.print(table)
    return 0


def ui(given: argparse.Namespace) -> int:
    command = _open_existing(given).ui_command(port=given.port)
    CONSOLE.print(f"http://127.0.0.1:{given.port} (Ctrl-C ends it)", highlight=False)
    return subprocess.run(command, cwd=places_of(given).results).returncode


