"""Numbers about adapters, against the same numbers from whole matrices and SciPy, and what must hold whatever training did."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from recyclelora.adapters import (
    DEFINITIONS,
    DualLoRALinear,
    Factors,
    adapt,
    adapted_layers,
    back_at_start,
    lowrank,
    measure,
    measure_model,
    merge,
    summarise,
)
from recyclelora.adapters.diagnostics import (
    PER_LAYER,
    chordal_distance,
    column_ratio,
    cosine_matrix,
    effective_rank,
    geodesic_distance,
    grassmann_similarity,
    mean_cosines,
    mean_off_diagonal,
    principal_cosines,
    product_singular_values,
)
from tests.narrow import assert_same_output, backbone, features, perturb

SHAPES = [(40, 24), (24, 40), (30, 30)]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dual(out_features: int = 40, in_features: int = 24, main_rank: int = 6, sub_rank: int = 3, init: str = "rrqr",
         moved: float = 0.0) -> DualLoRALinear:
    """One adapted layer, its two scalings unlike, its factors moved away from their start by noise."""
    torch.manual_seed(0)
    linear = nn.Linear(in_features, out_features)
    ends = (None, None) if init == "kaiming" else ("minor", "major")
    start = {which: lowrank(linear.weight, rank, init, end, generator=torch.Generator().manual_seed(rank))
             for which, rank, end in zip(("main", "sub"), (main_rank, sub_rank), ends, strict=True)}
    layer = DualLoRALinear(linear, start, {"main": 0.5, "sub": 2.0})
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.startswith("lora"):
                parameter += moved * torch.randn(parameter.shape)
    return layer


# ------------------------------------------------------------------------------------------------------ definitions


def entropy_by_hand(values: np.ndarray) -> float:
    total, entropy = float(values.sum()), 0.0
    for value in values:
        if value > 0:
            entropy -= value / total * math.log(value / total)
    return math.exp(entropy)


def test_effective_rank() -> None:
    sigma = random(7).abs()
    assert effective_rank(sigma) == pytest.approx(entropy_by_hand(sigma.numpy()))
    assert effective_rank(sigma, energy=True) == pytest.approx(entropy_by_hand(sigma.numpy() ** 2))
    assert effective_rank(1e-9 * sigma) == pytest.approx(effective_rank(sigma)), "no scale"
    assert effective_rank(torch.full((5,), 0.3)) == pytest.approx(5)
    assert effective_rank(torch.tensor([2.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_rank(sigma, energy=True) < effective_rank(sigma) < 7
    assert math.isnan(effective_rank(torch.zeros(3)))


@pytest.mark.parametrize(("out_features", "in_features", "rank"), [(40, 24, 6), (24, 40, 6), (5, 40, 8), (40, 5, 8)])
def test_singular_values_of_a_product_that_is_never_formed(out_features: int, in_features: int, rank: int) -> None:
    b, a = random(out_features, rank), random(rank, in_features, seed=1)
    b[:, 0] *= 1e-5  # and badly scaled
    expected = np.linalg.svd((b @ a).numpy(), compute_uv=False)
    found = product_singular_values(b, a).numpy()
    count = min(len(expected), len(found))
    np.testing.assert_allclose(found[:count], expected[:count], rtol=1e-9, atol=1e-13)
    assert np.all(np.abs(expected[count:]) < 1e-12)


def test_principal_angles_are_scipys() -> None:
    x, noise = random(30, 5), random(30, 3, seed=1)
    for y in (noise, x[:, :3] + 0.1 * noise, x[:, :3] @ random(3, 3, seed=2), torch.cat([x[:, :2], noise], 1)):
        angles = np.sort(scipy.linalg.subspace_angles(x.numpy(), y.numpy()))
        np.testing.assert_allclose(principal_cosines(x, y).acos().numpy(), angles, atol=1e-7)  # sqrt(eps) near 0
        assert grassmann_similarity(principal_cosines(x, y)) == pytest.approx(float((np.cos(angles) ** 2).mean()))
        assert torch.allclose(principal_cosines(x, y), principal_cosines(y, x))


def test_a_space_is_not_its_basis() -> None:
    x, y, mixing = random(30, 5), random(30, 4, seed=1), random(5, 5, seed=2)
    assert torch.allclose(principal_cosines(x @ mixing, 1e-3 * y), principal_cosines(x, y), atol=1e-9)
    twice = torch.cat([x, x[:, :1] + 1e-9 * random(30, 1, seed=3)], 1)  # a column twice is one direction
    assert torch.allclose(principal_cosines(twice, y), principal_cosines(x, y), atol=1e-7)
    assert principal_cosines(twice, twice).shape == (5,)


def test_no_cosine_is_above_one() -> None:
    """Which rounding would make of equal spaces, and no angle of that."""
    for seed in range(40):
        x = random(30, 6, seed=seed)
        cosines = principal_cosines(x, x @ random(6, 6, seed=100 + seed))
        assert float(cosines.max()) <= 1 and math.isfinite(geodesic_distance(cosines))
        assert geodesic_distance(cosines) == pytest.approx(0, abs=1e-5)


def test_distances_are_those_of_the_projections() -> None:
    x, y = (torch.linalg.qr(random(30, 4, seed=seed)).Q for seed in (0, 1))
    cosines = principal_cosines(x, y)
    difference = (x @ x.T - y @ y.T).norm()
    assert chordal_distance(cosines) == pytest.approx(float(difference) / math.sqrt(2))
    plane = torch.eye(6, dtype=torch.float64)[:, :2]
    turned = plane.clone()
    turned[:, 0] = torch.tensor([math.cos(0.3), 0, 0, math.sin(0.3), 0, 0])
    turned[:, 1] = torch.tensor([0, math.cos(1.1), 0, 0, math.sin(1.1), 0])
    assert geodesic_distance(principal_cosines(plane, turned)) == pytest.approx(math.hypot(0.3, 1.1))
    nothing = principal_cosines(torch.zeros(30, 3, dtype=torch.float64), y)
    assert len(nothing) == 0
    assert all(math.isnan(of(nothing)) for of in (grassmann_similarity, geodesic_distance, chordal_distance))


@pytest.mark.parametrize(("d", "r1", "r2"), [(40, 6, 3), (24, 4, 4), (12, 9, 5)])
def test_random_spaces_are_as_alike_as_the_baseline_says(d: int, r1: int, r2: int) -> None:
    found = np.array([grassmann_similarity(principal_cosines(random(d, r1, seed=2 * i), random(d, r2, seed=2 * i + 1)))
                      for i in range(400)])
    assert abs(found.mean() - max(r1, r2) / d) < 4 * found.std() / math.sqrt(len(found)) < 0.02


def test_cosines_between_columns() -> None:
    columns = random(9, 4)
    expected = torch.zeros(4, 4)
    for i in range(4):
        for j in range(4):
            expected[i, j] = abs(float(columns[:, i] @ columns[:, j])) / float(columns[:, i].norm() * columns[:, j].norm())
    matrix = cosine_matrix(columns)
    torch.testing.assert_close(matrix, expected.double(), rtol=1e-6, atol=1e-6)
    assert mean_off_diagonal(matrix) == pytest.approx(float(expected.sum() - expected.trace()) / 12, abs=1e-6)
    assert math.isnan(mean_off_diagonal(matrix[:1, :1]))


def test_column_ratio() -> None:
    start = torch.zeros(2, 5)
    start[0, 3] = start[1, 1] = 1.0
    a = random(2, 5).float()
    norms = [math.hypot(float(a[0, j]), float(a[1, j])) for j in range(5)]
    expected = (norms[3] + norms[1]) / 2 / ((norms[0] + norms[2] + norms[4]) / 3)
    assert column_ratio(a, start) == pytest.approx(expected)
    assert column_ratio(3 * a[[1, 0]], start) == pytest.approx(expected)
    assert column_ratio(start, start) == math.inf
    assert math.isnan(column_ratio(a, a)), "no selector"
    assert math.isnan(column_ratio(a, 2 * start)), "of ones"
    assert math.isnan(column_ratio(a[:, :2], torch.eye(2))), "all are selected"


# ------------------------------------------------------------------------------------------------------ one layer


def literal(layer: DualLoRALinear) -> dict[str, float]:
    """Every number of a trained layer from matrices as large as its weight."""
    now = {which: tuple(t.detach().double().numpy() for t in layer.factors(which)) for which in ("main", "sub")}
    start = {which: tuple(t.double().numpy() for t in layer.start[which]) for which in ("main", "sub")}
    update = {which: b @ a for which, (a, b) in now.items()}
    began = {which: b @ a for which, (a, b) in start.items()}
    scaled = {which: layer.scales[which] * (update[which] - began[which]) for which in update}
    update["both"] = sum(layer.scales[which] * update[which] for which in ("main", "sub"))
    ranks = {"main": len(now["main"][0]), "sub": len(now["sub"][0])}
    ranks["both"] = sum(ranks.values())
    numbers = {"drift_norm/both": np.linalg.norm(scaled["main"] + scaled["sub"])}
    for which, matrix in update.items():
        sigma = np.linalg.svd(matrix, compute_uv=False)[:ranks[which]]
        numbers[f"rank_efficiency/{which}"] = entropy_by_hand(sigma) / ranks[which]
        numbers[f"rank_efficiency_energy/{which}"] = entropy_by_hand(sigma ** 2) / ranks[which]
    for which, (a, b) in now.items():
        for letter, columns in (("a", a.T), ("b", b)):
            unit = columns / np.linalg.norm(columns, axis=0)
            pairs = [abs(unit[:, i] @ unit[:, j]) for i in range(unit.shape[1]) for j in range(i)]
            numbers[f"cosine_{letter}/{which}"] = sum(pairs) / len(pairs)
        numbers[f"drift_norm/{which}"] = np.linalg.norm(scaled[which])
        if began[which].any():
            numbers[f"drift/{which}"] = np.linalg.norm(update[which] - began[which]) / np.linalg.norm(began[which])
            turned = scipy.linalg.subspace_angles(b, start[which][1])
            numbers[f"subspace_drift/{which}"] = 1 - np.mean(np.cos(turned) ** 2)
        if set(np.unique(start[which][0])) == {0.0, 1.0}:
            chosen = start[which][0].argmax(1)
            norms = np.linalg.norm(a, axis=0)
            numbers[f"column_ratio/{which}"] = norms[chosen].mean() / np.delete(norms, chosen).mean()
    for place, main, sub in (("between_a", now["main"][0].T, now["sub"][0].T), ("between_b", now["main"][1], now["sub"][1])):
        angles = scipy.linalg.subspace_angles(main, sub)
        numbers |= {f"grassmann/{place}": np.mean(np.cos(angles) ** 2), f"geodesic/{place}": np.sqrt(np.sum(angles ** 2)),
                    f"chordal/{place}": np.sqrt(np.sum(np.sin(angles) ** 2)),
                    f"grassmann_chance/{place}": max(ranks["main"], ranks["sub"]) / len(main)}
    return numbers


@pytest.mark.parametrize(("out_features", "in_features"), SHAPES)
@pytest.mark.parametrize("init", ["rrqr", "svd", "kaiming"])
@pytest.mark.parametrize("moved", [0.3, 1e-3])
def test_a_trained_layer_has_the_numbers_of_whole_matrices(out_features: int, in_features: int, init: str,
                                                           moved: float) -> None:
    layer = dual(out_features, in_features, init=init, moved=moved)
    found, expected = measure(layer), literal(layer)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
    assert {name.partition("/")[0] for name in found} <= set(DEFINITIONS)
    if init == "rrqr":
        assert {name.partition("/")[0] for name in found} == set(DEFINITIONS)


def test_where_recyclelora_starts() -> None:
    numbers = measure(dual(), start=True)
    for which in ("main", "sub"):
        assert numbers[f"rank_efficiency/{which}"] == pytest.approx(1, abs=1e-9)
        assert numbers[f"cosine_a/{which}"] == 0 and numbers[f"cosine_b/{which}"] < 1e-6
    assert numbers["grassmann/between_a"] == pytest.approx(0, abs=1e-12) == numbers["grassmann/between_b"]
    assert numbers["geodesic/between_b"] == pytest.approx(math.sqrt(3) * math.pi / 2, abs=1e-5)
    assert not {name.partition("/")[0] for name in numbers} & {"drift", "drift_norm", "subspace_drift", "column_ratio"}
    scales = np.repeat([0.5, 2.0], [6, 3])
    assert numbers["rank_efficiency/both"] == pytest.approx(entropy_by_hand(scales) / 9), "the scalings are part of it"


def test_an_untrained_layer_has_not_moved() -> None:
    numbers = measure(dual())
    assert {name: value for name, value in numbers.items() if name in measure(dual(), start=True)} == pytest.approx(
        measure(dual(), start=True), abs=1e-12)
    for name in ("drift/main", "drift/sub", "drift_norm/both", "subspace_drift/main", "subspace_drift/sub"):
        assert numbers[name] == pytest.approx(0, abs=1e-12)


def test_what_is_not_defined_is_left_out() -> None:
    start = measure(dual(init="kaiming"), start=True)
    assert start.keys() == {"cosine_a/main", "cosine_a/sub", "grassmann/between_a", "grassmann_chance/between_a",
                            "geodesic/between_a", "chordal/between_a"}
    alone = measure(dual(sub_rank=0, moved=0.1))
    assert {name.partition("/")[2] for name in alone} == {"main"}
    assert not {"cosine_a/sub", "cosine_b/sub"} & measure(dual(sub_rank=1, moved=0.1)).keys()
    untrained = measure(dual(init="kaiming"))
    assert untrained["drift_norm/main"] == 0 and "drift/main" not in untrained and "rank_efficiency/main" not in untrained


def rewritten(layer: DualLoRALinear, change: dict[str, tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Its numbers after A <- left @ A and B <- B @ right."""
    layer = copy.deepcopy(layer)
    with torch.no_grad():
        for which, (left, right) in change.items():
            a, b = layer.factors(which)
            a.copy_((left @ a.double()).float())
            b.copy_((b.double() @ right).float())
    return measure(layer)


