import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recyclelora.adapters.lora import adapter_parameters
from recyclelora.data.datasets import Sample
from recyclelora.data.labels import CAMVID11, CITYSCAPES19, Common, Grouping, LabelSpace, common_space
from recyclelora.training import evaluation
from recyclelora.training.evaluation import (
    ImageResult,
    Inference,
    fit_inside,
    sliding_scores,
    summarise,
    windows,
)
from recyclelora.training.loop import train
from recyclelora.training.optim import Schedule, build_optimiser
from tests.tiny import groups_of, tiny_batches, tiny_segmentor

CPU = torch.device("cpu")
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255,) * 3}  # pixel values reach the model as they are
FIVE = LabelSpace("five", ("a", "b", "c", "d", "e"), ((0, 0, 0),) * 5)
KEEP = np.arange(256, dtype=np.uint8)


def evaluate(segmentor: Any, data: Any, *, common: Common, device: torch.device, batch: int = 8,
             **how: Any) -> Generator[ImageResult]:
    return evaluation.evaluate(segmentor, data, Inference(**how), common=common, device=device, batch=batch)


def predict(segmentor: Any, image: Any, *, device: torch.device, batch: int = 8, **how: Any) -> Any:
    return evaluation.predict(segmentor, image, Inference(**how), device=device, batch=batch)


class Images(list[Sample]):
    """A domain that is a list."""


