"""How a ViT's blocks are run: kept or recomputed activations, eager or compiled. What they compute stays the same."""

import torch
from torch import nn

from recyclelora.errors import InputError

VARIANTS = 32  # of a block: with adapters, without and merged, with gradients and without, for each number of windows


def recompute_activations(vit: nn.Module) -> None:
    """Keep only each block's input for the backward pass, and run the block again there (timm's checkpointing): the
    same losses and gradients, for less memory and one more forward pass. Without gradients nothing changes."""
    vit.set_grad_checkpointing(True)  # type: ignore[operator]


def compile_blocks(vit: nn.Module, device: torch.device) -> None:
    """Have torch compile each block at its first use, as one graph; blocks of one build share the result.

    Modules, parameters and names stay as they are, and merged layers are compiled when they are first met. Raises
    InputError where torch cannot compile for the device (no C++ compiler, as a rule)."""
    try:
        torch.compile(_double)(torch.ones(2, device=device))
    except Exception as error:  # noqa: BLE001, whatever a compiler may say
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"training.compile: torch cannot compile for this device ({device.type}): {reason}; install a "
                         "C++ compiler, or leave the setting out", key="training.compile") from None
    torch._dynamo.reset()  # what a worker compiled for the trial before this one is no use, and counts against a limit
    torch._dynamo.config.recompile_limit = max(VARIANTS, torch._dynamo.config.recompile_limit)
    for block in vit.blocks:  # type: ignore[union-attr]
        block.compile(fullgraph=True)


def _double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x
