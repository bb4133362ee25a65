"""The weights that a Mask2Former head starts from: mmdet's rules, or transformers'.

Rules of mmdet 3.3.0 (Mask2FormerHead.init_weights, MSDeformAttnPixelDecoder.init_weights), mmcv 2
(MultiScaleDeformableAttention.init_weights) and mmengine 0.10.7 (caffe2_xavier_init), which the released configs
train with; and of transformers 5.23 (Mask2FormerPreTrainedModel._init_weights)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerAttention,
    Mask2FormerMaskedAttentionDecoderLayer,
    Mask2FormerPixelDecoder,
    Mask2FormerPixelDecoderEncoderLayer,
    Mask2FormerPreTrainedModel,
)

Start = Literal["mmdet", "transformers"]


def draw_start(head: nn.Module, start: Start, transformers: Mask2FormerPreTrainedModel) -> None:
    """Draw every tensor of a Mask2Former head from torch's generator. `transformers` brings that library's rules.

    U(a) is uniform in +-a, N(s) normal with standard deviation s. Xavier-uniform is U(sqrt(6 / (in + out))),
    Xavier-normal N(sqrt(2 / (in + out))), Caffe2's Xavier U(sqrt(3 / in)), torch's own start of a linear layer
    U(1 / sqrt(in)) for weight and bias. A convolution's in and out count its kernel's pixels.

    | layer                                         | mmdet                       | transformers            |
    |-----------------------------------------------|-----------------------------|-------------------------|
    | pixel decoder                                 |                             |                         |
    | - input projections, 1x1                      | Xavier-uniform              | N(0.02)                 |
    | - laterals, 1x1; outputs, 3x3; mask features  | Caffe2's Xavier             | N(0.02)                 |
    | - attention: value, output                    | Xavier-uniform              | the same                |
    | - attention: offsets, weights                 | 0; biases of offsets point  | the same                |
    |                                               | each head in a direction of |                         |
    |                                               | its own                     |                         |
    | - feed-forward                                | Xavier-normal               | N(0.02)                 |
    | transformer decoder                           |                             |                         |
    | - cross-attention: q, k, v in one (3 h, h)    | Xavier-normal of the one    | Xavier-uniform of the   |
    |                                               |                             | one                     |
    | - self-attention: q, k, v                     | Xavier-normal of (3 h, h)   | Xavier-uniform of each  |
    | - attention: output; feed-forward             | Xavier-normal               | Xavier-uniform          |
    | mask embedding, 3 layers                      | torch's own                 | the same                |
    | class predictor                               | torch's own                 | N(0.02)                 |
    | query positions and features, level embeddings| N(1)                        | the same                |
    | biases of feed-forward and class predictor    | U(1 / sqrt(in))             | 0                       |
    | biases of the mask embedding                  | U(1 / sqrt(in))             | the same                |
    | all other biases                              | 0                           | the same                |
    | norms                                         | weight 1, bias 0            | the same                |
    """
    head.apply(transformers._init_weights)  # also what both have alike
    if start == "mmdet":
        for module in head.modules():
            _draw_mmdet(module)
        head.class_predictor.reset_parameters()  # type: ignore[union-attr, operator]


@torch.no_grad()
def _draw_mmdet(module: nn.Module) -> None:
    """What mmdet draws otherwise than transformers does, of one module."""
    if isinstance(module, Mask2FormerPixelDecoder):
        _draw_pixel_convolutions(module)
    elif isinstance(module, Mask2FormerPixelDecoderEncoderLayer):
        _draw_feed_forward(module)
    elif isinstance(module, Mask2FormerMaskedAttentionDecoderLayer):
        nn.init.xavier_normal_(module.cross_attn.in_proj_weight)
        nn.init.xavier_normal_(module.cross_attn.out_proj.weight)
        _draw_feed_forward(module)
    elif isinstance(module, Mask2FormerAttention):
        _draw_fused(module.q_proj.weight, module.k_proj.weight, module.v_proj.weight)
        nn.init.xavier_normal_(module.out_proj.weight)


def _draw_pixel_convolutions(decoder: Mask2FormerPixelDecoder) -> None:
    for projection in decoder.input_projections:
        nn.init.xavier_uniform_(projection[0].weight)
    fpn = [block[0] for block in (*decoder.lateral_convolutions, *decoder.output_convolutions)]
    for convolution in (*fpn, decoder.mask_projection):
        nn.init.kaiming_uniform_(convolution.weight, a=1)  # gain 1: Caffe2's XavierFill


def _draw_feed_forward(layer: nn.Module) -> None:
    for linear in (layer.fc1, layer.fc2):
        linear.reset_parameters()  # type: ignore[union-attr, operator]
        nn.init.xavier_normal_(linear.weight)  # type: ignore[union-attr, arg-type]


def _draw_fused(*parts: Tensor) -> None:
    """Xavier-normal of the parts (out, in) as the one matrix that they are in mmdet."""
    width_out, width_in = parts[0].shape
    for part in parts:
        nn.init.normal_(part, std=math.sqrt(2 / (len(parts) * width_out + width_in)))