class Seer(nn.Module):
    """A segmentor that reads the class off the red channel: value 10 * c is class c, with scores 1 and 0."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.vit, self.num_classes, self.seen = nn.Identity(), num_classes, []

    def merged(self) -> nullcontext[None]:
        return nullcontext()

    def scores(self, images: Tensor) -> Tensor:
        self.seen.append(tuple(images.shape))
        classes = (images[:, 0] / 10).round().long()
        return nn.functional.one_hot(classes, self.num_classes).permute(0, 3, 1, 2).float()


def draw(height: int, width: int, num_classes: int, name: str = "0", block: int = 8) -> Sample:
    """An image that shows its label: blocks of classes, some of them ignored."""
    rng = np.random.default_rng([height, width, int(name)])
    coarse = rng.integers(num_classes, size=(-(-height // block), -(-width // block)))
    label = np.kron(coarse, np.ones((block, block), dtype=int))[:height, :width].astype(np.uint8)
    image = np.repeat((10 * label)[..., None], 3, axis=2)
    label = np.where(rng.random(label.shape) < 0.1, 255, label).astype(np.uint8)
    return Sample(image, label, "drawn", name)


def scan(segmentor: nn.Module, data: list[Sample], *, common: Common | None = None,
         **given: object) -> list[ImageResult]:
    settings = {"window": (32, 48), "stride": (16, 24), "size": None, "device": CPU, **PLAIN, **given}
    return list(evaluate(segmentor, Images(data), common=common or Common(FIVE, KEEP, KEEP), **settings))


@pytest.mark.parametrize(("size", "count"), [((1024, 2048), 18), ((720, 1280), 8), ((512, 1024), 3), ((512, 512), 1)])
def test_the_published_protocols_have_their_number_of_windows(size: tuple[int, int], count: int) -> None:
    assert len(windows(size, (512, 512), (341, 341))) == count


@pytest.mark.parametrize(("length", "window", "stride", "starts"), [
    (10, 4, 3, [0, 3, 6]), (11, 4, 3, [0, 3, 6, 7]), (4, 4, 3, [0]), (5, 4, 3, [0, 1]), (3, 4, 3, [0]),
    (8, 4, 4, [0, 4]), (9, 4, 4, [0, 4, 5]),
])
def test_the_last_window_is_shifted_inside(length: int, window: int, stride: int, starts: list[int]) -> None:
    assert windows((length, 1), (window, 1), (stride, 1)) == [(start, 0) for start in starts]
    assert windows((1, length), (1, window), (1, stride)) == [(0, start) for start in starts]


def naive_scores(scores: Callable[[Tensor], Tensor], image: Tensor, window: tuple[int, int],
                 stride: tuple[int, int]) -> Tensor:
    """One window at a time: step until the far edge is reached, pull back the window that passed it, count."""
    height, width = image.shape[1:]
    total, count, top, bottom = 0.0, torch.zeros(height, width), 0, False
    while not bottom:
        bottom, left, right = top + window[0] >= height, 0, False
        y = min(top, height - window[0])
        while not right:
            right = left + window[1] >= width
            x = min(left, width - window[1])
            part = scores(image[None, :, y : y + window[0], x : x + window[1]])[0]
            placed = torch.zeros(len(part), height, width)
            placed[:, y : y + window[0], x : x + window[1]] = part
            total = total + placed
            count[y : y + window[0], x : x + window[1]] += 1
            left += stride[1]
        top += stride[0]
    return total / count


@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize(("size", "window", "stride"), [
    ((40, 60), (16, 24), (11, 16)), ((33, 50), (16, 24), (16, 24)), ((16, 24), (16, 24), (8, 8)),
    ((40, 24), (16, 24), (5, 24)),
])
def test_sliding_is_the_naive_loop(size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int],
                                   batch: int) -> None:
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    # what a window sees depends on its edges, so that overlapping windows disagree
    model = nn.Sequential(nn.Conv2d(3, 4, 5, padding=2), nn.Softmax(1), nn.AvgPool2d(3, 1, 1)).requires_grad_(False)
    ours = sliding_scores(model, images, window, stride, batch)
    assert ours.shape == (2, 4, *size)
    for found, image in zip(ours, images, strict=True):
        assert torch.allclose(found, naive_scores(model, image, window, stride), atol=1e-6)


def test_an_image_smaller_than_the_window_is_padded_with_zeros_and_cut_back() -> None:
    image = torch.randn(1, 3, 20, 70, generator=torch.Generator().manual_seed(0))
    seen = []

    def scores(part: Tensor) -> Tensor:
        seen.append(part)
        return part[:, :2]

    found = sliding_scores(scores, image, (32, 48), (16, 24), 8)
    assert found.shape == (1, 2, 20, 70) and torch.allclose(found, image[:, :2], atol=1e-6)
    assert seen[0].shape[2:] == (32, 48) and not seen[0][:, :, 20:].any()


@pytest.mark.parametrize(("native", "size", "fitted"), [
    ((1024, 2048), (512, 1024), (512, 1024)), ((720, 1280), (512, 1024), (512, 910)),
    ((360, 480), (84, 112), (84, 112)), ((360, 480), (84, 200), (84, 112)), ((100, 50), (300, 300), (300, 150)),
    ((7, 900), (3, 3), (1, 3)), ((720, 1280), None, (720, 1280)), ((2000, 1500), (1024, 2048), (1365, 1024)),
    ((1500, 2000), (1024, 2048), (1024, 1365)), ((1280, 720), (512, 1024), (910, 512)),
])
def test_fitting_keeps_the_ratio(native: tuple[int, int], size: tuple[int, int] | None,
                                 fitted: tuple[int, int]) -> None:
    assert fit_inside(native, size) == fitted


def test_perfect_scores_give_an_miou_of_one() -> None:
    data = [draw(64, 96, 5), draw(40, 100, 5, "1"), draw(20, 30, 5, "2")]
    results = scan(Seer(5), data)
    assert [(result.domain, result.name) for result in results] == [("drawn", "0"), ("drawn", "1"), ("drawn", "2")]
    for result, sample in zip(results, data, strict=True):
        assert result.confusion.dtype == torch.int64 and result.confusion.shape == (5, 5)
        assert int(result.confusion.sum()) == int((sample.label != 255).sum())
    scores = summarise(results, FIVE.classes)["drawn"]
    assert scores.miou == 1.0 and scores.iou == dict.fromkeys(FIVE.classes, 1.0) and 0 < scores.chance < 0.3


def test_one_wrong_class_is_counted_where_it_is() -> None:
    sample = draw(64, 96, 5)
    wrong = sample._replace(image=np.where(sample.image == 30, 40, sample.image).astype(np.uint8))
    confusion = scan(Seer(5), [wrong])[0].confusion
    assert confusion[3, 3] == 0 and confusion[3, 4] == int((sample.label == 3).sum())
    assert torch.equal(confusion.diagonal()[:3], confusion.sum(1)[:3])


def test_both_sides_are_put_into_the_common_space() -> None:
    """A Cityscapes model on CamVid: a truck predicted where CamVid says car is right, a rider there is wrong."""
    label = np.array([[CAMVID11.classes.index("car")] * 3], dtype=np.uint8)
    seen = [CITYSCAPES19.classes.index(name) for name in ("truck", "car", "rider")]
    sample = Sample(np.repeat(np.array([seen], dtype=np.uint8)[..., None] * 10, 3, axis=2), label, "camvid", "0")
    common = common_space(CITYSCAPES19, CAMVID11)
    confusion = scan(Seer(19), [sample], common=common, window=(1, 3), stride=(1, 3))[0].confusion
    car, bicyclist = (CAMVID11.classes.index(name) for name in ("car", "bicyclist"))
    assert confusion[car, car] == 2 and confusion[car, bicyclist] == 1 and confusion.sum() == 3


def test_the_other_way_round_the_label_is_the_one_that_is_grouped() -> None:
    label = np.array([[CITYSCAPES19.classes.index(name) for name in ("truck", "car", "rider")]], dtype=np.uint8)
    seen = [CAMVID11.classes.index(name) for name in ("car", "car", "bicyclist")]
    sample = Sample(np.repeat(np.array([seen], dtype=np.uint8)[..., None] * 10, 3, axis=2), label, "cityscapes", "0")
    common = common_space(CAMVID11, CITYSCAPES19)
    confusion = scan(Seer(11), [sample], common=common, window=(1, 3), stride=(1, 3))[0].confusion
    assert confusion.diagonal().sum() == 3 == confusion.sum()


def test_the_model_sees_the_size_asked_for_and_the_label_keeps_its_own() -> None:
    seer = Seer(5)
    sample = draw(128, 192, 5, block=32)
    result = scan(seer, [sample], size=(64, 200))[0]  # fits as 64 x 96
    assert {shape[2:] for shape in seer.seen} == {(32, 48)} and sum(shape[0] for shape in seer.seen) == 9
    assert int(result.confusion.sum()) == int((sample.label != 255).sum())
    assert summarise([result], FIVE.classes)["drawn"].miou > 0.9  # only the blocks' edges suffer


def test_a_label_of_another_size_than_its_image_is_compared_at_its_own() -> None:
    sample = draw(64, 96, 5, block=16)
    small = sample._replace(label=sample.label[::2, ::2])
    assert int(scan(Seer(5), [small])[0].confusion.sum()) == int((small.label != 255).sum())


def test_windows_of_several_images_go_together_without_changing_a_result() -> None:
    data = [draw(32, 48, 5, str(i)) for i in range(5)] + [draw(64, 48, 5, "5"), draw(32, 48, 5, "6")]
    together, alone = Seer(5), Seer(5)
    one, other = scan(together, data, batch=4), scan(alone, data, batch=1)
    assert [shape[0] for shape in together.seen] == [4, 1, 3, 1]
    assert {shape[0] for shape in alone.seen} == {1}
    assert [result.name for result in one] == [sample.name for sample in data]
    assert all(torch.equal(a.confusion, b.confusion) for a, b in zip(one, other, strict=True))


def test_images_of_many_windows_are_not_gathered_in_memory() -> None:
    read = []

    class Watched(Images):
        def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
            read.append(index)
            return super().__getitem__(index)

    data = Watched([draw(64, 96, 5, str(i)) for i in range(6)])  # nine windows each
    results = evaluate(Seer(5), data, common=Common(FIVE, KEEP, KEEP), window=(32, 48), stride=(16, 24), size=None,
                       device=CPU, batch=4, **PLAIN)
    next(results)
    results.close()
    assert len(read) <= 2


class Mixer(nn.Module):
    """A segmentor whose scores are a random convolution of the image: they depend on every number and on all edges."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.vit, self.scores = nn.Identity(), nn.Conv2d(3, 5, 5, padding=2)
        self.merged = nullcontext


