"""Queries of a Mask2Former head that are made of Rein's tokens instead of being parameters of their own.

transformers reads `.weight` of two embeddings, the queries' positions and features. Here the positions are Rein's
`queries()`, and the features a linear layer of them (the authors' `querys2feat`)."""

from torch import Tensor, nn

from recyclelora.adapters.rein import Reins
from recyclelora.errors import InputError
from recyclelora.models.mask2former import Mask2FormerHead


class TokenQueries(nn.Module):
    """`weight` (queries, width). The tokens stay the ViT's: they are no parameter of this module."""

    def __init__(self, reins: Reins) -> None:
        super().__init__()
        self.__dict__["reins"] = reins  # not registered, else every name would be there twice

    @property
    def weight(self) -> Tensor:
        reins: Reins = self.__dict__["reins"]
        return reins.queries()


class TokenFeatures(TokenQueries):
    def __init__(self, reins: Reins, width: int) -> None:
        super().__init__(reins)
        self.project = nn.Linear(width, width)

    @property
    def weight(self) -> Tensor:
        projected: Tensor = self.project(super().weight)
        return projected


def link_queries(head: Mask2FormerHead, reins: Reins, queries: int, width: int) -> None:
    """Replace the head's queries; `project` is drawn from torch's seed. Raises InputError where their number or width
    is not that of the tokens."""
    if reins.settings["tokens"] != queries:
        raise InputError(f"adapter.tokens: {reins.settings['tokens']} tokens cannot make the {queries} queries of "
                         "head.queries; give both the same number, or adapter.link: false", key="adapter.tokens")
    if reins.settings["query_width"] != width:
        raise InputError(f"Rein's link makes queries {reins.settings['query_width']} wide, the head takes {width}")
    head.transformer_module.queries_embedder = TokenQueries(reins)
    head.transformer_module.queries_features = TokenFeatures(reins, width)
