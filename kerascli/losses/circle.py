"""Circle loss: embeddings of one class near each other, those of different classes apart (Sun et al., 2020)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.losses.base import Loss, loss
from kerascli.losses.labels import Labels
from kerascli.shapes import PositiveFloat, TensorSpec

_NEVER = -1e30
"""A logit that counts for nothing; minus infinity would give gradients that are no numbers."""


@loss()
class Circle(Loss):
    """softplus of how near each embedding's least alike friends and most alike strangers of the batch are.

    Outputs are embeddings of length 1 (N, D), targets class numbers. Rows that have no friend or no stranger in
    their batch do not count.
    """

    sparse_targets = True

    gamma: PositiveFloat = 80.0
    """How sharply near and far are told apart."""
    margin: float = 0.4
    """How far apart classes are to be."""
    remove_diagonal: bool = True
    """A row is no friend of itself."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        friends, strangers = self._pairs(y_true)
        apart = (1 - y_pred @ y_pred.T).clamp(min=0)
        near = -self.gamma * (self.margin + apart).clamp(min=0) * (self.margin - apart)
        far = self.gamma * (1 + self.margin - apart).clamp(min=0) * (1 - self.margin - apart)
        logits = [x.masked_fill(~mask, _NEVER).logsumexp(1) for x, mask in ((near, friends), (far, strangers))]
        return F.softplus(logits[0] + logits[1])

    def counted(self, y_true: Tensor) -> Tensor:
        friends, strangers = self._pairs(y_true)
        return friends.any(1) & strangers.any(1)

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels:
        return Labels(words="labels are whole numbers, whatever the size of the embeddings")

    def adds_up(self) -> bool:
        return False

    def _pairs(self, y_true: Tensor) -> tuple[Tensor, Tensor]:
        """(N, N): which rows are of one class, and which of two."""
        classes = y_true.reshape(-1).long()
        same = classes.unsqueeze(1) == classes
        if not self.remove_diagonal:
            return same, ~same
        return same & ~torch.eye(len(classes), dtype=torch.bool, device=classes.device), ~same

    def check_shapes(self, target: TensorSpec, output: TensorSpec) -> str | None:
        if output.rank == 1 and output.shape != (1,) and target.shape in ((), (1,)):
            return None
        return f"'circle' needs class numbers (None,) and embeddings (None, size), got {target} and {output}"
