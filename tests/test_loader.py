import gc
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from recyclelora import scenes
from recyclelora.data.datasets import DomainData, LabelledImages, open_domain
from recyclelora.data.labels import CAMVID11, CITYSCAPES19, LabelSpace
from recyclelora.data.loader import Batch, batches, concat, draws
from recyclelora.data.transforms import Recipe, augment, normalise
from recyclelora.errors import InputError
from recyclelora.writing import UNFINISHED

SMALL = Recipe((32, 40))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Blocks:
    """Reads sample i of a made-up domain: blocks of classes, and the number of the sample in the colours."""

    def __init__(self, first: int = 0) -> None:
        self.first = first

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(self.first + index)
        label = np.kron(rng.integers(0, 8, (5, 6)), np.ones((8, 8))).astype(np.uint8)
        return np.stack([label * 20, label * 10, np.full_like(label, self.first + index)], axis=-1), label


class Broken(Blocks):
    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index == 3:
            raise InputError("cannot read image /data/3.png: image file is truncated")
        return super().__call__(index)


class Killed(Blocks):
    """Its worker process is killed, as by the kernel when memory runs out."""

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index == 3 and multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(index)


class Faulty(Blocks):
    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        raise ZeroDivisionError("a mistake of ours")


def domain(length: int = 7, read: Blocks | None = None, name: str = "toy", space: LabelSpace = CAMVID11) -> DomainData:
    names = tuple(f"{name}{index}" for index in range(length))
    return DomainData(name, "train", space, names, read or Blocks(), lambda: map(str, range(length)))


def make(data: LabelledImages, start: int = 0, stop: int = 6, workers: int = 0, seed: int = 0,
         recipe: Recipe = SMALL) -> Iterator[Batch]:
    return batches(data, recipe, batch_size=3, seed=seed, start=start, stop=stop, workers=workers, mean=MEAN, std=STD)


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a, b) for pair in zip(first, second, strict=True) for a, b in zip(*pair, strict=True)
    )


def childless() -> bool:
    """Whether the workers have ended, or do so before long: torch waits for each of them five seconds."""
    deadline = time.monotonic() + 120
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not multiprocessing.active_children()


@pytest.fixture(autouse=True)
def _no_workers_of_another_test() -> None:
    gc.collect()  # an error keeps frames, frames keep iterators, iterators keep workers
    assert childless()


def test_batches_have_the_shapes_and_types_that_training_takes() -> None:
    images, labels = next(make(domain()))
    assert images.shape == (3, 3, 32, 40) and images.dtype == torch.float32
    assert labels.shape == (3, 32, 40) and labels.dtype == torch.int64
    assert set(labels.flatten().tolist()) <= {*range(8), 255}


def test_a_batch_is_the_literal_recipe() -> None:
    """Epoch order from (seed, epoch), augmentation from (seed, iteration, position): nothing else enters."""
    data = domain()
    for iteration, (images, labels) in enumerate(make(data, seed=9)):
        for position in range(3):
            epoch, place = divmod(3 * iteration + position, 7)
            order = np.random.default_rng(np.random.SeedSequence(9, spawn_key=(0, epoch))).permutation(7)
            rng = np.random.default_rng(np.random.SeedSequence(9, spawn_key=(1, iteration, position)))
            sample = data[int(order[place])]
            image, label = augment(sample.image, sample.label, SMALL, rng)
            assert torch.equal(images[position], normalise(image, MEAN, STD))
            assert torch.equal(labels[position], label.long())


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("start", [0, 1, 4])
def test_any_start_and_any_number_of_workers_give_the_same_batches(start: int, workers: int) -> None:
    whole = list(make(domain()))
    assert same(list(make(domain(), start=start, workers=workers)), whole[start:])


def test_seeds_and_iterations_differ() -> None:
    data = domain(length=1)  # one sample: only the augmentation can differ
    first, second = list(make(data, seed=0)), list(make(data, seed=1))
    images: list[Tensor] = [image for batch in first + second for image in batch[0]]
    assert len({image.numpy().tobytes() for image in images}) == len(images)


