"""Every init keeps one contract, whichever it is: a row of INITS is all there is to add."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from recyclelora.adapters import (
    ENDS,
    INITS,
    AdapterError,
    Cut,
    Directions,
    Factors,
    Init,
    adapt,
    adapted_layers,
    load_adapter,
    lowrank,
    merge,
    save_adapter,
)
from recyclelora.adapters.cache import Factorisation
from recyclelora.adapters.init_names import EVERY_INIT, HAS_ENDS, NO_END
from recyclelora.adapters.inits import find_init
from tests.narrow import assert_same_output, backbone, features, perturb

SHAPES = [(24, 16), (16, 24), (20, 20)]


def longest_rows(weight: Tensor) -> dict[str, Tensor]:
    """A factorisation made up for these tests: the rows of a weight by falling length."""
    count = min(weight.shape)
    order = weight.norm(dim=1).argsort(descending=True)[:count]
    return {"rows": weight[order], "places": order}


def cut_rows(directions: Factorisation | None, wanted: Cut) -> Factors:
    """A: the rows; B: which they are. So B A is those rows of the weight and zeros elsewhere, over s."""
    assert directions is not None
    found = directions.rows(wanted.start, wanted.stop)
    b = torch.zeros(wanted.out_features, len(found["places"]))
    b[found["places"], torch.arange(len(found["places"]))] = 1 / wanted.scaling
    return Factors(found["rows"], b)


NEW = Init(name="rows", words="whole rows of the weight", source="this test", has_ends=True, factorise=longest_rows,
           cut=cut_rows, compact=lambda start: Factors(start.a.half(), start.b),
           expand=lambda kept, in_features: Factors(kept.a.float(), kept.b))
EXACT = Init(name="rows_as_they_are", words="whole rows of the weight", source="this test", has_ends=True,
             factorise=longest_rows, cut=cut_rows)


@pytest.fixture(autouse=True)
def _a_row_more(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The contract runs over a row that only this test has, beside those of the program: nothing else names it."""
    monkeypatch.setitem(INITS, EXACT.name, EXACT)
    yield


EVERY = [*INITS, EXACT.name]
CUTS = [(name, end) for name, row in [*INITS.items(), (EXACT.name, EXACT)] for end in (ENDS if row.has_ends else (None,))]


