"""Rein: tokens that refine the features after every block of a frozen ViT (Wei et al., CVPR 2024; the authors' code).

With f (patches, c) the output of block i, T = A_i B_i its m tokens, and S = softmax(f T^T / sqrt(c)):

    f <- f + scale * MLP_f(S[:, 1:] MLP_T(T[1:]) + f)

The first token gives nothing: it takes the attention of features that are to stay as they are. Prefix tokens (class,
registers) are passed over. MLP_T and MLP_f are one linear layer each and serve all blocks. Linked to a head, the tokens
make its queries: Q_i = T_i W_Q, then Q = W [max_i Q_i, mean_i Q_i, Q_last]."""

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.lora import adapted_layers, base_digest
from recyclelora.adapters.python_numbers import real, whole
from recyclelora.adapters.tensor_files import read_described, write_described
from recyclelora.adapters.wrappers import check_unwrapped

_FORMAT = "rein-2"


class Reins(nn.Module):
    """Everything Rein trains on the ViT's side. 2,990,081 parameters for 24 blocks 1024 wide, linked.

    `tokens_a` (blocks, tokens, rank), `tokens_b` (blocks, rank, width), `scale` (). `transform` and `merge` are there
    where a head is linked. Drawn from torch's seed as the authors do: tokens within
    sqrt(6 / (3 patch^2 + sqrt(width rank))), everything else as torch draws a linear layer."""

    def __init__(self, *, blocks: int, width: int, patch_size: int, tokens: int, rank: int, scale: float,
                 query_width: int | None) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"blocks": blocks, "width": width, "patch_size": patch_size, "tokens": tokens,
                                         "rank": rank, "scale": scale, "query_width": query_width}
        bound = math.sqrt(6 / (3 * patch_size**2 + math.sqrt(width * rank)))
        self.tokens_a = nn.Parameter(torch.empty(blocks, tokens, rank).uniform_(-bound, bound))
        self.tokens_b = nn.Parameter(torch.empty(blocks, rank, width).uniform_(-bound, bound))
        self.scale = nn.Parameter(torch.tensor(scale))
        self.token_mlp = nn.Linear(width, width)
        self.feature_mlp = nn.Linear(width, width)
        self.transform = None if query_width is None else nn.Linear(width, query_width)
        self.merge = None if query_width is None else nn.Linear(3 * query_width, query_width)

    def refine(self, features: Tensor, block: int) -> Tensor:
        """features (B, patches, width) -> the same, refined by the tokens of one block."""
        tokens = self.tokens_a[block] @ self.tokens_b[block]
        attention = (features @ tokens.T * features.shape[-1] ** -0.5).softmax(-1)
        delta = attention[..., 1:] @ self.token_mlp(tokens[1:])
        return features + self.scale * self.feature_mlp(delta + features)

    def queries(self) -> Tensor:
        """(tokens, query width): what a linked head takes for the positions of its queries."""
        assert self.transform is not None and self.merge is not None, "built without a link"
        each = self.transform(self.tokens_a @ self.tokens_b)  # (blocks, tokens, query width)
        drawn = torch.stack([each.amax(0), each.mean(0), each[-1]], dim=-1)  # the authors' order: three by three
        return self.merge(drawn.flatten(1))  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.settings.items())


def attach_rein(vit: nn.Module, *, tokens: int = 100, rank: int = 16, scale: float = 0.001,
                query_width: int | None = 256, seed: int = 0) -> int:
    """Freeze `vit`, add `vit.reins` and let it refine the output of every block; returns the number of blocks.

    `query_width` None builds no link to a head. The output changes a little from the start, by about `scale`. Raises
    AdapterError where the model is adapted already or wrapped, or the numbers (Python's, NumPy's, torch's) do not fit
    it."""
    check_unwrapped(vit)
    tokens, rank, scale, seed = whole(tokens, "tokens"), whole(rank, "rank"), real(scale, "scale"), whole(seed, "seed")
    query_width = None if query_width is None else whole(query_width, "query_width")
    if adapted_layers(vit) or reins_of(vit) is not None:
        raise AdapterError("the model is adapted already; build another")
    blocks, width, patch = _size(vit)
    if tokens < 2:
        raise AdapterError(f"{tokens} tokens: Rein needs 2 or more, as the first gives nothing")
    if not 1 <= rank <= min(tokens, width):
        raise AdapterError(f"rank {rank} of {tokens} tokens {width} wide: give 1 to {min(tokens, width)}")
    if query_width is not None and query_width < 1:
        raise AdapterError(f"query_width {query_width}: give 1 or more, or None for no link to a head")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reins = Reins(blocks=blocks, width=width, patch_size=patch, tokens=tokens, rank=rank, scale=scale,
                      query_width=query_width)
    _install(vit, reins)
    return blocks


