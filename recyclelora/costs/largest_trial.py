"""What the largest trial of a sweep needs at least: estimated in a part of a second, to be compared with what a machine
has. `requirements` counts the same exactly, in some seconds."""

from collections.abc import Iterable
from typing import NamedTuple

from torch import nn

from recyclelora.config import Config
from recyclelora.costs.requirements import build_shapes
from recyclelora.models.catalogue import BACKBONES
from recyclelora.trials.build import count_parameters

CHECKPOINTS = 3  # at once: the newest, the one before, and the one that is being written
CLASSES = 19  # what the head predicts matters little
# Numbers that a block keeps of each token for the backward pass, in widths of the token: the inputs of both norms and
# their outputs, q, k and v, what attention returns, and the wide layer (4) before its activation.
KEPT = 12


class Largest(NamedTuple):
    """Bytes in memory while it trains (without the head's activations, the loss, workspaces and the process itself),
    and bytes on the disk."""

    memory: int
    disk: int


def kept_bytes(config: Config) -> int:
    """What the blocks of the backbone keep for the backward pass, at least."""
    (height, width), row = config.data.crop, BACKBONES[config.backbone.name]
    side = config.backbone.patch_size or row.patch_size
    tokens = config.data.batch_size // config.training.accumulate * (height // side) * (width // side)
    blocks = KEPT * row.depth if not config.resources.activation_checkpointing else row.depth + KEPT
    return tokens * blocks * row.width * (4 if config.training.precision == "float32" else 2)


def largest_of(configs: Iterable[Config]) -> Largest:
    """The largest is chosen by what its blocks keep, then by the size of its adapters."""
    config = max(configs, key=lambda one: (kept_bytes(one), count_parameters(one)["adapter"]))
    segmentor = build_shapes(config, CLASSES)
    trained = sum(_bytes(parameter) for parameter in segmentor.parameters() if parameter.requires_grad)
    state = (3 if config.training.ema_start is None else 4) * trained  # a gradient, two moments, perhaps an average
    return Largest(sum(map(_bytes, segmentor.parameters())) + state + kept_bytes(config), CHECKPOINTS * state)


def _bytes(parameter: nn.Parameter) -> int:
    return parameter.numel() * parameter.element_size()
