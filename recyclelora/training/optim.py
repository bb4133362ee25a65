"""Who is trained at which rate: AdamW's parameter groups, and the schedule as closed forms of the iteration."""

import math
from typing import Any

import torch
from torch import nn

from recyclelora.adapters.lora import adapter_parameters
from recyclelora.adapters.rein import rein_parameters
from recyclelora.models.segmentor import Segmentor

BACKBONE_LR_MULTIPLIER = 0.5  # of ViT tensors that are trained and are no adapter

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)
_UNDECAYED_EMBEDDINGS = ("transformer_module.queries_embedder.weight", "transformer_module.level_embed.weight")
_QUERIES = "transformer_module.queries_features.weight"


def parameter_groups(segmentor: Segmentor, *, lr: float, weight_decay: float, main_lr_multiplier: float = 1.0,
                     sub_lr_multiplier: float = 0.5, rein_lr_multiplier: float = 1.0,
                     adapter_decay_multiplier: float = 0.0, decay_queries: bool = True) -> list[dict[str, Any]]:
    """AdamW groups of the trainable parameters, each in exactly one; groups without parameters are left out.

    The authors' rule goes by substrings of mmdet's names; here it goes by where a tensor sits.

    | group           | lr x     | decay x | what                            | mmdet's name                         |
    |-----------------|----------|---------|---------------------------------|--------------------------------------|
    | `main`          | main 1.0 | 0       | lora_a_main, lora_b_main        | lora_A_main, lora_B_main             |
    | `sub`           | sub 0.5  | 0       | lora_a_sub, lora_b_sub          | lora_A_sub, lora_B_sub               |
    | `rein_tokens`   | rein 1.0 | 0       | Rein's tokens and scale         | learnable_tokens, reins.scale        |
    | `rein`          | rein 1.0 | 1       | Rein's linear layers            | reins.*                              |
    | `backbone`      | 0.5      | 1       | other trained ViT tensors       | backbone.*                           |
    | `head_no_decay` | 1.0      | 0       | queries_embedder (positions)    | query_embed                          |
    |                 |          |         | transformer_module.level_embed  | level_embed                          |
    |                 |          |         | every LayerNorm and GroupNorm   | *norm* and *.gn (norm_decay_mult 0)  |
    | `head`          | 1.0      | 1       | queries_features                | query_feat                           |
    |                 |          |         | pixel decoder's own level_embed | level_encoding                       |
    |                 |          |         | all other weights, all biases   | the rest                             |

    SoMA decays its adapters (`adapter_decay_multiplier` 1) and not its queries (`decay_queries` False: query_feat then
    is in `head_no_decay`). `initial_lr` and `initial_weight_decay` keep the values that `apply_schedule` starts from.
    """
    multipliers = {"main": (main_lr_multiplier, adapter_decay_multiplier),
                   "sub": (sub_lr_multiplier, adapter_decay_multiplier),
                   "rein_tokens": (rein_lr_multiplier, 0.0), "rein": (rein_lr_multiplier, 1.0),
                   "backbone": (BACKBONE_LR_MULTIPLIER, 1.0), "head": (1.0, 1.0), "head_no_decay": (1.0, 0.0)}
    members: dict[str, list[nn.Parameter]] = {name: [] for name in multipliers}
    undecayed = _UNDECAYED_EMBEDDINGS if decay_queries else (*_UNDECAYED_EMBEDDINGS, _QUERIES)
    for parameter, group in _assign(segmentor, undecayed):
        members[group].append(parameter)
    return [{"name": name, "params": members[name], "lr": lr * rate, "initial_lr": lr * rate,
             "weight_decay": weight_decay * decay, "initial_weight_decay": weight_decay * decay}
            for name, (rate, decay) in multipliers.items() if members[name]]


def build_optimiser(groups: list[dict[str, Any]]) -> torch.optim.AdamW:
    """AdamW with the paper's constants; one fused kernel per group where the parameters are on a GPU."""
    on_gpu = all(parameter.is_cuda for group in groups for parameter in group["params"])
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, fused=on_gpu)


def poly_lr(t: int, total: int, power: float = 0.9, warmup: int = 0, warmup_start: float = 1e-2) -> float:
    """Share of the full learning rate after `t` of `total` iterations: (1 - t/total)^power (the authors' code).

    With a warm-up, linear from `warmup_start` over the first `warmup` iterations, and the polynomial runs over the rest
    (SoMA's code: 1e-2 over 1,500, or 1e-6 over 10,000). MMEngine, which both use, counts each of the two spans one
    iteration shorter: its warm-up is ahead by less than 1/warmup of the full rate, its polynomial behind by at most
    span^-power (7e-5 of 40,000), and its very last iteration runs at 0."""
    if t < warmup:
        return warmup_start + (1 - warmup_start) * t / warmup
    return float((1 - (t - warmup) / (total - warmup)) ** power)


def weight_decay_at(t: int, total: int, start: float, end: float = 1e-5) -> float:
    """Weight decay after `t` of `total` iterations: cosine from `start` to `end` (the authors' code); from 0 it
    rises."""
    return end + (start - end) * (1 + math.cos(math.pi * t / total)) / 2


def apply_schedule(optimiser: torch.optim.Optimizer, iteration: int, *, total: int, power: float = 0.9,
                   weight_decay_end: float = 1e-5, warmup: int = 0, warmup_start: float = 1e-2) -> dict[str, float]:
    """Set every group's rates for `iteration` (1 to total, the one about to run), and return lr by group name.

    No state: iteration 1 runs at the full rate whatever ran before, so a resumed run needs only its iteration."""
    done = iteration - 1
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * poly_lr(done, total, power, warmup, warmup_start)
        group["weight_decay"] = weight_decay_at(done, total, group["initial_weight_decay"], weight_decay_end)
    return {group["name"]: group["lr"] for group in optimiser.param_groups}


def _assign(segmentor: Segmentor, undecayed: tuple[str, ...]) -> list[tuple[nn.Parameter, str]]:
    adapters = {id(parameter): str(which) for which in ("main", "sub")
                for parameter in adapter_parameters(segmentor.vit, which).values()}
    adapters |= {id(parameter): kind for kind, members in rein_parameters(segmentor.vit).items()
                 for parameter in members.values()}
    in_vit = {id(parameter) for parameter in segmentor.vit.parameters()}
    in_norms = {id(parameter) for module in segmentor.modules() if isinstance(module, _NORMS)
                for parameter in module.parameters(recurse=False)}
    assigned = []
    for name, parameter in segmentor.named_parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in in_vit:
            group = adapters.get(id(parameter), "backbone")
        else:
            group = "head_no_decay" if id(parameter) in in_norms or name.endswith(undecayed) else "head"
        assigned.append((parameter, group))
    return assigned
