"""Activations: the functions that follow a layer's linear part (keras.activations)."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.parts.base import ACTIVATIONS, Activation, part
from kerascli.shapes import Axis


class Plain(Activation):
    """One of torch's functions, without settings."""

    function: ClassVar[Callable[[Tensor], Tensor]]

    def __call__(self, x: Tensor) -> Tensor:
        return type(self).function(x)


@part(ACTIVATIONS)
class Linear(Activation):
    """Leaves its input as it is."""

    def __call__(self, x: Tensor) -> Tensor:
        return x


@part(ACTIVATIONS, name="relu")
class ReLU(Activation):
    """max(x, 0), with Keras's leak, ceiling and threshold."""

    negative_slope: float = 0.0
    """What negative values are multiplied by."""
    max_value: float | None = None
    """The largest value; null: no limit."""
    threshold: float = 0.0
    """Where the function changes."""

    def __call__(self, x: Tensor) -> Tensor:
        if self.max_value is None and self.threshold == 0:
            return F.leaky_relu(x, self.negative_slope) if self.negative_slope else torch.relu(x)
        above = torch.where(x > self.threshold, x, 0.0)
        if self.max_value is not None:
            above = above.clamp(0.0, self.max_value)
        return above - self.negative_slope * torch.relu(self.threshold - x) if self.negative_slope else above


@part(ACTIVATIONS, name="leaky_relu")
class LeakyReLU(Activation):
    """x above 0, negative_slope * x below."""

    negative_slope: float = 0.2
    """What negative values are multiplied by."""

    def __call__(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.negative_slope)


@part(ACTIVATIONS, name="relu6")
class ReLU6(Plain):
    """min(max(x, 0), 6)."""

    function = F.relu6


@part(ACTIVATIONS)
class Elu(Activation):
    """x above 0, alpha * (exp(x) - 1) below (Clevert et al., 2016)."""

    alpha: float = 1.0
    """What large negative values come near to, with a minus."""

    def __call__(self, x: Tensor) -> Tensor:
        return F.elu(x, self.alpha)


@part(ACTIVATIONS)
class Celu(Activation):
    """max(x, 0) + min(0, alpha * (exp(x / alpha) - 1)) (Barron, 2017)."""

    alpha: float = 1.0
    """What large negative values come near to, with a minus."""

    def __call__(self, x: Tensor) -> Tensor:
        return F.celu(x, self.alpha)


@part(ACTIVATIONS)
class Selu(Plain):
    """A scaled elu that keeps mean 0 and variance 1; wants lecun_normal kernels (Klambauer et al., 2017)."""

    function = F.selu


@part(ACTIVATIONS)
class Gelu(Activation):
    """x * Phi(x), Phi the normal distribution function (Hendrycks and Gimpel, 2016); approximate: by tanh."""

    approximate: bool = False
    """Compute it by tanh, which is faster."""

    def __call__(self, x: Tensor) -> Tensor:
        return F.gelu(x, approximate="tanh" if self.approximate else "none")


@part(ACTIVATIONS, aliases=("swish",))
class Silu(Plain):
    """x * sigmoid(x), also called swish (Ramachandran et al., 2017)."""

    function = F.silu


@part(ACTIVATIONS, aliases=("hard_swish",))
class HardSilu(Plain):
    """x * hard_sigmoid(x), also called hard_swish (Howard et al., 2019)."""

    function = F.hardswish


@part(ACTIVATIONS)
class Mish(Plain):
    """x * tanh(softplus(x)) (Misra, 2019)."""

    function = F.mish


@part(ACTIVATIONS)
class Glu(Activation):
    """The first half of an axis times the sigmoid of the second half (Dauphin et al., 2017)."""

    axis: Axis = -1

    def __call__(self, x: Tensor) -> Tensor:
        return F.glu(x, self.axis)


@part(ACTIVATIONS)
class Sigmoid(Plain):
    """1 / (1 + exp(-x)): into (0, 1)."""

    function = torch.sigmoid


@part(ACTIVATIONS)
class HardSigmoid(Plain):
    """A piecewise linear sigmoid: x / 6 + 0.5, clipped to [0, 1]."""

    function = F.hardsigmoid


