"""Reshape: gives each sample another shape, with the same values in the same order."""

import math

from torch import Tensor, nn

from kerascli.foundation.shapes import Shape, TargetShape, TensorSpec, show_shape
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.function import Function


@layer(
    Example(input=(784,), output=(28, 28, 1), config={"target_shape": [28, 28, 1]}),
    Example(input=(6, 4), output=(8, 3), config={"target_shape": [-1, 3]}),
)
class Reshape(Layer):
    """Reshapes each sample to `target_shape`.

    Input: (N, *). Output: (N, *target_shape).
    """

    takes_integers = True
    moves_values = True

    target_shape: TargetShape
    """New shape without the batch axis; one size may be -1, which is inferred from the others."""

    def build(self, x: TensorSpec) -> nn.Module:
        if None not in x.shape and not _fits(x.shape, self.target_shape):
            raise ShapeMismatch(
                f"cannot reshape {x} ({math.prod(x.shape)} values a sample) "  # type: ignore[arg-type]
                f"to {show_shape((None, *self.target_shape))}",
                hint="write -1 for one size to have it computed",
                argument="target_shape",
            )
        return Function(self._reshaped)

    def _reshaped(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *target_shape)
        return x.reshape(x.shape[0], *self.target_shape)


def _fits(shape: Shape, target: tuple[int, ...]) -> bool:
    values = math.prod(size for size in shape if size is not None)
    fixed = math.prod(size for size in target if size != -1)
    return values % fixed == 0 if -1 in target else values == fixed
