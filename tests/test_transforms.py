"""Training augmentation: sizes against MMCV's and MMSegmentation's arithmetic, the crop against a literal twin, and the
whole bitwise against plain torchvision."""

import math
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from recyclelora.data.datasets import open_domain
from recyclelora.data.transforms import (
    Recipe,
    Size,
    augment,
    check_recipe,
    corners,
    cut,
    draw_crop,
    draw_size,
    fill,
    fit_base,
    fit_shortest_edge,
    is_mixed,
    normalise,
    resize_label,
    shortest_edges,
)
from recyclelora.errors import InputError
from tests import plain_torchvision

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


def test_at_1024_they_are_those_of_citys_to_acdc() -> None:
    """SoMA and Rein: int(1024 * x * 0.1) for x from 5 to 20, in floating point."""
    assert shortest_edges(1024, (0.5, 2.0)) == [int(1024 * x * 0.1) for x in range(5, 21)]


@pytest.mark.parametrize("size", [(1052, 1914), (760, 1280), (1024, 2048), (360, 480), (480, 360), (300, 2000)])
def test_resizing_keeps_the_aspect_and_caps_the_long_edge(size: tuple[int, int]) -> None:
    for edge in PUBLISHED_EDGES:
        height, width = fit_shortest_edge(size, edge, 512)
        assert min(height, width) == edge or max(height, width) == 2048
        assert max(height, width) <= 2048
        assert abs(height * size[1] - width * size[0]) <= 0.5 * sum(size) + 1  # each edge rounded by up to half a pixel


SIZES = [(1052, 1914), (1046, 1914), (760, 1280), (1024, 2048), (720, 1280), (1080, 1920), (360, 480), (2448, 3264),
         (3024, 4032), (227, 320), (4160, 3120)]


def in_mmcv(size: Size, scale: tuple[int, int]) -> Size:
    """imrescale's arithmetic: the scale is (long edge, short edge), whichever comes first."""
    height, width = size
    factor = min(max(scale) / max(height, width), min(scale) / min(height, width))
    return int(height * factor + 0.5), int(width * factor + 0.5)


