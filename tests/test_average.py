"""The moving average of the weights against its formula, written out."""

import pytest
import torch
from torch import Tensor, nn

from recyclelora.training.average import MovingAverage
from recyclelora.training.loop import train
from recyclelora.training.optim import Schedule, build_optimiser
from tests.tiny import groups_of, tiny_batches, tiny_segmentor

CPU = torch.device("cpu")


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def history(start: int | None, momentum: float) -> tuple[nn.Module, MovingAverage, list[dict[str, Tensor]]]:
    """A run of 5 iterations with its average, and the weights after each."""
    segmentor = tiny_segmentor()
    optimiser = build_optimiser(groups_of(segmentor, lr=1e-2, weight_decay=0.05))
    average, seen = MovingAverage(segmentor, start, momentum), []
    for _ in train(segmentor, optimiser, tiny_batches(0, 5), start=0, stop=5, schedule=Schedule(5), seed=0, device=CPU,
                   average=average):
        seen.append(weights(segmentor))
    return segmentor, average, seen


@pytest.mark.parametrize(("start", "momentum"), [(1, 0.3), (3, 0.3), (3, 0.9), (5, 0.3)])
def test_it_is_a_copy_at_its_start_and_the_formula_from_there(start: int, momentum: float) -> None:
    _, average, seen = history(start, momentum)
    for name, found in average.tensors.items():
        expected = seen[start - 1][name].double()
        for after in seen[start:]:
            expected = (1 - momentum) * expected + momentum * after[name].double()
        assert torch.allclose(found.double(), expected, rtol=1e-5, atol=1e-7), name
    assert average.tensors.keys() == seen[0].keys(), "of what is trained, and of nothing else"


def test_its_start_is_the_weights_bit_for_bit() -> None:
    """And no average of them with themselves, which rounds."""
    _, average, seen = history(5, 0.3)
    assert same(average.tensors, seen[-1])


def test_what_it_is_restored_from_stays_as_it_was() -> None:
    segmentor, average, _ = history(2, 0.3)
    given = {name: tensor.clone() for name, tensor in average.tensors.items()}
    kept = {name: tensor.clone() for name, tensor in given.items()}
    average.restore(given)
    with torch.no_grad():
        for parameter in average.weights.values():
            parameter.add_(1)
    average.update(6)
    assert same(given, kept) and not same(average.tensors, kept)


def test_training_does_not_notice() -> None:
    assert same(history(2, 0.3)[2][-1], history(None, 0.3)[2][-1])


def test_start_and_momentum_are_live() -> None:
    found = [history(*given)[1].tensors for given in ((2, 0.3), (3, 0.3), (2, 0.4))]
    assert not same(found[0], found[1]) and not same(found[0], found[2])


def test_the_average_stands_in_for_a_while_and_the_weights_come_back() -> None:
    segmentor, average, seen = history(2, 0.3)
    kept = {name: tensor.clone() for name, tensor in average.tensors.items()}
    objects = [id(parameter) for parameter in segmentor.parameters()]
    with pytest.raises(ZeroDivisionError), average.in_place():
        assert same(weights(segmentor), kept) and not same(kept, seen[-1])
        raise ZeroDivisionError
    assert same(weights(segmentor), seen[-1]) and same(average.tensors, kept)
    assert [id(parameter) for parameter in segmentor.parameters()] == objects
    average.adopt()
    assert same(weights(segmentor), kept)


def test_before_its_start_and_without_one_the_weights_stand_for_themselves() -> None:
    for start in (None, 9):
        segmentor, average, seen = history(start, 0.3)
        with average.in_place():
            assert same(weights(segmentor), seen[-1])
        average.adopt()
        assert same(weights(segmentor), seen[-1]) and average.tensors == {}
