"""Two low-rank adapters on each linear layer of the blocks (arXiv 2603.28142, the authors' code)."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from pydantic import model_validator

from recyclelora.adapters.init_names import ENDS, EVERY_INIT, NO_END
from recyclelora.errors import InputError
from recyclelora.fields import Above0, Natural, Needs, NotNegative, Role, complete, is_, settings
from recyclelora.methods.method import Difference, Method, copy_parameters
from recyclelora.training.groups import Group

if TYPE_CHECKING:
    from torch import Tensor, nn

    Init: TypeAlias = str
    End: TypeAlias = str
else:  # what the adapters know
    Init, End = Literal[EVERY_INIT], Literal[ENDS]
_ALIKE = 1e-5  # of what a start took out of a weight, whose columns are 0.03 long: many float32 roundings


@settings
class Main:
    """The main adapter. Rank 0 leaves it out, and its other settings must then be left out too."""

    rank: Natural = 32
    end: End | None = None  # None: minor
    lr_multiplier: NotNegative | None = None  # None: 1.0 (the authors' code)


@settings
class Sub:
    """The sub adapter, likewise."""

    rank: Natural = 4
    end: End | None = None  # None: major
    lr_multiplier: NotNegative | None = None  # None: 0.5


@settings
class RecycleLoRA(Method):
    method: Literal["recyclelora"] = "recyclelora"
    init: Init = "rrqr"
    main: Main = field(default_factory=Main)
    sub: Sub = field(default_factory=Sub)
    scaling: Literal["shared", "per_adapter"] | Above0 = "shared"  # alpha / total rank, alpha / own rank, or a number
    alpha: Above0 | None = None  # None: 1.0; means nothing when scaling is a number
    roles: tuple[Role, ...] = ("qkv", "proj", "fc1", "fc2")
    skip_blocks: Natural = 0  # leading blocks left without adapters
    weight_decay_multiplier: NotNegative = 0.0  # of training.weight_decay; SoMA decays its adapters: 1.0

    WORDS: ClassVar = "two low-rank adapters on each linear layer, started from the two ends of its weight"
    SOURCE: ClassVar = "Cho, Yun, Jeon, Moon, Ro, arXiv 2603.28142"
    TRAINED: ClassVar = "frozen, with low-rank adapters (recyclelora) and a trained head"
    KEYS: ClassVar = {"role": "roles", "skip": "skip_blocks", "rank": "main.rank"}
    ANALYSED: ClassVar = True
    NEEDS: ClassVar = (
        *(Needs(f"adapter.{which}.{key}", f"adapter.{which}.rank", is_(0))
          for which in ("main", "sub") for key in ("end", "lr_multiplier")),
        *(Needs(f"adapter.{which}.end", "adapter.init", is_(*NO_END)) for which in ("main", "sub")),
        Needs("adapter.alpha", "adapter.scaling", lambda value: isinstance(value, (int, float))))

    @model_validator(mode="after")
    def _complete(self) -> "RecycleLoRA":
        if self.main.rank + self.sub.rank == 0:
            raise InputError("0, and so is adapter.sub.rank; give one a rank, or use adapter.method: frozen",
                             key="main.rank")
        complete(self, "adapter.", self.NEEDS, {
            "adapter.main.end": "minor", "adapter.sub.end": "major", "adapter.main.lr_multiplier": 1.0,
            "adapter.sub.lr_multiplier": 0.5, "adapter.alpha": 1.0})
        if not self.roles or len(set(self.roles)) < len(self.roles):
            raise InputError("name each role once, and at least one", key="roles")
        return self

    def differences(self) -> tuple[Difference, ...]:
        return (Difference("frozen weights after an evaluation", "the same, bit for bit",
                           "the adapters added and subtracted again, in place, at each evaluation",
                           "rounding of float32, once for each evaluation"),)

    def attach(self, vit: "nn.Module", *, cache: Path | None, seed: int, head_width: int) -> int:
        from recyclelora.adapters.lora import adapt

        return len(adapt(vit, init=self.init, main_rank=self.main.rank, sub_rank=self.sub.rank,
                         main_end=self.main.end, sub_end=self.sub.end, alpha=self.alpha or 1.0, scaling=self.scaling,
                         roles=self.roles, skip_blocks=self.skip_blocks, cache=cache, seed=seed))

    def groups(self, vit: "nn.Module") -> dict[str, Group]:
        from recyclelora.adapters.layer import Which
        from recyclelora.adapters.lora import adapter_parameters

        # None where the rank is 0
        rates: dict[Which, float | None] = {"main": self.main.lr_multiplier, "sub": self.sub.lr_multiplier}
        return {which: Group([*adapter_parameters(vit, which).values()], rate, self.weight_decay_multiplier)
                for which, rate in rates.items() if rate is not None}

    def merged(self, vit: "nn.Module") -> AbstractContextManager[object]:
        from recyclelora.adapters.lora import merged

        return merged(vit)

    def save(self, vit: "nn.Module", path: Path, about: Mapping[str, str]) -> None:
        from recyclelora.adapters.adapter_files import save_adapter

        save_adapter(vit, path, metadata=about)

    def load(self, vit: "nn.Module", path: Path, *, head_width: int) -> None:
        from recyclelora.adapters.adapter_files import load_adapter

        load_adapter(vit, path)

    def copy(self, vit: "nn.Module", path: Path) -> None:
        from recyclelora.adapters.adapter_files import read_adapter

        tensors = read_adapter(path)
        _check_residuals(vit, tensors, path)
        copy_parameters(vit, {name: tensor for name, tensor in tensors.items() if ".start_" not in name}, path)


def _check_residuals(vit: "nn.Module", tensors: "Mapping[str, Tensor]", path: Path) -> None:
    """The frozen weights too must be the file's: they lack what its adapters started as."""
    from recyclelora.adapters.adapter_error import AdapterError
    from recyclelora.adapters.adapter_files import start_of
    from recyclelora.adapters.lora import adapted_layers

    adaptation = vit.__dict__.get("adaptation")
    init = adaptation.init if adaptation is not None else ""
    for name, layer in adapted_layers(vit).items():
        for which, now in layer.start.items():
            before = start_of(tensors, name, layer.residual.shape, which, init)
            if layer.scales[which] * float((before.b @ before.a - now.b @ now.a).abs().max()) > _ALIKE:
                raise AdapterError(f"{path}: the adapters of {name} began as others than they would here (is this "
                                   "another machine?); train both stages on one, or share its cache")
