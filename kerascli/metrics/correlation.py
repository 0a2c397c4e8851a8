"""Correlations: how predictions go along with targets, whatever their scale, or on the same scale."""

from torch import Tensor

from kerascli.losses.crossentropy import EPSILON, Axis
from kerascli.losses.ranks import matched
from kerascli.metrics.base import MeanMetric, metric, shape_fault
from kerascli.shapes import Ints, TensorSpec


class _Correlation(MeanMetric):
    """The mean of the coefficients along `axis`; axis 0 correlates the rows of a batch, so batches matter there."""

    direction = "max"

    axis: Axis | Ints = -1

    def adds_up(self) -> bool:
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis
        return 0 not in axes

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        if self.axis == -1 and output.shape in ((), (1,)):
            return f"'{self.component_name}' has one number a row to correlate; set axis: 0 to go along the batch"
        return shape_fault(self.component_name, target, output)

    def both(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Targets and predictions, and their means along the axis."""
        y_true, y_pred = matched(y_true.to(y_pred.dtype), y_pred)
        return y_true, y_pred, y_true.mean(self.axis, keepdim=True), y_pred.mean(self.axis, keepdim=True)


@metric()
class PearsonCorrelation(_Correlation):
    """The mean of Pearson's coefficients: 1 where one is a rising line of the other, -1 where a falling one."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_true, y_pred, true_mean, mean = self.both(y_true, y_pred)
        true, predicted = y_true - true_mean, y_pred - mean
        sizes = [x / x.square().mean(self.axis, keepdim=True).sqrt() for x in (true, predicted)]
        return (sizes[0] * sizes[1]).mean(self.axis)


@metric()
class ConcordanceCorrelation(_Correlation):
    """The mean of the concordance coefficients: 1 where predictions equal targets, less where they are shifted."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_true, y_pred, true_mean, mean = self.both(y_true, y_pred)
        spread = (y_true - true_mean).square().mean(self.axis, keepdim=True)
        spread = spread + (y_pred - mean).square().mean(self.axis, keepdim=True)
        covariance = (y_true - mean) * (y_pred - mean)  # its mean is the same with either mean of the targets
        return (2 * covariance / (spread + (true_mean - mean).square() + EPSILON)).mean(self.axis)
