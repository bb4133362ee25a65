import colorsys
import pickle
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from recyclelora.data.transforms import (
    Distortion,
    augment,
    cut,
    distort,
    draw_crop,
    draw_distortion,
    fit_shortest_edge,
    is_mixed,
    normalise,
    shortest_edges,
)
from recyclelora.errors import InputError

NOTHING = Distortion(brightness=None, contrast=None, contrast_first=False, saturation=None, hue=None)
PUBLISHED_EDGES = [256, 307, 358, 409, 460, 512, 563, 614, 665, 716, 768, 819, 870, 921, 972, 1024]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Images this small gain nothing from a second thread, and wait for it when the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def street(height: int = 60, width: int = 80, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An image and a label of blocks of 10 pixels, where the image is a function of the label."""
    rng = np.random.default_rng(seed)
    label = np.kron(rng.integers(0, 5, (height // 10, width // 10)), np.ones((10, 10))).astype(np.uint8)
    return np.stack([40 + 40 * label] * 3, axis=-1).astype(np.uint8), label


# --- size


def test_edges_are_those_published_for_512() -> None:
    assert shortest_edges(512, (0.5, 2.0)) == PUBLISHED_EDGES


def test_edges_follow_the_scales() -> None:
    assert shortest_edges(112, (0.8, 1.1)) == [89, 100, 112, 123]
    assert shortest_edges(112, (1.0, 1.0)) == [112]


@pytest.mark.parametrize("scales", [(0.55, 2.0), (0.5, 1.99), (2.0, 0.5), (0.0, 1.0), (-0.5, 1.0)])
def test_scales_that_would_be_rounded_or_empty_are_refused(scales: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="multiples of 0.1"):
        shortest_edges(512, scales)


@pytest.mark.parametrize("size", [(1052, 1914), (760, 1280), (1024, 2048), (360, 480), (480, 360), (300, 2000)])
def test_resizing_keeps_the_aspect_and_caps_the_long_edge(size: tuple[int, int]) -> None:
    for edge in PUBLISHED_EDGES:
        height, width = fit_shortest_edge(size, edge, 512)
        assert min(height, width) == edge or max(height, width) == 2048
        assert max(height, width) <= 2048
        assert abs(height * size[1] - width * size[0]) <= 0.5 * sum(size) + 1  # each edge rounded by up to half a pixel


def test_the_edge_is_drawn_uniformly() -> None:
    """The pixel period of a ramp tells which of the 4 scales was drawn."""
    ramp = np.tile((np.arange(200) * 4 % 256).astype(np.uint8), (200, 1))
    image, label = np.stack([ramp] * 3, axis=-1), (ramp // 64).astype(np.uint8)
    counts: dict[int, int] = {}
    for seed in range(400):
        _, labels = augment(image, label, crop=(40, 160), scales=(1.0, 4.0), rng=np.random.default_rng(seed))
        width = int((labels[0] != 255).sum())  # the resized width, where it is below the crop's
        counts[width] = counts.get(width, 0) + 1
    assert sorted(counts) == [*range(40, 160, 4), 160]
    assert max(counts.values()) < 35 and min(counts.values()) > 2  # 400 draws over 31 edges: 13 expected


# --- crop


def literal_is_mixed(label: np.ndarray) -> bool:
    pixels = [int(train_id) for train_id in label.flatten() if train_id != 255]
    return len(set(pixels)) > 1 and max(pixels.count(c) for c in set(pixels)) / len(pixels) < 0.75


def test_a_crop_is_mixed_when_no_class_has_three_quarters() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        shares = rng.dirichlet([0.4, 0.4, 0.4])
        label = rng.choice([3, 7, 255], size=(5, 6), p=shares).astype(np.uint8)
        assert is_mixed(torch.from_numpy(label)) == literal_is_mixed(label)
        seen.add(literal_is_mixed(label))
    assert seen == {True, False}
    exactly = torch.tensor([[1, 1, 1, 0], [255, 255, 255, 255]], dtype=torch.uint8)
    assert not is_mixed(exactly) and not is_mixed(torch.full((4, 4), 255, dtype=torch.uint8))


@pytest.mark.parametrize(("kinds", "expected"), [(1, 11), (4, 1)])
def test_a_crop_of_one_class_is_redrawn_ten_times_and_then_kept(kinds: int, expected: int) -> None:
    label = (torch.arange(30 * 40, dtype=torch.int64) % kinds).to(torch.uint8).reshape(30, 40)
    rng, twin = np.random.default_rng(7), np.random.default_rng(7)
    corner = draw_crop(label, (20, 20), rng)
    corners = [(int(twin.integers(11)), int(twin.integers(21))) for _ in range(expected)]
    assert corner == corners[-1] and rng.random() == twin.random()  # as many numbers were drawn


def test_redrawn_crops_are_mixed_where_they_can_be() -> None:
    """The left four fifths are one class: most single draws are unmixed, hardly any of eleven in a row."""
    label = torch.zeros(20, 200, dtype=torch.uint8)
    label[:, 160:] = torch.arange(20, dtype=torch.uint8)[:, None] % 4
    corners = [draw_crop(label, (20, 20), np.random.default_rng(seed)) for seed in range(300)]
    unmixed = np.mean([not is_mixed(label[:, left : left + 20]) for _, left in corners])
    single = np.mean([not is_mixed(label[:, left : left + 20]) for left in range(181)])
    assert single > 0.7 and abs(unmixed - single**11) < 0.08


def test_every_position_of_a_crop_is_drawn() -> None:
    label = torch.arange(12, dtype=torch.uint8).reshape(3, 4)
    corners = {draw_crop(label, (2, 2), np.random.default_rng(seed)) for seed in range(200)}
    assert corners == {(top, left) for top in range(2) for left in range(3)}


def test_what_a_crop_lacks_is_filled_right_and_below() -> None:
    image, label = torch.full((3, 4, 5), 9, dtype=torch.uint8), torch.full((1, 4, 5), 2, dtype=torch.uint8)
    for tensor, fill in ((image, 0), (label, 255)):
        filled = cut(tensor, 1, 0, (6, 7), fill)
        assert filled.shape == (tensor.shape[0], 6, 7)
        assert (filled[:, :3, :5] == tensor[:, 1:]).all()
        assert (filled[:, 3:] == fill).all() and (filled[:, :, 5:] == fill).all()


# --- the whole


def test_image_and_label_stay_together() -> None:
    """Colours apart, the image is a function of the label: within the blocks it must still be one."""
    image, label = street()
    flipped = 0
    for seed in range(60):
        pixels, labels = augment(image, label, crop=(40, 56), scales=(0.5, 2.0), rng=np.random.default_rng(seed))
        assert pixels.shape == (3, 40, 56) and labels.shape == (40, 56)
        assert pixels.dtype == labels.dtype == torch.uint8
        inner = np.ones((40, 56), dtype=bool)  # pixels whose neighbours have the same id: no bilinear mixture
        for shift in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)):
            inner &= np.roll(labels.numpy(), shift, (0, 1)) == labels.numpy()
        inner[[0, -1]] = inner[:, [0, -1]] = False
        for train_id in np.unique(labels[inner]):
            values = pixels[:, torch.from_numpy(inner) & (labels == train_id)]
            assert len(torch.unique(values, dim=1).T) == 1, (seed, train_id)
        flipped += bool((labels[:, 0] == 255).all())
    assert flipped  # padding is on the right, and on the left after a flip


def test_labels_are_resized_at_the_centres_of_the_image() -> None:
    """Shrunk to a third, every new pixel lies on the middle one of 3x3 old ones: no mixture, and no shift of labels."""
    label = np.random.default_rng(0).integers(0, 5, (60, 60), dtype=np.uint8)
    image = np.stack([40 * label] * 3, axis=-1)
    middle, undistorted = torch.from_numpy(label[1::3, 1::3].copy()), 0
    for seed in range(64):
        pixels, labels = augment(image, label, crop=(20, 20), scales=(1.0, 1.0), rng=np.random.default_rng(seed))
        expected = middle if torch.equal(labels, middle) else middle.flip(1)
        assert torch.equal(labels, expected)
        undistorted += torch.equal(pixels[0], 40 * expected)
    assert undistorted  # one in eight images of grey pixels is left alone by brightness and contrast


def test_half_of_the_images_are_flipped() -> None:
    image, label = street(40, 40)
    label[:, :20], label[:, 20:] = 1, 2
    left = [
        int(augment(image, label, crop=(40, 40), scales=(1.0, 1.0), rng=np.random.default_rng(seed))[1][0, 0])
        for seed in range(400)
    ]
    assert set(left) == {1, 2} and abs(left.count(2) - 200) < 60  # three standard deviations


def test_the_same_generator_gives_the_same_and_the_global_ones_are_left_alone() -> None:
    image, label = street()
    before, copies = (pickle.dumps(np.random.get_state()), torch.get_rng_state()), (image.copy(), label.copy())
    draws = [
        augment(image, label, crop=(40, 40), scales=(0.5, 2.0), rng=np.random.default_rng(seed)) for seed in (5, 5, 6)
    ]
    assert all(torch.equal(a, b) for a, b in zip(draws[0], draws[1], strict=True))
    assert not torch.equal(draws[0][0], draws[2][0])
    assert pickle.dumps(np.random.get_state()) == before[0] and torch.equal(torch.get_rng_state(), before[1])
    assert np.array_equal(image, copies[0]) and np.array_equal(label, copies[1])


# --- colours, against per-pixel twins


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


def in_8_bit_hsv(pixels: np.ndarray, hue: int, saturation: float) -> np.ndarray:
    """Saturation and hue with H in 180 and S in 255 whole steps, as the published pipelines' OpenCV has them."""
    changed = []
    for colour in pixels.reshape(-1, 3):
        h, s, v = colorsys.rgb_to_hsv(*(int(c) / 255 for c in colour))
        level_h, level_s = round(h * 180) % 180, cut_to_level(round(s * 255) * saturation)
        rgb = colorsys.hsv_to_rgb((level_h + hue) % 180 / 180, level_s / 255, v)
        changed.append([round(255 * c) for c in rgb])
    return np.array(changed).reshape(pixels.shape)


def test_the_published_8_bit_hsv_is_met_within_its_own_rounding() -> None:
    """Half a hue step is 1/120 of the hexagon's edge of 255 grey levels: 2 levels, and S and the cuts add 1 each."""
    pixels = picture(24)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        steps = NOTHING._replace(hue=int(rng.integers(-18, 18)), saturation=rng.uniform(0.5, 1.5))
        ours = distort(torch.from_numpy(pixels).permute(2, 0, 1), steps).permute(1, 2, 0).numpy().astype(int)
        gap = np.abs(ours - in_8_bit_hsv(pixels, steps.hue or 0, steps.saturation or 1.0))
        assert gap.max() <= 8 and gap.mean() < 1.5


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


def test_normalising_is_that_of_the_published_numbers() -> None:
    image = torch.from_numpy(picture()).permute(2, 0, 1)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = (picture() - np.array([123.675, 116.28, 103.53])) / np.array([58.395, 57.12, 57.375])
    for batch in (image, torch.stack([image, image])):
        got = normalise(batch, mean, std)
        assert got.dtype == torch.float32 and got.shape == batch.shape
        assert np.allclose(got.reshape(-1, 3, 10, 10)[0].permute(1, 2, 0), expected, atol=1e-5)