@part(ACTIVATIONS)
class LogSigmoid(Plain):
    """log(sigmoid(x)), computed stably."""

    function = F.logsigmoid


@part(ACTIVATIONS)
class SparseSigmoid(Activation):
    """(x + 1) / 2, clipped to [0, 1]."""

    def __call__(self, x: Tensor) -> Tensor:
        # Not clamp: at -1 and 1 the slope is 0, as in Keras.
        return torch.where(x <= -1, 0.0, torch.where(x >= 1, 1.0, 0.5 * (x + 1)))


@part(ACTIVATIONS)
class Tanh(Plain):
    """The hyperbolic tangent: into (-1, 1)."""

    function = torch.tanh


@part(ACTIVATIONS)
class HardTanh(Plain):
    """x, clipped to [-1, 1]."""

    function = F.hardtanh


@part(ACTIVATIONS)
class TanhShrink(Plain):
    """x - tanh(x)."""

    function = F.tanhshrink


@part(ACTIVATIONS)
class SoftShrink(Activation):
    """x moved towards 0 by `threshold`, 0 where it would cross."""

    threshold: float = 0.5
    """Where the function changes."""

    def __call__(self, x: Tensor) -> Tensor:
        return F.softshrink(x, self.threshold)


@part(ACTIVATIONS)
class HardShrink(Activation):
    """x where its size is above `threshold`, else 0."""

    threshold: float = 0.5
    """Where the function changes."""

    def __call__(self, x: Tensor) -> Tensor:
        return F.hardshrink(x, self.threshold)


@part(ACTIVATIONS)
class Threshold(Activation):
    """x where it is above `threshold`, else `default_value`."""

    threshold: float
    """Where the function changes."""
    default_value: float
    """What stands for values that are not above the threshold."""

    def __call__(self, x: Tensor) -> Tensor:
        return F.threshold(x, self.threshold, self.default_value)


@part(ACTIVATIONS)
class Softplus(Plain):
    """log(1 + exp(x)): a smooth relu."""

    function = F.softplus


@part(ACTIVATIONS)
class SparsePlus(Activation):
    """0 up to -1, (x + 1)^2 / 4 up to 1, then x."""

    def __call__(self, x: Tensor) -> Tensor:
        return torch.where(x <= -1, 0.0, torch.where(x < 1, 0.25 * (x + 1) ** 2, x))


@part(ACTIVATIONS)
class Squareplus(Activation):
    """(x + sqrt(x^2 + b)) / 2: a smooth relu without exponentials (Barron, 2021)."""

    b: float = 4.0
    """How round the bend is; 0: relu."""

    def __call__(self, x: Tensor) -> Tensor:
        return (x + torch.sqrt(x**2 + self.b)) / 2


@part(ACTIVATIONS)
class Softsign(Plain):
    """x / (1 + |x|): into (-1, 1)."""

    function = F.softsign


@part(ACTIVATIONS)
class Exponential(Plain):
    """exp(x)."""

    function = torch.exp


@part(ACTIVATIONS)
class Softmax(Activation):
    """exp(x) over its sum along an axis: probabilities."""

    axis: Axis = -1

    def __call__(self, x: Tensor) -> Tensor:
        return torch.softmax(x, self.axis)


@part(ACTIVATIONS)
class LogSoftmax(Activation):
    """log(softmax(x)), computed stably."""

    axis: Axis = -1

    def __call__(self, x: Tensor) -> Tensor:
        return torch.log_softmax(x, self.axis)


@part(ACTIVATIONS)
class Sparsemax(Activation):
    """The nearest point of the probability simplex: like softmax, with exact zeros (Martins and Astudillo, 2016)."""

    axis: Axis = -1

    def __call__(self, x: Tensor) -> Tensor:
        z = x.movedim(self.axis, -1)
        ordered = z.sort(dim=-1, descending=True).values
        above = ordered.cumsum(-1) - 1  # of the k largest
        ranks = torch.arange(1, z.shape[-1] + 1, device=x.device, dtype=x.dtype)
        support = (ordered * ranks > above).sum(-1, keepdim=True)
        tau = above.gather(-1, support - 1) / support
        return (z - tau).clamp(min=0).movedim(-1, self.axis)
