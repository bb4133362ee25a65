"""A scale and a shift after each linear layer of the blocks (Lian et al., NeurIPS 2022). Not part of the package: the
tests add this one file to `methods/`, and its name to the list."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from recyclelora.fields import NotNegative, settings
from recyclelora.methods.method import Method, trained_parameters
from recyclelora.training.groups import Group

if TYPE_CHECKING:
    from torch import nn


@settings
class SSF(Method):
    method: Literal["ssf"] = "ssf"
    lr_multiplier: NotNegative = 1.0
    weight_decay_multiplier: NotNegative = 0.0

    WORDS: ClassVar = "a scale and a shift of the output of each linear layer"
    SOURCE: ClassVar = "Lian et al., NeurIPS 2022"
    TRAINED: ClassVar = "frozen, with scaled and shifted features and a trained head"
    KEEPS: ClassVar = "this example leaves its layers as they are"

    def attach(self, vit: "nn.Module", *, cache: Path | None, seed: int, head_width: int) -> int:
        import torch
        from torch import nn

        vit.requires_grad_(False)
        linears = [module for name, module in vit.named_modules()
                   if name.startswith("blocks.") and isinstance(module, nn.Linear)]
        device = linears[0].weight.device
        vit.add_module("ssf", nn.ParameterList(
            nn.Parameter(values(linear.out_features, device=device))
            for linear in linears for values in (torch.ones, torch.zeros)))
        for index, linear in enumerate(linears):
            linear.register_forward_hook(
                lambda module, given, output, at=2 * index: output * vit.ssf[at] + vit.ssf[at + 1])
        return len(linears)

    def groups(self, vit: "nn.Module") -> dict[str, Group]:
        return {"ssf": Group([*trained_parameters(vit).values()], self.lr_multiplier, self.weight_decay_multiplier)}