def test_every_epoch_is_a_new_order_of_all_samples() -> None:
    indices = [draw.sample for batch in draws(50, 4, seed=0, start=0, stop=50) for draw in batch]
    epochs = [indices[start : start + 50] for start in range(0, 200, 50)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_no_stream_of_one_seed_is_that_of_another() -> None:
    orders = {
        tuple(draw.sample for batch in draws(20, 20, seed, start, start + 1) for draw in batch)
        for seed in range(5)
        for start in range(5)
    }
    assert len(orders) == 25


@pytest.mark.parametrize("workers", [0, 2])
def test_the_global_generators_are_left_alone(workers: int) -> None:
    """Training draws from them too: a different number of workers must not change what it draws."""
    torch_state, numpy_state = torch.get_rng_state(), pickle.dumps(np.random.get_state())
    list(make(domain(), workers=workers))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert pickle.dumps(np.random.get_state()) == numpy_state


def test_workers_end_when_the_iterator_is_closed_or_exhausted() -> None:
    made = make(domain(), stop=1000, workers=2)
    list(islice(made, 2))
    assert len(multiprocessing.active_children()) == 2
    made.close()  # type: ignore[attr-defined]
    assert childless()
    list(make(domain(), workers=2))
    assert childless()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sample_that_cannot_be_read_is_one_line_from_workers_too(workers: int) -> None:
    with pytest.raises(InputError) as caught:
        list(make(domain(read=Broken()), workers=workers))
    assert str(caught.value) == "cannot read image /data/3.png: image file is truncated"
    assert childless()  # although the traceback still holds the frame


def test_going_on_with_workers_repeats_what_was_interrupted() -> None:
    """Whatever the number of workers before and after, and in both kinds of padding."""
    for recipe in (SMALL, Recipe((32, 40), (0.5, 2.0), "ratio", (64, 64), "mean")):
        whole = list(make(domain(), recipe=recipe))
        interrupted = make(domain(), workers=2, recipe=recipe)
        before = list(islice(interrupted, 3))
        interrupted.close()  # type: ignore[attr-defined]
        for workers in (0, 1):
            assert same(before + list(make(domain(), start=3, workers=workers, recipe=recipe)), whole)


def test_a_worker_that_dies_is_an_error_and_no_silence() -> None:
    with pytest.raises(RuntimeError, match="data loader process died .DataLoader worker .*resources.workers"):
        list(make(domain(read=Killed()), workers=2))
    assert childless()


def test_no_process_starts_before_the_first_batch_is_asked_for() -> None:
    made = make(domain(), workers=2)
    assert multiprocessing.active_children() == []
    made.close()  # type: ignore[attr-defined]


class Wordless(Blocks):
    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        raise RuntimeError


def test_an_error_without_a_word_is_passed_on() -> None:
    with pytest.raises(RuntimeError, match="^$"):
        list(make(domain(read=Wordless())))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mistake_of_ours_keeps_its_type_and_traceback(workers: int) -> None:
    with pytest.raises(ZeroDivisionError, match="a mistake of ours"):
        list(make(domain(read=Faulty()), workers=workers))


def test_batches_arrive_on_the_device() -> None:
    """Normalised there: the meta device has no memory, so nothing of it can have happened elsewhere."""
    images, labels = next(batches(domain(), SMALL, batch_size=2, seed=0, stop=1, mean=MEAN, std=STD,
                                  device=torch.device("meta")))
    assert images.device.type == labels.device.type == "meta"
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64) and images.shape == (2, 3, 32, 40)


# --- padding with the mean


def test_the_mean_as_padding_is_nought_right_and_below_after_normalising() -> None:
    """Crop, flip, distort, normalise, pad: in this order, by the literal recipe."""
    data, recipe = domain(), Recipe((32, 56), (0.5, 1.0), pad="mean")
    padded = 0
    for iteration, (images, labels) in enumerate(make(data, recipe=recipe, seed=4)):
        for position, draw in enumerate(next(draws(7, 3, 4, iteration, iteration + 1))):
            rng = np.random.default_rng(np.random.SeedSequence(4, spawn_key=(1, iteration, position)))
            sample = data[draw.sample]
            image, label = augment(sample.image, sample.label, recipe, rng)
            height, width = label.shape
            expected, expected_label = torch.zeros(3, 32, 56), torch.full((32, 56), 255)
            expected[:, :height, :width] = normalise(image, MEAN, STD)
            expected_label[:height, :width] = label
            assert torch.equal(images[position], expected) and torch.equal(labels[position], expected_label)
            padded += (height, width) != (32, 56)
    assert padded > 10


def test_black_and_mean_agree_where_nothing_is_padded() -> None:
    recipes = [Recipe((16, 16), (1.0, 2.0), pad=pad) for pad in ("black", "mean")]  # type: ignore[arg-type]
    assert same(*(list(make(domain(), recipe=recipe)) for recipe in recipes))


def test_scales_are_checked_before_the_first_batch() -> None:
    with pytest.raises(InputError, match="scales 0.55 to 2.0"):
        batches(domain(), Recipe((8, 8), (0.55, 2.0)), batch_size=1, seed=0, stop=1, mean=MEAN, std=STD)


