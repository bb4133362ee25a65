"""The adapters as their papers state them, slow and obvious: the twin the fast ones are compared with."""

import numpy as np
import torch
from scipy.linalg import qr
from torch import Tensor, nn
from torch.nn import functional as F


def literal_rrqr(weight: Tensor, rank: int, end: str) -> tuple[np.ndarray, np.ndarray]:
    """RecycleLoRA's start (the authors' code): lora_a (rank, in) with single ones, lora_b (out, rank) columns of Q."""
    w = weight.detach().numpy().astype(np.float32)
    q, _, pivots = qr(w, pivoting=True, mode="economic")
    k = q.shape[1]
    directions = range(k - rank, k) if end == "minor" else range(rank)
    a, b = np.zeros((rank, w.shape[1]), np.float32), np.zeros((w.shape[0], rank), np.float32)
    for row, direction in enumerate(directions):
        a[row, pivots[direction]] = 1.0
        b[:, row] = q[:, direction]
    return a, b


def literal_svd(weight: Tensor, rank: int, end: str, scaling: float) -> tuple[np.ndarray, np.ndarray]:
    """PiSSA's (major) and SoMA's (minor) start (the authors' code), one singular triplet after the other, in float64."""
    u, s, vt = np.linalg.svd(weight.detach().numpy().astype(np.float64), full_matrices=False)
    directions = range(len(s) - rank, len(s)) if end == "minor" else range(rank)
    a, b = np.zeros((rank, vt.shape[1])), np.zeros((u.shape[0], rank))
    for row, direction in enumerate(directions):
        a[row] = np.sqrt(s[direction] / scaling) * vt[direction]
        b[:, row] = np.sqrt(s[direction] / scaling) * u[:, direction]
    return a, b


class LiteralDualAdapter(nn.Module):
    """One linear layer with the two adapters, each factorised and each evaluated apart, as the authors' code does."""

    def __init__(self, linear: nn.Linear, main_rank: int, sub_rank: int, alpha: float = 1.0) -> None:
        super().__init__()
        self.scaling = alpha / (main_rank + sub_rank)
        a_main, b_main = map(torch.from_numpy, literal_rrqr(linear.weight, main_rank, "minor"))
        a_sub, b_sub = map(torch.from_numpy, literal_rrqr(linear.weight, sub_rank, "major"))
        self.register_buffer("frozen", linear.weight.detach() - self.scaling * (b_main @ a_main + b_sub @ a_sub))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())
        self.lora_a_main, self.lora_b_main = nn.Parameter(a_main), nn.Parameter(b_main)
        self.lora_a_sub, self.lora_b_sub = nn.Parameter(a_sub), nn.Parameter(b_sub)

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.frozen, self.bias)
        y = y + self.scaling * (x @ self.lora_a_main.T) @ self.lora_b_main.T
        return y + self.scaling * (x @ self.lora_a_sub.T) @ self.lora_b_sub.T