def shortest_edge_in_mmseg(size: Size, edge: int, cap: int) -> Size:
    """ResizeShortestEdge: a size is worked out, rounded, and then handed to imrescale as a scale."""
    height, width = (float(side * (edge / min(size))) for side in size)
    if max(height, width) > cap:
        height, width = (side * (cap / max(height, width)) for side in (height, width))
    return in_mmcv(size, (int(width + 0.5), int(height + 0.5)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop", [512, 1024])
def test_the_shortest_edge_is_met_as_in_mmsegmentation(size: Size, crop: int) -> None:
    for edge in shortest_edges(crop, (0.5, 2.0)):
        assert fit_shortest_edge(size, edge, crop) == shortest_edge_in_mmseg(size, edge, 4 * crop)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("base", [(1024, 2048), (2048, 1024), (640, 640), None])
def test_a_ratio_is_met_as_in_mmcv(size: Size, base: Size | None) -> None:
    """RandomResize with keep_ratio: the ratio is uniform, the scaled base cut to whole pixels, the image fitted in."""
    for seed in range(50):
        got = draw_size(size, Recipe((512, 512), (0.5, 2.0), "ratio", base), np.random.default_rng(seed))
        ratio = np.random.default_rng(seed).random() * (2.0 - 0.5) + 0.5
        long, short = (int(edge * ratio) for edge in (base or size))
        assert got == in_mmcv(size, (long, short))


def test_ratios_are_continuous_and_uniform() -> None:
    """1000 draws: the empirical distribution is within 0.06 of the uniform one (Kolmogorov-Smirnov: 1 in 600)."""
    rng, recipe = np.random.default_rng(0), Recipe((512, 512), (0.5, 2.0), "ratio", (100_000, 100_000))
    drawn = np.sort([draw_size((1000, 1000), recipe, rng)[0] / 100_000 for _ in range(1000)])
    assert len(set(drawn)) > 980 and 0.5 <= drawn[0] and drawn[-1] <= 2.0
    assert np.abs((drawn - 0.5) / 1.5 - np.arange(1, 1001) / 1000).max() < 0.06
    assert draw_size((30, 40), Recipe((8, 8), (1.5, 1.5), "ratio"), rng) == (45, 60)


def test_edges_are_drawn_with_equal_odds() -> None:
    rng, recipe = np.random.default_rng(0), Recipe((512, 512))
    drawn = [draw_size((1052, 1914), recipe, rng)[0] for _ in range(3200)]
    counts = [drawn.count(edge) for edge in PUBLISHED_EDGES]
    assert sum(counts) == 3200 and all(abs(count - 200) < 4.5 * 13.7 for count in counts)  # standard deviations


def test_a_base_of_any_ratio_holds_the_image() -> None:
    for size in SIZES:
        height, width = fit_base(size, (1024, 2048), 1.0)
        assert max(height, width) <= 2048 and min(height, width) <= 1024
        assert max(height, width) == 2048 or min(height, width) == 1024
    assert fit_base((3, 4), (1, 1), 0.1) == (1, 1), "never empty"


@pytest.mark.parametrize("recipe", [
    Recipe((512, 512), (0.55, 2.0)), Recipe((512, 512), (2.0, 0.5)), Recipe((512, 512), (2.0, 0.5), "ratio"),
    Recipe((512, 512), (0.0, 0.5), "ratio"), Recipe((512, 512), (float("nan"), 0.5), "ratio")])
def test_scales_that_are_not_possible_are_refused(recipe: Recipe) -> None:
    with pytest.raises(InputError, match="the smaller one first"):
        check_recipe(recipe)


def test_a_ratio_need_be_no_tenth() -> None:
    check_recipe(Recipe((512, 512), (0.55, 1.999), "ratio"))


def test_the_edge_is_drawn_uniformly() -> None:
    """The pixel period of a ramp tells which of the 4 scales was drawn."""
    ramp = np.tile((np.arange(200) * 4 % 256).astype(np.uint8), (200, 1))
    image, label = np.stack([ramp] * 3, axis=-1), (ramp // 64).astype(np.uint8)
    counts: dict[int, int] = {}
    for seed in range(400):
        _, labels = augment(image, label, Recipe((40, 160), (1.0, 4.0)), np.random.default_rng(seed))
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


def literal_crop(label: np.ndarray, crop: Size, rng: np.random.Generator) -> tuple[int, int]:
    """Pixel by pixel: eleven corners at most, the first whose largest class has less than 75 %."""
    for attempt in range(11):
        top = int(rng.integers(0, max(label.shape[0] - crop[0], 0) + 1))
        left = int(rng.integers(0, max(label.shape[1] - crop[1], 0) + 1))
        counts: dict[int, int] = {}
        for row in range(top, min(top + crop[0], label.shape[0])):
            for column in range(left, min(left + crop[1], label.shape[1])):
                counts[int(label[row, column])] = counts.get(int(label[row, column]), 0) + 1
        counts.pop(255, None)
        if attempt == 10 or (len(counts) > 1 and max(counts.values()) / sum(counts.values()) < 0.75):
            break
    return top, left


def test_the_crop_is_that_of_the_literal_twin() -> None:
    redrawn = 0
    for seed in range(300):
        shape = np.random.default_rng([seed, 1]).integers(4, 16, 2)
        label = np.random.default_rng([seed, 2]).choice([1, 2, 3, 255], size=shape, p=[0.74, 0.1, 0.06, 0.1])
        rng, twin, first = (np.random.default_rng(seed) for _ in range(3))
        corner = draw_crop(torch.from_numpy(label.astype(np.uint8)), (8, 8), rng)
        assert corner == literal_crop(label, (8, 8), twin) and rng.random() == twin.random()
        redrawn += corner != (first.integers(max(shape[0] - 8, 0) + 1), first.integers(max(shape[1] - 8, 0) + 1))
    assert redrawn > 50


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


def test_corners_are_drawn_with_equal_odds() -> None:
    label = torch.arange(12, dtype=torch.uint8).reshape(3, 4)
    rng = np.random.default_rng(0)
    drawn = [draw_crop(label, (2, 2), rng) for _ in range(3000)]
    assert all(abs(drawn.count((top, left)) - 500) < 4.5 * 20.4 for top in range(2) for left in range(3))


def test_what_a_crop_lacks_is_filled_right_and_below() -> None:
    image, label = torch.full((3, 4, 5), 9, dtype=torch.uint8), torch.full((1, 4, 5), 2, dtype=torch.uint8)
    for tensor, value in ((image, 0), (label, 255)):
        part = cut(tensor, 1, 0, (6, 7))
        assert torch.equal(part, tensor[:, 1:])
        filled = fill(part, (6, 7), value)
        assert filled.shape == (tensor.shape[0], 6, 7)
        assert (filled[:, :3, :5] == tensor[:, 1:]).all()
        assert (filled[:, 3:] == value).all() and (filled[:, :, 5:] == value).all()


# --- the whole


def test_image_and_label_stay_together() -> None:
    """Colours apart, the image is a function of the label: within the blocks it must still be one."""
    image, label = street()
    flipped = 0
    for seed in range(60):
        pixels, labels = augment(image, label, Recipe((40, 56), (0.5, 2.0)), np.random.default_rng(seed))
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
        pixels, labels = augment(image, label, Recipe((20, 20), (1.0, 1.0)), np.random.default_rng(seed))
        expected = middle if torch.equal(labels, middle) else middle.flip(1)
        assert torch.equal(labels, expected)
        undistorted += torch.equal(pixels[0], 40 * expected)
    assert undistorted  # one in eight images of grey pixels is left alone by brightness and contrast


def pixel_of_cv2(place: int, old: int, new: int) -> int:
    """Where cv2's INTER_NEAREST looks for one pixel of a row, written out as it computes: in double precision, by the
    inverse of the factor. Checked against cv2 4.14 and 5.0 for 3,112 pairs of sizes, of 8 and 16 bits, both axes."""
    factor = float(new) / float(old)
    inverse = 1.0 / factor
    found = math.floor(place * inverse)
    return found if found < old else old - 1


@pytest.mark.parametrize("old", [1, 7, 360, 480, 720, 1052, 1914])
def test_labels_are_resized_as_cv2_does_where_that_is_asked_for(old: int) -> None:
    rng = np.random.default_rng(old)
    for new in {1, 2, old, 2 * old, 3 * old, 49, 98, *rng.integers(1, 2100, 40).tolist()}:
        assert corners(old, new).tolist() == [pixel_of_cv2(place, old, new) for place in range(new)]
    labels = torch.from_numpy(rng.integers(0, 19, (1, old, 12), dtype=np.uint8))
    resized = resize_label(labels, (49, 5), "cv2")
    assert resized.shape == (1, 49, 5) and resized.dtype == torch.uint8 and resized.is_contiguous()
    for row in range(49):
        for column in range(5):
            assert resized[0, row, column] == labels[0, pixel_of_cv2(row, old, 49), pixel_of_cv2(column, 12, 5)]


def test_the_scale_of_cv2_is_not_the_ratio_of_the_sizes() -> None:
    """The same in exact arithmetic; in doubles a pixel of 49 lies on either side of a border."""
    ratio = [min(math.floor(place * (old / new)), old - 1) for old, new in ((98, 49),) for place in range(new)]
    assert corners(98, 49).tolist() == ratio
    apart = [(old, new) for old in range(1, 80) for new in range(1, 80)
             if corners(old, new).tolist() != [min(math.floor(i * (old / new)), old - 1) for i in range(new)]]
    assert apart and all(abs(int(a) - b) <= 1 for old, new in apart
                         for i, a in enumerate(corners(old, new)) for b in [min(math.floor(i * (old / new)), old - 1)])


def test_the_rule_for_labels_is_a_live_knob_that_leaves_the_image_alone() -> None:
    image, label = street(61, 83)
    label = np.random.default_rng(0).integers(0, 5, label.shape, dtype=np.uint8)  # any crop of it is mixed
    nearest, cv2 = (augment(image, label, Recipe((200, 200), (0.7, 0.7), label_resize=how), np.random.default_rng(3))
                    for how in ("nearest", "cv2"))
    assert torch.equal(nearest[0], cv2[0]) and not torch.equal(nearest[1], cv2[1])


def test_half_of_the_images_are_flipped() -> None:
    image, label = street(40, 40)
    label[:, :20], label[:, 20:] = 1, 2
    left = [
        int(augment(image, label, Recipe((40, 40), (1.0, 1.0)), np.random.default_rng(seed))[1][0, 0])
        for seed in range(400)
    ]
    assert set(left) == {1, 2} and abs(left.count(2) - 200) < 60  # three standard deviations


def test_the_same_generator_gives_the_same_and_the_global_ones_are_left_alone() -> None:
    image, label = street()
    before, copies = (pickle.dumps(np.random.get_state()), torch.get_rng_state()), (image.copy(), label.copy())
    draws = [
        augment(image, label, Recipe((40, 40), (0.5, 2.0)), np.random.default_rng(seed)) for seed in (5, 5, 6)
    ]
    assert all(torch.equal(a, b) for a, b in zip(draws[0], draws[1], strict=True))
    assert not torch.equal(draws[0][0], draws[2][0])
    assert pickle.dumps(np.random.get_state()) == before[0] and torch.equal(torch.get_rng_state(), before[1])
    assert np.array_equal(image, copies[0]) and np.array_equal(label, copies[1])


@pytest.mark.parametrize("crop", [(40, 56), (112, 80), (16, 16)])
def test_the_whole_is_plain_torchvision_bit_for_bit(crop: Size) -> None:
    for seed in range(60):
        rng = np.random.default_rng([seed, 1])
        image = rng.integers(0, 256, (61, 83, 3), dtype=np.uint8)
        label = np.kron(rng.integers(0, 3, (16, 21)), np.ones((4, 4)))[:61, :83].astype(np.uint8)
        label[:9] = 255
        pixels, labels = augment(image, label, Recipe(crop), np.random.default_rng(seed))
        *_, (_, expected, expected_labels) = plain_torchvision.steps(image, label, crop, np.random.default_rng(seed))
        assert torch.equal(pixels, expected) and torch.equal(labels, expected_labels[0])
        assert pixels.is_contiguous()


def test_so_it_is_on_real_images(camvid_root: Path) -> None:
    data = open_domain("camvid", "train", root=camvid_root, cache=Path("unused"), limit=12)
    for seed, sample in enumerate(data):
        pixels, labels = augment(sample.image, sample.label, Recipe((256, 256)), np.random.default_rng(seed))
        *_, last = plain_torchvision.steps(sample.image, sample.label, (256, 256), np.random.default_rng(seed))
        assert torch.equal(pixels, last[1]) and torch.equal(labels, last[2][0])


def test_with_the_mean_as_padding_nothing_is_padded_yet() -> None:
    """What the image has of the crop is what black padding leaves of it, flip and colours included."""
    image, label = street()
    smaller = 0
    for seed in range(80):
        recipe = Recipe((56, 72))
        black = augment(image, label, recipe, np.random.default_rng(seed))
        mean = augment(image, label, recipe._replace(pad="mean"), np.random.default_rng(seed))
        height, width = mean[1].shape
        flipped = not torch.equal(black[1][:height, :width], mean[1])
        columns = slice(72 - width, 72) if flipped else slice(0, width)
        assert torch.equal(black[1][:height, columns], mean[1])
        assert torch.equal(black[0][:, :height, columns], mean[0])
        smaller += (height, width) != (56, 72)
    assert 10 < smaller < 80


def test_black_padding_is_distorted_with_the_image() -> None:
    """The released single-source pipeline pads before the distortion: brightness lifts the padding."""
    image, label = street(20, 20)
    levels = {int(augment(image, label, Recipe((64, 64), (0.5, 0.5)), np.random.default_rng(seed))[0][0, -1, 0])
              for seed in range(60)}
    assert 0 in levels and max(levels) > 10


# --- normalisation


def test_normalising_is_that_of_the_published_numbers() -> None:
    image = torch.from_numpy(street()[0]).permute(2, 0, 1)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = (street()[0] - np.array([123.675, 116.28, 103.53])) / np.array([58.395, 57.12, 57.375])
    for batch in (image, torch.stack([image, image])):
        got = normalise(batch, mean, std)
        assert got.dtype == torch.float32 and got.shape == batch.shape
        assert np.allclose(got.reshape(-1, 3, 60, 80)[0].permute(1, 2, 0), expected, atol=1e-5)
