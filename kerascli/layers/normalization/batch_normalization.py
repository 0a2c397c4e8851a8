"""BatchNormalization: normalizes each channel over the batch (Ioffe and Szegedy, 2015)."""

import math
from collections.abc import Callable
from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from kerascli.foundation import local_batch
from kerascli.foundation.shapes import Axis, Fraction, NonNegativeFloat, TensorSpec
from kerascli.layers.base import Example, Layer, Outcome, layer
from kerascli.layers.geometry import broadcast_mask, positive_axes
from kerascli.layers.normalization.base import Epsilon, PenaltyArguments, ScaleArguments, ScaledModule, sizes_along
from kerascli.parts.base import Initializer
from kerascli.parts.fields import InitializerField
from kerascli.parts.initializers import Ones, Zeros

_MASK_EPSILON = 1e-7  # Keras's guard against a mask that hides everything


class FirstArguments(Layer):
    """Mixin with the first arguments of `batch_normalization`, which in Keras come before `center` and `scale`."""

    axis: Axis = -1
    momentum: Fraction = 0.99
    """Momentum of the moving averages: moving = momentum * moving + (1 - momentum) * batch (PyTorch: 1 - momentum)."""
    epsilon: Epsilon = 1e-3


class MovingAverageArguments(Layer):
    """Mixin with the initializers of batch normalization's moving averages."""

    moving_mean_initializer: InitializerField = Zeros()
    """Initializer of the moving mean."""
    moving_variance_initializer: InitializerField = Ones()
    """Initializer of the moving variance."""


@layer(Example(input=(8,), output=(8,)))
class BatchNormalization(PenaltyArguments, MovingAverageArguments, ScaleArguments, FirstArguments):
    """Batch normalization: normalizes each channel to mean 0 and variance 1 over the batch, then scales and shifts it.

    output = gamma * (x - mean) / sqrt(variance + epsilon) + beta, with the batch's statistics in training; evaluation,
    and training with `trainable: false`, use the moving averages. Input and output: (N, *), with the channels along
    `axis`. Masked steps are ignored. Paper: Ioffe and Szegedy, 2015.
    """

    mask = "pass"
    uses_mask = True
    mixes_samples = True

    renorm: bool = False
    """Batch renormalization: correct the batch's statistics towards the moving averages (Ioffe, 2017)."""
    renorm_clipping: dict[str, NonNegativeFloat] | None = None
    """Bounds of the correction: rmin and rmax of its factor, -dmax and dmax of its shift; null or no key: unbounded."""
    renorm_momentum: Fraction = 0.99
    """Momentum of the moving averages that the correction uses."""
    synchronized: bool = False
    """Compute the batch's statistics over the rows of all processes, not of each; with one process it has no effect.

    Refused with `fit.shards`. In evaluation nothing is exchanged.
    """

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        bounds = self.renorm_clipping or {}
        if unknown := set(bounds) - {"rmin", "rmax", "dmax"}:
            raise ValueError(f"renorm_clipping: expected rmin, rmax and dmax, got {', '.join(sorted(unknown))}")
        if bounds.get("rmin", 0.0) > bounds.get("rmax", math.inf):
            raise ValueError(f"renorm_clipping: rmin {bounds['rmin']} is above rmax {bounds['rmax']}")
        return self

    def build(self, x: TensorSpec) -> nn.Module:
        (axis,) = positive_axes(self.axis, x)
        (channels,) = sizes_along((axis,), x)
        return BatchNormalizationModule(self, axis, channels)


