"""The factorisations that starts are cut from: float32 on the CPU, one row per direction."""

import numpy as np
import torch
from scipy.linalg import lapack
from torch import Tensor


def pivoted_qr(matrix: Tensor) -> dict[str, Tensor]:
    """Businger-Golub QR of `matrix` (m, n) float32, W[:, P] = Q R, as LAPACK's geqp3 leaves it: one row per direction.

    `reflectors` (k, m), `tau` (k,), `pivots` (k,) int64 positions among the input features, `diagonal` (k,) of R."""
    columns = np.array(matrix.numpy(), order="F")  # a copy, which geqp3 overwrites
    count = min(columns.shape)
    workspace = lapack.sgeqp3(columns, lwork=-1, overwrite_a=1)[3]  # a query: leaves its argument alone
    packed, pivots, tau, _, info = lapack.sgeqp3(columns, lwork=int(workspace[0]), overwrite_a=1)
    assert info == 0, info  # LAPACK can only refuse an argument, which would be our mistake
    return {"reflectors": torch.from_numpy(packed.T[:count]), "tau": torch.from_numpy(tau),
            "pivots": torch.from_numpy(pivots[:count].astype(np.int64) - 1),  # LAPACK counts from 1
            "diagonal": torch.from_numpy(packed.diagonal().copy())}


def q_columns(reflectors: Tensor, tau: Tensor, start: int, stop: int) -> Tensor:
    """Columns start..stop-1 of the economic Q, (m, stop - start), without forming the others.

    Column i is the product of the first i + 1 reflections applied to unit vector i: `reflectors` (at least stop, m)."""
    wanted = np.eye(reflectors.shape[1], stop - start, -start, dtype=np.float32, order="F")
    packed, scalars = reflectors[:stop].numpy().T, tau[:stop].numpy()
    workspace = lapack.sormqr("L", "N", packed, scalars, wanted, -1, overwrite_c=1)[1]
    columns, _, info = lapack.sormqr("L", "N", packed, scalars, wanted, int(workspace[0]), overwrite_c=1)
    assert info == 0, info
    return torch.from_numpy(columns).contiguous()


def svd(matrix: Tensor) -> dict[str, Tensor]:
    """Economic SVD of `matrix` (m, n) float32, one row per direction: `u` (k, m), `s` (k,), `v` (k, n)."""
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    return {"u": u.T.contiguous(), "s": s, "v": v.contiguous()}
