"""Interpret a model's outputs as predictions of classes, with class names and probabilities."""

from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor

from kerascli.data.base import Field
from kerascli.losses.base import Loss


@dataclass(frozen=True, slots=True)
class ClassReading:
    """Interpretation of a model output as classes: class names, and conversion of its units to probabilities."""

    names: tuple[str, ...]
    from_logits: bool
    """True if the model output has logits, False if it has probabilities."""
    binary: bool
    """True if the model output has one unit, the probability or logit of the second of two classes."""
    threshold: float | None = None
    """Probability above which the second of two classes is predicted; None: the class of the highest probability is."""

    def probabilities(self, output: Tensor) -> Tensor:
        """Return the probabilities of classes (rows, classes), computed from a model output (rows, units)."""
        if self.binary:
            second = torch.sigmoid(output) if self.from_logits else output
            second = second.reshape(output.shape[0], 1)
            return torch.cat([1 - second, second], dim=1)
        return torch.softmax(output, dim=-1) if self.from_logits else output

    def labels(self, probabilities: Tensor) -> Tensor:
        """Return the predicted class label of each row (rows,), computed from probabilities (rows, classes).

        Like in Keras, a threshold is compared in the dtype of the probabilities.
        """
        if self.threshold is None:
            return probabilities.argmax(-1)
        return (probabilities[:, 1] > self.threshold).long()


def is_classification_loss(loss: Loss | None) -> TypeGuard[Loss]:
    """Return True if `loss` compares predicted classes with labels; False for a loss of numeric values, or None."""
    return loss is not None and loss.predicts != "values"


def class_reading(output: Tensor, field: Field | None, loss: Loss | None) -> ClassReading | None:
    """Return the ClassReading (class names, conversion to probabilities) of a model output of shape (rows, units).

    `field` describes the target in the data, `loss` compares it with the output. None unless the output predicts
    exactly one class per row.
    """
    if not is_classification_loss(loss) or output.dim() > 2:
        return None
    units = output.shape[1] if output.dim() == 2 else 1
    count = 2 if units == 1 else units
    if loss.predicts == "labels" and units > 1:
        return None  # several labels at once
    names = field.classes if field is not None else None
    if names is None or len(names) != count:
        names = tuple(map(str, range(count)))
    return ClassReading(names, bool(getattr(loss, "from_logits", False)), units == 1)


def class_numbers(y_true: Tensor, axes: int = 2) -> Tensor:
    """Return integer class labels (rows, *), from targets that are labels, or one-hot vectors (rows, *, classes).

    `axes` is the number of axes of the predictions (rows, *, classes), which one-hot vectors have too.
    """
    if y_true.dim() > 1 and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)
    elif y_true.dim() == axes > 1:
        y_true = y_true.argmax(-1)
    return y_true.round().long() if y_true.is_floating_point() else y_true.long()
