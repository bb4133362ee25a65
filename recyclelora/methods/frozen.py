"""No adapter: the backbone stays as it came and the head alone is trained. The floor of every ablation."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from recyclelora.fields import settings
from recyclelora.methods.method import PYRAMID, Difference, Method
from recyclelora.training.groups import Group

if TYPE_CHECKING:
    from torch import nn


@settings
class Frozen(Method):
    method: Literal["frozen"] = "frozen"

    WORDS: ClassVar = "the head alone, on the backbone as it came"
    SOURCE: ClassVar = "the usual baseline"
    TRAINED: ClassVar = "frozen, with a trained head"
    LACKS: ClassVar = {"peft": "this model's backbone is frozen and has no adapter; --to timm writes the ViT"}

    def attach(self, vit: "nn.Module", *, cache: Path | None, seed: int, head_width: int) -> int:
        vit.requires_grad_(False)
        return 0

    def groups(self, vit: "nn.Module") -> dict[str, Group]:
        return {}

    def differences(self) -> tuple[Difference, ...]:
        return (PYRAMID,)
