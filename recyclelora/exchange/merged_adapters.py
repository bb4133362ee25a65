"""Merges the adapters of another code's checkpoint into its ViT: plain tensors with timm's names, the same function."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

Tensors = dict[str, Tensor]

_Q = re.compile(r"(blocks\.\d+\.attn)\.q\.(weight|bias)")


def merge_qkv(vit: Mapping[str, Tensor]) -> Tensors:
    """q, k and v apart -> timm's `attn.qkv`; everything else as it is."""
    fused = {name: tensor for name, tensor in vit.items() if not re.search(r"\.attn\.[qkv]\.", name)}
    for name in vit:
        if match := _Q.fullmatch(name):
            attention, kind = match.groups()
            fused[f"{attention}.qkv.{kind}"] = torch.cat([vit[f"{attention}.{which}.{kind}"] for which in "qkv"])
    return fused


def split_qkv(vit: Mapping[str, Tensor]) -> Tensors:
    """The inverse of `merge_qkv`."""
    apart: Tensors = {}
    for name, tensor in vit.items():
        if ".attn.qkv." in name:
            apart |= {name.replace(".qkv.", f".{which}."): part
                      for which, part in zip("qkv", tensor.chunk(3), strict=True)}
        else:
            apart[name] = tensor
    return apart


def merge_recyclelora(vit: Mapping[str, Tensor], adapters: Mapping[str, Tensor], alpha: float) -> Tensors:
    """W_res + alpha / r (B_main A_main + B_sub A_sub), with r the total rank (the authors' code)."""
    merged = dict(vit)
    for name in dict.fromkeys(name.rpartition(".")[0] for name in adapters):
        pairs = [(adapters[f"{name}.lora_A_{which}"].float(), adapters[f"{name}.lora_B_{which}"].float())
                 for which in ("main", "sub") if f"{name}.lora_A_{which}" in adapters]
        change = sum(b @ a for a, b in pairs)
        merged[f"{name}.weight"] = vit[f"{name}.weight"].float() + alpha / sum(len(a) for a, _ in pairs) * change
    return merged


def merge_soma(base: Mapping[str, Tensor], vit: Mapping[str, Tensor], adapters: Mapping[str, Tensor],
               alpha: float) -> Tensors:
    """W + alpha / r B A, with r the layer's own rank (SoMA's code). W is the file's where it holds the weights, else
    `base`'s, which are the pretrained ones; so are the biases."""
    merged = split_qkv(base) | dict(vit)
    for key in adapters:
        if key.endswith(".lora_A.weight"):
            name = key.removesuffix(".lora_A.weight")
            a, b = adapters[key].float(), adapters[f"{name}.lora_B.weight"].float()
            merged[f"{name}.weight"] = merged[f"{name}.weight"].float() + alpha / len(a) * (b @ a)
    return merge_qkv(merged)