def test_evaluation_compares_what_predict_predicts_and_both_normalise() -> None:
    segmentor = Mixer()
    sample = draw(64, 96, 5)
    settings = {"window": (32, 48), "stride": (16, 24), "size": (48, 96), "mean": (0.1, 0.05, 0.0),
                "std": (0.2, 0.3, 0.4), "device": CPU}
    prediction = predict(segmentor, sample.image, **settings)
    assert prediction.shape == (64, 96) and prediction.dtype == np.uint8
    counts = np.zeros((5, 5), dtype=int)
    np.add.at(counts, (sample.label[sample.label < 255], prediction[sample.label < 255]), 1)
    assert (counts.sum(0) > 0).sum() > 1, "more than one class is predicted"
    assert scan(segmentor, [sample], **settings)[0].confusion.tolist() == counts.tolist()

    # by hand: fit to 48 x 72, normalise, slide, enlarge, decide
    small = nn.functional.interpolate(torch.from_numpy(sample.image).permute(2, 0, 1)[None].float(), (48, 72),
                                      mode="bilinear").round() / 255
    mean, std = (torch.tensor(settings[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        scores = naive_scores(segmentor.scores, (small[0] - mean) / std, (32, 48), (16, 24))
    expected = nn.functional.interpolate(scores[None], (64, 96), mode="bilinear")[0].argmax(0)
    assert (torch.from_numpy(prediction) == expected).float().mean() > 0.999  # uint8 rounding may tip a tie


@pytest.mark.parametrize(("scales", "flip"), [((1.0,), True), ((0.5, 1.0, 1.75), False), ((0.75, 1.25), True)])
def test_test_time_augmentation_is_the_mean_written_out(scales: tuple[float, ...], flip: bool) -> None:
    """Every view by itself: resize, mirror, slide, mirror back, enlarge to the label, softmax; then the mean."""
    segmentor, sample = Mixer(), draw(48, 72, 5)
    given = {"window": (32, 48), "stride": (16, 24), "size": (24, 72), "mean": (0.1, 0.05, 0.0), "std": (0.2, 0.3, 0.4)}
    mean, std = (torch.tensor(given[key])[:, None, None] for key in ("mean", "std"))
    total, views = torch.zeros(5, 48, 72), 0
    for scale in scales:
        for mirrored in (False, True) if flip else (False,):
            size = (int(24 * scale + 0.5), int(36 * scale + 0.5))  # fitted to 24 x 36 first
            pixels = torch.from_numpy(sample.image).permute(2, 0, 1)[None].float()
            pixels = nn.functional.interpolate(pixels, size, mode="bilinear").round() / 255
            pixels = torch.flip(pixels[0], [2]) if mirrored else pixels[0]
            with torch.no_grad():
                scores = sliding_scores(segmentor.scores, ((pixels - mean) / std)[None], (32, 48), (16, 24), 1)
            scores = torch.flip(scores, [3]) if mirrored else scores
            total += nn.functional.interpolate(scores, (48, 72), mode="bilinear")[0].softmax(0)
            views += 1
    expected = (total / views).argmax(0)
    settings = {**given, "device": CPU, "scales": scales, "flip": flip}
    found = predict(segmentor, sample.image, **settings)
    assert (torch.from_numpy(found) == expected).float().mean() > 0.995  # uint8 rounding may tip a tie
    plain = predict(segmentor, sample.image, **{**settings, "scales": (1.0,), "flip": False})
    assert (found != plain).any(), "it matters"
    counts = scan(segmentor, [sample], **settings)[0].confusion
    assert int(counts.diagonal().sum()) == int((found == sample.label).sum()), "evaluation does the same"


def test_one_view_is_decided_on_its_scores() -> None:
    """A softmax does not change which is highest: one scale alone is that size, and nothing else."""
    segmentor, sample = Mixer(), draw(48, 72, 5)
    settings = {"window": (32, 48), "stride": (16, 24), "device": CPU, **PLAIN}
    assert np.array_equal(predict(segmentor, sample.image, size=None, scales=(0.5,), **settings),
                          predict(segmentor, sample.image, size=(24, 36), **settings))


def test_equal_scores_go_to_the_first_class() -> None:
    class Undecided(Seer):
        def scores(self, images: Tensor) -> Tensor:
            return torch.tensor([0.0, 2.0, 1.0, 2.0, 2.0])[None, :, None, None].expand(len(images), 5, *images.shape[2:])

    sample = draw(40, 60, 5)
    settings = {"window": (32, 48), "stride": (16, 24), "size": None, "device": CPU, **PLAIN}
    assert (predict(Undecided(5), sample.image, **settings) == 1).all()


def test_scores_are_averaged_in_float32_whatever_the_model_gives() -> None:
    images = torch.randn(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    halves = sliding_scores(lambda part: part.to(torch.bfloat16), images, (32, 48), (8, 12), 4)
    assert halves.dtype == torch.float32
    assert torch.equal(halves, naive_scores(lambda part: part.to(torch.bfloat16).float(), images[0], (32, 48), (8, 12))[None])


def trained() -> nn.Module:
    """A segmentor whose adapters have moved away from where they began."""
    segmentor = tiny_segmentor()
    optimiser = build_optimiser(groups_of(segmentor, lr=1e-2, weight_decay=0.05))
    list(train(segmentor, optimiser, tiny_batches(0, 3), start=0, stop=3, schedule=Schedule(3), seed=0, device=CPU))
    return segmentor


def test_merged_and_unmerged_adapters_agree() -> None:
    segmentor = trained().eval()
    image = next(tiny_batches(5, 6))[0]
    with torch.no_grad():
        unmerged = segmentor.scores(image)
        for parameter in adapter_parameters(segmentor.vit, "main").values():
            parameter.mul_(1.5)
        moved = segmentor.scores(image)
    assert not torch.allclose(moved, unmerged, atol=1e-4), "the adapters matter here"

    inside: list[str] = []
    plain = segmentor.scores

    def noted(images: Tensor) -> Tensor:
        inside.extend(name for name, _ in segmentor.vit.named_parameters())
        found.append(plain(images))
        return found[-1]

    found: list[Tensor] = []
    segmentor.scores = noted  # type: ignore[method-assign]
    with torch.no_grad():
        sample = Sample(np.zeros((32, 48, 3), dtype=np.uint8), np.zeros((32, 48), dtype=np.uint8), "drawn", "0")
        scan(segmentor, [sample])
        assert not [name for name in inside if "lora_" in name], "evaluation runs on plain layers"
        assert torch.allclose(found[0], plain(torch.zeros(1, 3, 32, 48)), atol=1e-4)


@pytest.mark.parametrize("ending", ["exhausted", "closed", "error"])
def test_evaluation_leaves_the_segmentor_as_it_was(ending: str) -> None:
    segmentor = trained()
    before = {name: tensor.clone() for name, tensor in segmentor.state_dict().items()}
    objects = [id(parameter) for parameter in segmentor.parameters()]
    modes = [module.training for module in segmentor.modules()]
    data = [draw(32, 48, 5, str(i)) for i in range(12)]

    def failing() -> Iterator[ImageResult]:
        bad = data[0]._replace(label=np.full((32, 48), 77, dtype=np.uint8))  # no class of the space
        yield from evaluate(segmentor, Images([*data, bad]), common=Common(FIVE, KEEP, KEEP), window=(32, 48),
                            stride=(32, 48), size=None, device=CPU, **PLAIN)

    with closing(failing()) as results:
        next(results)
        assert not any(module.training for module in segmentor.modules())
        if ending == "exhausted":
            assert len(scan(tiny_segmentor(), data)) == 12
        if ending == "error":
            with pytest.raises(ValueError, match="neither below 5"):
                list(results)
    assert [module.training for module in segmentor.modules()] == modes
    assert [id(parameter) for parameter in segmentor.parameters()] == objects
    assert all(torch.equal(before[name], tensor) for name, tensor in segmentor.state_dict().items())


def test_training_goes_on_after_an_evaluation_as_if_there_had_been_none() -> None:
    ends = []
    for evaluated in (False, True):
        segmentor = tiny_segmentor()
        optimiser = build_optimiser(groups_of(segmentor, lr=1e-2, weight_decay=0.05))
        for _ in train(segmentor, optimiser, tiny_batches(0, 3), start=0, stop=3, schedule=Schedule(3), seed=0, device=CPU):
            if evaluated:
                scan(segmentor, [draw(32, 48, 5)])
                predict(segmentor, draw(32, 48, 5).image, window=(32, 48), stride=(16, 24), size=None, device=CPU,
                        **PLAIN)
        ends.append({name: tensor.clone() for name, tensor in segmentor.state_dict().items()})
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_consumer_of_results_is_not_left_without_gradients() -> None:
    results = evaluate(Seer(5), Images([draw(32, 48, 5)]), common=Common(FIVE, KEEP, KEEP), window=(32, 48),
                       stride=(32, 48), size=None, device=CPU, **PLAIN)
    next(results)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    results.close()


def test_summaries_are_by_domain_and_leave_out_what_is_not_counted() -> None:
    night = torch.tensor([[4, 0, 0], [2, 2, 0], [0, 0, 0]])
    results = [ImageResult("0", "day", torch.eye(3, dtype=torch.int64)), ImageResult("1", "night", night),
               ImageResult("2", "night", night)]
    scores = summarise(results, ("road", "sky", "train"))
    assert list(scores) == ["day", "night"] and scores["day"].miou == 1.0
    assert scores["night"].iou == pytest.approx({"road": 4 / 6, "sky": 0.5})
    assert scores["night"].miou == pytest.approx((4 / 6 + 0.5) / 2)


def test_summaries_count_absent_classes_as_asked() -> None:
    """A class that is only predicted: 0, and a part of the mean, where MMSegmentation's rule is asked for; one that is
    neither labelled nor predicted is in no mean."""
    night = torch.tensor([[4, 0, 1, 0], [2, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    classes = ("road", "sky", "train", "bus")
    skip, zero = (summarise([ImageResult("0", "night", night)], classes, absent)["night"] for absent in ("skip", "zero"))
    assert list(skip.iou) == ["road", "sky"] and zero.iou == {**skip.iou, "train": 0.0}
    assert zero.miou == pytest.approx(skip.miou * 2 / 3) and zero.chance == skip.chance


@pytest.mark.parametrize("absent", ["skip", "zero"])
def test_predictions_without_counterpart_are_wrong_and_no_class(absent: str) -> None:
    """A Cityscapes model sees a car where the labels, which have no word for cars, say track."""
    wild = LabelSpace("wild", ("track", "bush"), ((0, 0, 0), (1, 1, 1)), (Grouping("cityscapes19", (
        ("road", "track"), ("vegetation", "bush"))),))
    seen = [CITYSCAPES19.classes.index(name) for name in ("road", "car", "vegetation")]
    sample = Sample(np.repeat(np.array([seen], dtype=np.uint8)[..., None] * 10, 3, axis=2),
                    np.array([[0, 0, 1]], dtype=np.uint8), "wild", "0")
    common = common_space(CITYSCAPES19, wild)
    assert common.scored == ("track", "bush") and len(common.space.classes) == 3
    results = scan(Seer(19), [sample], common=common, window=(1, 3), stride=(1, 3))
    assert results[0].confusion.tolist() == [[1, 0, 1], [0, 1, 0]]
    scores = summarise(results, common.scored, absent)["wild"]  # type: ignore[arg-type]
    assert scores.iou == {"track": 0.5, "bush": 1.0} and scores.miou == 0.75


def test_a_domain_without_labels_has_no_score() -> None:
    scores = summarise([ImageResult("0", "dark", torch.zeros(2, 2, dtype=torch.int64))], ("a", "b"))["dark"]
    assert math.isnan(scores.miou) and scores.iou == {}
