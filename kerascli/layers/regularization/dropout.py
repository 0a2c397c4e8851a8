"""Dropout, AlphaDropout, SpatialDropout1D to 3D and StochasticDepth: values dropped at random in training."""

from typing import ClassVar

from torch import Tensor, nn

from kerascli.foundation import draws
from kerascli.foundation.draws import seeded
from kerascli.foundation.shapes import AnyShape, DataFormat, Fraction, OpenFraction, Seed, Shape, TensorSpec, show_shape
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.layers.geometry import spatial_shape
from kerascli.preprocessing.function import InTraining


@layer(Example(input=(8,), output=(8,), config={"rate": 0.4}))
class Dropout(Layer):
    """Dropout: in training sets a fraction `rate` of the values to 0, and scales the others by 1 / (1 - rate).

    Input and output: (N, *); inference returns the input. Paper: Srivastava et al., 2014.
    """

    mask = "pass"

    rate: Fraction
    """Fraction of the values that is dropped in training."""
    noise_shape: AnyShape | None = None
    """Shape of the random mask, batch first; size 1: values along the axis drop together; null: the input's size."""
    seed: Seed = None

    def build(self, x: TensorSpec) -> nn.Module:
        self.check_noise_shape(x)
        return InTraining(dropout, self.rate, self.noise_shape, self.seed)

    def check_noise_shape(self, x: TensorSpec) -> None:
        """Raise ShapeMismatch unless `noise_shape` has, for each axis of `x`, its size, 1 or None."""
        noise, shape = self.noise_shape, (None, *x.shape)
        if noise is None:
            return
        fits = len(noise) == len(shape) and noise[0] in (None, 1)
        if not fits or any(n not in (None, 1, size) for n, size in zip(noise, shape, strict=True)):
            text = f"noise_shape {show_shape(noise)} does not fit an input of {x}"
            hint = "one entry an axis, batch first: null (as the input) or 1 (dropped together)"
            raise ShapeMismatch(text, hint=hint, argument="noise_shape")


def dropout(x: Tensor, rate: float, noise_shape: Shape | None = None, seed: int | None = None) -> Tensor:
    """Return `x` with a fraction `rate` of its values set to 0 and the rest scaled up, as in training."""
    return x if rate == 0 else x * dropout_mask(x, rate, noise_shape, seed)


def dropout_mask(x: Tensor, rate: float, noise_shape: Shape | None = None, seed: int | None = None) -> Tensor:
    """Return a random tensor to multiply `x` by: each element is 0 with probability `rate`, else 1 / (1 - rate)."""
    keep = 1 - rate
    with seeded(seed):
        mask = draws.bernoulli(x, keep, concrete(noise_shape, x))
    return mask.mul_(1 / keep) if keep else mask


def concrete(noise_shape: Shape | None, x: Tensor) -> tuple[int, ...]:
    """Return the shape of dropout's random mask for `x`, with None in `noise_shape` replaced by the sizes of `x`."""
    return tuple(noise or size for noise, size in zip(noise_shape or x.shape, x.shape, strict=True))


_SATURATED = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946  # selu of minus infinity


@layer(Example(input=(8,), output=(8,), config={"rate": 0.1}))
class AlphaDropout(Dropout):
    """Alpha dropout: in training sets values at random to selu's negative saturation, keeping mean and variance.

    Input and output: (N, *). Use it with `selu`. Paper: Klambauer et al., 2017.
    """

    rate: OpenFraction
    """Fraction of the values that is dropped in training."""

    def build(self, x: TensorSpec) -> nn.Module:
        self.check_noise_shape(x)
        return InTraining(self._dropped)

    def _dropped(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        if self.rate == 0:
            return x
        factor = ((1 - self.rate) * (1 + self.rate * _SATURATED**2)) ** -0.5
        with seeded(self.seed):
            kept = draws.bernoulli(x, 1 - self.rate, concrete(self.noise_shape, x))
        return factor * (x * kept + _SATURATED * (1 - kept)) - factor * _SATURATED * self.rate


@layer(Example(input=(5, 8), output=(5, 8), config={"rate": 0.2}))
class SpatialDropout1D(Layer):
    """Spatial dropout of sequences: in training drops whole channels, the same at all steps.

    Input and output: (N, T, C). Paper: Tompson et al., 2015.
    """

    mask = "pass"

    rate: Fraction
    """Fraction of the channels that is dropped in training."""
    seed: Seed = None

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, 1, "channels_last")
        return InTraining(dropout, self.rate, (None, 1, None), self.seed)


class SpatialDropout(Layer):
    """Base class of spatial_dropout_2d and spatial_dropout_3d, whose channels can be first or last."""

    mask = "pass"
    rank: ClassVar[int]

    rate: Fraction
    """Fraction of the channels that is dropped in training."""
    data_format: DataFormat = "channels_last"
    seed: Seed = None

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, self.rank, self.data_format)
        together = (1,) * self.rank
        noise = (None, *together, None) if self.data_format == "channels_last" else (None, None, *together)
        return InTraining(dropout, self.rate, noise, self.seed)


@layer(Example(input=(4, 4, 3), output=(4, 4, 3), config={"rate": 0.2}))
class SpatialDropout2D(SpatialDropout):
    """Spatial dropout of images: in training drops whole channels.

    Input and output: (N, H, W, C), or (N, C, H, W) with `data_format: channels_first`. Paper: Tompson et al., 2015.
    """

    rank = 2


@layer(Example(input=(4, 4, 4, 3), output=(4, 4, 4, 3), config={"rate": 0.2}))
class SpatialDropout3D(SpatialDropout):
    """Spatial dropout of volumes: in training drops whole channels.

    Input and output: (N, D, H, W, C), or (N, C, D, H, W) with `data_format: channels_first`. Paper: Tompson et al.,
    2015.
    """

    rank = 3


@layer(Example(input=(4, 4, 3), output=(4, 4, 3), config={"drop_path_rate": 0.2}))
class StochasticDepth(Layer):
    """Stochastic depth: in training sets whole samples to 0 at random, and scales up the others.

    The factor of the others is 1 / (1 - drop_path_rate). Input and output: (N, *). Put it at the end of a residual
    branch, before `add`. Keras keeps it in `keras.applications`, as a part of ConvNeXt. Paper: Huang et al., 2016.
    """

    mask = "pass"  # Keras passes it on at inference only, where it returns its input

    drop_path_rate: Fraction
    """Probability that a sample is set to 0."""

    def build(self, x: TensorSpec) -> nn.Module:
        return InTraining(dropout, self.drop_path_rate, (None, *(1,) * x.rank))
