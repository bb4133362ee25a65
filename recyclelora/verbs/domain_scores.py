"""Scores of a saved model on any data set, by the protocol of its training: the body of `evaluate`."""

import argparse
import json
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table

from recyclelora.data.datasets import DOMAINS, DomainData, count_of, find_set, open_domain
from recyclelora.data.labels import Common, common_space
from recyclelora.trials.device import choose_device
from recyclelora.trials.label_mapping import describe, scoring_of
from recyclelora.trials.paths import Paths
from recyclelora.trials.protocol import counting, view
from recyclelora.trials.stated import known_settings, trained_on
from recyclelora.verbs.console import CONSOLE, paths_of, watched
from recyclelora.verbs.model_folders import find_model
from recyclelora.verbs.progress import fingerprint_of


class Scored(NamedTuple):
    """Scores of one domain, as fractions. `iou` has the classes that are counted."""

    data: DomainData
    common: Common
    miou: float
    chance: float
    iou: dict[str, float]


def evaluate(given: argparse.Namespace) -> int:
    paths = paths_of(given)
    model = find_model(given, paths)
    opened = [_open(domain, given, paths) for domain in dict.fromkeys(given.domains)]
    commons = [common_space(model.space, data.space) for data in opened]  # so that all are checked before any is scored
    metrics: dict[str, float] = {}
    scored = []
    for data, common in zip(opened, commons, strict=True):
        found = _score(model, data, common)
        metrics |= found
        iou = {cls: found[key] for cls in common.scored
               if (key := f"iou/{data.domain}/{cls.replace(' ', '_')}") in found}
        scored.append(Scored(data, common, found[f"miou/{data.domain}"], found[f"chance/{data.domain}"], iou))
    said = f"{view(model.config)}; {counting(model.config)}"
    scoring = scoring_of(model.space, {data.domain: data.space for data in opened})
    if given.json:
        domains = {each.data.domain: {"split": each.data.split, "images": len(each.data),
                                      "official": each.data.official, "miou": each.miou,
                                      "chance": each.chance, "label_space": each.common.space.name, "iou": each.iou,
                                      "data_fingerprint": fingerprint_of(each.data, paths)} for each in scored}
        source = known_settings(model.config, model.stated).get("data.source")
        print(json.dumps({"model": model.fingerprint, "source": source, "protocol": said, "domains": domains,
                          "label_mapping": scoring.maps, "metrics": metrics}, indent=1))
        return 0
    _print(scored)
    if given.classes:
        _print_classes(scored)
    by_space: dict[str, list[str]] = {}
    for domain, space in scoring.spaces.items():
        by_space.setdefault(space, []).append(domain)
    CONSOLE.print(f"Model {model.fingerprint}, {trained_on(model.config, model.stated)}, in {model.space.name}.\n"
                  f"Protocol: {said}.\nLabel space: {describe(by_space, scoring.maps)}.", highlight=False)
    return 0


def _open(domain: str, given: argparse.Namespace, paths: Paths) -> DomainData:
    known = find_set(domain, paths.data_root)
    splits = tuple(known.domains[domain]) if known else DOMAINS[domain]
    split = given.split or ("test" if "test" in splits else "val" if "val" in splits else splits[-1])
    return open_domain(domain, split, root=paths.data_root, cache=paths.cache, limit=given.images)


def _score(model: Any, data: DomainData, common: Common) -> dict[str, float]:
    from recyclelora.trials.scores import evaluate_domain

    device = choose_device()
    return evaluate_domain(model.segmentor.to(device), model.config, data, common, device, data.domain,
                           lambda results: watched(results, len(data), data.domain))


def _print(scored: list[Scored]) -> None:
    table = Table("domain", "split", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("images", "mIoU %", "chance %", "classes"):
        table.add_column(column, justify="right")
    for each in scored:
        table.add_row(each.data.domain, each.data.split, count_of(len(each.data), each.data.official),
                      f"{100 * each.miou:.2f}", f"{100 * each.chance:.2f}",
                      f"{len(each.iou)} of {len(each.common.scored)}")
    CONSOLE.print(table)


def _print_classes(scored: list[Scored]) -> None:
    """One table per label space; a class that a domain's labels do not hold has no number there."""
    for space in dict.fromkeys(each.common.space for each in scored):
        inside = [each for each in scored if each.common.space == space]
        table = Table("IoU %", title=space.name, box=SIMPLE_HEAD, pad_edge=False)
        for each in inside:
            table.add_column(each.data.domain, justify="right")
        for cls in inside[0].common.scored:
            table.add_row(cls, *(f"{100 * each.iou[cls]:.2f}" if cls in each.iou else "" for each in inside))
        CONSOLE.print(table)
