"""Losses as metrics: their means over samples, without what is added to the loss (penalties, weights of outputs)."""

from typing import ClassVar

from torch import Tensor

from kerascli.losses import cosine, crossentropy, focal, hinge, regression
from kerascli.losses.base import Loss
from kerascli.losses.crossentropy import Axes, Axis, FromLogits, IgnoreClass, LabelSmoothing
from kerascli.losses.labels import Labels
from kerascli.losses.ranks import axes_fault, spread
from kerascli.metrics.base import MeanMetric, metric, shape_fault
from kerascli.shapes import Floats, Fraction, NonNegativeFloat, PositiveFloat, TensorSpec


class LossMetric(MeanMetric):
    """The mean of a loss, which takes the settings of the metric."""

    loss_class: ClassVar[type[Loss]]

    def loss(self) -> Loss:
        """The loss that is averaged."""
        return self.loss_class(**self.model_dump(exclude={"name"}))

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self.loss().values(y_true, y_pred)

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels | None:
        return self.loss().labels(target, output)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return self.loss().check(target, output)


@metric(aliases=("mse",))
class MeanSquaredError(LossMetric):
    """The mean of squared errors."""

    loss_class = regression.MeanSquaredError


@metric(aliases=("mae",))
class MeanAbsoluteError(LossMetric):
    """The mean of errors without their signs."""

    loss_class = regression.MeanAbsoluteError


@metric(aliases=("mape",))
class MeanAbsolutePercentageError(LossMetric):
    """The mean of errors in percent of the targets."""

    loss_class = regression.MeanAbsolutePercentageError


@metric(aliases=("msle",))
class MeanSquaredLogarithmicError(LossMetric):
    """The mean of squared errors of log(1 + x)."""

    loss_class = regression.MeanSquaredLogarithmicError


@metric(aliases=("rmse",))
class RootMeanSquaredError(MeanMetric):
    """The root of the mean of squared errors: of the whole set, not a mean of batches' roots."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return (y_pred - y_true).square()

    def result(self, state: Tensor) -> Tensor:
        return super().result(state).sqrt()

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return shape_fault(self.component_name, target, output)


@metric(aliases=("log_cosh", "logcosh"))
class LogCoshError(LossMetric):
    """The mean of log(cosh(error))."""

    loss_class = regression.LogCosh


@metric()
class Huber(LossMetric):
    """The mean Huber loss."""

    loss_class = regression.Huber

    delta: PositiveFloat = 1.0
    """From where on errors count linearly."""


@metric()
class MeanRelativeError(MeanMetric):
    """The mean of |error| / `normalizer`: one number for each output, or one for all; 0 where that is 0."""

    normalizer: NonNegativeFloat | Floats
    """What errors are divided by: one number, or one for each output."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        inverse = [1 / n if n else 0.0 for n in self._numbers()]
        error = (y_true - y_pred).abs()
        return error * inverse[0] if len(inverse) == 1 else error * error.new_tensor(inverse)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        numbers, outputs = len(self._numbers()), output.shape[-1] if output.shape else 1
        if numbers != 1 and outputs is not None and numbers != outputs:
            return f"'{self.component_name}' has {numbers} normalizers for the output {output}; give {outputs} or one"
        return shape_fault(self.component_name, target, output)

    def _numbers(self) -> tuple[float, ...]:
        return self.normalizer if isinstance(self.normalizer, tuple) else (self.normalizer,)


@metric()
class Poisson(LossMetric):
    """The mean Poisson loss."""

    loss_class = regression.Poisson


@metric(aliases=("kld", "kullback_leibler_divergence"))
class KLDivergence(LossMetric):
    """The mean divergence of predicted from true distributions."""

    loss_class = regression.KLDivergence


@metric(aliases=("cosine_proximity",))
class CosineSimilarity(MeanMetric):
    """The mean cosine between targets and predictions: 1 is best (the loss of this name is its negative)."""

    direction = "max"

    axis: Axes = -1

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return cosine.cosine_similarity(y_true, y_pred, self.axis)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return axes_fault(self, output) or shape_fault(self.component_name, target, output)


@metric()
class Hinge(LossMetric):
    """The mean hinge loss."""

    loss_class = hinge.Hinge


@metric()
class SquaredHinge(LossMetric):
    """The mean squared hinge loss."""

    loss_class = hinge.SquaredHinge


@metric()
class CategoricalHinge(LossMetric):
    """The mean categorical hinge loss."""

    loss_class = hinge.CategoricalHinge


@metric()
class BinaryCrossentropy(LossMetric):
    """The mean binary cross-entropy."""

    loss_class = crossentropy.BinaryCrossentropy

    from_logits: FromLogits = False
    label_smoothing: LabelSmoothing = 0.0


@metric()
class CategoricalCrossentropy(LossMetric):
    """The mean categorical cross-entropy; targets are one-hot."""

    loss_class = crossentropy.CategoricalCrossentropy

    from_logits: FromLogits = False
    label_smoothing: LabelSmoothing = 0.0
    axis: Axes = -1


@metric()
class SparseCategoricalCrossentropy(LossMetric):
    """The mean categorical cross-entropy; targets are class numbers.

    As in Keras, an ignored class counts as 0, or not at all where there are sample weights.
    """

    loss_class = crossentropy.SparseCategoricalCrossentropy

    sparse_targets = True

    from_logits: FromLogits = False
    ignore_class: IgnoreClass = None
    axis: Axis = -1

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        if sample_weight is not None and self.ignore_class is not None:
            classes = crossentropy.class_numbers(y_true, y_pred, self.axis)
            sample_weight = spread(sample_weight, classes, "sample weights or a mask") * (classes != self.ignore_class)
        return super().measure(y_true, y_pred, sample_weight)


@metric()
class BinaryFocalCrossentropy(LossMetric):
    """The mean binary focal cross-entropy."""

    loss_class = focal.BinaryFocalCrossentropy

    apply_class_balancing: bool = False
    """Let alpha weigh the two classes."""
    alpha: Fraction = 0.25
    """What the values are multiplied by."""
    gamma: NonNegativeFloat = 2.0
    """How much less the values count that are right already; 0: not at all less."""
    from_logits: FromLogits = False
    label_smoothing: LabelSmoothing = 0.0
    axis: Axes = -1


@metric()
class CategoricalFocalCrossentropy(LossMetric):
    """The mean categorical focal cross-entropy; targets are one-hot."""

    loss_class = focal.CategoricalFocalCrossentropy

    alpha: focal.ClassWeights = 0.25
    """What the values are multiplied by."""
    gamma: NonNegativeFloat = 2.0
    """How much less the values count that are right already; 0: not at all less."""
    from_logits: FromLogits = False
    label_smoothing: LabelSmoothing = 0.0
    axis: Axes = -1
