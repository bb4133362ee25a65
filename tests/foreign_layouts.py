"""Checkpoints as the authors' RecycleLoRA code, SoMA's and Rein's write them, made of models built here. The names are
written out from those codes (mmdet 3 for the head), independently of the tables under test."""

import torch
from torch import Tensor

MMDET = [  # (transformers, mmdet), both as they begin; {i} counts layers
    ("pixel_decoder.input_projections.{i}.0.", "pixel_decoder.input_convs.{i}.conv."),
    ("pixel_decoder.input_projections.{i}.1.", "pixel_decoder.input_convs.{i}.gn."),
    ("pixel_decoder.encoder.layers.{i}.self_attn_layer_norm.", "pixel_decoder.encoder.layers.{i}.norms.0."),
    ("pixel_decoder.encoder.layers.{i}.final_layer_norm.", "pixel_decoder.encoder.layers.{i}.norms.1."),
    ("pixel_decoder.encoder.layers.{i}.fc1.", "pixel_decoder.encoder.layers.{i}.ffn.layers.0.0."),
    ("pixel_decoder.encoder.layers.{i}.fc2.", "pixel_decoder.encoder.layers.{i}.ffn.layers.1."),
    ("pixel_decoder.encoder.layers.{i}.self_attn.", "pixel_decoder.encoder.layers.{i}.self_attn."),
    ("pixel_decoder.level_embed", "pixel_decoder.level_encoding.weight"),
    ("pixel_decoder.adapter_1.0.", "pixel_decoder.lateral_convs.0.conv."),
    ("pixel_decoder.adapter_1.1.", "pixel_decoder.lateral_convs.0.gn."),
    ("pixel_decoder.layer_1.0.", "pixel_decoder.output_convs.0.conv."),
    ("pixel_decoder.layer_1.1.", "pixel_decoder.output_convs.0.gn."),
    ("pixel_decoder.mask_projection.", "pixel_decoder.mask_feature."),
    ("transformer_module.decoder.layers.{i}.cross_attn_layer_norm.", "transformer_decoder.layers.{i}.norms.0."),
    ("transformer_module.decoder.layers.{i}.self_attn_layer_norm.", "transformer_decoder.layers.{i}.norms.1."),
    ("transformer_module.decoder.layers.{i}.final_layer_norm.", "transformer_decoder.layers.{i}.norms.2."),
    ("transformer_module.decoder.layers.{i}.cross_attn.", "transformer_decoder.layers.{i}.cross_attn.attn."),
    ("transformer_module.decoder.layers.{i}.self_attn.", "transformer_decoder.layers.{i}.self_attn.attn."),
    ("transformer_module.decoder.layers.{i}.fc1.", "transformer_decoder.layers.{i}.ffn.layers.0.0."),
    ("transformer_module.decoder.layers.{i}.fc2.", "transformer_decoder.layers.{i}.ffn.layers.1."),
    ("transformer_module.decoder.layernorm.", "transformer_decoder.post_norm."),
    ("transformer_module.decoder.mask_predictor.mask_embedder.0.0.", "mask_embed.0."),
    ("transformer_module.decoder.mask_predictor.mask_embedder.1.0.", "mask_embed.2."),
    ("transformer_module.decoder.mask_predictor.mask_embedder.2.0.", "mask_embed.4."),
    ("transformer_module.queries_embedder.", "query_embed."),
    ("transformer_module.queries_features.project.", "querys2feat."),
    ("transformer_module.queries_features.", "query_feat."),
    ("transformer_module.level_embed.", "level_embed."),
    ("class_predictor.", "cls_embed."),
]


def mmdet_head(head: dict[str, Tensor]) -> dict[str, Tensor]:
    """A head's state dict as mmdet would name it; its self-attentions fused."""
    named = {}
    for name, tensor in head.items():
        for ours, theirs in [(a.format(i=i), b.format(i=i)) for a, b in MMDET for i in range(10)]:
            if name.startswith(ours):
                named[theirs + name.removeprefix(ours)] = tensor
                break
        else:
            raise AssertionError(name)
    for name in [name for name in named if ".self_attn.attn.q_proj." in name]:
        parts = [named.pop(name.replace(".q_proj.", f".{which}_proj.")) for which in "qkv"]
        named[name.replace(".q_proj.", ".in_proj_")] = torch.cat(parts)
    return named


def checkpoint(vit: dict[str, Tensor], head: dict[str, Tensor], *, prefix: str = "backbone.",
               cfg: str = "model = dict(type='EncoderDecoder')") -> dict[str, object]:
    """As MMEngine wraps it."""
    state = {f"{prefix}{name}": tensor.clone() for name, tensor in vit.items()}
    state |= {f"decode_head.{name}": tensor.clone() for name, tensor in mmdet_head(head).items()}
    return {"meta": {"cfg": cfg, "iter": 40000, "seed": 0}, "state_dict": state, "message_hub": {"resumed_keys": {}},
            "optimizer": {"state": {0: {"step": torch.tensor(5.0)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]},
            "param_schedulers": [{"last_step": 5}]}
