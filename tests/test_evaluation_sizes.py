"""The sizes of the published protocols: what each image becomes, and how many windows it makes."""

from typing import get_args, get_type_hints

import pytest

from recyclelora import config
from recyclelora.data.evaluation_sizes import size_of
from recyclelora.data.sets.dataset import PROTOCOLS
from recyclelora.errors import InputError
from recyclelora.training.evaluation import fit_inside, windows

NATIVE = {"cityscapes": (1024, 2048), "bdd100k": (720, 1280), "mapillary": (1224, 1632), "acdc": (1080, 1920),
          "gtav": (1052, 1914)}  # Mapillary: half of 3264x2448, a common size there


@pytest.mark.parametrize(("protocol", "domain", "seen", "count"), [
    ("full", "cityscapes", (1024, 2048), 18), ("full", "bdd100k", (720, 1280), 8),
    ("full", "mapillary", (1024, 1365), 12), ("full", "acdc", (540, 960), 6),
    ("half", "cityscapes", (512, 1024), 3), ("half", "bdd100k", (720, 1280), 8), ("half", "mapillary", (512, 683), 2),
    ("full", "gtav", (1052, 1914), 18),
])
def test_sizes_and_windows_of_512(protocol: str, domain: str, seen: tuple[int, int], count: int) -> None:
    fitted = fit_inside(NATIVE[domain], size_of(protocol, domain))
    assert fitted == seen and len(windows(fitted, (512, 512), (341, 341))) == count


@pytest.mark.parametrize(("domain", "seen", "count"), [
    ("cityscapes", (1024, 2048), 3), ("bdd100k", (1024, 1820), 3), ("mapillary", (1024, 1365), 2),
    ("acdc", (1080, 1920), 6)])
def test_sizes_and_windows_of_1024(domain: str, seen: tuple[int, int], count: int) -> None:
    fitted = fit_inside(NATIVE[domain], size_of("full-1024", domain))
    assert fitted == seen and len(windows(fitted, (1024, 1024), (683, 683))) == count


def test_one_size_is_for_every_domain() -> None:
    assert size_of((84, 112), "anything") == (84, 112) and size_of(None, "anything") is None


def test_an_unknown_domain_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="evaluation.size: half has no size for camvid-day, only for gtav, synthia, .*cityscapes, ") as caught:
        size_of("half", "camvid-day")
    assert "give one size for all domains, such as [720, 1280], or null" in str(caught.value)
    assert caught.value.key == "evaluation.size"


def test_the_settings_offer_every_protocol_and_no_other() -> None:
    hints = get_type_hints(config.Evaluation)["size"]
    offered = {name for part in get_args(hints) for name in get_args(part) if isinstance(name, str)}
    assert offered == set(PROTOCOLS)
