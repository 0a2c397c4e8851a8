"""The `crossentropy` loss, which selects a cross-entropy by the shapes of targets and outputs."""

from typing import TypeVar

from torch import Tensor

from kerascli.foundation.shapes import Shape, TensorSpec
from kerascli.losses.base import Loss, loss
from kerascli.losses.crossentropy import BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy
from kerascli.losses.labels import Labels
from kerascli.losses.ranks import with_steps

T = TypeVar("T")


@loss(aliases=("ce",))
class Crossentropy(Loss):
    """Binary, categorical or sparse categorical cross-entropy of probabilities; the shapes of target and output decide.

    One output unit: binary; integer class labels: sparse categorical; one-hot targets: categorical.
    """

    predicts = "classes"
    sparse_targets = True

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return crossentropy_for(tuple(y_true.shape[1:]), tuple(y_pred.shape[1:])).sample_values(y_true, y_pred)

    def aligned(self, y_true: Tensor, y_pred: Tensor, weight_rank: int = 1) -> tuple[Tensor, Tensor]:
        """Return targets and predictions without changing their shapes, by which the cross-entropy is selected.

        Targets of time steps with weights get a last axis of 1.
        """
        return with_steps(*super().aligned(y_true, y_pred), weight_rank)

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels | None:
        return crossentropy_for(target.shape, output.shape).labels(target, output)

    def check_shapes(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return crossentropy_for(target.shape, output.shape).check(target, output)


def crossentropy_for(target: Shape, output: Shape) -> Loss:
    """Return the loss that Keras selects for 'crossentropy' by the shapes, without the batch axis."""
    return by_shapes(target, output, BinaryCrossentropy, SparseCategoricalCrossentropy, CategoricalCrossentropy)()


def by_shapes(target: Shape, output: Shape, binary: T, sparse: T, categorical: T) -> T:
    """Return the one of three losses or metrics that Keras selects by the shapes of target and output.

    The rules are those of keras/src/trainers/compile_utils.py. Shapes are without the batch axis.
    """
    if not output or output[-1] == 1:
        return binary
    return sparse if len(target) < len(output) or target[-1] == 1 else categorical