def test_what_depends_on_the_product_and_what_on_its_factors() -> None:
    layer = dual(moved=0.3)
    before = measure(layer)
    mixing = random(6, 6, seed=5)
    same = rewritten(layer, {"main": (mixing, torch.linalg.inv(mixing))})  # B A stays
    for name in ("rank_efficiency/main", "rank_efficiency_energy/both", "grassmann/between_a", "chordal/between_b",
                 "drift/main", "drift_norm/both", "subspace_drift/main"):
        assert same[name] == pytest.approx(before[name], rel=1e-4), name
    assert same["cosine_a/main"] != pytest.approx(before["cosine_a/main"], rel=1e-2)
    larger = rewritten(layer, {"main": (3 * torch.eye(6).double(), torch.eye(6).double())})
    for name in ("rank_efficiency/main", "grassmann/between_a", "cosine_a/main", "column_ratio/main"):
        assert larger[name] == pytest.approx(before[name], rel=1e-5), name
    assert larger["rank_efficiency/both"] != pytest.approx(before["rank_efficiency/both"], rel=1e-3)
    assert larger["drift_norm/main"] > before["drift_norm/main"]


def test_measuring_changes_nothing() -> None:
    layer = dual(moved=0.3)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    measure(layer)
    measure(layer, start=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())
    assert layer.lora_a_main is not None and layer.lora_a_main.grad is None and layer.lora_a_main.requires_grad


