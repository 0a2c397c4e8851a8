"""Initializers of weights (keras.initializers)."""

import math
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn.init import trunc_normal_
from torch.signal import windows

from kerascli.foundation.shapes import Ints, NonNegativeFloat, PositiveFloat, Seed, show_shape
from kerascli.parts.base import INITIALIZERS, Initializer, part


@part(INITIALIZERS, aliases=("zero",))
class Zeros(Initializer):
    """Initializer that fills a weight with zeros."""

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        return torch.zeros(shape, dtype=dtype)


@part(INITIALIZERS, aliases=("one",))
class Ones(Initializer):
    """Initializer that fills a weight with ones."""

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        return torch.ones(shape, dtype=dtype)


@part(INITIALIZERS)
class Constant(Initializer):
    """Initializer that fills a weight with one constant."""

    value: float = 0.0
    """Value with which the weight is filled."""

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        return torch.full(shape, self.value, dtype=dtype)


@part(INITIALIZERS, aliases=("identity_initializer",))
class Identity(Initializer):
    """Initializer of matrices with `gain` on the diagonal and zeros elsewhere."""

    gain: float = 1.0
    """Multiplicative factor of the identity matrix."""

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 2:
            raise ValueError(f"identity fills matrices, got {show_shape(shape)}")

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        return self.gain * torch.eye(*shape, dtype=dtype)


@part(INITIALIZERS, aliases=("normal",))
class RandomNormal(Initializer):
    """Initializer with normally distributed values; `seed`, as in all random initializers, overrides the run's seed."""

    mean: float = 0.0
    """Mean of the normal distribution of the initial values."""
    stddev: NonNegativeFloat = 0.05
    """Standard deviation of the normal distribution of the initial values."""
    seed: Seed = None

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        return _normal(shape, dtype, _source(self.seed, generator)).mul_(self.stddev).add_(self.mean)


@part(INITIALIZERS)
class TruncatedNormal(Initializer):
    """Initializer with normally distributed values, redrawn if more than two standard deviations from the mean."""

    mean: float = 0.0
    """Mean of the normal distribution of the initial values."""
    stddev: NonNegativeFloat = 0.05
    """Standard deviation of the normal distribution before truncation."""
    seed: Seed = None

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        return _truncated(shape, dtype, _source(self.seed, generator)).mul_(self.stddev).add_(self.mean)


@part(INITIALIZERS, aliases=("uniform",))
class RandomUniform(Initializer):
    """Initializer with uniformly distributed values from `minval` to `maxval`."""

    minval: float = -0.05
    """Lower bound of the uniformly distributed initial values."""
    maxval: float = 0.05
    """Upper bound of the uniformly distributed initial values."""
    seed: Seed = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minval > self.maxval:
            raise ValueError(f"minval {self.minval} is above maxval {self.maxval}")
        return self

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        source = _source(self.seed, generator)
        return torch.empty(shape, dtype=dtype).uniform_(self.minval, self.maxval, generator=source)


@part(INITIALIZERS, aliases=("orthogonal_initializer",))
class Orthogonal(Initializer):
    """Initializer with orthonormal rows (over all axes but the last) or columns, times `gain` (Saxe et al., 2014)."""

    gain: float = 1.0
    """Multiplicative factor of the orthogonal matrix."""
    seed: Seed = None

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) < 2:
            raise ValueError(f"orthogonal needs at least two axes, got {show_shape(shape)}")

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = _normal((max(rows, columns), min(rows, columns)), dtype, _source(self.seed, generator))
        q, r = torch.linalg.qr(tall)
        q = q * r.diagonal().sign()  # otherwise Q would not be uniformly distributed over the orthogonal matrices
        return self.gain * (q.T if rows < columns else q).reshape(shape)


Mode = Literal["fan_in", "fan_out", "fan_avg"]
Distribution = Literal["truncated_normal", "untruncated_normal", "uniform", "normal"]


class Scaling(Initializer):
    """Base class of initializers with mean 0 and variance scale / n."""

    if TYPE_CHECKING:  # arguments of `variance_scaling`, fixed by the others
        scale: ClassVar[float]
        mode: ClassVar[Mode]
        distribution: ClassVar[Distribution]

    seed: Seed = None
    input_axes: Ints | None = None
    """Axes of the weight whose sizes multiply to fan_in; null: the axes that Keras uses."""
    output_axes: Ints | None = None
    """Axes of the weight whose sizes multiply to fan_out; null: the axes that Keras uses."""

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        fan_in, fan_out = fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance, source = self.scale / max(1.0, fan), _source(self.seed, generator)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return torch.empty(shape, dtype=dtype).uniform_(-limit, limit, generator=source)
        if self.distribution == "untruncated_normal":
            return _normal(shape, dtype, source).mul_(math.sqrt(variance))
        return _truncated(shape, dtype, source).mul_(math.sqrt(variance) / _TRUNCATED_STDDEV)


class ScalingArguments(Initializer):
    """Mixin with the first arguments of `variance_scaling`, in Keras's order."""

    scale: PositiveFloat = 1.0
    """Factor of the variance of the initial values, which is scale / n."""
    mode: Mode = "fan_in"
    """Divisor n of the variance: number of inputs (fan_in), number of outputs (fan_out) or their mean (fan_avg)."""
    distribution: Distribution = "truncated_normal"
    """Distribution of the values; `normal` is `truncated_normal` (at two standard deviations), as in Keras."""