class BatchNormalizationModule(ScaledModule):
    moving_mean: Tensor
    moving_variance: Tensor
    moving_stddev: Tensor
    renorm_mean: Tensor
    renorm_stddev: Tensor

    def __init__(self, settings: BatchNormalization, axis: int, channels: int) -> None:
        shape = (channels,)
        super().__init__(settings, shape)
        self.axis = axis
        self.add_weight("moving_mean", shape, initializer=settings.moving_mean_initializer, trainable=False)
        self.add_weight("moving_variance", shape, initializer=settings.moving_variance_initializer, trainable=False)
        if settings.renorm:
            deviation = SquareRoot(of=settings.moving_variance_initializer)
            self.add_weight("moving_stddev", shape, initializer=deviation, trainable=False)
            self.add_weight("renorm_mean", shape, initializer=settings.moving_mean_initializer, trainable=False)
            self.add_weight("renorm_stddev", shape, initializer=deviation, trainable=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor | Outcome:  # (N, *) -> (N, *)
        if not (self.training and self.settings.trainable):
            return self._fused(x, self.moving_mean, self.moving_variance, training=False)
        values = x.numel() // x.shape[self.axis]
        add = local_batch.sum_of_parts() if self.settings.synchronized else None
        if add is None and mask is None and values > 1 and not self.settings.renorm:
            mean, variance = torch.zeros_like(self.moving_mean), torch.zeros_like(self.moving_variance)
            y = self._fused(x, mean, variance, training=True)  # stores the statistics in them
            variance = variance * ((values - 1) / values)  # torch's is unbiased there, Keras's is not
        else:
            mean, variance = self._moments(x, mask) if add is None else self._moments_of_all(x, mask, add)
            if self.settings.renorm:
                return self._renormalized(x, mean, variance)
            y = self._normalize(x, mean, variance, self.gamma, self.beta)
        updates = {
            "moving_mean": torch.lerp(self.moving_mean, mean.detach(), 1 - self.settings.momentum),
            "moving_variance": torch.lerp(self.moving_variance, variance.detach(), 1 - self.settings.momentum),
        }
        return Outcome(y, updates=updates)

    def _renormalized(self, x: Tensor, mean: Tensor, variance: Tensor) -> Outcome:
        """Normalize by the batch's statistics, corrected towards moving averages (batch renormalization).

        No gradient flows through the correction.
        """
        epsilon, bounds = self.settings.epsilon, self.settings.renorm_clipping or {}
        at, deviation = mean.detach(), torch.sqrt(variance.detach() + epsilon)
        usual = self.renorm_stddev.clamp(min=math.sqrt(epsilon))
        factor = (deviation / usual).clamp(bounds.get("rmin", 0.0), bounds.get("rmax"))
        shift, most = (at - self.renorm_mean) / usual, bounds.get("dmax")
        shift = shift if most is None else shift.clamp(-most, most)
        gamma, beta = (factor, shift) if self.gamma is None else (factor * self.gamma, shift * self.gamma)
        y = self._normalize(x, mean, variance, gamma, beta if self.beta is None else beta + self.beta)
        moving_stddev = torch.lerp(self.moving_stddev, deviation, 1 - self.settings.momentum)
        return Outcome(y, updates={
            "renorm_mean": torch.lerp(self.renorm_mean, at, 1 - self.settings.renorm_momentum),
            "renorm_stddev": torch.lerp(self.renorm_stddev, deviation, 1 - self.settings.renorm_momentum),
            "moving_mean": torch.lerp(self.moving_mean, at, 1 - self.settings.momentum),
            "moving_stddev": moving_stddev,
            "moving_variance": torch.relu(moving_stddev.square() - epsilon),
        })  # fmt: skip

    def _fused(self, x: Tensor, mean: Tensor, variance: Tensor, *, training: bool) -> Tensor:
        """Run torch's batch-norm kernel; in training it overwrites `mean` and `variance` by the batch's (unbiased)."""
        last = self.axis == x.ndim - 1
        # Images are a view in channels_last format, which the kernels support; other ranks would be copied.
        flat = x.reshape(-1, x.shape[-1]) if last and x.ndim != 4 else x.movedim(self.axis, 1)
        epsilon, cudnn = self.settings.epsilon, torch.backends.cudnn.enabled
        y = torch.batch_norm(flat, self.gamma, self.beta, mean, variance, training, 1.0, epsilon, cudnn)
        return y.reshape(x.shape) if last and x.ndim != 4 else y.movedim(1, self.axis)

    def _moments(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the mean and biased variance of the unmasked values, for each channel."""
        axes = [axis for axis in range(x.ndim) if axis != self.axis]
        x = x.to(self.moving_mean.dtype)
        if mask is None:
            return x.mean(axes), x.var(axes, correction=0)
        seen = broadcast_mask(mask, x).expand_as(x)
        count = seen.sum(axes).to(x.dtype) + _MASK_EPSILON
        mean = torch.where(seen, x, 0.0).sum(axes) / count
        squares = torch.where(seen, x - self._aligned(mean, x), 0.0).square()
        return mean, squares.sum(axes) / count

    def _moments_of_all(self, x: Tensor, mask: Tensor | None, add: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Return the mean and biased variance of the unmasked values of all processes, for each channel.

        One vector is added over the processes: count, sum and sum of squares. Sums are computed around the process's
        own mean and moved to zero in float64, where their differences lose no digits of float32, forward and backward.
        """
        axes = [axis for axis in range(x.ndim) if axis != self.axis]
        x = x.to(self.moving_mean.dtype)
        if mask is None:
            count = torch.full_like(self.moving_mean, x.numel() // x.shape[self.axis], dtype=torch.float64)
            center = x.detach().mean(axes)
            apart = x - self._aligned(center, x)
        else:
            seen = broadcast_mask(mask, x).expand_as(x)
            count = seen.sum(axes).double()
            center = torch.where(seen, x.detach(), 0.0).sum(axes) / count.clamp(min=1).to(x.dtype)
            apart = torch.where(seen, x - self._aligned(center, x), 0.0)
        total, squares, center = apart.sum(axes).double(), apart.square().sum(axes).double(), center.double()
        moved = (count, total + count * center, squares + 2 * center * total + count * center.square())
        count, total, squares = add(torch.stack(moved)).unbind()
        weight = count if mask is None else count + _MASK_EPSILON
        mean = total / weight
        variance = (squares - 2 * mean * total + count * mean.square()) / weight
        return mean.to(x.dtype), variance.clamp(min=0).to(x.dtype)

    def _normalize(
        self, x: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor | None, beta: Tensor | None
    ) -> Tensor:
        factor = torch.rsqrt(variance + self.settings.epsilon)
        if gamma is not None:
            factor = factor * gamma
        y = (x - self._aligned(mean, x)) * self._aligned(factor, x)
        return (y if beta is None else y + self._aligned(beta, x)).to(x.dtype)

    def _aligned(self, values: Tensor, x: Tensor) -> Tensor:
        """Reshape a vector with one value per channel so that it broadcasts over `x`."""
        return values.reshape([-1 if axis == self.axis else 1 for axis in range(x.ndim)])


class SquareRoot(Initializer):
    """Initializer whose values are the square roots of another initializer's: standard deviations from variances."""

    of: InitializerField

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        return self.of(shape, dtype=dtype, generator=generator).sqrt()