def reins_of(vit: nn.Module) -> Reins | None:
    """What `attach_rein` put on a model; None where it did not."""
    reins = getattr(vit, "reins", None)
    return reins if isinstance(reins, Reins) else None


def rein_parameters(vit: nn.Module) -> dict[str, dict[str, nn.Parameter]]:
    """By kind: `rein_tokens` (tokens and scale, never decayed by the authors) and `rein` (the linear layers)."""
    reins = reins_of(vit)
    found: dict[str, dict[str, nn.Parameter]] = {"rein_tokens": {}, "rein": {}}
    for name, parameter in [] if reins is None else reins.named_parameters():
        kind = "rein_tokens" if name in ("tokens_a", "tokens_b", "scale") else "rein"
        found[kind][f"reins.{name}"] = parameter
    return found


def save_rein(vit: nn.Module, path: Path | str, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write what Rein trained on the ViT's side, with the sha256 of the base it belongs to. Raises AdapterError."""
    check_unwrapped(vit)
    reins = reins_of(vit)
    if reins is None:
        raise AdapterError("the model holds no Rein tokens to save")
    about = {**reins.settings, "format": _FORMAT, "base": base_digest(vit)}
    write_described(reins.state_dict(), Path(path), about, metadata)


def read_rein(path: Path | str) -> dict[str, Tensor]:
    """The tensors in a file of `save_rein`, by their names in `Reins`. Raises AdapterError."""
    return _read(path)[1]


def load_rein(vit: nn.Module, path: Path | str) -> None:
    """Put a file of `save_rein` on the plain `vit`: forward passes are those of the saved model, bit for bit. Raises
    AdapterError for a file that is not one, is damaged or belongs to another base, and for a model that is adapted
    already or wrapped."""
    check_unwrapped(vit)
    if adapted_layers(vit) or reins_of(vit) is not None:
        raise AdapterError("the model is adapted already; build another")
    about, tensors = _read(path)
    if about.pop("base") != base_digest(vit):
        raise AdapterError(f"{path}: belongs to another base; build it with the weights the tokens were trained on")
    reins = Reins(**about)
    reins.load_state_dict(tensors)
    _install(vit, reins)


def _read(path: Path | str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return read_described(Path(path), _FORMAT, f"not a file of Rein tokens ({_FORMAT})")


def _install(vit: nn.Module, reins: Reins) -> None:
    vit.requires_grad_(False)
    vit.add_module("reins", reins.to(next(vit.parameters()).device))
    prefix = int(getattr(vit, "num_prefix_tokens", 0))
    for index, block in enumerate(vit.blocks):  # type: ignore[arg-type]
        block.register_forward_hook(partial(_after_block, reins, index, prefix))


def _after_block(reins: Reins, index: int, prefix: int, block: nn.Module, given: object, output: Tensor) -> Tensor:
    refined = reins.refine(output[:, prefix:], index)
    return refined if prefix == 0 else torch.cat([output[:, :prefix], refined], dim=1)


def _size(vit: nn.Module) -> tuple[int, int, int]:
    """(blocks, width, patch size) of a timm ViT."""
    patch: Any = vit.patch_embed
    return len(vit.blocks), int(vit.embed_dim), int(patch.patch_size[0])  # type: ignore[arg-type]
