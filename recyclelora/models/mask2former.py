"""Mask2Former's pixel and transformer decoders, as transformers implements them, without its backbone and its loss."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoder,
    Mask2FormerPreTrainedModel,
    Mask2FormerTransformerModule,
)

from recyclelora.models.head_start import Start, draw_start


@dataclass(frozen=True, kw_only=True)
class HeadShape:
    """The paper's head by default. `hidden` is also the width of the pixel decoder and of the mask features."""

    hidden: int = 256
    queries: int = 100
    pixel_layers: int = 6
    pixel_ffn: int = 1024
    decoder_layers: int = 9
    decoder_ffn: int = 2048
    heads: int = 8
    points: int = 12544  # sampled for each mask, in the loss as in the matching
    oversample: float = 3.0
    importance: float = 0.75
    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    no_object_weight: float = 0.1
    start: Start = "mmdet"  # of the weights, see head_start


SMALL = HeadShape(hidden=64, queries=20, pixel_layers=2, pixel_ffn=128, decoder_layers=3, decoder_ffn=128, points=512)
"""For CPUs and tests: 0.4 M parameters on DINOv2-S, a fiftieth of the paper's."""


class Predictions(NamedTuple):
    """Of the initial queries and of each decoder layer, the last one last: class logits (B, queries, classes + 1) with
    "no object" last, mask logits (B, queries, h, w) at stride 4."""

    classes: list[Tensor]
    masks: list[Tensor]


class Mask2FormerHead(nn.Module):
    """Four maps at strides 4, 8, 16, 32 -> Predictions. Its start depends on torch's seed alone."""

    def __init__(self, *, in_channels: Sequence[int], num_classes: int, shape: HeadShape) -> None:
        super().__init__()
        config = Mask2FormerConfig(
            num_labels=num_classes, feature_size=shape.hidden, mask_feature_size=shape.hidden, hidden_dim=shape.hidden,
            encoder_feedforward_dim=shape.pixel_ffn, encoder_layers=shape.pixel_layers,
            decoder_layers=shape.decoder_layers + 1,  # transformers counts the prediction from the initial queries
            dim_feedforward=shape.decoder_ffn, num_attention_heads=shape.heads, num_queries=shape.queries, dropout=0.0)
        with warnings.catch_warnings():  # which head widths suit a CUDA kernel that transformers does not have
            warnings.filterwarnings("ignore", message="You'd better set embed_dim")
            self.pixel_decoder = Mask2FormerPixelDecoder(config, feature_channels=list(in_channels))
        self.transformer_module = Mask2FormerTransformerModule(in_features=shape.hidden, config=config)
        self.class_predictor = nn.Linear(shape.hidden, num_classes + 1)
        # Not by subclassing: transformers 5.23 skips, in classes that are not its own, the initialisation of every
        # module that holds no parameter itself, which is that of the attention and of the decoder layers.
        draw_start(self, shape.start, Mask2FormerPreTrainedModel(config))

    def train(self, mode: bool = True) -> "Mask2FormerHead":
        """Training mode would change one thing, as dropout is 0: a check after each pixel decoder layer that makes the
        device wait."""
        super().train(False)
        return self

    def forward(self, pyramid: Sequence[Tensor]) -> Predictions:
        pixels = self.pixel_decoder(list(pyramid))
        decoded = self.transformer_module(multi_scale_features=pixels.multi_scale_features,
                                          mask_features=pixels.mask_features)
        states = torch.stack(decoded.intermediate_hidden_states).transpose(1, 2)  # (outputs, B, queries, hidden)
        return Predictions(list(self.class_predictor(states)), list(decoded.masks_queries_logits))
