"""The bootstrap over images: against slow loops with the metric of the evaluation, and on test sets drawn again."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from recyclelora.tables.bootstrap import Interval, _draw, _miou, bootstrap_images
from recyclelora.training.metrics import Absent, miou
from tests.calls import count_calls
from tests.simulate_statistics import cover_images, draw_images

Floats = np.ndarray


def runs(seeds: int, images: int = 12, classes: int = 4, draw: int = 0) -> list[Floats]:
    """Confusion matrices of several runs on the same images. Classes are often absent, from images and from draws."""
    generator = np.random.default_rng(draw)
    labelled = generator.integers(1, 60, (images, classes)) * (generator.random((images, classes)) < 0.2)
    return [np.array([[generator.multinomial(pixels, generator.dirichlet(np.full(classes, 0.6))) for pixels in image]
                      for image in labelled], dtype=np.int32) for _ in range(seeds)]


def slow(a: list[Floats], b: list[Floats], counts: Floats, absent: Absent = "skip") -> list[float]:
    """The mean difference of each draw, image by image, with the metric of the evaluation."""
    found = []
    for often in counts.astype(int):
        differences = []
        for one, other in zip(a, b, strict=True):
            scores = []
            for run in (one, other):
                total = torch.zeros(run.shape[1:], dtype=torch.int64)
                for image, count in zip(run, often, strict=True):
                    for _ in range(count):
                        total += torch.from_numpy(image)
                scores.append(miou(total, absent))
            differences.append(scores[0] - scores[1])
        found.append(sum(differences) / len(differences))
    return found


@pytest.mark.parametrize("absent", ["skip", "zero"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_the_interval_is_that_of_slow_loops(seeds: int, absent: Absent) -> None:
    a, b = np.split(np.array(runs(2 * seeds)), 2)
    differences = [each for each in slow(list(a), list(b), _draw(12, 60, 5), absent) if not math.isnan(each)]
    reach = math.sqrt(12 / 11) * stats.t.ppf(0.975, 11)
    low, high = np.quantile(differences, [stats.norm.cdf(-reach), stats.norm.cdf(reach)])
    ours = bootstrap_images(list(a), list(b), draws=60, seed=5, absent=absent)
    assert ours == pytest.approx((low, high), abs=1e-12) and ours.low < ours.high
    if seeds == 1:
        assert bootstrap_images(a[0], b[0], draws=60, seed=5, absent=absent) == ours, "a run need not be wrapped"


def test_a_class_counts_where_the_drawn_images_hold_it() -> None:
    run, counts = runs(1)[0], _draw(12, 300, 1)
    totals = [np.tensordot(often, run, 1) for often in counts]
    held = {int((total.sum(1) > 0).sum()) for total in totals}
    assert held >= {3, 4}, "the draws are to differ in the classes that they hold"
    for absent in ("skip", "zero"):
        expected = [miou(torch.from_numpy(total), absent) for total in totals]  # type: ignore[arg-type]
        assert _miou(counts, run, absent) == pytest.approx(expected, abs=1e-12)  # type: ignore[arg-type]
        wide = np.concatenate([run, np.ones((12, 4, 1), run.dtype)], axis=2)  # predictions that no label can have
        totals_wide = [np.tensordot(often, wide, 1) for often in counts]
        expected = [miou(torch.from_numpy(total), absent) for total in totals_wide]  # type: ignore[arg-type]
        assert _miou(counts, wide, absent) == pytest.approx(expected, abs=1e-12)  # type: ignore[arg-type]
    assert (_miou(counts, run) > _miou(counts, run, "zero")).any()


def test_draws_are_of_as_many_images_each_as_likely() -> None:
    counts = _draw(20, 4000, 0)
    assert counts.shape == (4000, 20) and set(counts.sum(1)) == {20.0}
    assert counts.mean(0) == pytest.approx(np.ones(20), abs=0.08)
    assert counts.var() == pytest.approx(1 - 1 / 20, abs=0.02), "with replacement: binomial(20, 1 / 20)"


def test_the_same_seed_gives_the_same_bits_and_others_nearly_the_same() -> None:
    a, b = draw_images(40)
    first = bootstrap_images(a, b)
    assert bootstrap_images(a.copy(), b.copy()) == first == bootstrap_images([a], [b])
    other = bootstrap_images(a, b, seed=1)
    assert other != first and other == pytest.approx(first, abs=0.1 * (first.high - first.low))


def test_the_other_way_round_is_the_mirror_image() -> None:
    a, b = runs(2, images=30)
    one, other = bootstrap_images(a, b), bootstrap_images(b, a)
    assert one == pytest.approx((-other.high, -other.low), abs=1e-12)


def test_a_run_does_not_differ_from_itself() -> None:
    run = runs(1)[0]
    assert bootstrap_images(run, run) == (0, 0)


def test_both_are_drawn_the_same_images() -> None:
    """Where a test set is hard for both alike, the difference is known much better than either mIoU."""
    a, b = draw_images(60)
    alone = bootstrap_images(a, np.broadcast_to(a.sum(0), a.shape))  # against a constant
    paired = bootstrap_images(a, b)
    assert paired.high - paired.low < 0.6 * (alone.high - alone.low)


def test_runs_share_the_draws_and_are_averaged() -> None:
    """So that more seeds do not make the test set larger: its noise stays, unlike that of seeds."""
    a, b = draw_images(60)
    assert bootstrap_images([a] * 5, [b] * 5) == pytest.approx(bootstrap_images(a, b), abs=1e-12)


def test_larger_numbers_and_renamed_classes_change_nothing() -> None:
    a, b = runs(2, images=25)
    order = np.random.default_rng(0).permutation(4)
    there = bootstrap_images(a[:, order][:, :, order], b[:, order][:, :, order])
    assert there == pytest.approx(bootstrap_images(a, b), abs=1e-12)
    assert bootstrap_images(7 * a, 7 * b) == pytest.approx(bootstrap_images(a, b), abs=1e-12)


def test_counts_of_few_bits_do_not_overflow() -> None:
    a, b = (np.minimum(run, 255) for run in runs(2, images=25))
    wide = bootstrap_images(a.astype(np.int64), b.astype(np.int64))
    assert bootstrap_images(a.astype(np.uint8), b.astype(np.uint8)) == wide


def test_what_says_nothing_of_other_images() -> None:
    one = runs(2, images=1)
    unlabelled = np.zeros((9, 4, 4), int)
    for interval in (bootstrap_images(*one), bootstrap_images(unlabelled, unlabelled)):
        assert isinstance(interval, Interval) and all(map(math.isnan, interval))
    labelled = unlabelled.copy()
    labelled[0] += np.eye(4, dtype=int)  # a third of the draws holds nothing and is left out
    assert bootstrap_images(labelled, labelled) == (0, 0)


@pytest.mark.parametrize("wrong", ["images", "classes", "runs", "none", "shape"])
def test_other_images_are_refused(wrong: str) -> None:
    a, b = runs(2), runs(2, draw=1)
    if wrong == "images":
        b[1] = b[1][:-1]
    elif wrong == "classes":
        b = [run[:, :3, :3] for run in b]
    elif wrong == "runs":
        del b[1]
    elif wrong == "none":
        a, b = [], []
    else:
        a, b = np.array(a), np.array(b)  # all runs in one array
    with pytest.raises(ValueError, match="as many runs on either side"):
        bootstrap_images(a, b)


def test_five_seeds_of_cityscapes_size_take_no_time() -> None:
    """No loop over images in Python, nor over the pixels of one."""
    def work(images: int, draws: int) -> int:
        a = list(np.random.default_rng(0).integers(0, 500, (5, images, 19, 19)))
        return count_calls(lambda: bootstrap_images(a, a[::-1], draws))

    work(10, 100)  # what is imported and set up once
    assert work(100, 2000) - work(10, 2000) < 10
    assert work(10, 2000) < 10 * 2000


@pytest.mark.slow
@pytest.mark.parametrize(("images", "low", "high"), [(10, 0.94, 0.99), (30, 0.92, 0.98), (100, 0.92, 0.98)])
def test_the_interval_holds_what_all_images_would_say(images: int, low: float, high: float) -> None:
    assert low < cover_images(images, 600).coverage < high  # 600 sets: standard error below 1 %
