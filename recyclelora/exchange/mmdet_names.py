"""Renames a Mask2Former head from mmdet's names to those of transformers. It is the same network: same layers, same
order of levels (coarsest first) and of sub-layers (cross-attention, self-attention, feed-forward), same GroupNorm and
sine positions; what differs is the names, and that transformers keeps three projections of self-attention apart."""

import re
from collections.abc import Mapping

from torch import Tensor

from recyclelora.errors import InputError
from recyclelora.models.mask2former import HeadShape

# mmdet's prefix (a number stands for itself) -> ours, both without `.weight` and `.bias`. Order does not matter.
_PIXEL, _DECODER = "pixel_decoder", "transformer_module.decoder"
_NAMES = {
    r"pixel_decoder\.input_convs\.(\d+)\.conv": rf"{_PIXEL}.input_projections.\1.0",
    r"pixel_decoder\.input_convs\.(\d+)\.gn": rf"{_PIXEL}.input_projections.\1.1",
    r"pixel_decoder\.encoder\.layers\.(\d+)\.self_attn\.(sampling_offsets|attention_weights|value_proj|output_proj)":
        rf"{_PIXEL}.encoder.layers.\1.self_attn.\2",
    r"pixel_decoder\.encoder\.layers\.(\d+)\.ffn\.layers\.0\.0": rf"{_PIXEL}.encoder.layers.\1.fc1",
    r"pixel_decoder\.encoder\.layers\.(\d+)\.ffn\.layers\.1": rf"{_PIXEL}.encoder.layers.\1.fc2",
    r"pixel_decoder\.encoder\.layers\.(\d+)\.norms\.0": rf"{_PIXEL}.encoder.layers.\1.self_attn_layer_norm",
    r"pixel_decoder\.encoder\.layers\.(\d+)\.norms\.1": rf"{_PIXEL}.encoder.layers.\1.final_layer_norm",
    r"pixel_decoder\.lateral_convs\.0\.conv": f"{_PIXEL}.adapter_1.0",
    r"pixel_decoder\.lateral_convs\.0\.gn": f"{_PIXEL}.adapter_1.1",
    r"pixel_decoder\.output_convs\.0\.conv": f"{_PIXEL}.layer_1.0",
    r"pixel_decoder\.output_convs\.0\.gn": f"{_PIXEL}.layer_1.1",
    r"pixel_decoder\.mask_feature": f"{_PIXEL}.mask_projection",
    r"transformer_decoder\.layers\.(\d+)\.(cross|self)_attn\.attn\.out_proj": rf"{_DECODER}.layers.\1.\2_attn.out_proj",
    r"transformer_decoder\.layers\.(\d+)\.ffn\.layers\.0\.0": rf"{_DECODER}.layers.\1.fc1",
    r"transformer_decoder\.layers\.(\d+)\.ffn\.layers\.1": rf"{_DECODER}.layers.\1.fc2",
    r"transformer_decoder\.layers\.(\d+)\.norms\.0": rf"{_DECODER}.layers.\1.cross_attn_layer_norm",
    r"transformer_decoder\.layers\.(\d+)\.norms\.1": rf"{_DECODER}.layers.\1.self_attn_layer_norm",
    r"transformer_decoder\.layers\.(\d+)\.norms\.2": rf"{_DECODER}.layers.\1.final_layer_norm",
    r"transformer_decoder\.post_norm": f"{_DECODER}.layernorm",
    r"mask_embed\.0": f"{_DECODER}.mask_predictor.mask_embedder.0.0",
    r"mask_embed\.2": f"{_DECODER}.mask_predictor.mask_embedder.1.0",
    r"mask_embed\.4": f"{_DECODER}.mask_predictor.mask_embedder.2.0",
    r"cls_embed": "class_predictor",
    r"query_embed": "transformer_module.queries_embedder",
    r"query_feat": "transformer_module.queries_features",
    r"querys2feat": "transformer_module.queries_features.project",  # Rein's: features made of the token queries
    r"level_embed": "transformer_module.level_embed",
}
_WHOLE = {  # names with the kind of tensor in them
    r"pixel_decoder\.level_encoding\.weight": f"{_PIXEL}.level_embed",
    r"transformer_decoder\.layers\.(\d+)\.cross_attn\.attn\.in_proj_(weight|bias)":
        rf"{_DECODER}.layers.\1.cross_attn.in_proj_\2",
}
_RULES = [(re.compile(rf"{theirs}\.(weight|bias)"), rf"{ours}.\{theirs.count('(') - theirs.count('(?') + 1}")
          for theirs, ours in _NAMES.items()] + [(re.compile(theirs), ours) for theirs, ours in _WHOLE.items()]
_SELF = re.compile(r"transformer_decoder\.layers\.(\d+)\.self_attn\.attn\.in_proj_(weight|bias)")


def from_mmdet(head: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of `decode_head.`, without that prefix, under the names of `Mask2FormerHead`; and the names that are
    none of an mmdet Mask2Former's."""
    renamed: dict[str, Tensor] = {}
    unknown = []
    for name, tensor in head.items():
        fused = _SELF.fullmatch(name)
        if fused:
            for which, part in zip("qkv", tensor.chunk(3), strict=True):
                renamed[f"{_DECODER}.layers.{fused[1]}.self_attn.{which}_proj.{fused[2]}"] = part
        elif ours := _rename(name):
            renamed[ours] = tensor
        else:
            unknown.append(name)
    return renamed, unknown


def _rename(name: str) -> str | None:
    for theirs, ours in _RULES:
        if match := theirs.fullmatch(name):
            return match.expand(ours)
    return None


def shape_of(head: Mapping[str, Tensor]) -> tuple[HeadShape, int]:
    """The size of a head in `Mask2FormerHead`'s names, and its number of classes. The number of attention heads is told
    by the pixel decoder's tensors; the transformer decoder's, which no tensor tells, is taken to be the same (8 and 8
    in every config of the three codes). Raises InputError naming the first tensor that would have to be there, or a
    size that this head cannot have."""
    def size(name: str, axis: int = 0) -> int:
        if name not in head:
            raise InputError(f"no Mask2Former head: it has no {name}")
        return int(head[name].shape[axis])

    def layers(prefix: str) -> int:
        return len({name.removeprefix(prefix).split(".")[0] for name in head if name.startswith(prefix)})

    if size(f"{_PIXEL}.level_embed") != 3:
        raise InputError(f"a pixel decoder of {size(f'{_PIXEL}.level_embed')} levels; this head has 3")
    hidden = size("class_predictor.weight", 1)
    queries = "transformer_module.queries_embedder.weight"
    return HeadShape(
        hidden=hidden, queries=size(queries) if queries in head else HeadShape.queries,
        pixel_layers=layers(f"{_PIXEL}.encoder.layers."), pixel_ffn=size(f"{_PIXEL}.encoder.layers.0.fc1.weight"),
        decoder_layers=layers(f"{_DECODER}.layers."), decoder_ffn=size(f"{_DECODER}.layers.0.fc1.weight"),
        heads=size(f"{_PIXEL}.encoder.layers.0.self_attn.attention_weights.weight") // 12,  # x 3 levels x 4 points
    ), size("class_predictor.weight") - 1
