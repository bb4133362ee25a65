"""The start of an adapter: the factorisations against SciPy, the formulas against their literal twins and PEFT."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig
from peft.tuners.lora.layer import Linear as PeftLinear
from safetensors import safe_open
from scipy.linalg import qr
from torch import Tensor, nn

from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.directions import Directions, lowrank
from recyclelora.adapters.factorisations import pivoted_qr, q_columns
from tests.literal_adapter import literal_rrqr, literal_svd

SHAPES = {"tall": (48, 20), "wide": (20, 48), "square": (32, 32), "row": (1, 9), "column": (9, 1)}
shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))


def gaussian(shape: tuple[int, int], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.02


def deficient(shape: tuple[int, int], rank: int = 5) -> Tensor:
    return gaussian((shape[0], rank)) @ gaussian((rank, shape[1]), 1) * 50


def projector(columns: Tensor) -> Tensor:
    """The orthogonal projector on the span of independent columns."""
    basis = torch.linalg.qr(columns.double()).Q
    return basis @ basis.T




# ---------------------------------------------------------------------------------------------- the factorisation


def check_factorisation(weight: Tensor) -> None:
    m, n = weight.shape
    k = min(m, n)
    found = pivoted_qr(weight)
    q, diagonal, pivots = q_columns(found["reflectors"], found["tau"], 0, k), found["diagonal"].abs(), found["pivots"]
    unit = 4e-6 * max(1, k**0.5)  # float32 round-off of k reflections
    assert torch.allclose(q.T @ q, torch.eye(k), atol=unit)
    assert (diagonal[1:] <= diagonal[:-1] * (1 + 1e-4) + 1e-7).all()  # the downdated norms that choose are not exact
    assert len(set(pivots.tolist())) == k and 0 <= pivots.min() and pivots.max() < n
    r = q.double().T @ weight.double()[:, pivots]
    assert torch.allclose(r.tril(-1), torch.zeros(k, k, dtype=torch.float64), atol=unit * float(weight.norm()))
    assert torch.allclose(r.diagonal().abs().float(), diagonal, atol=unit * float(weight.norm()))
    recovered = q.double() @ (q.double().T @ weight.double())
    assert torch.allclose(recovered, weight.double(), atol=unit * float(weight.norm()))


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(0, 2**31), st.integers(1, 40))
def test_pivoted_qr_is_a_factorisation(shape: tuple[int, int], seed: int, rank: int) -> None:
    check_factorisation(gaussian(shape, seed))
    check_factorisation(gaussian((shape[0], rank), seed) @ gaussian((rank, shape[1]), seed + 1))


@pytest.mark.parametrize("weight", [torch.zeros(6, 4), torch.ones(5, 9), torch.eye(7)], ids=["zero", "ones", "ties"])
def test_degenerate_weights_still_give_orthonormal_directions(weight: Tensor) -> None:
    check_factorisation(weight)
    factors = lowrank(weight, 3, "rrqr", "minor")
    assert torch.allclose(factors.b.T @ factors.b, torch.eye(3), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(0, 2**31), st.sampled_from(["minor", "major"]), st.data())
def test_rrqr_is_the_literal_start(shape: tuple[int, int], seed: int, end: str, data: st.DataObject) -> None:
    weight, rank = gaussian(shape, seed), data.draw(st.integers(0, min(shape)))
    a, b = lowrank(weight, rank, "rrqr", end)
    literal_a, literal_b = literal_rrqr(weight, rank, end)
    np.testing.assert_array_equal(a.numpy(), literal_a)
    np.testing.assert_allclose(b.numpy(), literal_b, atol=1e-5)  # the same reflections, applied in another grouping


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_pivots_are_scipys(shape: tuple[int, int]) -> None:
    weight = gaussian(shape)
    _, r, pivots = qr(weight.numpy(), pivoting=True, mode="economic")
    found = pivoted_qr(weight)
    np.testing.assert_array_equal(found["pivots"].numpy(), pivots[: min(shape)])
    np.testing.assert_allclose(found["diagonal"].numpy(), np.diagonal(r), rtol=1e-4, atol=1e-7)


def test_pivots_of_a_deficient_weight_are_scipys_up_to_its_rank() -> None:
    for shape in ((48, 20), (20, 48)):
        weight = deficient(shape)  # past rank 5 the pivots are round-off
        scipys = qr(weight.numpy(), pivoting=True)[2]
        np.testing.assert_array_equal(pivoted_qr(weight)["pivots"][:5].numpy(), scipys[:5])


@pytest.mark.parametrize("name", ["blocks.0.attn.qkv", "blocks.0.attn.proj", "blocks.11.mlp.fc1", "blocks.11.mlp.fc2"])
def test_real_weights_start_as_the_literal_twin(name: str, dinov2_small: Path) -> None:
    with safe_open(dinov2_small, framework="pt") as file:
        weight = file.get_tensor(f"{name}.weight")
    directions = Directions(weight, "rrqr")
    for end, rank in (("minor", 32), ("major", 4)):
        a, b = directions.cut(rank, end)
        literal_a, literal_b = literal_rrqr(weight, rank, end)
        np.testing.assert_array_equal(a.numpy(), literal_a)
        np.testing.assert_allclose(b.numpy(), literal_b, atol=1e-5)


# ------------------------------------------------------------------------------------------------ RecycleLoRA's start


@pytest.mark.parametrize("shape", [(48, 20), (20, 48), (32, 32)])
def test_main_and_sub_share_no_direction(shape: tuple[int, int]) -> None:
    weight = gaussian(shape)
    main, sub = lowrank(weight, 8, "rrqr", "minor"), lowrank(weight, 3, "rrqr", "major")
    assert not set(main.a.argmax(1).tolist()) & set(sub.a.argmax(1).tolist())
    assert torch.allclose(main.b.T @ sub.b, torch.zeros(8, 3), atol=1e-6)
    for factors, rank in ((main, 8), (sub, 3)):
        assert torch.equal(factors.a @ factors.a.T, torch.eye(rank))  # single ones, each in a column of its own
        assert torch.allclose(factors.b.T @ factors.b, torch.eye(rank), atol=2e-6)
        assert float((factors.b @ factors.a).norm()) == pytest.approx(rank**0.5, rel=1e-6)  # at any scale of the weight


def test_minor_pivots_of_a_wide_weight_are_not_the_last_of_the_permutation() -> None:
    weight = gaussian((20, 48))
    pivots = qr(weight.numpy(), pivoting=True)[2]
    chosen = lowrank(weight, 6, "rrqr", "minor").a.argmax(1).tolist()
    assert chosen == pivots[14:20].tolist()
    assert not set(chosen) & set(pivots[-6:].tolist())  # those 28 were never eliminated


def test_ends_are_ends_of_the_weight() -> None:
    scales = torch.logspace(0, -3, 32)
    orthogonal = torch.linalg.qr(gaussian((48, 32))).Q
    weight = orthogonal * scales  # columns orthogonal, of falling length: pivot i is column i
    major, minor = lowrank(weight, 4, "rrqr", "major"), lowrank(weight, 4, "rrqr", "minor")
    assert major.a.argmax(1).tolist() == [0, 1, 2, 3] and minor.a.argmax(1).tolist() == [28, 29, 30, 31]
    assert torch.allclose(projector(major.b), projector(orthogonal[:, :4]), atol=1e-5)
    assert torch.allclose(projector(minor.b), projector(orthogonal[:, 28:]), atol=1e-5)


# ------------------------------------------------------------------------------------------------------ SVD, Kaiming


@settings(max_examples=40, deadline=None)
@given(st.tuples(st.integers(4, 40), st.integers(4, 40)), st.integers(0, 2**31), st.sampled_from(["minor", "major"]),
       st.sampled_from([1.0, 1 / 36, 4.0]))
def test_svd_is_the_literal_start(shape: tuple[int, int], seed: int, end: str, scaling: float) -> None:
    weight = gaussian(shape, seed)
    a, b = lowrank(weight, 3, "svd", end, scaling=scaling)
    literal_a, literal_b = map(torch.from_numpy, literal_svd(weight, 3, end, scaling))
    size = float(weight.norm())
    assert torch.allclose(scaling * b.double() @ a.double(), scaling * literal_b @ literal_a, atol=3e-4 * size)
    assert torch.allclose(a.norm(dim=1), b.norm(dim=0), atol=1e-5 * size / scaling)  # the root, split evenly
    assert torch.allclose(a.norm(dim=1).double(), literal_a.norm(dim=1), rtol=1e-2, atol=1e-3 * size)


def test_svd_spans_its_own_end_and_not_the_other() -> None:
    weight = torch.linalg.qr(gaussian((40, 24))).Q @ torch.diag(torch.logspace(0, -2, 24)) @ torch.linalg.qr(
        gaussian((24, 24), 1)).Q.T
    u, s, vt = torch.linalg.svd(weight.double(), full_matrices=False)
    for end, own, other in (("minor", slice(20, 24), slice(0, 4)), ("major", slice(0, 4), slice(20, 24))):
        a, b = lowrank(weight, 4, "svd", end, scaling=0.25)
        assert torch.allclose(projector(b), projector(u[:, own]), atol=1e-3)
        assert torch.allclose(projector(a.T), projector(vt[own].T), atol=1e-3)
        assert float((projector(b) * projector(u[:, other])).sum()) < 1e-2  # of 4, were it the other end
        rest = weight - 0.25 * b @ a
        kept = torch.cat([s[: own.start], s[own.stop:]])
        assert torch.allclose(torch.linalg.svdvals(rest.double())[:20], kept, atol=1e-5)  # only that end is gone


def peft_layer(weight: Tensor, rank: int, alpha: float, init: bool | str) -> PeftLinear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    linear.weight.data = weight.clone()
    config = LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights=init)
    return PeftLinear(linear, "default", config=config, r=rank, lora_alpha=alpha)


def test_major_svd_is_pefts_pissa() -> None:
    weight = gaussian((40, 24))
    layer = peft_layer(weight, 6, 1.5, "pissa")
    a, b = lowrank(weight, 6, "svd", "major", scaling=1.5 / 6)
    assert torch.allclose(b @ a, layer.lora_B["default"].weight @ layer.lora_A["default"].weight, atol=1e-6)
    assert torch.allclose(weight - 0.25 * b @ a, layer.get_base_layer().weight, atol=1e-6)


def test_kaiming_is_pefts_default() -> None:
    weight = gaussian((40, 24))
    layer = peft_layer(weight, 6, 1.0, True)
    torch.manual_seed(7)
    layer.reset_lora_parameters("default", True)
    a, b = lowrank(weight, 6, "kaiming", None, generator=torch.Generator().manual_seed(7))
    assert torch.equal(a, layer.lora_A["default"].weight) and torch.equal(b, layer.lora_B["default"].weight)
    assert float(a.abs().max()) <= 24**-0.5 and not b.any()


# ------------------------------------------------------------------------------------------------------ what goes in


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("init", ["rrqr", "svd"])
def test_any_float_weight_is_factorised_in_float32(dtype: torch.dtype, init: str) -> None:
    weight = gaussian((24, 16)).to(dtype)
    wide = lowrank(weight.float(), 4, init, "minor")
    for found, expected in zip(lowrank(weight, 4, init, "minor"), wide, strict=True):
        assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_the_weight_is_left_alone_and_may_be_a_strided_view() -> None:
    whole = gaussian((48, 40)).requires_grad_()
    before = whole.detach().clone()
    view = whole[::2, 3:31]
    assert torch.equal(lowrank(view, 5, "rrqr", "minor").b, lowrank(view.detach().clone(), 5, "rrqr", "minor").b)
    assert torch.equal(whole, before)


@pytest.mark.parametrize("init", ["rrqr", "svd", "kaiming"])
def test_rank_may_be_nothing_or_everything(init: str) -> None:
    weight, end = gaussian((12, 8)), None if init == "kaiming" else "minor"
    none, every = lowrank(weight, 0, init, end), lowrank(weight, 8, init, end)
    assert (none.a.shape, none.b.shape) == ((0, 8), (12, 0)) and (every.a.shape, every.b.shape) == ((8, 8), (12, 8))
    if init == "svd":
        assert torch.allclose(every.b @ every.a, weight, atol=1e-6)


@pytest.mark.parametrize("init", ["rrqr", "svd", "kaiming"])
def test_meta_weights_give_shapes_alone(init: str) -> None:
    factors = lowrank(torch.empty(12, 8, device="meta"), 3, init, None if init == "kaiming" else "major")
    assert factors.a.shape == (3, 8) and factors.b.shape == (12, 3) and factors.a.is_meta and factors.b.is_meta


@pytest.mark.parametrize(("arguments", "said"), [
    (dict(rank=9), "rank 9 does not fit a weight of 12x8; choose 0 to 8"),
    (dict(rank=-1), "choose 0 to 8"),
    (dict(init="qr"), "init 'qr' is not known; known: rrqr, svd, kaiming"),
    (dict(end="middle"), "end 'middle' is not known to init rrqr; known: minor, major"),
    (dict(end=None), "known: minor, major"),
    (dict(init="kaiming"), "means nothing to init kaiming"),
    (dict(init="svd", scaling=0.0), "scaling 0.0 must be a finite number above 0"),
    (dict(weight=torch.zeros(3, 4, 5)), r"expected a weight of shape \(out, in\), got \(3, 4, 5\)"),
    (dict(weight=torch.full((12, 8), float("nan"))), "NaN or infinite"),
    (dict(weight=torch.eye(12)[:, :8] * float("inf")), "NaN or infinite"),
    (dict(weight=torch.full((12, 8), -float("inf")), init="svd"), "NaN or infinite"),
])
def test_bad_requests_are_refused_in_one_line(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(AdapterError, match=said) as caught:
        lowrank(**({"weight": gaussian((12, 8)), "rank": 2, "init": "rrqr", "end": "minor"} | arguments))
    assert "\n" not in str(caught.value)
