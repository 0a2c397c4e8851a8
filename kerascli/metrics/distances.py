"""Metrics that are the mean of a loss over samples, without regularization penalties and loss weights."""

from torch import Tensor

from kerascli.foundation.shapes import Floats, Fraction, NonNegativeFloat, PositiveFloat, TensorSpec
from kerascli.losses import crossentropy, focal
from kerascli.losses.base import LOSSES, Loss
from kerascli.losses.crossentropy import Axes, FromLogits
from kerascli.losses.labels import Labels
from kerascli.losses.ranks import spread
from kerascli.losses.regression import LogCosh, cosine_similarity
from kerascli.metrics.base import MeanMetric, metric


class LossMetric(MeanMetric):
    """Base class of metrics that are the mean over samples of the loss of the same name, and have its arguments.

    A metric that extends one of them has the loss of that one, unless there is one of its own name.
    """

    def loss(self) -> Loss:
        """Return the loss whose mean is the metric, with the metric's arguments."""
        found = (LOSSES.find(each.component_name) for each in type(self).__mro__ if issubclass(each, LossMetric))
        return next(filter(None, found))(**self.model_dump(exclude={"name"}))

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self.loss().values(y_true, y_pred)

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels | None:
        return self.loss().labels(target, output)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return self.loss().check(target, output)


@metric(aliases=("mse",))
class MeanSquaredError(LossMetric):
    """Mean squared error: mean((y_true - y_pred) ** 2)."""


@metric(aliases=("mae",))
class MeanAbsoluteError(LossMetric):
    """Mean absolute error: mean(|y_true - y_pred|)."""


@metric(aliases=("mape",))
class MeanAbsolutePercentageError(LossMetric):
    """Mean absolute percentage error: 100 * mean(|y_true - y_pred| / max(|y_true|, 1e-7))."""


@metric(aliases=("msle",))
class MeanSquaredLogarithmicError(LossMetric):
    """Mean squared logarithmic error: mean((log(1 + y_true) - log(1 + y_pred)) ** 2)."""


@metric(aliases=("rmse",))
class RootMeanSquaredError(MeanMetric):
    """Root mean squared error: sqrt(mean((y_true - y_pred) ** 2)), over all samples, not a mean over batches."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return (y_pred - y_true).square()

    def result(self, state: Tensor) -> Tensor:
        return super().result(state).sqrt()


@metric(aliases=("log_cosh", "logcosh"))
class LogCoshError(LossMetric):
    """Mean log-cosh error: mean(log(cosh(y_pred - y_true)))."""

    def loss(self) -> Loss:
        return LogCosh()


@metric()
class Huber(LossMetric):
    """Mean Huber loss: 0.5 * error ** 2 for |error| <= delta, else delta * |error| - 0.5 * delta ** 2."""

    delta: PositiveFloat = 1.0
    """Absolute error above which the loss is linear instead of quadratic."""


@metric()
class MeanRelativeError(MeanMetric):
    """Mean relative error: mean(|y_true - y_pred| / normalizer), 0 where the normalizer is 0."""

    normalizer: NonNegativeFloat | Floats
    """Divisor of the absolute errors: one number, or one per output unit."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        inverse = [1 / n if n else 0.0 for n in self._numbers()]
        error = (y_true - y_pred).abs()
        return error * inverse[0] if len(inverse) == 1 else error * error.new_tensor(inverse)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        numbers, outputs = len(self._numbers()), output.shape[-1] if output.shape else 1
        if numbers != 1 and outputs is not None and numbers != outputs:
            return f"'{self.component_name}' has {numbers} normalizers for the output {output}; give {outputs} or one"
        return super().check(target, output)

    def _numbers(self) -> tuple[float, ...]:
        return self.normalizer if isinstance(self.normalizer, tuple) else (self.normalizer,)


@metric()
class Poisson(LossMetric):
    """Mean Poisson loss of counts: mean(y_pred - y_true * log(y_pred + 1e-7))."""


@metric(aliases=("kld", "kullback_leibler_divergence"))
class KLDivergence(LossMetric):
    """Mean Kullback-Leibler divergence: sum(y_true * log(y_true / y_pred)) over the last axis of distributions."""


@metric(aliases=("cosine_proximity",))
class CosineSimilarity(MeanMetric):
    """Mean cosine similarity of targets and predictions along `axis`, from -1 to 1.

    1 is best; the loss of the same name is its negative.
    """

    direction = "max"

    axis: Axes = -1

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return cosine_similarity(y_true, y_pred, self.axis)


@metric()
class Hinge(LossMetric):
    """Mean hinge loss: mean(max(1 - y_true * y_pred, 0)); targets are -1 and 1, or 0 and 1."""


@metric()
class SquaredHinge(LossMetric):
    """Mean squared hinge loss: mean(max(1 - y_true * y_pred, 0) ** 2); targets are -1 and 1, or 0 and 1."""


@metric()
class CategoricalHinge(LossMetric):
    """Mean categorical hinge loss, max(1 + neg - pos, 0), of the true (pos) and largest other output.

    Targets are one-hot.
    """


@metric()
class BinaryCrossentropy(LossMetric):
    """Mean binary cross-entropy of targets of 0 or 1, and of independent (multi-hot) labels."""

    from_logits: FromLogits = False
    label_smoothing: Fraction = 0.0
    """Fraction by which targets are moved from 0 and 1 towards the uniform distribution."""


@metric()
class CategoricalCrossentropy(crossentropy.SmoothedArguments, LossMetric):
    """Mean cross-entropy of mutually exclusive classes; targets are one-hot."""


@metric()
class SparseCategoricalCrossentropy(crossentropy.SparseArguments, LossMetric):
    """Mean cross-entropy of mutually exclusive classes; targets are integer class labels.

    As in Keras, an ignored class enters the mean with the value 0, or not at all if there are sample weights.
    """

    sparse_targets = True

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        if sample_weight is not None and self.ignore_class is not None:
            classes = crossentropy.class_numbers(y_true, y_pred, self.axis)
            sample_weight = spread(sample_weight, classes, "sample weights or a mask") * (classes != self.ignore_class)
        return super().measure(y_true, y_pred, sample_weight)


@metric()
class BinaryFocalCrossentropy(crossentropy.SmoothedArguments, focal.BinaryArguments, LossMetric):
    """Mean binary focal cross-entropy (Lin et al., 2017): binary cross-entropy times (1 - p_t) ** gamma."""


@metric()
class CategoricalFocalCrossentropy(crossentropy.SmoothedArguments, focal.CategoricalArguments, LossMetric):
    """Mean categorical focal cross-entropy (Lin et al., 2017): cross-entropy times alpha * (1 - p) ** gamma.

    Targets are one-hot.
    """
