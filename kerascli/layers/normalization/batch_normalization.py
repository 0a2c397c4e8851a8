"""BatchNormalization: each channel at mean 0 and variance 1 over the batch (Ioffe and Szegedy, 2015)."""

import torch
from torch import Tensor, nn

from kerascli.layers.base import Example, Layer, Outcome, ShapeMismatch, layer
from kerascli.layers.geometry import broadcast_mask, positive_axes
from kerascli.layers.normalization.base import ScaledModule
from kerascli.parts.fields import ConstraintField, InitializerField, RegularizerField
from kerascli.parts.initializers import Ones, Zeros
from kerascli.shapes import Fraction, PositiveFloat, TensorSpec

_MASK_EPSILON = 1e-7  # Keras's guard against a mask that hides everything


@layer(
    Example(input=(8,), output=(8,)),
    Example(input=(4, 4, 3), output=(4, 4, 3), config={"momentum": 0.9, "scale": False}),
    Example(input=(3, 4, 4), output=(3, 4, 4), config={"axis": 1}),
)
class BatchNormalization(Layer):
    """Brings each channel to mean 0 and variance 1 over the batch, then scales and shifts it.

    Evaluation, and training with `trainable: false`, use moving averages of the statistics.
    """

    mask = "pass"
    uses_mask = True
    mixes_samples = True

    axis: int = -1
    momentum: Fraction = 0.99
    epsilon: PositiveFloat = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: InitializerField = Zeros()
    gamma_initializer: InitializerField = Ones()
    moving_mean_initializer: InitializerField = Zeros()
    moving_variance_initializer: InitializerField = Ones()
    beta_regularizer: RegularizerField | None = None
    gamma_regularizer: RegularizerField | None = None
    beta_constraint: ConstraintField | None = None
    gamma_constraint: ConstraintField | None = None

    def build(self, x: TensorSpec) -> nn.Module:
        (axis,) = positive_axes(self.axis, x)
        channels = x.shape[axis - 1]
        if channels is None:
            raise ShapeMismatch(f"needs a known size of axis {self.axis}, got {x}", argument="axis")
        return BatchNormalizationModule(self, axis, channels)


class BatchNormalizationModule(ScaledModule):
    moving_mean: Tensor
    moving_variance: Tensor

    def __init__(self, settings: BatchNormalization, axis: int, channels: int) -> None:
        shape = (channels,)
        super().__init__(settings, shape)
        self.axis = axis
        self.momentum = settings.momentum
        self.epsilon = settings.epsilon
        self.trainable = settings.trainable
        self.add_weight("moving_mean", shape, initializer=settings.moving_mean_initializer, trainable=False)
        self.add_weight("moving_variance", shape, initializer=settings.moving_variance_initializer, trainable=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor | Outcome:  # (N, *) -> (N, *)
        if not (self.training and self.trainable):
            return self._fused(x, self.moving_mean, self.moving_variance, training=False)
        values = x.numel() // x.shape[self.axis]
        if mask is None and values > 1:
            mean, variance = torch.zeros_like(self.moving_mean), torch.zeros_like(self.moving_variance)
            y = self._fused(x, mean, variance, training=True)  # fills them
            variance = variance * ((values - 1) / values)  # torch's is unbiased there, Keras's is not
        else:
            mean, variance = self._moments(x, mask)
            y = self._normalize(x, mean, variance)
        updates = {
            "moving_mean": torch.lerp(self.moving_mean, mean.detach(), 1 - self.momentum),
            "moving_variance": torch.lerp(self.moving_variance, variance.detach(), 1 - self.momentum),
        }
        return Outcome(y, updates=updates)

    def _fused(self, x: Tensor, mean: Tensor, variance: Tensor, *, training: bool) -> Tensor:
        """torch's kernel; in training it stores the batch's mean and (unbiased) variance in the two tensors."""
        last = self.axis == x.ndim - 1
        # Images are a view in channels_last format, which the kernels know; of other ranks they would make a copy.
        flat = x.reshape(-1, x.shape[-1]) if last and x.ndim != 4 else x.movedim(self.axis, 1)
        y = torch.batch_norm(
            flat, self.gamma, self.beta, mean, variance, training, 1.0, self.epsilon, torch.backends.cudnn.enabled
        )
        return y.reshape(x.shape) if last and x.ndim != 4 else y.movedim(1, self.axis)

    def _moments(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of what the mask leaves, for each channel."""
        axes = [axis for axis in range(x.ndim) if axis != self.axis]
        x = x.to(self.moving_mean.dtype)
        if mask is None:
            return x.mean(axes), x.var(axes, correction=0)
        seen = broadcast_mask(mask, x).expand_as(x)
        count = seen.sum(axes).to(x.dtype) + _MASK_EPSILON
        mean = torch.where(seen, x, 0.0).sum(axes) / count
        squares = torch.where(seen, x - self._aligned(mean, x), 0.0).square()
        return mean, squares.sum(axes) / count

    def _normalize(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        factor = torch.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            factor = factor * self.gamma
        y = (x - self._aligned(mean, x)) * self._aligned(factor, x)
        return (y if self.beta is None else y + self._aligned(self.beta, x)).to(x.dtype)

    def _aligned(self, values: Tensor, x: Tensor) -> Tensor:
        """One value a channel, with as many axes as `x`."""
        return values.reshape([-1 if axis == self.axis else 1 for axis in range(x.ndim)])