# ------------------------------------------------------------------------------------------------------ whole models


def test_a_summary_is_the_mean_over_the_layers_that_have_a_number() -> None:
    layers = [("x", {"cosine_a/main": 0.2, "rank_efficiency/main": 1.0, "chordal/between_a": 1.0}),
              ("y", {"cosine_a/main": 0.4})]
    assert summarise(layers) == {"rank_efficiency/main": 1.0, "cosine_a/main": pytest.approx(0.3)}
    assert list(summarise(layers)) == ["rank_efficiency/main", "cosine_a/main"]
    assert summarise([]) == {} and set(DEFINITIONS) > PER_LAYER


def test_mean_cosines() -> None:
    vit = backbone()
    adapt(vit, main_rank=4, sub_rank=2, roles=("qkv", "proj"))
    perturb(vit, 0.3)
    layers = adapted_layers(vit).values()
    expected = sum(cosine_matrix(layer.lora_b_main.detach().double()) for layer in layers) / len(layers)
    found = mean_cosines(vit)
    torch.testing.assert_close(found["b_main"], expected)
    assert {name: tuple(matrix.shape) for name, matrix in found.items()} == {
        "a_main": (4, 4), "b_main": (4, 4), "a_sub": (2, 2), "b_sub": (2, 2)}
    assert torch.allclose(mean_cosines(vit, start=True)["b_main"], torch.eye(4).double(), atol=1e-6)
    plain = backbone()
    adapt(plain, init="kaiming", main_rank=4, sub_rank=2, roles=("qkv", "proj"))
    assert set(mean_cosines(plain)) == {"a_main", "a_sub"}, "a B of zeros has no directions"
    first, *others = adapted_layers(plain).values()
    with torch.no_grad():
        for layer in others:
            layer.lora_b_main.normal_(generator=torch.Generator().manual_seed(1))
    expected = sum(cosine_matrix(layer.lora_b_main.detach().double()) for layer in others) / len(others)
    torch.testing.assert_close(mean_cosines(plain)["b_main"], expected)  # over the layers that have some