def test_crop_and_scales_change_the_batches() -> None:
    def first(crop: tuple[int, int], scales: tuple[float, float]) -> Tensor:
        made = batches(domain(), Recipe(crop, scales), batch_size=4, seed=0, stop=1, mean=MEAN, std=STD)
        return next(made)[0]

    assert first((16, 24), (0.5, 2.0)).shape[2:] == (16, 24)
    kinds = [first((16, 24), scales) for scales in ((0.5, 2.0), (0.5, 1.0), (1.0, 2.0))]
    assert not torch.equal(kinds[0], kinds[1]) and not torch.equal(kinds[0], kinds[2])


# --- several sources


def test_a_concatenation_is_its_parts_one_after_the_other() -> None:
    parts = [domain(2, Blocks(10), "a"), domain(5, Blocks(20), "b"), domain(1, Blocks(30), "c")]
    both = concat(parts)
    expected = [sample for part in parts for sample in part]
    assert len(both) == 8 and both.space == CAMVID11
    for index in (*range(8), -1, -8):
        assert (both[index].domain, both[index].name) == (expected[index].domain, expected[index].name)
        assert np.array_equal(both[index].image, expected[index].image)
    with pytest.raises(IndexError):
        both[8]


def test_a_concatenation_may_count_as_one_domain() -> None:
    pooled = concat([domain(2, Blocks(10), "a"), domain(1, Blocks(20), "b")], "a+b")
    assert [(sample.domain, sample.name) for sample in pooled] == [("a+b", "a0"), ("a+b", "a1"), ("a+b", "b0")]
    assert pooled.fingerprint() == concat(pooled.parts).fingerprint() and pooled[-1].domain == "a+b"


def test_sources_are_drawn_by_their_size() -> None:
    parts = [domain(2, Blocks(10), "a"), domain(6, Blocks(20), "b")]
    both = concat(parts)
    drawn = [both[draw.sample].domain for batch in draws(len(both), 4, seed=0, start=0, stop=4) for draw in batch]
    assert drawn.count("a") == 4 and drawn.count("b") == 12
    assert same(list(make(both, workers=2)), list(make(both)))


def test_over_a_long_time_sources_are_drawn_by_their_size() -> None:
    """G + S + U of the paper, 12403, 9400 and 7539 images: the shares over 4 epochs are exact, and those of any 1000
    batches of 4 within 4.5 standard deviations."""
    sizes = (12403, 9400, 7539)
    total, ends = sum(sizes), np.cumsum(sizes)
    samples = np.array([draw.sample for batch in draws(total, 4, seed=0, start=0, stop=total) for draw in batch])
    source = np.searchsorted(ends, samples, side="right")
    assert np.bincount(source).tolist() == [4 * size for size in sizes]
    for first in range(0, 4 * total - 4000, 4000):
        for count, size in zip(np.bincount(source[first : first + 4000], minlength=3), sizes, strict=True):
            share = size / total
            assert abs(count - 4000 * share) < 4.5 * (4000 * share * (1 - share)) ** 0.5


def test_the_fingerprint_of_a_concatenation_follows_its_parts() -> None:
    one, two = domain(2, name="a"), domain(3, name="b")
    assert len({concat(parts).fingerprint() for parts in ([one], [two], [one, two], [two, one])}) == 4


def test_sources_of_different_label_spaces_are_refused() -> None:
    with pytest.raises(InputError, match=r"toy \(camvid11\) and other \(cityscapes19\)"):
        concat([domain(), domain(), domain(name="other", space=CITYSCAPES19)])
    with pytest.raises(InputError, match="no source domain"):
        concat([])


# --- real data


def test_workers_may_fill_a_cold_scene_cache_together(tmp_path: Path) -> None:
    name = f"scenes-{next(iter(scenes.DOMAINS))}"
    made = [
        list(make(open_domain(name, "train", root=None, cache=tmp_path / cache, limit=2), stop=3, workers=workers))
        for cache, workers in (("a", 2), ("b", 0), ("a", 0))
    ]
    assert same(made[0], made[1]) and same(made[0], made[2])
    assert not list(tmp_path.rglob(f"{UNFINISHED}*")) and len(list((tmp_path / "a").rglob("*.png"))) == 4


def test_camvid_trains(camvid_root: Path) -> None:
    data = open_domain("camvid-day", "train", root=camvid_root, cache=Path("unused"), limit=5)
    images, labels = next(batches(data, Recipe((112, 112)), batch_size=4, seed=0, stop=1, mean=MEAN, std=STD))
    assert images.shape == (4, 3, 112, 112) and 2 < len(set(labels.flatten().tolist())) <= 12
    assert abs(float(images.mean())) < 2 and 0.3 < float(images.std()) < 3
