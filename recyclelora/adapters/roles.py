"""Which linear layers of a timm ViT are adapted, named by what they do, since timm fuses them differently per backbone.

| role    | layers of a block                                | backbones                                          |
|---------|--------------------------------------------------|----------------------------------------------------|
| qkv     | attn.qkv, or attn.q_proj, k_proj, v_proj alike   | all                                                |
| q, k, v | attn.q_proj, attn.k_proj, attn.v_proj            | those that split them: EVA02 base, large           |
| proj    | attn.proj                                        | all                                                |
| fc1     | mlp.fc1, or a gated mlp.fc1_g and mlp.fc1_x      | all; gated: EVA02 base, large, DINOv3 huge         |
| fc2     | mlp.fc2                                          | all                                                |
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import nn

from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.python_numbers import whole
from recyclelora.adapters.wrappers import check_unwrapped

ROLES = ("qkv", "q", "k", "v", "proj", "fc1", "fc2")
EVERY_LINEAR = ("qkv", "proj", "fc1", "fc2")  # the roles that cover each linear layer of every backbone

_ROLE_OF = {"attn.qkv": "qkv", "attn.q_proj": "q", "attn.k_proj": "k", "attn.v_proj": "v", "attn.proj": "proj",
            "mlp.fc1": "fc1", "mlp.fc1_g": "fc1", "mlp.fc1_x": "fc1", "mlp.fc2": "fc2"}


class Target(NamedTuple):
    """One linear layer of a ViT's blocks."""

    name: str  # dotted, as in `named_modules`
    block: int  # from 0
    role: str  # of ROLES
    module: nn.Linear  # or, from `select`, what stands in its place


def linears(vit: nn.Module) -> list[Target]:
    """Every linear layer under `blocks.`, in the model's order; heads and attention pools lie outside and are not ours.

    Raises AdapterError where there is none, for one whose role is not known (none is silently left out), and for a
    wrapped model."""
    targets = [target for target in _places(vit) if isinstance(target.module, nn.Linear)]
    if not targets:
        raise AdapterError("no linear layer under `blocks.`: expected a timm vision transformer")
    return targets


def select(vit: nn.Module, roles: Sequence[str] = EVERY_LINEAR, skip_blocks: int = 0) -> list[Target]:
    """The layers of `roles`, without those of the first `skip_blocks` blocks. `qkv` takes split q, k and v too. A layer
    that is no nn.Linear is among them: whoever cannot use it says so.

    Raises AdapterError for a role that names no layer of this model or is named twice, and where no block is left."""
    skip_blocks = whole(skip_blocks, "skip_blocks")
    if isinstance(roles, str):
        raise AdapterError(f"roles {roles!r}: expected several names; give ({roles!r},)")
    targets = list(_places(vit)) or linears(vit)
    valid = [role for role in ROLES if any(_matches(target, role) for target in targets)]
    for role in roles:
        if role not in valid:
            raise AdapterError(f"role {role!r} names no layer of this model; it has: {', '.join(valid)}")
    if len(set(roles)) < len(roles) or ("qkv" in roles and {"q", "k", "v"} & set(roles)):
        raise AdapterError(f"roles {', '.join(roles)} name a layer twice; name each once (qkv takes q, k and v)")
    if not roles:
        raise AdapterError(f"no role given; this model has: {', '.join(valid)}")
    num_blocks = targets[-1].block + 1
    if not 0 <= skip_blocks < num_blocks:
        raise AdapterError(f"skip_blocks {skip_blocks} leaves none of the {num_blocks} blocks; "
                           f"choose 0 to {num_blocks - 1}")
    return [target for target in targets
            if target.block >= skip_blocks and any(_matches(target, role) for role in roles)]


def _places(vit: nn.Module) -> Iterator[Target]:
    """Whatever stands under a name that has a role, and every other linear layer, which is an error."""
    check_unwrapped(vit)
    for name, module in vit.named_modules():
        place = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        if place is None:
            continue
        if place[2] in _ROLE_OF:
            yield Target(name, int(place[1]), _ROLE_OF[place[2]], module)  # type: ignore[arg-type]
        elif isinstance(module, nn.Linear):
            raise AdapterError(f"{name}: {_explain(place[2])}")


def _explain(place: str) -> str:
    if "_orig_mod" in place.split("."):
        return "lies in a block wrapped by torch.compile; adapt the model first, and compile the blocks afterwards"
    if place.endswith((".base_layer", ".lora_A", ".lora_B")) or ".lora_A." in place:
        return "lies in a layer that PEFT wraps; take its adapters off first: model.merge_and_unload()"
    return f"a linear layer of unknown role; known in a block: {', '.join(_ROLE_OF)}"


def _matches(target: Target, role: str) -> bool:
    return target.role == role or (role == "qkv" and target.role in ("q", "k", "v"))
