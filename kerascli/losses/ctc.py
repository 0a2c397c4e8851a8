"""Connectionist temporal classification (CTC) loss (Graves et al., 2006)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.foundation.errors import DataError
from kerascli.foundation.shapes import TensorSpec
from kerascli.losses.base import Loss, loss

_BLANK = 0


@loss()
class CTC(Loss):
    """Connectionist temporal classification (Graves et al., 2006), a loss for label sequences without known alignment.

    -log of the total probability of all alignments. Outputs are logits (N, T, classes); class 0 is the blank. Targets
    are integer labels from 1 of shape (N, L), padded with 0 at the end.
    """

    sparse_targets = True

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if y_true.ndim != 2 or y_pred.ndim != 3:
            shapes = f"{tuple(y_true.shape)} and outputs of shape {tuple(y_pred.shape)}"
            raise DataError(f"'ctc' needs labels (N, L) and outputs (N, T, classes), got labels of shape {shapes}")
        log_p = F.log_softmax(y_pred.transpose(0, 1), dim=-1)
        steps = torch.full(y_true.shape[:1], y_pred.shape[1], dtype=torch.int64, device=y_pred.device)
        labels = (y_true != _BLANK).sum(-1)
        return F.ctc_loss(log_p, y_true.long(), steps, labels, blank=_BLANK, reduction="none")

    def check_shapes(self, target: TensorSpec, output: TensorSpec) -> str | None:
        if target.rank == 1 and output.rank == 2 and output.shape[-1] != 1:
            return None
        return f"'ctc' needs targets (None, labels) and an output (None, steps, classes), got {target} and {output}"
