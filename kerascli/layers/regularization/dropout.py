"""Dropout: sets random values to 0 in training and scales up the rest (Srivastava et al., 2014)."""

from torch import Tensor, nn

from kerascli.foundation import draws
from kerascli.foundation.draws import seeded
from kerascli.foundation.shapes import AnyShape, Fraction, Seed, Shape, TensorSpec, show_shape
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.function import InTraining


@layer(
    Example(input=(8,), output=(8,), config={"rate": 0.4}),
    Example(input=(5, 8), output=(5, 8), config={"rate": 0.4, "noise_shape": [None, 1, 8]}),
)
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
            raise ShapeMismatch(
                f"noise_shape {show_shape(noise)} does not fit an input of {x}",
                hint="one entry an axis, batch first: null (as the input) or 1 (dropped together)",
                argument="noise_shape",
            )


def dropout(x: Tensor, rate: float, noise_shape: Shape | None = None, seed: int | None = None) -> Tensor:
    """Return `x` with a fraction `rate` of its values set to 0 and the rest scaled up, as in training."""
    if rate == 0:
        return x
    return x * dropout_mask(x, rate, noise_shape, seed)


def dropout_mask(x: Tensor, rate: float, noise_shape: Shape | None = None, seed: int | None = None) -> Tensor:
    """Return a random tensor to multiply `x` by: each element is 0 with probability `rate`, else 1 / (1 - rate)."""
    keep = 1 - rate
    with seeded(seed):
        mask = draws.bernoulli(x, keep, concrete(noise_shape, x))
    return mask.mul_(1 / keep) if keep else mask


def concrete(noise_shape: Shape | None, x: Tensor) -> tuple[int, ...]:
    """Return the shape of dropout's random mask for `x`, with None in `noise_shape` replaced by the sizes of `x`."""
    return tuple(noise or size for noise, size in zip(noise_shape or x.shape, x.shape, strict=True))