@part(INITIALIZERS)
class VarianceScaling(Scaling, ScalingArguments):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Initializer with mean 0 and variance scale / n, where n follows from the weight's shape by `mode`.

    fan_in and fan_out are the products of the sizes of `input_axes` and `output_axes`; by default those of the last but
    one and the last axis, times the axes before (a convolution's window).
    """


class FixedScaling(Scaling):
    """Base class of variance scaling initializers with fixed scale, mode and distribution."""

    scale: ClassVar[float]
    mode: ClassVar[Mode]
    distribution: ClassVar[Distribution]


@part(INITIALIZERS)
class GlorotUniform(FixedScaling):
    """Glorot (Xavier) initializer: uniform within +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""

    scale, mode, distribution = 1.0, "fan_avg", "uniform"


@part(INITIALIZERS)
class GlorotNormal(FixedScaling):
    """Glorot (Xavier) initializer: truncated normal, stddev sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""

    scale, mode, distribution = 1.0, "fan_avg", "truncated_normal"


@part(INITIALIZERS)
class HeUniform(FixedScaling):
    """He initializer, for relu: uniform within +-sqrt(6 / fan_in) (He et al., 2015)."""

    scale, mode, distribution = 2.0, "fan_in", "uniform"


@part(INITIALIZERS)
class HeNormal(FixedScaling):
    """He initializer, for relu: truncated normal, stddev sqrt(2 / fan_in) (He et al., 2015)."""

    scale, mode, distribution = 2.0, "fan_in", "truncated_normal"


@part(INITIALIZERS)
class LecunUniform(FixedScaling):
    """LeCun initializer: uniform within +-sqrt(3 / fan_in) (LeCun et al., 1998)."""

    scale, mode, distribution = 1.0, "fan_in", "uniform"


@part(INITIALIZERS)
class LecunNormal(FixedScaling):
    """LeCun initializer, for selu: truncated normal, stddev sqrt(1 / fan_in) (LeCun et al., 1998)."""

    scale, mode, distribution = 1.0, "fan_in", "truncated_normal"


@part(INITIALIZERS, aliases=("stft_initializer",))
class STFT(Initializer):
    """Initializer with the real or imaginary kernel of a short-time Fourier transform.

    The weight has the shape (frame length, channels, frequencies), with at least 2 frequencies.
    """

    side: Literal["real", "imag"] = "real"
    """Part of the transform's complex kernel that fills the weight: real or imaginary."""
    window: Literal["hann", "hamming", "blackman", "bartlett", "cosine", "nuttall"] | None = "hann"
    """Window function by which the kernel is multiplied; null: no window."""
    scaling: Literal["density", "spectrum"] | None = "density"
    """Normalization of the window: by its L2 norm (density) or its L1 norm (spectrum); null: no normalization."""
    periodic: bool = False
    """Use the periodic instead of the symmetric window."""

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[2] < 2:
            raise ValueError(f"stft needs (frame length, channels, at least 2 frequencies), got {show_shape(shape)}")

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        length, _, frequencies = shape
        frequency = torch.arange(frequencies, dtype=torch.float64) / (2 * (frequencies - 1))
        angle = -2 * math.pi * torch.arange(length, dtype=torch.float64).unsqueeze(1) * frequency
        kernel = angle.cos() if self.side == "real" else angle.sin()
        if self.window is not None:
            make = getattr(windows, self.window)
            window = make(length, sym=not self.periodic, dtype=torch.float64)
            total = {"density": window.norm(), "spectrum": window.abs().sum()}
            kernel = kernel * window.unsqueeze(1) / (total[self.scaling] if self.scaling else 1.0)
        return kernel.unsqueeze(1).expand(shape).to(dtype).contiguous()


def fans(
    shape: tuple[int, ...], input_axes: tuple[int, ...] | None = None, output_axes: tuple[int, ...] | None = None
) -> tuple[int, int]:
    """Compute fan_in and fan_out from a weight's shape in Keras (keras/src/initializers/random_initializers.py)."""
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[axis] for axis in input_axes), math.prod(shape[axis] for axis in output_axes)
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


_TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of a standard normal distribution that is truncated to [-2, 2]."""


def _source(seed: int | None, generator: torch.Generator) -> torch.Generator:
    return generator if seed is None else torch.Generator().manual_seed(seed)


def _normal(shape: tuple[int, ...], dtype: torch.dtype, source: torch.Generator) -> Tensor:
    return torch.empty(shape, dtype=dtype).normal_(generator=source)


def _truncated(shape: tuple[int, ...], dtype: torch.dtype, source: torch.Generator) -> Tensor:
    return trunc_normal_(torch.empty(shape, dtype=dtype), 0.0, 1.0, -2.0, 2.0, generator=source)


def with_fans(initializer: Initializer, input_axes: tuple[int, ...], output_axes: tuple[int, ...]) -> Initializer:
    """Return the initializer with the given axes for fan_in and fan_out, if it uses fans and has no axes of its own."""
    if not isinstance(initializer, Scaling):
        return initializer
    if initializer.input_axes is not None and initializer.output_axes is not None:
        return initializer
    return initializer.model_copy(update={"input_axes": input_axes, "output_axes": output_axes})
