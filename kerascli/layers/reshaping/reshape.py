"""Reshape, Flatten, Permute and RepeatVector: the same values in another shape or order."""

import math
from typing import Annotated

from pydantic import AfterValidator
from torch import Tensor, nn

from kerascli.foundation.shapes import DataFormat, PositiveInt, Sizes, TargetShape, TensorSpec, show_shape
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.function import Function


@layer(Example(input=(784,), output=(28, 28, 1), config={"target_shape": [28, 28, 1]}))
class Reshape(Layer):
    """Reshapes each sample to `target_shape`.

    Input: (N, *). Output: (N, *target_shape).
    """

    takes_integers = True
    moves_values = True

    target_shape: TargetShape
    """New shape without the batch axis; one size may be -1, which is inferred from the others."""

    def build(self, x: TensorSpec) -> nn.Module:
        count = math.prod(size for size in x.shape if size is not None)
        fixed = math.prod(size for size in self.target_shape if size != -1)
        if None not in x.shape and (count % fixed if -1 in self.target_shape else count != fixed):
            text = f"cannot reshape {x} ({count} values a sample) to {show_shape((None, *self.target_shape))}"
            hint = "write -1 for one size to have it computed"
            raise ShapeMismatch(text, hint=hint, argument="target_shape")
        return Function(lambda x: x.reshape(x.shape[0], *self.target_shape))  # (N, *) -> (N, *target_shape)


@layer(Example(input=(28, 28, 1), output=(784,)))
class Flatten(Layer):
    """Flattens all axes after the batch into one.

    Input: (N, *). Output: (N, product of the sizes). With `data_format: channels_first` the channels are moved to the
    end first, so that the values are in channels_last order.
    """

    takes_integers = True
    moves_values = True

    data_format: DataFormat = "channels_last"

    def build(self, x: TensorSpec) -> nn.Module:
        return Function(self._flattened)

    def _flattened(self, x: Tensor) -> Tensor:  # (N, *) -> (N, prod(*))
        if self.data_format == "channels_first" and x.ndim > 2:
            x = x.movedim(1, -1)
        return x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)


def _check_dims(dims: tuple[int, ...]) -> tuple[int, ...]:
    if sorted(dims) != list(range(1, len(dims) + 1)):
        raise ValueError(f"expected each axis from 1 to {len(dims)} once, got {list(dims)}")
    return dims


@layer(Example(input=(5, 3), output=(3, 5), config={"dims": [2, 1]}))
class Permute(Layer):
    """Permutes the axes after the batch: axis i of the output is axis `dims[i]` of the input, counted from 1.

    Input: (N, *). Output: (N, *), with the axes in the order `dims`.
    """

    takes_integers = True
    moves_values = True

    dims: Annotated[Sizes, AfterValidator(_check_dims)]
    """Input axes in the output's order, counted from 1: [2, 1] swaps two axes."""

    def build(self, x: TensorSpec) -> nn.Module:
        if x.rank != len(self.dims):
            text = f"has dims for {len(self.dims)} axes after the batch, got {x}"
            raise ShapeMismatch(text, argument="dims")
        return Function(Tensor.permute, 0, *self.dims)


@layer(Example(input=(3,), output=(5, 3), config={"n": 5}))
class RepeatVector(Layer):
    """Repeats a vector `n` times, as the steps of a sequence: (N, F) becomes (N, n, F)."""

    takes_integers = True
    moves_values = True

    n: PositiveInt
    """Number of repetitions: the steps of the output."""

    def build(self, x: TensorSpec) -> nn.Module:
        if x.rank != 1:
            raise ShapeMismatch(f"needs vectors (features), got {x}")
        return Function(lambda x: x.unsqueeze(1).expand(-1, self.n, -1))  # (N, F) -> (N, n, F)