def weight(shape: tuple[int, int], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def generator(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_names_that_settings_read_are_those_of_the_table() -> None:
    rows = {name: row for name, row in INITS.items() if name != EXACT.name}
    assert {name: row.has_ends for name, row in rows.items()} == HAS_ENDS
    assert tuple(rows) == EVERY_INIT and NO_END == tuple(name for name, row in rows.items() if not row.has_ends)
    assert all(row.name == name and row.words and row.source for name, row in rows.items())


def test_reading_the_names_loads_no_torch() -> None:
    code = ("import sys; from recyclelora.adapters.init_names import HAS_ENDS; "
            "print(sorted(HAS_ENDS), {'torch', 'scipy', 'numpy', 'safetensors'} & sys.modules.keys())")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['kaiming', 'rrqr', 'svd'] set()"


def test_the_package_still_offers_everything() -> None:
    import recyclelora.adapters as package
    from recyclelora.adapters import library

    assert all(getattr(package, name) is getattr(library, name) for name in library.__all__)
    assert dir(package) == sorted(library.__all__)
    with pytest.raises(AttributeError, match="no attribute 'adopt'"):
        package.adopt  # noqa: B018


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "end"), CUTS)
def test_factors_have_the_exact_shape_and_kind(name: str, end: str | None, shape: tuple[int, int]) -> None:
    for rank in (0, 1, 5, min(shape)):
        a, b = lowrank(weight(shape), rank, name, end, scaling=0.25, generator=generator())
        assert a.shape == (rank, shape[1]) and b.shape == (shape[0], rank)
        assert a.dtype == b.dtype == torch.float32 and a.is_contiguous() and b.is_contiguous()
        assert a.isfinite().all() and b.isfinite().all() and not a.requires_grad and not b.requires_grad
    with pytest.raises(AdapterError, match=f"choose 0 to {min(shape)}"):
        lowrank(weight(shape), min(shape) + 1, name, end)
    meta = lowrank(torch.empty(shape, device="meta"), 3, name, end)
    assert meta.a.is_meta and meta.a.shape == (3, shape[1]) and meta.b.shape == (shape[0], 3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", EVERY)
def test_ends_are_respected(name: str, shape: tuple[int, int]) -> None:
    given = weight(shape)
    if not find_init(name).has_ends:
        for end in ENDS:
            with pytest.raises(AdapterError, match=f"end '{end}' means nothing to init {name}, which has no directions"):
                lowrank(given, 2, name, end)
        assert lowrank(given, 2, name, None).a.shape == (2, shape[1])
        return
    for end in (None, "top", ""):
        with pytest.raises(AdapterError, match=f"is not known to init {name}; known: minor, major"):
            lowrank(given, 2, name, end)
    major, minor = (lowrank(given, 4, name, end) for end in ("major", "minor"))
    assert not torch.allclose(major.b @ major.a, minor.b @ minor.a)
    whole = min(shape)
    everything = lowrank(given, whole, name, "major")  # the directions in order: each end is a run of them
    assert torch.equal(everything.a[:4], major.a) and torch.equal(everything.a[-4:], minor.a)
    assert torch.equal(lowrank(given, whole, name, "minor").a, everything.a)


@pytest.mark.parametrize(("name", "end"), CUTS)
def test_a_start_is_determined_by_weight_and_seed(name: str, end: str | None) -> None:
    first, again = (lowrank(weight((24, 16)), 4, name, end, generator=generator()) for _ in range(2))
    assert torch.equal(first.a, again.a) and torch.equal(first.b, again.b)
    random = find_init(name).factorise is None
    other = lowrank(weight((24, 16)), 4, name, end, generator=generator(6))
    assert torch.equal(first.a, other.a) != random
    elsewhere = lowrank(weight((24, 16), seed=1), 4, name, end, generator=generator())
    assert torch.equal(first.a, elsewhere.a) == random


@pytest.mark.parametrize(("name", "end"), CUTS)
def test_the_cache_gives_what_a_cold_start_gives(name: str, end: str | None, tmp_path: Path) -> None:
    cold = lowrank(weight((24, 16)), 4, name, end, scaling=0.5, generator=generator())
    for _ in range(2):  # made, then read
        found = lowrank(weight((24, 16)), 4, name, end, scaling=0.5, generator=generator(), cache=tmp_path)
        assert all(torch.equal(x, y) and x.stride() == y.stride() for x, y in zip(found, cold, strict=True))
    kept = [path.name.partition("-")[0] for path in tmp_path.rglob("*.safetensors")]
    assert kept == ([] if find_init(name).factorise is None else [name])


@pytest.mark.parametrize(("name", "end"), CUTS)
def test_what_a_file_keeps_of_a_start_gives_it_back(name: str, end: str | None) -> None:
    row = find_init(name)
    for rank in (1, 5):
        start = lowrank(weight((24, 16)), rank, name, end, generator=generator())
        kept = row.compact(start)
        back = row.expand(kept, 16)
        assert all(torch.equal(x, y) and x.dtype == y.dtype for x, y in zip(back, start, strict=True))
        assert sum(tensor.numel() for tensor in kept) <= sum(tensor.numel() for tensor in start)


@pytest.mark.parametrize("ranks", [(4, 2), (4, 0), (0, 2)])
@pytest.mark.parametrize("name", EVERY)
def test_adapt_save_load_and_merge(name: str, ranks: tuple[int, int], tmp_path: Path) -> None:
    plain = backbone()
    before = features(plain)
    vit = backbone()
    adapt(vit, init=name, main_rank=ranks[0], sub_rank=ranks[1], seed=3)
    assert_same_output(features(vit), before)
    assert (vit.adaptation.main_end, vit.adaptation.sub_end) == (
        ("minor", "major") if find_init(name).has_ends else (None, None))
    twin = backbone()
    adapt(twin, init=name, main_rank=ranks[0], sub_rank=ranks[1], seed=3)
    assert all(torch.equal(tensor, twin.state_dict()[key]) for key, tensor in vit.state_dict().items())
    perturb(vit)
    save_adapter(vit, tmp_path / "adapter.safetensors")
    loaded = backbone()
    load_adapter(loaded, tmp_path / "adapter.safetensors")
    assert all(torch.equal(tensor, loaded.state_dict()[key]) for key, tensor in vit.state_dict().items())
    assert loaded.adaptation == vit.adaptation and torch.equal(features(loaded), features(vit))
    for layer_name, layer in adapted_layers(vit).items():
        for which, start in layer.start.items():
            again = loaded.get_submodule(layer_name).start[which]
            assert all(torch.equal(x, y) for x, y in zip(start, again, strict=True))
    moved = features(loaded)
    merge(loaded)
    assert_same_output(features(loaded), moved)
    assert repr(loaded) == repr(plain)


def test_a_new_row_alone_is_a_new_init(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its own compact form is used, and its name stands in messages; nothing but the table was told of it."""
    with pytest.raises(AdapterError, match="init 'rows' is not known; known: rrqr, svd, kaiming"):
        adapt(backbone(), init="rows")
    monkeypatch.setitem(INITS, "rows", NEW)
    vit, loaded = backbone(), backbone()
    before = features(vit)
    adapt(vit, init="rows", main_rank=3, sub_rank=2, cache=tmp_path)
    assert_same_output(features(vit), before)
    save_adapter(vit, tmp_path / "adapter.safetensors")
    from safetensors.torch import load_file

    kept = load_file(tmp_path / "adapter.safetensors")
    assert kept["blocks.0.attn.qkv.start_a_main"].dtype == torch.float16
    load_adapter(loaded, tmp_path / "adapter.safetensors")
    start, again = (model.get_submodule("blocks.0.attn.qkv").start["main"] for model in (vit, loaded))
    assert torch.equal(again.a, start.a.half().float()) and torch.equal(again.b, start.b)
    merge(loaded)
    with pytest.raises(AdapterError, match="known: rrqr, svd, kaiming, rows_as_they_are, rows"):
        Directions(weight((4, 4)), "columns")
