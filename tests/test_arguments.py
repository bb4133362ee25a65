"""Numbers of NumPy and torch are numbers wherever the adapters take one, and leave as Python's own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from recyclelora.adapters import (
    AdapterError,
    Directions,
    DualLoRALinear,
    adapt,
    attach_rein,
    lowrank,
    reins_of,
    save_adapter,
    save_rein,
    select,
)
from tests.narrow import backbone, features

WHOLE = [np.int64(4), np.int8(4), np.uint16(4), np.array(4), torch.tensor(4), torch.tensor(4, dtype=torch.int32)]
REAL = [np.float32(0.5), np.float64(0.5), np.float16(0.5), np.array(0.5), torch.tensor(0.5), torch.tensor(0.5).bfloat16()]
NOT_WHOLE: list[Any] = [True, np.True_, torch.tensor(True), 4.0, np.float64(4.0), torch.tensor(4.0), "4", None,
                        torch.tensor([4]), np.array([4]), [4], 4j]
NOT_REAL: list[Any] = [True, np.False_, torch.tensor(True), None, [0.5], torch.tensor([0.5]), np.array([0.5]), 0.5j, b"1",
                       float("nan"), float("inf"), np.float32("nan")]
WEIGHT = torch.randn(24, 16, generator=torch.Generator().manual_seed(0))


def directions_cut(**given: Any) -> object:
    return Directions(WEIGHT, "rrqr").cut(**({"rank": 2, "end": "minor"} | given))


def starts(**given: Any) -> object:
    return lowrank(**({"weight": WEIGHT, "rank": 2, "init": "svd", "end": "minor"} | given))


def layer(**given: Any) -> object:
    start = {"main": lowrank(WEIGHT, 2, "rrqr", "minor"), "sub": lowrank(WEIGHT, 2, "rrqr", "major")}
    return DualLoRALinear(torch.nn.Linear(16, 24), start, {"main": given["scale"], "sub": 1.0})


ADAPT: Callable[..., object] = lambda **given: adapt(backbone(), **({"main_rank": 4, "sub_rank": 2} | given))  # noqa: E731
REIN: Callable[..., object] = lambda **given: attach_rein(backbone(), **({"tokens": 6, "rank": 2} | given))  # noqa: E731
SELECT: Callable[..., object] = lambda **given: select(backbone(), **given)  # noqa: E731
WHOLE_ARGUMENTS = [(ADAPT, "main_rank"), (ADAPT, "sub_rank"), (ADAPT, "seed"), (REIN, "tokens"), (REIN, "rank"),
                   (REIN, "seed"), (starts, "rank"), (directions_cut, "rank")]
REAL_ARGUMENTS = [(ADAPT, "alpha"), (ADAPT, "scaling"), (REIN, "scale"), (starts, "scaling"), (directions_cut, "scaling"),
                  (layer, "scale")]


@pytest.mark.parametrize(("function", "argument"), WHOLE_ARGUMENTS)
@pytest.mark.parametrize("value", WHOLE, ids=repr)
def test_whole_numbers_of_other_libraries(function: Callable[..., object], argument: str, value: Any) -> None:
    function(**{argument: value})


@pytest.mark.parametrize(("function", "argument"), [*WHOLE_ARGUMENTS, (ADAPT, "skip_blocks"), (SELECT, "skip_blocks")])
@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
def test_what_is_no_whole_number_is_refused(function: Callable[..., object], argument: str, value: Any) -> None:
    with pytest.raises(AdapterError, match=rf"^{argument} .*: expected a whole number") as caught:
        function(**{argument: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("function", "argument"), REAL_ARGUMENTS)
@pytest.mark.parametrize("value", [*REAL, 1, np.int64(1), torch.tensor(1)], ids=repr)
def test_real_numbers_of_other_libraries(function: Callable[..., object], argument: str, value: Any) -> None:
    function(**{argument: value})


@pytest.mark.parametrize(("function", "argument"), REAL_ARGUMENTS)
@pytest.mark.parametrize("value", NOT_REAL, ids=repr)
def test_what_is_no_real_number_is_refused(function: Callable[..., object], argument: str, value: Any) -> None:
    with pytest.raises(AdapterError, match=r"^\w+ .*(expected a number|must be a finite number)") as caught:
        function(**{argument: value})
    assert "\n" not in str(caught.value)


def test_they_are_pythons_own_in_the_model_and_in_the_file(tmp_path: Path) -> None:
    vit, plain = backbone(), backbone()
    adapt(vit, main_rank=np.int64(4), sub_rank=torch.tensor(2), scaling=np.float32(0.5), alpha=np.float64(1.0),  # type: ignore[arg-type]
          skip_blocks=np.int32(1), seed=np.uint8(3))  # type: ignore[arg-type]
    adapt(plain, main_rank=4, sub_rank=2, scaling=0.5, alpha=1.0, skip_blocks=1, seed=3)
    assert vit.adaptation == plain.adaptation and torch.equal(features(vit), features(plain))
    assert [type(getattr(vit.adaptation, name)) for name in ("main_rank", "sub_rank", "scaling", "alpha")] == [
        int, int, float, float]
    save_adapter(vit, str(tmp_path / "a.safetensors"))
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert json.loads(file.metadata()["recyclelora"])["main_rank"] == 4


def test_rein_too(tmp_path: Path) -> None:
    vit = backbone()
    attach_rein(vit, tokens=np.int64(6), rank=torch.tensor(2), scale=np.float32(0.5), query_width=np.int16(32))  # type: ignore[arg-type]
    reins = reins_of(vit)
    assert reins is not None and all(type(value) in (int, float) for value in reins.settings.values())
    save_rein(vit, str(tmp_path / "r.safetensors"))


def test_a_float_of_a_whole_value_is_told_what_to_give() -> None:
    with pytest.raises(AdapterError, match=r"^main_rank 4\.0: expected a whole number; give 4$"):
        adapt(backbone(), main_rank=4.0)  # type: ignore[arg-type]


def test_a_folder_may_be_a_text(tmp_path: Path) -> None:
    adapt(backbone(), main_rank=2, sub_rank=1, cache=str(tmp_path))
    assert len([*(tmp_path / "factors").glob("*.safetensors")]) == 8


def test_roles_are_several_names() -> None:
    with pytest.raises(AdapterError, match=r"roles 'qkv': expected several names; give \('qkv',\)"):
        adapt(backbone(), roles="qkv")


@pytest.mark.parametrize("metadata", [{"iteration": 5}, {"loss": np.float32(1)}, {5: "x"}, {"none": None}], ids=repr)
def test_metadata_that_is_no_text_is_refused(metadata: Any, tmp_path: Path) -> None:
    vit = backbone()
    adapt(vit, main_rank=2, sub_rank=1)
    with pytest.raises(AdapterError, match=r"metadata .* a header holds text under text: give str\(\.\.\.\)"):
        save_adapter(vit, tmp_path / "a.safetensors", metadata=metadata)
    assert not [*tmp_path.iterdir()]
