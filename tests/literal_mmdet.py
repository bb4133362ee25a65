"""An mmdet Mask2Former head as plain functions of its state dict: what its modules compute, step by step, under mmdet's
own names. Images at strides 4, 8, 16, 32 in; class and mask logits of the last output out."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


def conv_gn(state: State, name: str, x: Tensor) -> Tensor:
    weight = state[f"{name}.conv.weight"]
    y = F.conv2d(x, weight, state.get(f"{name}.conv.bias"), padding=weight.shape[-1] // 2)
    return F.group_norm(y, 32, state[f"{name}.gn.weight"], state[f"{name}.gn.bias"])


def linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def norm(state: State, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def ffn(state: State, name: str, x: Tensor) -> Tensor:
    return x + linear(state, f"{name}.layers.1", linear(state, f"{name}.layers.0.0", x).relu())


def sine(height: int, width: int, channels: int) -> Tensor:
    """(height * width, channels): y in the first half, x in the second, sines and cosines alternating."""
    half = channels // 2
    out = torch.zeros(height, width, channels)
    for at in range(half):
        wave = 10000 ** (2 * (at // 2) / half)
        turn = math.sin if at % 2 == 0 else math.cos
        for y in range(height):
            out[y, :, at] = turn((y + 1) / (height + 1e-6) * 2 * math.pi / wave)
        for x in range(width):
            out[:, x, half + at] = turn((x + 1) / (width + 1e-6) * 2 * math.pi / wave)
    return out.flatten(0, 1)


def deformable(state: State, name: str, x: Tensor, position: Tensor, sizes: list[tuple[int, int]], heads: int) -> Tensor:
    """mmcv's multi-scale deformable attention with 4 points; x (B, all pixels, C)."""
    batch, count, channels = x.shape
    query, levels = x + position, len(sizes)
    value = linear(state, f"{name}.value_proj", x).view(batch, count, heads, -1)
    offsets = linear(state, f"{name}.sampling_offsets", query).view(batch, count, heads, levels, 4, 2)
    weights = linear(state, f"{name}.attention_weights", query).view(batch, count, heads, -1).softmax(-1)
    weights = weights.view(batch, count, heads, levels, 4)
    centres = torch.cat([torch.stack([(torch.arange(w) + 0.5).repeat(h) / w,
                                      (torch.arange(h) + 0.5).repeat_interleave(w) / h], -1) for h, w in sizes])
    out, start = torch.zeros_like(value), 0
    for level, (h, w) in enumerate(sizes):
        maps = value[:, start:start + h * w].permute(0, 2, 3, 1).reshape(batch * heads, -1, h, w)
        start += h * w
        where = centres[None, :, None, None] + offsets[:, :, :, level] / torch.tensor([w, h])
        grid = (2 * where - 1).transpose(1, 2).flatten(0, 1)  # (B heads, pixels, points, 2)
        taken = F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        taken = taken.view(batch, heads, -1, count, 4).permute(0, 3, 1, 2, 4)
        out = out + (taken * weights[:, :, :, level][:, :, :, None]).sum(-1)
    return x + linear(state, f"{name}.output_proj", out.flatten(2))


def attention(state: State, name: str, query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """torch's multi-head attention, from its fused projection; `mask` (B, queries, keys) is True where not to look."""
    weight, bias = (state[f"{name}.in_proj_{kind}"].chunk(3) for kind in ("weight", "bias"))
    q, k, v = (F.linear(x, w, b).unflatten(-1, (heads, -1)).transpose(1, 2)
               for x, w, b in zip((query, key, value), weight, bias, strict=True))
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(mask[:, None], -math.inf)
    return linear(state, f"{name}.out_proj", (scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


def pixel_decoder(state: State, feats: list[Tensor], heads: int, layers: int) -> tuple[Tensor, list[Tensor]]:
    coarsest_first = feats[:0:-1]
    sizes = [tuple(feat.shape[-2:]) for feat in coarsest_first]
    x = torch.cat([conv_gn(state, f"pixel_decoder.input_convs.{i}", feat).flatten(2).transpose(1, 2)
                   for i, feat in enumerate(coarsest_first)], 1)
    position = torch.cat([sine(h, w, x.shape[-1]) + state["pixel_decoder.level_encoding.weight"][i]
                          for i, (h, w) in enumerate(sizes)])
    for layer in range(layers):
        name = f"pixel_decoder.encoder.layers.{layer}"
        x = norm(state, f"{name}.norms.0", deformable(state, f"{name}.self_attn", x, position, sizes, heads))
        x = norm(state, f"{name}.norms.1", ffn(state, f"{name}.ffn", x))
    parts = x.split([h * w for h, w in sizes], 1)
    maps = [part.transpose(1, 2).unflatten(-1, size) for part, size in zip(parts, sizes, strict=True)]
    lateral = conv_gn(state, "pixel_decoder.lateral_convs.0", feats[0])
    fine = lateral + F.interpolate(maps[-1], size=lateral.shape[-2:], mode="bilinear", align_corners=False)
    fine = conv_gn(state, "pixel_decoder.output_convs.0", fine).relu()
    return F.conv2d(fine, state["pixel_decoder.mask_feature.weight"], state["pixel_decoder.mask_feature.bias"]), maps


def predict(state: State, query: Tensor, pixels: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    query = norm(state, "transformer_decoder.post_norm", query)
    embedded = query
    for at in (0, 2, 4):
        embedded = linear(state, f"mask_embed.{at}", embedded)
        embedded = embedded.relu() if at < 4 else embedded
    masks = torch.einsum("bqc,bchw->bqhw", embedded, pixels)
    hidden = F.interpolate(masks, size=size, mode="bilinear", align_corners=False).flatten(2).sigmoid() < 0.5
    hidden[hidden.all(-1)] = False  # a query that would see nothing sees all
    return linear(state, "cls_embed", query), masks, hidden


def head(state: State, feats: list[Tensor], *, heads: int, pixel_layers: int,
         decoder_layers: int) -> tuple[Tensor, Tensor]:
    pixels, maps = pixel_decoder(state, feats, heads, pixel_layers)
    memory = [feat.flatten(2).transpose(1, 2) + state["level_embed.weight"][i] for i, feat in enumerate(maps)]
    places = [sine(*feat.shape[-2:], feat.shape[1]) for feat in maps]
    batch = len(pixels)
    query, where = (state[f"{name}.weight"].expand(batch, -1, -1) for name in ("query_feat", "query_embed"))
    classes, masks, hidden = predict(state, query, pixels, maps[0].shape[-2:])
    for layer in range(decoder_layers):
        name, level = f"transformer_decoder.layers.{layer}", layer % 3
        query = norm(state, f"{name}.norms.0", query + attention(
            state, f"{name}.cross_attn.attn", query + where, memory[level] + places[level], memory[level], heads, hidden))
        query = norm(state, f"{name}.norms.1", query + attention(
            state, f"{name}.self_attn.attn", query + where, query + where, query, heads, None))
        query = norm(state, f"{name}.norms.2", ffn(state, f"{name}.ffn", query))
        classes, masks, hidden = predict(state, query, pixels, maps[(layer + 1) % 3].shape[-2:])
    return classes, masks
