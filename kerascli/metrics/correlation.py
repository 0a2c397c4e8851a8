"""Correlation metrics: Pearson's and the concordance correlation coefficient."""

from torch import Tensor

from kerascli.foundation.shapes import TensorSpec
from kerascli.losses.crossentropy import EPSILON, Axes
from kerascli.metrics.base import MeanMetric, metric


class _Correlation(MeanMetric):
    """Base class of mean correlations along `axis`; with axis 0 (the batch) the value depends on the batch size."""

    direction = "max"

    axis: Axes = -1

    def is_defined(self, state: Tensor) -> Tensor:
        return super().is_defined(state) & ~self.result(state).isnan()

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        if self.axis == -1 and output.shape[-1:] in ((), (1,)) and target.rank >= output.rank - (output.rank == 1):
            name = self.component_name
            return f"'{name}' has one value per row to correlate; set axis: 0 to correlate over the batch"
        return super().check(target, output)

    def aligned(self, y_true: Tensor, y_pred: Tensor, weight_rank: int = 1) -> tuple[Tensor, Tensor]:
        """Return targets and predictions with one common shape; (N, T, 1) becomes (N, T), even if steps have weights.

        A single time step has no correlation.
        """
        return super().aligned(y_true, y_pred)

    def means(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means of targets and of predictions along `axis`, which is kept with size 1."""
        return y_true.mean(self.axis, keepdim=True), y_pred.mean(self.axis, keepdim=True)


@metric()
class PearsonCorrelation(_Correlation):
    """Mean Pearson correlation coefficient of targets and predictions along `axis`.

    From -1 to 1, the extremes for linear relations of negative and positive slope. Axis 0 correlates the rows of each
    batch.
    """

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        true_mean, mean = self.means(y_true, y_pred)
        true, predicted = y_true - true_mean, y_pred - mean
        sizes = [x / x.square().mean(self.axis, keepdim=True).sqrt() for x in (true, predicted)]
        return (sizes[0] * sizes[1]).mean(self.axis)


@metric()
class ConcordanceCorrelation(_Correlation):
    """Mean concordance correlation coefficient of targets and predictions along `axis`.

    1 if predictions equal targets; unlike Pearson's it is lowered by differences of location and scale. Axis 0
    correlates the rows of each batch.
    """

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        true_mean, mean = self.means(y_true, y_pred)
        spread = (y_true - true_mean).square().mean(self.axis, keepdim=True)
        spread = spread + (y_pred - mean).square().mean(self.axis, keepdim=True)
        covariance = (y_true - mean) * (y_pred - mean)  # its mean is the same with either mean of the targets
        return (2 * covariance / (spread + (true_mean - mean).square() + EPSILON)).mean(self.axis)