@pytest.mark.parametrize("init", ["rrqr", "svd", "kaiming"])
def test_back_at_the_start(init: str) -> None:
    plain = backbone()
    vit = copy.deepcopy(plain)
    adapt(vit, init=init, main_rank=4, sub_rank=2)
    perturb(vit, 0.1)
    kept, after = dict(vit.named_parameters()), features(vit)
    with back_at_start(vit, "both"):
        assert_same_output(features(vit), features(plain))
    for which, other in (("main", "sub"), ("sub", "main")):
        twin = copy.deepcopy(plain)  # W0 and what training made of the other adapter
        for name, layer in adapted_layers(vit).items():
            a, b = layer.factors(other)
            start = layer.start[other]
            with torch.no_grad():
                twin.get_submodule(name).weight += layer.scales[other] * (b @ a - start.b @ start.a)
        with back_at_start(vit, which):
            assert_same_output(features(vit), features(twin))
            assert not torch.allclose(features(vit), after, atol=1e-3)
    with pytest.raises(KeyboardInterrupt), back_at_start(vit, "both"):
        raise KeyboardInterrupt
    assert all(parameter is kept[name] for name, parameter in vit.named_parameters())
    assert list(dict(vit.named_parameters())) == list(kept) and torch.equal(features(vit), after)


