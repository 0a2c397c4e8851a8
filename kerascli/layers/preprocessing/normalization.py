"""Normalization: (x - mean) / sqrt(variance), with a mean and a variance that are given."""

from typing import Annotated, Any, Self

import torch
from pydantic import BeforeValidator, model_validator
from torch import Tensor, nn

from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.layers.geometry import Axes, positive_axes
from kerascli.preprocessing.normalization import EPSILON
from kerascli.shapes import Shape, TensorSpec, show_shape


def _nested(value: Any) -> Any:
    return tuple(map(_nested, value)) if isinstance(value, list) else value


Statistics = float | Annotated[tuple[float, ...] | tuple[tuple[float, ...], ...], BeforeValidator(_nested)]
"""One number for all, one for each place of the axis, or rows of them for two axes."""


@layer(
    Example(input=(8, 3), output=(8, 3), config={"mean": [1.0, 2.0, 3.0], "variance": [1.0, 4.0, 9.0]}),
    Example(input=(4,), output=(4,), config={"axis": None, "mean": 0.5, "variance": 2.0, "invert": True}),
)
class Normalization(Layer):
    """Shifts and scales to mean 0 and variance 1 by the `mean` and `variance` given.

    To learn them from the training rows, put normalization into the pipeline of the input, in the data section.
    """

    mask = "pass"

    axis: Axes | None = -1
    """The axes whose places have a mean and a variance each; null: one of each for all values."""
    mean: Statistics
    """The means: a number, or one for each place of the axis."""
    variance: Statistics
    """The variances, shaped as the means."""
    invert: bool = False
    """The way back: multiply by the deviation and add the mean."""

    @model_validator(mode="after")
    def _alike(self) -> Self:
        shapes = [_shape(given) for given in (self.mean, self.variance)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"mean {show_shape(shapes[0])} and variance {show_shape(shapes[1])} differ in shape")
        return self

    def build(self, x: TensorSpec) -> nn.Module:
        axes = () if self.axis is None else positive_axes(self.axis, x)
        given = _shape(self.mean)
        sizes = [x.shape[axis - 1] for axis in axes][len(axes) - len(given) :]
        if len(given) > len(axes) or any(a not in (1, b) for a, b in zip(given, sizes, strict=True)):
            text = f"mean and variance of shape {show_shape(given)} do not fit axis {self.axis} of {x}"
            raise ShapeMismatch(text, argument="mean")
        shape = [1] * (x.rank + 1)
        for axis, size in zip(axes[len(axes) - len(given) :], given, strict=True):
            shape[axis] = size or 1
        return NormalizationModule(self.mean, self.variance, tuple(shape), self.invert)


def _shape(given: Any) -> Shape:
    return (len(given), *_shape(given[0])) if isinstance(given, tuple) else ()


class NormalizationModule(nn.Module):
    def __init__(self, mean: Any, variance: Any, shape: tuple[int, ...], invert: bool) -> None:
        super().__init__()
        self.mean = mean
        self.variance = variance
        self.shape = shape
        self.invert = invert

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
        mean = self._constant(self.mean, x)
        deviation = self._constant(self.variance, x).sqrt().clamp(min=EPSILON)
        return x * deviation + mean if self.invert else (x - mean) / deviation

    def _constant(self, given: Any, x: Tensor) -> Tensor:
        made = (
            torch.tensor(given, dtype=x.dtype, device=x.device) if isinstance(given, tuple) else x.new_full((), given)
        )
        return made.view(self.shape) if made.ndim else made
