"""Tokens that refine the features after every block, and make the head's queries (Rein, CVPR 2024)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from recyclelora.errors import InputError
from recyclelora.fields import Above0, Bool, Int, NotNegative, Positive, settings
from recyclelora.methods.method import PYRAMID, Difference, Method, copy_parameters
from recyclelora.training.groups import Group

if TYPE_CHECKING:
    from torch import Tensor, nn

_TOGETHER = "--to torch and --to onnx hold them"


@settings
class Rein(Method):
    method: Literal["rein"] = "rein"
    tokens: Annotated[Int, Field(ge=2)] = 100  # of each block; linked, the head's queries: the same number
    rank: Positive = 16  # of the tokens' matrix
    link: Bool = True  # the tokens make the head's queries
    scale: Above0 = 0.001  # of the change at the start; learned
    lr_multiplier: NotNegative = 1.0

    WORDS: ClassVar = "tokens that refine the features after every block, and make the head's queries"
    SOURCE: ClassVar = "Wei et al., CVPR 2024 (arXiv 2312.04265)"
    TRAINED: ClassVar = "frozen, with Rein's tokens and a trained head"
    KEEPS: ClassVar = "the tokens attend to the features of each image"
    IDENTITY: ClassVar = False  # the output changes by about `scale`
    LACKS: ClassVar = {"peft": f"Rein's tokens are no low-rank adapter; {_TOGETHER}",
                       "timm": f"Rein's tokens cannot be merged into a plain ViT; {_TOGETHER}"}
    KEYS: ClassVar = {"rank": "rank", "tokens": "tokens"}

    @model_validator(mode="after")
    def _check(self) -> "Rein":
        if self.rank > self.tokens:
            raise InputError(f"{self.rank} is above adapter.tokens ({self.tokens})", key="rank")
        return self

    def check_head(self, queries: int) -> None:
        if self.link and self.tokens != queries:
            raise InputError(f"{self.tokens} tokens cannot make the {queries} queries of head.queries; give both the "
                             "same number, or adapter.link: false", key="tokens")

    def differences(self) -> tuple[Difference, ...]:
        return () if self.link else (PYRAMID,)

    def attach(self, vit: "nn.Module", *, cache: Path | None, seed: int, head_width: int) -> int:
        from recyclelora.adapters.rein_tokens import attach_rein

        return attach_rein(vit, tokens=self.tokens, rank=self.rank, scale=self.scale, seed=seed,
                           query_width=head_width if self.link else None)

    def groups(self, vit: "nn.Module") -> dict[str, Group]:
        """As the authors: tokens and scale are not decayed, the linear layers are."""
        from recyclelora.adapters.rein_tokens import rein_parameters

        found = rein_parameters(vit)
        return {kind: Group([*found[kind].values()], self.lr_multiplier, decay)
                for kind, decay in (("rein_tokens", 0.0), ("rein", 1.0))}

    def queries(self, vit: "nn.Module") -> "Callable[[], Tensor] | None":
        from recyclelora.adapters.rein_tokens import reins_of

        reins = reins_of(vit)
        return reins.queries if reins is not None and self.link else None

    def save(self, vit: "nn.Module", path: Path, about: Mapping[str, str]) -> None:
        from recyclelora.adapters.rein_tokens import save_rein

        save_rein(vit, path, metadata=about)

    def load(self, vit: "nn.Module", path: Path, *, head_width: int) -> None:
        from recyclelora.adapters.rein_tokens import load_rein

        load_rein(vit, path)

    def copy(self, vit: "nn.Module", path: Path) -> None:
        from recyclelora.adapters.rein_tokens import read_rein

        copy_parameters(vit, {f"reins.{name}": tensor for name, tensor in read_rein(path).items()}, path)