def test_real_weights(dinov2_small: Path, cache: Path) -> None:
    vit = timm.create_model("vit_small_patch14_dinov2", num_classes=0).eval()
    vit.load_state_dict(load_file(dinov2_small))
    adapt(vit, main_rank=32, sub_rank=4, cache=cache)
    perturb(vit, 0.01)
    start = measure_model(vit, start=True)
    assert [name for name, _ in start] == list(adapted_layers(vit)) and len(start) == 48
    for _, numbers in start:
        for which in ("main", "sub", "both"):
            assert numbers[f"rank_efficiency/{which}"] == pytest.approx(1, abs=1e-6)
        assert numbers["grassmann/between_a"] == 0 and numbers["grassmann/between_b"] < 1e-9
        assert max(numbers[f"cosine_{letter}/{which}"] for letter in "ab" for which in ("main", "sub")) < 1e-5
    layer = adapted_layers(vit)["blocks.5.mlp.fc2"]  # more inputs than directions: 1152 are never pivots
    assert measure(layer) == pytest.approx(literal(layer), rel=1e-5, abs=1e-9)
    found = summarise(measure_model(vit))
    assert found["grassmann_chance/between_a"] == pytest.approx(32 * (3 / 384 + 1 / 1536) / 4)
    assert 1 < found["column_ratio/main"] < 20 and 0 < found["drift/main"] and found["rank_efficiency/main"] < 1
    merge(vit)
    assert measure_model(vit) == [] and mean_cosines(vit) == {}


def test_factors_of_any_kind_are_measured_in_float64() -> None:
    layer = dual(moved=0.3)
    expected = measure(layer)
    assert measure(layer.to(torch.bfloat16)) == pytest.approx(expected, rel=0.05)
    assert all(isinstance(factors, Factors) for factors in layer.start.values())
