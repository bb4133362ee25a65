"""Groups of parameters that train at one rate. Without torch, so that settings can be read without it."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import nn


class Group(NamedTuple):
    """Parameters that share a learning rate and a weight decay, as multiples of `training.lr` and
    `training.weight_decay`."""

    parameters: "list[nn.Parameter]"
    lr_multiplier: float
    decay_multiplier: float
