"""Photometric distortion: against a per-pixel twin, torchvision, OpenCV's 8-bit HSV, and what is published of its odds."""

import colorsys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from recyclelora.data.distortion import Distortion, distort, draw_distortion
from tests import plain_torchvision

NOTHING = Distortion(brightness=None, contrast=None, contrast_first=False, saturation=None, hue=None)


def picture(size: int = 10) -> np.ndarray:
    """(size, size, 3) uint8: random colours, and the corners of the colour cube, greys and near-greys."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    cube = np.array(np.meshgrid([0, 255], [0, 255], [0, 255])).reshape(3, -1).T
    pixels[0, :8], pixels[1, :5] = cube, [[v] * 3 for v in (1, 60, 128, 200, 254)]
    pixels[2, :2] = (9, 9, 8), (90, 91, 90)
    return pixels


def cut_to_level(value: float) -> int:
    return int(min(max(value, 0.0), 255.0))


def per_pixel(pixels: np.ndarray, change: Callable[[list[int]], list[float]]) -> np.ndarray:
    changed = [[[cut_to_level(v) for v in change([int(c) for c in colour])] for colour in row] for row in pixels]
    return np.array(changed, dtype=np.uint8)


def through_hsv(hue: float = 0.0, saturation: float = 1.0) -> Callable[[list[int]], list[float]]:
    def change(colour: list[int]) -> list[float]:
        h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
        return [255 * c for c in colorsys.hsv_to_rgb((h + hue / 180) % 1.0, min(1.0, s * saturation), v)]

    return change


def literal_distort(pixels: np.ndarray, d: Distortion) -> np.ndarray:
    if d.brightness is not None:
        pixels = per_pixel(pixels, lambda colour: [c + d.brightness for c in colour])  # type: ignore[operator]
    if d.contrast is not None and d.contrast_first:
        pixels = per_pixel(pixels, lambda colour: [c * d.contrast for c in colour])  # type: ignore[operator]
    if d.saturation is not None:
        pixels = per_pixel(pixels, through_hsv(saturation=d.saturation))
    if d.hue is not None:
        pixels = per_pixel(pixels, through_hsv(hue=d.hue))
    if d.contrast is not None and not d.contrast_first:
        pixels = per_pixel(pixels, lambda colour: [c * d.contrast for c in colour])  # type: ignore[operator]
    return pixels


def difference(distortion: Distortion) -> int:
    pixels = picture()
    ours = distort(torch.from_numpy(pixels).permute(2, 0, 1), distortion).permute(1, 2, 0).numpy()
    return int(np.abs(ours.astype(int) - literal_distort(pixels, distortion).astype(int)).max())


@pytest.mark.parametrize("amount", [-32.0, -7.3, 0.4, 31.9])
def test_brightness_is_added(amount: float) -> None:
    assert difference(NOTHING._replace(brightness=amount)) == 0


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("factor", [0.5, 0.93, 1.499])
def test_contrast_is_a_factor(factor: float, first: bool) -> None:
    assert difference(NOTHING._replace(contrast=factor, contrast_first=first)) <= 1  # float32 against double, then cut


@pytest.mark.parametrize("factor", [0.5, 0.93, 1.07, 1.499])
def test_saturation_is_a_factor_in_hsv(factor: float) -> None:
    assert difference(NOTHING._replace(saturation=factor)) <= 1


@pytest.mark.parametrize("amount", [-18, -5, 0, 1, 17])
def test_hue_is_turned_in_hsv(amount: int) -> None:
    assert difference(NOTHING._replace(hue=amount)) <= 1


def test_chains_of_steps_agree() -> None:
    """A level lost before contrast (up to 1.5) and saturation becomes a few."""
    distortions = [draw_distortion(np.random.default_rng(seed)) for seed in range(60)]
    assert max(difference(distortion) for distortion in distortions) <= 4


def test_contrast_first_or_last_is_not_the_same() -> None:
    steps = NOTHING._replace(contrast=1.5, saturation=0.5, hue=10)
    image = torch.from_numpy(picture()).permute(2, 0, 1)
    assert not torch.equal(distort(image, steps), distort(image, steps._replace(contrast_first=True)))


def test_no_step_is_the_identity() -> None:
    image = torch.from_numpy(picture()).permute(2, 0, 1)
    assert torch.equal(distort(image, NOTHING), image)


# --- bitwise what torchvision gives


def every_colour(step: int = 1) -> Tensor:
    """(3, ..., ...) uint8: the colour cube in steps of so many levels, and its last levels."""
    levels = torch.tensor(sorted({*range(0, 256, step), 255}), dtype=torch.uint8)
    return torch.stack(torch.meshgrid(levels, levels, levels, indexing="ij")).reshape(3, len(levels), -1)


def same_as_torchvision(colours: Tensor, drawn: Distortion) -> bool:
    """Block by block, to stay small."""
    return all(torch.equal(distort(block, drawn), plain_torchvision.distort(block, drawn))
               for block in colours.split(16, dim=1))


@pytest.mark.parametrize("hue", range(-18, 18))
def test_a_turn_of_hue_is_torchvisions_bit_for_bit(hue: int) -> None:
    assert same_as_torchvision(every_colour(5), NOTHING._replace(hue=hue))


@pytest.mark.slow
@pytest.mark.parametrize("steps", [{"hue": -18}, {"hue": -7}, {"hue": 13}, {"hue": 17}, {"saturation": 0.61},
                                   {"saturation": 1.37}, {"brightness": -17.3}, {"contrast": 1.23}], ids=str)
def test_no_colour_of_all_differs_from_torchvisions(steps: dict[str, float]) -> None:
    assert same_as_torchvision(every_colour(), NOTHING._replace(**steps))  # type: ignore[arg-type]


def test_chains_are_those_of_torch_bit_for_bit_in_any_memory_layout() -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (33, 41, 3), dtype=np.uint8)).permute(2, 0, 1)
    for seed in range(300):
        drawn = draw_distortion(np.random.default_rng(seed))
        expected = plain_torchvision.distort(image, drawn)
        for layout in (image, image.contiguous(), image.flip(2).flip(2)):
            kept = layout.clone()
            assert torch.equal(distort(layout, drawn), expected)
            assert torch.equal(layout, kept), "the input must stay as it was"


# --- how far from OpenCV's 8-bit HSV, in which the released pipelines compute


def to_8_bit_hsv(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(3, ...) uint8 RGB -> H in 0 to 179, S and V in 0 to 255: the formula of OpenCV's manual, rounded at the end."""
    red, green, blue = pixels.astype(np.int64)
    value = np.maximum(np.maximum(red, green), blue)
    span = value - np.minimum(np.minimum(red, green), blue)
    with np.errstate(divide="ignore", invalid="ignore"):
        saturation = np.where(value > 0, np.rint(255 * span / value), 0).astype(np.int64)
        sixth = np.where(value == red, (green - blue) / span,
                         np.where(value == green, 2 + (blue - red) / span, 4 + (red - green) / span))
        hue = np.where(span > 0, np.rint(30 * sixth), 0).astype(np.int64)
    return hue % 180, saturation, value


