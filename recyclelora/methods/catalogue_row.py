"""One row of `recyclelora methods`: what a method is, and what it costs at the paper's size."""

from typing import NamedTuple

from recyclelora.methods import METHODS

BACKBONE = "dinov2_large"
HEAD_WIDTH = 256  # of the paper's head, whose queries some methods make


class Row(NamedTuple):
    """`layers` and `parameters`: adapted and trained on the ViT's side, with the method's defaults on DINOv2-L.
    `keeps`: why it cannot be merged, "" where it can. `lacks`: formats of an export that cannot hold it."""

    name: str
    words: str
    layers: int
    parameters: int
    keeps: str
    lacks: tuple[str, ...]
    source: str


def describe(name: str) -> Row:
    """A method's row, counted by adapting the backbone on the meta device: no weights, no arithmetic."""
    import torch

    from recyclelora.methods.method import trained_parameters
    from recyclelora.models.timm_backbones import build_backbone

    method = METHODS[name]
    with torch.device("meta"):
        vit = build_backbone(BACKBONE, patch_size=16, image_size=(128, 128), weights=None)
    layers = method().attach(vit, cache=None, seed=0, head_width=HEAD_WIDTH)
    parameters = sum(parameter.numel() for parameter in trained_parameters(vit).values())
    return Row(name, method.WORDS, layers, parameters, method.KEEPS, tuple(method.LACKS), method.SOURCE)
