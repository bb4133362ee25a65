"""A wrapped model given to any verb of the adapters: refused, with the way to what it wraps."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch import nn

from recyclelora.adapters import (
    AdapterError,
    adapt,
    attach_rein,
    base_digest,
    linears,
    load_adapter,
    load_rein,
    merge,
    merged,
    save_adapter,
    save_peft,
    save_rein,
)
from tests.narrow import backbone


def enter(vit: nn.Module, folder: Path) -> None:
    with merged(vit):
        pass


VERBS: dict[str, Callable[[nn.Module, Path], object]] = {
    "adapt": lambda vit, folder: adapt(vit), "linears": lambda vit, folder: linears(vit),
    "merge": lambda vit, folder: merge(vit), "merged": enter,
    "save_adapter": lambda vit, folder: save_adapter(vit, folder / "a.safetensors"),
    "save_peft": lambda vit, folder: save_peft(vit, folder / "peft"),
    "load_adapter": lambda vit, folder: load_adapter(vit, folder / "a.safetensors"),
    "attach_rein": lambda vit, folder: attach_rein(vit), "save_rein": lambda vit, folder: save_rein(vit, folder / "r"),
    "load_rein": lambda vit, folder: load_rein(vit, folder / "r"), "base_digest": lambda vit, folder: base_digest(vit),
}


def data_parallel(vit: nn.Module) -> nn.Module:
    return nn.DataParallel(vit)


def compiled(vit: nn.Module) -> nn.Module:
    return torch.compile(vit, backend="eager")  # type: ignore[return-value]


def both(vit: nn.Module) -> nn.Module:
    return nn.DataParallel(compiled(vit))


def averaged(vit: nn.Module) -> nn.Module:
    return torch.optim.swa_utils.AveragedModel(vit)


def distributed(vit: nn.Module) -> nn.Module:
    store = torch.distributed.HashStore()
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    return nn.parallel.DistributedDataParallel(vit)


@pytest.fixture(autouse=True)
def _no_group_left():  # type: ignore[no-untyped-def]
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("wrap", "kind", "way"), [
    (data_parallel, "DataParallel", "model.module"), (distributed, "DistributedDataParallel", "model.module"),
    (compiled, "OptimizedModule", "model._orig_mod"), (both, "DataParallel", "model.module._orig_mod"),
    (averaged, "AveragedModel", "model.module")])
def test_a_wrapped_model_is_refused_with_the_way_to_unwrap_it(wrap: Callable[[nn.Module], nn.Module], kind: str, way: str,
                                                              verb: str, tmp_path: Path) -> None:
    vit = backbone()
    if "save" in verb or "merge" in verb:
        adapt(vit, main_rank=2, sub_rank=1)
    before = repr(vit)
    with pytest.raises(AdapterError, match=rf"wrapped \({kind}\); unwrap it: give {way}, and") as caught:
        VERBS[verb](wrap(vit), tmp_path)
    assert "\n" not in str(caught.value) and repr(vit) == before and not [*tmp_path.iterdir()]


def test_what_the_hint_names_is_taken() -> None:
    model = both(backbone())
    assert adapt(model.module._orig_mod, main_rank=2, sub_rank=1)


def test_a_compiled_block_is_named() -> None:
    vit = backbone()
    vit.blocks[1] = torch.compile(vit.blocks[1], backend="eager")
    with pytest.raises(AdapterError, match=r"blocks\.1\._orig_mod.*compile the blocks afterwards"):
        adapt(vit)
