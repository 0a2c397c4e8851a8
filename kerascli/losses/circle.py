"""Circle loss for metric learning (Sun et al., 2020)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.foundation.shapes import PositiveFloat, TensorSpec
from kerascli.losses.base import Loss, loss
from kerascli.losses.labels import Labels

_EXCLUDED = -1e30
"""Logit of an excluded pair; minus infinity would give NaN gradients."""


@loss()
class Circle(Loss):
    """Circle loss for metric learning (Sun et al., 2020).

    Each embedding's cosine similarities to its positive pairs (same label) and negative pairs (different label) in the
    batch are weighted by their distance from the optimum. Outputs are L2-normalized embeddings (N, D), targets integer
    class labels. Rows without a positive or without a negative pair in their batch are ignored.
    """

    sparse_targets = True
    compares_rows = True

    gamma: PositiveFloat = 80.0
    """Scale factor of the similarity scores: the larger, the sharper positive and negative pairs are separated."""
    margin: float = 0.4
    """Margin m: cosine similarities are optimal above 1 - m for positive pairs, and below m for negative pairs."""
    remove_diagonal: bool = True
    """Exclude each embedding's pair with itself from the positive pairs."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        positive_pairs, negative_pairs = self._pairs(y_true)
        distance = (1 - y_pred @ y_pred.T).clamp(min=0)
        positive = -self.gamma * (self.margin + distance).clamp(min=0) * (self.margin - distance)
        negative = self.gamma * (1 + self.margin - distance).clamp(min=0) * (1 - self.margin - distance)
        pairs = ((positive, positive_pairs), (negative, negative_pairs))
        logits = [x.masked_fill(~mask, _EXCLUDED).logsumexp(1) for x, mask in pairs]
        return F.softplus(logits[0] + logits[1])

    def counted(self, y_true: Tensor) -> Tensor:
        positive_pairs, negative_pairs = self._pairs(y_true)
        return positive_pairs.any(1) & negative_pairs.any(1)

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels:
        return Labels(words="class labels are integers; the size of the embeddings is no limit")

    def _pairs(self, y_true: Tensor) -> tuple[Tensor, Tensor]:
        """Return boolean matrices (N, N) of the positive pairs (same label) and of the negative pairs."""
        classes = y_true.reshape(-1).long()
        same = classes.unsqueeze(1) == classes
        if not self.remove_diagonal:
            return same, ~same
        return same & ~torch.eye(len(classes), dtype=torch.bool, device=classes.device), ~same

    def check_shapes(self, target: TensorSpec, output: TensorSpec) -> str | None:
        if output.rank == 1 and output.shape != (1,) and target.shape in ((), (1,)):
            return None
        return f"'circle' needs integer class labels (None,) and embeddings (None, size), got {target} and {output}"
