"""A ViT and a Mask2Former head as one model that gives a loss, and scores."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recyclelora.models.criterion import Share, set_loss, shares
from recyclelora.models.mask2former import SMALL, HeadShape, Mask2FormerHead, Predictions
from recyclelora.models.pyramid import block_features, feature_pyramid, output_blocks
from recyclelora.models.queries import Compute, give_queries

__all__ = ["SMALL", "HeadShape", "Segmentor", "build_segmentor"]


Merge = Callable[[nn.Module], AbstractContextManager[object]]


class Segmentor(nn.Module):
    """`vit`: a timm ViT, with or without adapters, trained where its parameters require gradients; `head`: always
    trained. Images are (B, 3, H, W), normalised, H and W multiples of the patch size."""

    def __init__(self, vit: nn.Module, head: Mask2FormerHead, shape: HeadShape, merge: Merge = nullcontext) -> None:
        super().__init__()
        self.merge = merge
        self.vit = vit
        self.head = head
        self.blocks = output_blocks(len(vit.blocks))  # type: ignore[arg-type]
        self.shape = shape

    def loss(self, images: Tensor, labels: Tensor, share: Share | None = None) -> dict[str, Tensor]:
        """labels (B, H, W) int64 classes, 255 ignored -> weighted losses, summed over the decoder's outputs: `total`,
        and its parts `class`, `mask`, `dice`. Draws points from torch's random generator. With a `share`, what these
        images add to the loss of a batch that they are a part of."""
        predictions = self(images)
        return set_loss(predictions.classes, predictions.masks, labels, self.shape, share)

    def shares(self, labels: Tensor, parts: int) -> list[Share]:
        """For `loss`, of each of `parts` equal parts of a batch of labels. Draws points from torch's generator."""
        num_classes = self.head.class_predictor.out_features - 1
        return shares(labels, parts, self.shape.decoder_layers + 1, num_classes, self.shape)

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """(B, classes, H, W): how much each pixel belongs to each class, from the last decoder layer. For each query
        its mask, upsampled to the images' size, times its probability of the class, summed over the queries; not a
        distribution over the classes."""
        predictions = self(images)
        masks = F.interpolate(predictions.masks[-1], size=images.shape[-2:], mode="bilinear", align_corners=False)
        classes = predictions.classes[-1].softmax(-1)[..., :-1]
        return torch.einsum("bqc,bqhw->bchw", classes, masks.sigmoid())

    @contextmanager
    def merged(self) -> Iterator[None]:
        """The ViT's adapters merged while the context lasts, where their method can; then they are back."""
        with self.merge(self.vit):
            yield

    def forward(self, images: Tensor) -> Predictions:
        """Raw predictions of all decoder outputs."""
        trained = any(parameter.requires_grad for parameter in self.vit.parameters())
        with torch.set_grad_enabled(trained and torch.is_grad_enabled()):  # a frozen ViT needs no graph
            pyramid = feature_pyramid(block_features(self.vit, images, self.blocks))
        predictions: Predictions = self.head(pyramid)
        return predictions


def build_segmentor(vit: nn.Module, *, num_classes: int, head: HeadShape, queries: Compute | None = None,
                    merge: Merge = nullcontext) -> Segmentor:
    """Put a fresh head on a ViT. The ViT is taken as it is; the head's weights depend on torch's seed only. `queries`
    computes the positions of the queries where the ViT's adapters make them; `merge` is the context in which they are
    merged."""
    width = int(vit.embed_dim)  # type: ignore[arg-type]
    module = Mask2FormerHead(in_channels=[width] * 4, num_classes=num_classes, shape=head)
    if queries is not None:
        give_queries(module, queries, head.queries, head.hidden)
    return Segmentor(vit, module, head, merge)
