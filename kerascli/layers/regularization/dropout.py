"""Dropout: zero a share of the values while training, scale up the rest (Srivastava et al., 2014)."""

from torch import Tensor, nn

from kerascli import draws
from kerascli.draws import seeded
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.shapes import AnyShape, Fraction, Seed, Shape, TensorSpec, show_shape


@layer(
    Example(input=(8,), output=(8,), config={"rate": 0.4}),
    Example(input=(5, 8), output=(5, 8), config={"rate": 0.4, "noise_shape": [None, 1, 8]}),
)
class Dropout(Layer):
    """Zeroes a share `rate` of the values while training and scales the rest by 1 / (1 - rate).

    `noise_shape` (batch axis first, null: as the input) has a 1 for each axis along which values are dropped
    together.
    """

    mask = "pass"

    rate: Fraction
    """The fraction of the values (of the channels in spatial_dropout) that is dropped in training."""
    noise_shape: AnyShape | None = None
    """Axes of size 1 share one decision; null: every value its own."""
    seed: Seed = None

    def build(self, x: TensorSpec) -> nn.Module:
        if self.noise_shape is not None:
            check_noise_shape(self.noise_shape, x)
        return DropoutModule(self.rate, self.noise_shape, self.seed)


def check_noise_shape(noise_shape: Shape, x: TensorSpec) -> None:
    """Raise ShapeMismatch unless the noise has one number for each value of `x`, or one for a whole axis."""
    shape = (None, *x.shape)
    fits = len(noise_shape) == len(shape) and noise_shape[0] in (None, 1)
    if not fits or any(n not in (None, 1, size) for n, size in zip(noise_shape, shape, strict=True)):
        raise ShapeMismatch(
            f"noise_shape {show_shape(noise_shape)} does not fit an input of {x}",
            hint="one entry an axis, batch first: null (as the input) or 1 (dropped together)",
            argument="noise_shape",
        )


class DropoutModule(nn.Module):
    def __init__(self, rate: float, noise_shape: Shape | None, seed: int | None) -> None:
        super().__init__()
        self.rate = rate
        self.noise_shape = noise_shape
        self.seed = seed

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        return dropout(x, self.rate, self.noise_shape, self.seed) if self.training else x


def dropout(x: Tensor, rate: float, noise_shape: Shape | None = None, seed: int | None = None) -> Tensor:
    """`x` with a share `rate` of its values zeroed, the rest scaled up; in training only."""
    if rate == 0:
        return x
    return x * dropout_mask(x, rate, noise_shape, seed)


def dropout_mask(x: Tensor, rate: float, noise_shape: Shape | None = None, seed: int | None = None) -> Tensor:
    """0 with probability `rate`, else 1 / (1 - rate)."""
    keep = 1 - rate
    with seeded(seed):
        mask = draws.bernoulli(x, keep, concrete(noise_shape, x))
    return mask.mul_(1 / keep) if keep else mask


def concrete(noise_shape: Shape | None, x: Tensor) -> tuple[int, ...]:
    """The shape of the noise for `x`."""
    return tuple(noise or size for noise, size in zip(noise_shape or x.shape, x.shape, strict=True))
