"""Queries of a Mask2Former head that are computed from other parameters instead of being parameters of their own.

transformers reads `.weight` of two embeddings, the positions and the features of the queries. Here the positions are
what a function gives, and the features a linear layer of them."""

from collections.abc import Callable

from torch import Tensor, nn

from recyclelora.errors import InputError
from recyclelora.models.mask2former import Mask2FormerHead

Compute = Callable[[], Tensor]  # () -> (queries, width)


class ComputedQueries(nn.Module):
    """`weight` (queries, width). What it is computed from are no parameters of this module."""

    def __init__(self, compute: Compute) -> None:
        super().__init__()
        self.__dict__["compute"] = compute

    @property
    def weight(self) -> Tensor:
        computed: Tensor = self.__dict__["compute"]()
        return computed


class ProjectedQueries(ComputedQueries):
    def __init__(self, compute: Compute, width: int) -> None:
        super().__init__(compute)
        self.project = nn.Linear(width, width)

    @property
    def weight(self) -> Tensor:
        projected: Tensor = self.project(super().weight)
        return projected


def give_queries(head: Mask2FormerHead, compute: Compute, queries: int, width: int) -> None:
    """Replace the head's queries; `project` is drawn from torch's seed. Raises InputError where their number or width
    is another."""
    found = tuple(compute().shape)
    if found != (queries, width):
        raise InputError(f"the adapter makes {found[0]} queries {found[1]} wide, and the head takes {queries} queries "
                         f"{width} wide (head.queries, head.width)", key="head.queries")
    head.transformer_module.queries_embedder = ComputedQueries(compute)
    head.transformer_module.queries_features = ProjectedQueries(compute, width)