def from_8_bit_hsv(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    sector, fraction, share = hue // 30, hue % 30 / 30, saturation / 255
    full, low = value.astype(float), value * (1 - share)
    falling, rising = value * (1 - share * fraction), value * (1 - share * (1 - fraction))
    planes = [np.choose(sector, choices) for choices in (
        (full, falling, low, low, rising, full), (rising, full, full, falling, low, low),
        (low, low, rising, full, full, falling))]
    return np.rint(np.stack(planes)).astype(np.uint8)


def through_8_bit_hsv(pixels: np.ndarray, drawn: Distortion) -> np.ndarray:
    """Saturation, then hue, each there and back by itself, as the released pipelines do."""
    if drawn.saturation is not None:
        hue, saturation, value = to_8_bit_hsv(pixels)
        pixels = from_8_bit_hsv(hue, np.clip(saturation * drawn.saturation, 0, 255).astype(np.int64), value)
    if drawn.hue is not None:
        hue, saturation, value = to_8_bit_hsv(pixels)
        pixels = from_8_bit_hsv((hue + drawn.hue) % 180, saturation, value)
    return pixels


def gap_to_8_bit(colours: Tensor, drawn: Distortion) -> tuple[int, float]:
    """The largest and the mean difference in grey levels."""
    gap = np.abs(distort(colours, drawn).numpy().astype(int) - through_8_bit_hsv(colours.numpy(), drawn))
    return int(gap.max()), float(gap.mean())


def test_8_bit_hsv_is_as_documented() -> None:
    """Against the standard library's conversion, colour by colour."""
    pixels = picture()
    hue, saturation, value = to_8_bit_hsv(pixels.transpose(2, 0, 1))
    for row, column in np.ndindex(10, 10):
        h, s, v = colorsys.rgb_to_hsv(*(int(c) / 255 for c in pixels[row, column]))
        assert abs(saturation[row, column] - 255 * s) <= 0.501 and value[row, column] == round(255 * v)
        assert min(abs(hue[row, column] - 180 * h), 180 - abs(hue[row, column] - 180 * h)) <= 0.501


HSV_STEPS = [({"hue": hue}, 5) for hue in (-18, -7, 0, 13, 17)] + [
    ({"saturation": factor}, 6) for factor in (0.5, 0.77, 1.2, 1.5)] + [
    ({"saturation": factor, "hue": hue}, 8) for factor, hue in ((0.5, -18), (1.2, -7), (1.5, 5), (1.5, 17))]


@pytest.mark.parametrize(("steps", "bound"), HSV_STEPS, ids=str)
def test_opencvs_rounding_moves_a_colour_by_a_few_levels(steps: dict[str, float], bound: int) -> None:
    """Half a step of H is 1/60 of a sector, up to 255 / 60 = 4.25 levels, and a cut adds one; S scaled by 1.5 can be 1.5
    levels off. On the average a channel is off by less than a level."""
    largest, mean = gap_to_8_bit(every_colour(5), NOTHING._replace(**steps))  # type: ignore[arg-type]
    assert largest <= bound and mean < 0.8


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "bound"), HSV_STEPS[::6], ids=str)
def test_opencvs_rounding_moves_no_colour_of_all_by_more(steps: dict[str, float], bound: int) -> None:
    drawn = NOTHING._replace(**steps)  # type: ignore[arg-type]
    gaps = [gap_to_8_bit(block, drawn) for block in every_colour().split(16, dim=1)]
    assert max(largest for largest, _ in gaps) <= bound and np.mean([mean for _, mean in gaps]) < 0.8


# --- odds


def test_steps_are_drawn_as_published() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_distortion(rng) for _ in range(4000)]
    ranges = {"brightness": (-32, 32), "contrast": (0.5, 1.5), "saturation": (0.5, 1.5), "hue": (-18, 17)}
    for name, (low, high) in ranges.items():
        values = [getattr(distortion, name) for distortion in drawn if getattr(distortion, name) is not None]
        assert abs(len(values) - 2000) < 130  # four standard deviations
        assert low <= min(values) and max(values) <= high
        assert max(values) - min(values) > 0.98 * (high - low)
        assert abs(np.mean(values) - (low + high) / 2) < 0.04 * (high - low)
    assert {d.hue for d in drawn if d.hue is not None} == set(range(-18, 18))
    assert abs(sum(distortion.contrast_first for distortion in drawn) - 2000) < 130
    both = sum(d.contrast is not None and d.brightness is not None for d in drawn)
    assert abs(both - 1000) < 110  # steps are independent
