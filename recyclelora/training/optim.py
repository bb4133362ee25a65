"""Who is trained at which rate: AdamW's parameter groups, and the schedule as closed forms of the iteration."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from recyclelora.models.segmentor import Segmentor
from recyclelora.training.groups import Group

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)
_UNDECAYED_EMBEDDINGS = ("transformer_module.queries_embedder.weight", "transformer_module.level_embed.weight")
_QUERIES = "transformer_module.queries_features.weight"


class Schedule(NamedTuple):
    """Learning rate and weight decay over `total` iterations: see `poly_lr` and `weight_decay_at`."""

    total: int
    power: float = 0.9
    weight_decay_end: float = 1e-5
    warmup: int = 0
    warmup_start: float = 1e-2
    counting: Literal["plain", "mmengine"] = "plain"  # of the iterations of the two spans


def parameter_groups(segmentor: Segmentor, of_vit: Mapping[str, Group], *, lr: float, weight_decay: float,
                     decay_queries: bool = True) -> list[dict[str, Any]]:
    """AdamW groups of the trainable parameters, each in exactly one; groups without parameters are left out. `of_vit`
    are the groups of the ViT's, by name, as the adapter method says.

    The authors' rule for the head goes by substrings of mmdet's names; here it goes by where a tensor sits.

    | group           | lr x | decay x | what                            | mmdet's name                         |
    |-----------------|------|---------|---------------------------------|--------------------------------------|
    | `head_no_decay` | 1.0  | 0       | queries_embedder (positions)    | query_embed                          |
    |                 |      |         | transformer_module.level_embed  | level_embed                          |
    |                 |      |         | every LayerNorm and GroupNorm   | *norm* and *.gn (norm_decay_mult 0)  |
    | `head`          | 1.0  | 1       | queries_features                | query_feat                           |
    |                 |      |         | pixel decoder's own level_embed | level_encoding                       |
    |                 |      |         | all other weights, all biases   | the rest                             |

    SoMA does not decay its queries (`decay_queries` False: query_feat then is in `head_no_decay`). `initial_lr` and
    `initial_weight_decay` keep the values that `apply_schedule` starts from. Raises ValueError for a trained parameter
    of the ViT that is in no group or in two, and for a grouped one that is not trained."""
    _check_claims(segmentor.vit, of_vit)
    groups = {**of_vit, **_head_groups(segmentor, decay_queries)}
    return [{"name": name, "params": list(members), "lr": lr * rate, "initial_lr": lr * rate,
             "weight_decay": weight_decay * decay, "initial_weight_decay": weight_decay * decay}
            for name, (members, rate, decay) in groups.items() if members]


def build_optimiser(groups: list[dict[str, Any]]) -> torch.optim.AdamW:
    """AdamW with the paper's constants; one fused kernel per group where the parameters are on a GPU."""
    on_gpu = all(parameter.is_cuda for group in groups for parameter in group["params"])
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, fused=on_gpu)


def poly_lr(t: int, schedule: Schedule) -> float:
    """Share of the full learning rate after `t` of `total` iterations: (1 - t/total)^power.

    With a warm-up, linear from `warmup_start` over the first `warmup` iterations, and the polynomial runs over the rest
    (SoMA's code: 1e-2 over 1,500, or 1e-6 over 10,000).

    `counting` "mmengine" is what MMEngine makes of the released configs: each of the two spans counts one iteration
    less, so that the warm-up reaches the full rate, and the polynomial 0, in the last iteration of its span. (Its
    warm-up is ahead of the plain one by less than 1/warmup of the full rate, its polynomial behind by at most
    span^-power, 7e-5 of 40,000 iterations; the last iteration changes nothing.) A span of one iteration is as plain:
    MMEngine's warm-up of one would never end."""
    total, power, _, warmup, warmup_start, counting = schedule
    less = 1 if counting == "mmengine" else 0
    if t < warmup:
        return warmup_start + (1 - warmup_start) * t / max(1, warmup - less)
    return float(max(0.0, 1 - (t - warmup) / max(1, total - warmup - less)) ** power)


def weight_decay_at(t: int, total: int, start: float, end: float = 1e-5) -> float:
    """Weight decay after `t` of `total` iterations: cosine from `start` to `end` (the authors' code); from 0 it
    rises."""
    return end + (start - end) * (1 + math.cos(math.pi * t / total)) / 2


def apply_schedule(optimiser: torch.optim.Optimizer, iteration: int, schedule: Schedule) -> dict[str, float]:
    """Set every group's rates for `iteration` (1 to total, the one about to run), and return lr by group name.

    No state: iteration 1 runs at the full rate whatever ran before, so a resumed run needs only its iteration."""
    done = iteration - 1
    share = poly_lr(done, schedule)
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * share
        group["weight_decay"] = weight_decay_at(done, schedule.total, group["initial_weight_decay"],
                                                schedule.weight_decay_end)
    return {group["name"]: group["lr"] for group in optimiser.param_groups}


def _check_claims(vit: nn.Module, groups: Mapping[str, Group]) -> None:
    claimed = Counter(id(parameter) for group in groups.values() for parameter in group.parameters)
    trained = {id(parameter): name for name, parameter in vit.named_parameters() if parameter.requires_grad}
    for identity, name in trained.items():
        if claimed[identity] != 1:
            raise ValueError(f"{name}: is trained, and is in {claimed[identity]} of the groups {', '.join(groups)}; "
                             "a method's groups must hold each of its parameters once")
    if len(claimed) > len(trained):
        raise ValueError(f"the groups {', '.join(groups)} hold a parameter that is not trained in this ViT")


def _head_groups(segmentor: Segmentor, decay_queries: bool) -> dict[str, Group]:
    undecayed = _UNDECAYED_EMBEDDINGS if decay_queries else (*_UNDECAYED_EMBEDDINGS, _QUERIES)
    in_norms = {id(parameter) for module in segmentor.modules() if isinstance(module, _NORMS)
                for parameter in module.parameters(recurse=False)}
    in_vit = {id(parameter) for parameter in segmentor.vit.parameters()}
    groups = {"head": Group([], 1.0, 1.0), "head_no_decay": Group([], 1.0, 0.0)}
    for name, parameter in segmentor.named_parameters():
        if parameter.requires_grad and id(parameter) not in in_vit:
            free = id(parameter) in in_norms or name.endswith(undecayed)
            groups["head_no_decay" if free else "head"].parameters.append(parameter)
    return groups
