"""Activation functions (keras.activations)."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.foundation.shapes import Axis
from kerascli.parts.base import ACTIVATIONS, Activation, part


class Plain(Activation):
    """Base class of activations that are one function of torch: of a tensor, and of their arguments in order."""

    function: ClassVar[Callable[..., Tensor]]

    def __call__(self, x: Tensor) -> Tensor:
        return type(self).function(x, *(getattr(self, name) for name in type(self).model_fields))


@part(ACTIVATIONS)
class Linear(Activation):
    """Linear (identity) activation: x."""

    def __call__(self, x: Tensor) -> Tensor:
        return x


@part(ACTIVATIONS, name="relu")
class ReLU(Activation):
    """Rectified linear unit: max(x, 0), optionally with a negative slope, a maximum and a threshold."""

    negative_slope: float = 0.0
    """Slope of the function for inputs below the threshold."""
    max_value: float | None = None
    """Maximum of the output (saturation); null: no limit."""
    threshold: float = 0.0
    """Threshold: inputs up to it give negative_slope * (x - threshold), which by default is 0."""

    def __call__(self, x: Tensor) -> Tensor:
        if self.threshold == 0 and (self.max_value is None or not self.negative_slope):
            if self.max_value is not None:  # one operation, and Keras's gradients at 0 and at 6
                return F.relu6(x) if self.max_value == 6 else torch.relu(x).clamp(max=self.max_value)
            return F.leaky_relu(x, self.negative_slope) if self.negative_slope else torch.relu(x)
        above = torch.where(x > self.threshold, x, 0.0)
        if self.max_value is not None:
            above = above.clamp(0.0, self.max_value)
        return above - self.negative_slope * torch.relu(self.threshold - x) if self.negative_slope else above


@part(ACTIVATIONS, name="leaky_relu")
class LeakyReLU(Plain):
    """Leaky rectified linear unit: x for x > 0, else negative_slope * x (Maas et al., 2013)."""

    function = F.leaky_relu

    negative_slope: float = 0.2
    """Slope of the function for inputs below 0."""


@part(ACTIVATIONS, name="relu6")
class ReLU6(Plain):
    """Rectified linear unit with a maximum of 6: min(max(x, 0), 6)."""

    function = F.relu6


@part(ACTIVATIONS)
class Elu(Plain):
    """Exponential linear unit: x for x > 0, else alpha * (exp(x) - 1) (Clevert et al., 2016)."""

    function = F.elu

    alpha: float = 1.0
    """Scale alpha of the negative part, which approaches -alpha for large negative inputs."""


@part(ACTIVATIONS)
class Celu(Plain):
    """Continuously differentiable ELU: max(x, 0) + min(0, alpha * (exp(x / alpha) - 1)) (Barron, 2017)."""

    function = F.celu

    alpha: float = 1.0
    """Scale alpha of the negative part, which approaches -alpha for large negative inputs."""


@part(ACTIVATIONS)
class Selu(Plain):
    """Scaled ELU, 1.0507 * elu(x, 1.6733): mean 0, variance 1 with lecun_normal kernels (Klambauer et al., 2017)."""

    function = F.selu


@part(ACTIVATIONS)
class Gelu(Activation):
    """Gaussian error linear unit: x * P(X <= x) for X ~ N(0, 1) (Hendrycks and Gimpel, 2016)."""

    approximate: bool = False
    """Use the faster approximation by tanh."""

    def __call__(self, x: Tensor) -> Tensor:
        return F.gelu(x, approximate="tanh" if self.approximate else "none")


@part(ACTIVATIONS, aliases=("swish",))
class Silu(Plain):
    """Sigmoid linear unit, also called swish: x * sigmoid(x) (Ramachandran et al., 2017)."""

    function = F.silu


@part(ACTIVATIONS, aliases=("hard_swish",))
class HardSilu(Plain):
    """Hard SiLU, also called hard swish: x * hard_sigmoid(x) (Howard et al., 2019)."""

    function = F.hardswish


@part(ACTIVATIONS)
class Mish(Plain):
    """Mish: x * tanh(softplus(x)) (Misra, 2019)."""

    function = F.mish


@part(ACTIVATIONS)
class Glu(Plain):
    """Gated linear unit: a * sigmoid(b), with the halves a and b of an axis of even size (Dauphin et al., 2017)."""

    function = F.glu

    axis: Axis = -1


@part(ACTIVATIONS)
class Sigmoid(Plain):
    """Sigmoid: 1 / (1 + exp(-x)), from 0 to 1."""

    function = torch.sigmoid


@part(ACTIVATIONS)
class HardSigmoid(Plain):
    """Hard sigmoid, a piecewise linear approximation: x / 6 + 0.5, clipped to [0, 1]."""

    function = F.hardsigmoid


@part(ACTIVATIONS)
class LogSigmoid(Plain):
    """Logarithm of the sigmoid: log(1 / (1 + exp(-x))), numerically stable."""

    function = F.logsigmoid


@part(ACTIVATIONS)
class SparseSigmoid(Activation):
    """Sparse sigmoid: 0.5 * (x + 1), clipped to [0, 1]."""

    def __call__(self, x: Tensor) -> Tensor:
        # Not clamp, since the gradient at -1 and 1 is 0 in Keras.
        return torch.where(x <= -1, 0.0, torch.where(x >= 1, 1.0, 0.5 * (x + 1)))


@part(ACTIVATIONS)
class Tanh(Plain):
    """Hyperbolic tangent, from -1 to 1."""

    function = torch.tanh


@part(ACTIVATIONS)
class HardTanh(Plain):
    """Hard hyperbolic tangent: x clipped to [-1, 1]."""

    function = F.hardtanh


@part(ACTIVATIONS)
class TanhShrink(Plain):
    """Tanh shrinkage: x - tanh(x)."""

    function = F.tanhshrink


@part(ACTIVATIONS)
class SoftShrink(Plain):
    """Soft shrinkage: x - threshold for x > threshold, x + threshold for x < -threshold, else 0."""

    function = F.softshrink

    threshold: float = 0.5
    """Limit of |x| up to which the output is 0."""


@part(ACTIVATIONS)
class HardShrink(Plain):
    """Hard shrinkage: x for |x| > threshold, else 0."""

    function = F.hardshrink

    threshold: float = 0.5
    """Limit of |x| up to which the output is 0."""


@part(ACTIVATIONS)
class Threshold(Plain):
    """Threshold: x for x > threshold, else default_value."""

    function = F.threshold

    threshold: float
    """Limit of x up to which the output is default_value."""
    default_value: float
    """Output for inputs that are not above the threshold."""


@part(ACTIVATIONS)
class Softplus(Plain):
    """Softplus, a smooth approximation of relu: log(1 + exp(x))."""

    function = F.softplus


@part(ACTIVATIONS)
class SparsePlus(Activation):
    """Sparse plus: 0 for x <= -1, (x + 1) ** 2 / 4 for -1 < x < 1, x for x >= 1."""

    def __call__(self, x: Tensor) -> Tensor:
        return torch.where(x <= -1, 0.0, torch.where(x < 1, 0.25 * (x + 1) ** 2, x))


@part(ACTIVATIONS)
class Squareplus(Activation):
    """Squareplus, a smooth approximation of relu without exponentials: (x + sqrt(x ** 2 + b)) / 2 (Barron, 2021)."""

    b: float = 4.0
    """Smoothness: the larger, the rounder the bend at 0; 0: relu."""

    def __call__(self, x: Tensor) -> Tensor:
        return (x + torch.sqrt(x**2 + self.b)) / 2


@part(ACTIVATIONS)
class Softsign(Plain):
    """Softsign: x / (1 + |x|), from -1 to 1."""

    function = F.softsign


@part(ACTIVATIONS)
class Exponential(Plain):
    """Exponential: exp(x)."""

    function = torch.exp


@part(ACTIVATIONS)
class Softmax(Plain):
    """Softmax, probabilities that sum to 1 along `axis`: exp(x) / sum(exp(x))."""

    function = torch.softmax

    axis: Axis = -1


@part(ACTIVATIONS)
class LogSoftmax(Plain):
    """Logarithm of softmax along `axis`: x - log(sum(exp(x))), numerically stable."""

    function = torch.log_softmax

    axis: Axis = -1


@part(ACTIVATIONS)
class Sparsemax(Activation):
    """Sparsemax, the projection onto the probability simplex: exact zeros (Martins and Astudillo, 2016)."""

    axis: Axis = -1

    def __call__(self, x: Tensor) -> Tensor:
        z = x.movedim(self.axis, -1)
        ordered = z.sort(dim=-1, descending=True).values
        above = ordered.cumsum(-1) - 1  # sum of the k largest, minus 1
        ranks = torch.arange(1, z.shape[-1] + 1, device=x.device, dtype=x.dtype)
        support = (ordered * ranks > above).sum(-1, keepdim=True)
        return (z - above.gather(-1, support - 1) / support).clamp(min=0).movedim(-1, self.axis)
