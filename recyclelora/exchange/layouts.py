"""Finds which known code wrote a checkpoint, from the names of its tensors, and sorts the tensors by their role.

| layout      | recognised by          | adapters                                      | backbone                     |
|-------------|------------------------|-----------------------------------------------|------------------------------|
| recyclelora | `lora_{A,B}_{main,..}` | raw tensors beside each weight                | whole                        |
| soma        | `lora_{A,B}.weight`    | under `backbone.model.`, q, k and v apart     | whole, or the biases at most |
| rein        | `backbone.reins.*`     | tokens, two MLPs, scale, link to the queries  | none, or whole               |
| plain       | none of these          | none: a frozen or a fully trained backbone    | whole                        |

All of them have an mmdet Mask2Former under `decode_head.`. From the codes chanseul01/RecycleLoRA, ysj9909/SoMA and
w1oves/Rein."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from recyclelora.errors import InputError
from recyclelora.exchange.dinov2_names import timm_name
from recyclelora.exchange.mmdet_names import from_mmdet
from recyclelora.exchange.pickles import Checkpoint

_VIT = re.compile(r"cls_token|pos_embed|mask_token|reg_token|patch_embed\.proj\.(weight|bias)|norm\.(weight|bias)|"
                  r"blocks\.\d+\.(norm[12]|attn\.(qkv|q|k|v|proj)|mlp\.fc[12])\.(weight|bias)|blocks\.\d+\.ls[12]\.gamma")
_RECYCLELORA = re.compile(r"(blocks\.\d+\.\w+\.\w+)\.lora_([AB])_(main|sub)")
_SOMA = re.compile(r"(blocks\.\d+\.\w+\.\w+)\.lora_([AB])\.weight")
_REIN = re.compile(r"reins\.(learnable_tokens(_[ab])?|scale|"
                   r"(mlp_token2feat|mlp_delta_f|transform|merge)\.(weight|bias))")
LAYOUTS = {"recyclelora": _RECYCLELORA, "soma": _SOMA, "rein": _REIN}


class Layout(NamedTuple):
    """`vit`: plain tensors under timm's names, but for q, k and v apart; `adapters`: under the names of the code,
    without `backbone.`; `head`: under those of `Mask2FormerHead`."""

    name: str
    vit: dict[str, Tensor]
    adapters: dict[str, Tensor]
    head: dict[str, Tensor]


def read_layout(checkpoint: Checkpoint) -> Layout:
    """Sort a checkpoint's tensors, each in exactly one place. Raises InputError for tensors of no known layout, of two
    layouts at once, and for a checkpoint without a head."""
    parts: dict[str, dict[str, Tensor]] = {name: {} for name in (*LAYOUTS, "vit", "head", "unknown")}
    for name, tensor in checkpoint.tensors.items():
        prefix, _, rest = name.partition(".")
        if prefix == "decode_head":
            parts["head"][rest] = tensor
        elif prefix == "backbone":
            rest = timm_name(rest.removeprefix("model."))
            kind = _kind(rest)
            parts[kind][name if kind == "unknown" else rest] = tensor
        else:
            parts["unknown"][name] = tensor
    head, strange = from_mmdet(parts["head"])
    unknown = [*parts["unknown"], *(f"decode_head.{name}" for name in strange)]
    found = [name for name in LAYOUTS if parts[name]]
    _refuse(checkpoint.path, unknown, len(checkpoint.tensors), found, _is_bare(checkpoint.tensors))
    if len(found) > 1:
        raise InputError(f"{checkpoint.path}: holds adapters of {' and '.join(found)} at once; expected one kind")
    if not head:
        raise InputError(f"{checkpoint.path}: holds no head (no decode_head.* tensors), without which nothing can be "
                         "predicted; import the file that training wrote")
    layout = found[0] if found else "plain"
    return Layout(layout, parts["vit"], parts[layout] if found else {}, head)


def _kind(name: str) -> str:
    kinds = {**LAYOUTS, "vit": _VIT}
    return next((kind for kind, rule in kinds.items() if rule.fullmatch(name)), "unknown")


def _is_bare(tensors: Mapping[str, Tensor]) -> bool:
    return all(_VIT.fullmatch(timm_name(name)) for name in tensors)


def _refuse(path: Path, unknown: list[str], total: int, found: list[str], bare: bool) -> None:
    if bare:
        raise InputError(f"{path}: a bare backbone, not a trained model; give it with --weights beside a checkpoint")
    if unknown:
        nearest = found[0] if found else "plain (backbone.*, decode_head.*)"
        fit = f"nearest layout {nearest}, which {total - len(unknown)} fit" if len(unknown) < total else (
            f"known layouts: {', '.join(LAYOUTS)}, plain; all begin with backbone. and decode_head.")
        raise InputError(f"{path}: {len(unknown)} of {total} tensors belong to no known layout ("
                         f"{', '.join(unknown[:3])}{', ...' if len(unknown) > 3 else ''}); {fit}")
