"""mmdet's start of a Mask2Former head written out, tensor by tensor, under mmdet's own names: what mmdet 3.3.0's
Mask2FormerHead.init_weights and MSDeformAttnPixelDecoder.init_weights leave there, by mmcv 2's attention and by torch's
own start of what they do not touch."""

import math
import re
from collections.abc import Callable, Mapping

import torch
from scipy import stats
from torch import Tensor

Law = Callable[[tuple[int, ...]], object]  # the shape of a tensor -> a scipy distribution, or a number it is full of


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs of a weight (out, in, *kernel)."""
    pixels = math.prod(shape[2:])
    return shape[1] * pixels, shape[0] * pixels


def uniform(bound: float) -> object:
    return stats.uniform(-bound, 2 * bound)


def xavier_uniform(shape: tuple[int, ...]) -> object:
    return uniform(math.sqrt(6 / sum(fans(shape))))


def xavier_normal(shape: tuple[int, ...]) -> object:
    return stats.norm(0, math.sqrt(2 / sum(fans(shape))))


def caffe2(shape: tuple[int, ...]) -> object:
    return uniform(math.sqrt(3 / fans(shape)[0]))


def torch_linear(shape: tuple[int, ...]) -> object:
    return uniform(1 / math.sqrt(fans(shape)[0]))


def like_torch(inputs: int) -> Law:
    """A bias of torch's own start."""
    return lambda shape: uniform(1 / math.sqrt(inputs))


def full(value: float) -> Law:
    return lambda shape: value


def standard(shape: tuple[int, ...]) -> object:
    return stats.norm(0, 1)


def laws(*, width: int, pixel_ffn: int, decoder_ffn: int) -> dict[str, Law]:
    """By patterns of mmdet's names; every name fits exactly one."""
    return {
        r"pixel_decoder\.input_convs\.\d\.conv\.weight": xavier_uniform,
        r"pixel_decoder\.input_convs\.\d\.conv\.bias": full(0),
        r"pixel_decoder\.(lateral_convs|output_convs)\.0\.conv\.weight": caffe2,
        r"pixel_decoder\.mask_feature\.weight": caffe2,
        r"pixel_decoder\.mask_feature\.bias": full(0),
        r"pixel_decoder\.\w+\.\d\.gn\.weight": full(1),
        r"pixel_decoder\.\w+\.\d\.gn\.bias": full(0),
        r"pixel_decoder\.level_encoding\.weight": standard,
        r"pixel_decoder\.encoder\.layers\.\d\.self_attn\.sampling_offsets\.weight": full(0),
        r"pixel_decoder\.encoder\.layers\.\d\.self_attn\.attention_weights\.(weight|bias)": full(0),
        r"pixel_decoder\.encoder\.layers\.\d\.self_attn\.(value|output)_proj\.weight": xavier_uniform,
        r"pixel_decoder\.encoder\.layers\.\d\.self_attn\.(value|output)_proj\.bias": full(0),
        r"pixel_decoder\.encoder\.layers\.\d\.ffn\.layers\.(0\.0|1)\.weight": xavier_normal,
        r"pixel_decoder\.encoder\.layers\.\d\.ffn\.layers\.0\.0\.bias": like_torch(width),
        r"pixel_decoder\.encoder\.layers\.\d\.ffn\.layers\.1\.bias": like_torch(pixel_ffn),
        r"transformer_decoder\.layers\.\d\.(self|cross)_attn\.attn\.(in_proj_|out_proj\.)weight": xavier_normal,
        r"transformer_decoder\.layers\.\d\.(self|cross)_attn\.attn\.(in_proj_|out_proj\.)bias": full(0),
        r"transformer_decoder\.layers\.\d\.ffn\.layers\.(0\.0|1)\.weight": xavier_normal,
        r"transformer_decoder\.layers\.\d\.ffn\.layers\.0\.0\.bias": like_torch(width),
        r"transformer_decoder\.layers\.\d\.ffn\.layers\.1\.bias": like_torch(decoder_ffn),
        r"(pixel_decoder\.encoder|transformer_decoder)\.layers\.\d\.norms\.\d\.weight": full(1),
        r"(pixel_decoder\.encoder|transformer_decoder)\.layers\.\d\.norms\.\d\.bias": full(0),
        r"transformer_decoder\.post_norm\.weight": full(1),
        r"transformer_decoder\.post_norm\.bias": full(0),
        r"query_embed\.weight|query_feat\.weight|level_embed\.weight": standard,
        r"(cls_embed|mask_embed\.\d)\.weight": torch_linear,
        r"(cls_embed|mask_embed\.\d)\.bias": like_torch(width),
    }


def misfits(state: Mapping[str, Tensor], rules: Mapping[str, Law], heads: int) -> list[str]:
    """The tensors (under mmdet's names) that do not look like draws from their law: by a Kolmogorov-Smirnov test at
    1e-4, and by their largest value where the law has a largest."""
    return [name for name, tensor in state.items() if not fits(name, tensor, rules, heads)]


def fits(name: str, tensor: Tensor, rules: Mapping[str, Law], heads: int) -> bool:
    if name.endswith("sampling_offsets.bias"):
        return torch.allclose(tensor, directions(heads), atol=1e-6)
    (law,) = (law for pattern, law in rules.items() if re.fullmatch(pattern, name))
    expected = law(tuple(tensor.shape))
    if isinstance(expected, int | float):
        return bool((tensor == expected).all())
    values = tensor.flatten().double().numpy()
    inside = bool((expected.cdf(values.max()) <= 1) & (expected.pdf(abs(values).max() * (1 - 1e-6)) > 0))
    return inside and stats.kstest(values, expected.cdf).pvalue > 1e-4


def directions(heads: int, levels: int = 3, points: int = 4) -> Tensor:
    """Head k looks to angle 2 pi k / heads, as far as the square around it reaches; its point i looks i + 1 times as
    far; the same on each level."""
    found = []
    for head in range(heads):
        angle = 2 * math.pi * head / heads
        x, y = math.cos(angle), math.sin(angle)
        reach = max(abs(x), abs(y))
        for _ in range(levels):
            for point in range(points):
                found += [(point + 1) * x / reach, (point + 1) * y / reach]
    return torch.tensor(found)
