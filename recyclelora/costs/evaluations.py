"""How much of a trial is evaluation: the windows that go through the model whenever it is scored. Needs no data."""

from collections.abc import Sequence
from itertools import chain, islice, repeat
from typing import NamedTuple

from recyclelora import scenes
from recyclelora.config import Config
from recyclelora.data.datasets import DOMAINS
from recyclelora.data.evaluation_sizes import size_of
from recyclelora.data.labels import Size
from recyclelora.data.sets import BY_DOMAIN
from recyclelora.training.evaluation import num_windows
from recyclelora.trials.scores import PANEL, inference_of, moments, scored_during


class Scored(NamedTuple):
    """Images of one domain that are scored, and the windows of each image; None where it is not known. `at_most`: the
    images vary in size, and each is counted as if it filled the size that it is fitted inside."""

    domain: str
    images: int | None
    windows: int | None
    at_most: bool


class Evaluations(NamedTuple):
    """Windows of a whole trial: of all evaluations during training together, and of the last one, with the panels.
    Domains in `at_most` may have fewer; domains in `unknown` are not counted."""

    during: int
    final: int
    at_most: tuple[str, ...]
    unknown: tuple[str, ...]


def count_windows(config: Config, domain: str, images: int | None, joined: str = "") -> Scored:
    """Windows of a number of images of a domain, under the protocol of a config. `joined`: the name that the domain is
    scored under, where it is one of several sources. Raises InputError for a domain without a size in the protocol."""
    fitted, native = size_of(config.evaluation.size, joined or domain), native_size(domain)
    upright = None if fitted is None else (fitted[1], fitted[0])
    sizes = [native] if native else [size for size in (fitted, upright) if size]
    counts = (windows_of(config, size, fitted) for size in sizes)
    return Scored(domain, images, max(counts, default=None), native is None and fitted is not None)


def windows_of(config: Config, native: Size, fitted: Size | None) -> int:
    """Windows of an image of one size that is fitted inside another."""
    return num_windows(native, inference_of(config, None)._replace(size=fitted))


def native_size(domain: str) -> Size | None:
    """(height, width) of the images of a domain as published; None where they vary, and for a declared set."""
    if domain in BY_DOMAIN:
        return BY_DOMAIN[domain].size
    return scenes.SIZE if domain in DOMAINS else None


def count(config: Config, source: Sequence[Scored], targets: Sequence[Scored]) -> Evaluations:
    """Windows of all evaluations of a trial. The val splits of several sources are scored as one domain."""
    every = [*source, *targets]
    final = [_windows(source), *(_windows([target]) for target in targets)]
    panels = sum(sum(islice(each, PANEL)) for each in final)
    whole = [sum(each) for each in final]
    return Evaluations(
        moments(config) * sum(scored_during(config, whole)), sum(whole) + panels,
        tuple(each.domain for each in every if each.at_most and each.images is not None),
        tuple(each.domain for each in every if each.windows is None or each.images is None))


def _windows(parts: Sequence[Scored]) -> list[int]:
    """Of each image, in their order."""
    return list(chain.from_iterable(repeat(part.windows or 0, part.images or 0) for part in parts))
