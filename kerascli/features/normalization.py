"""Normalization: `(x - mean) / sqrt(variance)` for each feature, as a transform that learns them and as a layer."""

import math
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BeforeValidator, model_validator
from pydantic import Field as Setting
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.transforms.input_checks import checked_finite, computed
from kerascli.foundation.shapes import Ints, Shape, TensorSpec
from kerascli.language.component import Component
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.function import Constant, Function

EPSILON = 1e-7
"""Minimum of the standard deviations by which values are divided: Keras's `epsilon()`."""


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


_Row = Annotated[tuple[float, ...], Setting(min_length=1)]
Numbers = Annotated[float | _Row | tuple[_Row, ...], BeforeValidator(_tuples)]
"""Type of the settings `mean` and `variance`: a number, a list of numbers, or rows of numbers."""


class NormalizationSettings(Component):
    """Settings that the layer and the transform `normalization` share."""

    axis: int | Ints | None = -1
    """Axis or axes with a separate mean for each index, where axis 0 is the batch; null: one mean for all values."""
    mean: Numbers | None = None
    """Mean to subtract, a number or one per index along `axis`; given together with `variance`."""
    variance: Numbers | None = None
    """Variance, by whose square root values are divided, a number or one per index along `axis`; given with `mean`."""
    invert: bool = False
    """Invert the normalization: x * sqrt(variance) + mean."""

    @model_validator(mode="after")
    def _together(self) -> "NormalizationSettings":
        if (self.mean is None) != (self.variance is None):
            raise ValueError("give 'mean' and 'variance' both, or neither")
        if self.mean is None or self.variance is None:
            return self
        if _shape(self.mean) != _shape(self.variance):
            raise ValueError("'mean' and 'variance' must have the same shape")
        if np.min(np.array(self.variance)) < 0:
            raise ValueError("variance: must be at least 0")
        return self

    def kept(self, shape: Shape) -> tuple[int, ...]:
        """Return the axes along which means are separate, ascending; axis 0 is the batch. Raises ShapeMismatch."""
        rank = len(shape) + 1
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis or ()
        kept = sorted({axis % rank for axis in axes if -rank <= axis < rank})
        if len(kept) < len(axes):
            raise ShapeMismatch(f"axis: expected different axes of {rank} (the batch is 0), got {list(axes)}")
        if rank == 1:  # a row is one number: all rows share a mean
            return ()
        if 0 in kept:
            raise ShapeMismatch("axis: must not be 0, the batch: every row would have its own mean")
        return tuple(kept)

    def fixed(self, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
        """Return the config's mean and variance, reshaped to broadcast over rows of `shape`. Raises ShapeMismatch."""
        kept = self.kept(shape)
        return _spread("mean", self.mean, kept, shape), _spread("variance", self.variance, kept, shape)


def _shape(value: Any) -> tuple[int, ...]:
    try:
        return np.shape(value)
    except ValueError:
        raise ValueError("expected rows of equal length") from None


def _spread(name: str, numbers: Any, kept: tuple[int, ...], shape: Shape) -> np.ndarray:
    """Reshape the config's mean or variance to broadcast over rows; an axis whose indices share a value gets size 1."""
    value = np.array(numbers, np.float64)
    value = value[0] if value.shape == (1,) else value
    if value.ndim > len(kept):
        raise ShapeMismatch(f"{name}: expected numbers along {len(kept)} axes, got {value.ndim}")
    sizes = [1] * len(shape)
    for axis, size in zip(reversed(kept), reversed(value.shape), strict=False):
        sizes[axis - 1] = size
        expected = shape[axis - 1]
        if expected is not None and size not in (1, expected):
            raise ShapeMismatch(f"{name}: expected {expected} values, one per feature, got {size}")
    return value.reshape(sizes) if value.ndim else value


def mean_and_variance(parts: Iterable[np.ndarray], *, kept: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance, as float64, for each index along the axes `kept` (axis 0 is the rows).

    Both broadcast over a row. The parts of the rows are read once, with Chan's formula for the moments of two samples
    together: memory-mapped files stay on disk, and the whole is not copied in float64. Differences from a mean of the
    first rows are summed, not the values: of 1000.001 and 1000.002, too, all digits count.
    """
    count, near, mean, squares = 0, None, np.zeros(()), np.zeros(())
    for part in parts:
        axes = tuple(axis for axis in range(part.ndim) if axis not in kept)
        new = part.size // math.prod(part.shape[axis] for axis in kept)
        near = part.mean(axes, dtype=np.float64, keepdims=True)[0] if near is None else near
        distance = np.subtract(part, near, dtype=np.float64)
        middle = distance.mean(axes, keepdims=True)[0]
        distance -= middle
        around = np.square(distance, out=distance).sum(axes, keepdims=True)[0]
        step = middle - mean
        mean = mean + step * (new / (count + new))
        squares = squares + around + np.square(step) * (count * new / (count + new))
        count += new
    assert near is not None, "there are no rows"
    return near + mean, squares / count


def _normalized(x: Tensor, mean: Any, deviation: Any, *, invert: bool) -> Tensor:  # (N, *) -> (N, *)
    """Normalize values, or invert that; mean and deviation are tensors, or lists of numbers."""
    mean, deviation = (torch.as_tensor(each, dtype=x.dtype, device=x.device) for each in (mean, deviation))
    return mean + x * deviation if invert else (x - mean) / deviation


def _deviation(variance: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt(variance), EPSILON)


@transform(name="normalization")
class NormalizationTransform(NormalizationSettings, Transform):
    """Normalizes features to mean 0 and variance 1: `(x - mean) / sqrt(variance)`, as keras.layers.Normalization.

    Statistics are learned from the training rows, or given as `mean` and `variance` together. The shape is kept.
    """

    per_batch = "exact"

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        made = computed(field)
        self.kept(field.shape)
        if self.mean is not None:
            self.fixed(field.shape)
        return made

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        if self.mean is not None:
            mean, variance = self.fixed(field.shape)
            return FittedState({}, {"mean": mean, "variance": variance})
        with np.errstate(over="ignore", invalid="ignore"):
            mean, variance = mean_and_variance(checked_finite(rows, self.component_name), kept=self.kept(field.shape))
        if not np.isfinite(variance).all():
            raise ValueError("the values are too large to normalize: the sum of their squares is beyond float64")
        return FittedState({}, {"mean": mean, "variance": variance})

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return self._module(state, dtype, invert=self.invert)

    def inverse(self, field: Field, state: FittedState) -> nn.Module:
        return self._module(state, torch.float64, invert=not self.invert)

    def _module(self, state: FittedState, dtype: torch.dtype, *, invert: bool) -> nn.Module:
        arrays = state.arrays["mean"], _deviation(state.arrays["variance"])
        constants = (torch.tensor(array, dtype=dtype) for array in arrays)
        return Constant(partial(_normalized, invert=invert), *constants, dtype=dtype)


@layer(Example(input=(3,), output=(3,), config={"mean": [1.0, 0.0, 2.0], "variance": [4.0, 1.0, 0.25]}))
class Normalization(NormalizationSettings, Layer):
    """Normalizes its input: (x - mean) / sqrt(variance), with a given mean and variance.

    Input and output: (N, *).
    """

    mask = "pass"

    def build(self, x: TensorSpec) -> nn.Module:
        if self.mean is None:
            hint = "give mean and variance, or put normalization into the input's pipeline under data"
            raise ShapeMismatch("a layer does not learn a mean from the data", hint=hint)
        mean, variance = self.fixed(x.shape)
        return Function(partial(_normalized, invert=self.invert), mean.tolist(), _deviation(variance).tolist())
