"""Losses as metrics: their means over samples, without what is added to the loss (penalties, weights of outputs)."""

from abc import abstractmethod

from torch import Tensor

from kerascli.losses import cosine, crossentropy, focal, hinge, regression
from kerascli.losses.base import Loss
from kerascli.losses.crossentropy import Axes, Axis, FromLogits, IgnoreClass, LabelSmoothing
from kerascli.losses.labels import Labels
from kerascli.losses.ranks import axes_fault, spread
from kerascli.metrics.base import MeanMetric, metric, shape_fault
from kerascli.shapes import Floats, Fraction, NonNegativeFloat, PositiveFloat, TensorSpec


class LossMetric(MeanMetric):
    """The mean of a loss."""

    @abstractmethod
    def loss(self) -> Loss:
        """The loss that is averaged."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self.loss().values(y_true, y_pred)

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels | None:
        return self.loss().labels(target, output)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return self.loss().check(target, output)


@metric(aliases=("mse",))
class MeanSquaredError(LossMetric):
    """The mean of squared errors."""

    def loss(self) -> Loss:
        return regression.MeanSquaredError()


@metric(aliases=("mae",))
class MeanAbsoluteError(LossMetric):
    """The mean of errors without their signs."""

    def loss(self) -> Loss:
        return regression.MeanAbsoluteError()


@metric(aliases=("mape",))
class MeanAbsolutePercentageError(LossMetric):
    """The mean of errors in percent of the targets."""

    def loss(self) -> Loss:
        return regression.MeanAbsolutePercentageError()


@metric(aliases=("msle",))
class MeanSquaredLogarithmicError(LossMetric):
    """The mean of squared errors of log(1 + x)."""

    def loss(self) -> Loss:
        return regression.MeanSquaredLogarithmicError()


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

    def loss(self) -> Loss:
        return regression.LogCosh()


@metric()
class Huber(LossMetric):
    """The mean Huber loss."""

    delta: PositiveFloat = 1.0
    """From where on errors count linearly."""

    def loss(self) -> Loss:
        return regression.Huber(delta=self.delta)


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

    def loss(self) -> Loss:
        return regression.Poisson()


@metric(aliases=("kld", "kullback_leibler_divergence"))
class KLDivergence(LossMetric):
    """The mean divergence of predicted from true distributions."""

    def loss(self) -> Loss:
        return regression.KLDivergence()


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

    def loss(self) -> Loss:
        return hinge.Hinge()


@metric()
class SquaredHinge(LossMetric):
    """The mean squared hinge loss."""

    def loss(self) -> Loss:
        return hinge.SquaredHinge()


@metric()
class CategoricalHinge(LossMetric):
    """The mean categorical hinge loss."""

    def loss(self) -> Loss:
        return hinge.CategoricalHinge()


@metric()
class BinaryCrossentropy(LossMetric):
    """The mean binary cross-entropy."""

    from_logits: FromLogits = False
    label_smoothing: LabelSmoothing = 0.0

    def loss(self) -> Loss:
        return crossentropy.BinaryCrossentropy(from_logits=self.from_logits, label_smoothing=self.label_smoothing)


@metric()
class CategoricalCrossentropy(LossMetric):
    """The mean categorical cross-entropy; targets are one-hot."""

    from_logits: FromLogits = False
    label_smoothing: LabelSmoothing = 0.0
    axis: Axes = -1

    def loss(self) -> Loss:
        return crossentropy.CategoricalCrossentropy(
            from_logits=self.from_logits, label_smoothing=self.label_smoothing, axis=self.axis
        )


@metric()
class SparseCategoricalCrossentropy(LossMetric):
    """The mean categorical cross-entropy; targets are class numbers.

    As in Keras, an ignored class counts as 0, or not at all where there are sample weights.
    """

    sparse_targets = True

    from_logits: FromLogits = False
    ignore_class: IgnoreClass = None
    axis: Axis = -1

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        if sample_weight is not None and self.ignore_class is not None:
            classes = crossentropy.class_numbers(y_true, y_pred, self.axis)
            sample_weight = spread(sample_weight, classes, "sample weights or a mask") * (classes != self.ignore_class)
        return super().measure(y_true, y_pred, sample_weight)

    def loss(self) -> Loss:
        return crossentropy.SparseCategoricalCrossentropy(
            from_logits=self.from_logits, ignore_class=self.ignore_class, axis=self.axis
        )


@metric()
class BinaryFocalCrossentropy(LossMetric):
    """The mean binary focal cross-entropy."""

    apply_class_balancing: bool = False
    """Let alpha weigh the two classes."""
    alpha: Fraction = 0.25
    """What the values are multiplied by."""
    gamma: NonNegativeFloat = 2.0
    """How much less the values count that are right already; 0: not at all less."""
    from_logits: FromLogits = False
    label_smoothing: LabelSmoothing = 0.0
    axis: Axes = -1

    def loss(self) -> Loss:
        return focal.BinaryFocalCrossentropy(**self.model_dump(exclude={"name"}))


@metric()
class CategoricalFocalCrossentropy(LossMetric):
    """The mean categorical focal cross-entropy; targets are one-hot."""

    alpha: focal.ClassWeights = 0.25
    """What the values are multiplied by."""
    gamma: NonNegativeFloat = 2.0
    """How much less the values count that are right already; 0: not at all less."""
    from_logits: FromLogits = False
    label_smoothing: LabelSmoothing = 0.0
    axis: Axes = -1

    def loss(self) -> Loss:
        return focal.CategoricalFocalCrossentropy(**self.model_dump(exclude={"name"}))
