"""Dot: dot product of two inputs along one axis of each."""

from typing import Annotated

import torch
from pydantic import BeforeValidator
from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, MergeLayer, ShapeMismatch, layer
from kerascli.layers.geometry import positive_axes
from kerascli.layers.merging.elementwise import check_count
from kerascli.ops.networks import unit
from kerascli.preprocessing.function import Function

_EPSILON = 1e-7  # Keras's guard against a vector of zeros


def _both(axes: object) -> object:
    return (axes, axes) if isinstance(axes, int) else tuple(axes) if isinstance(axes, list) else axes


@layer(Example(input=[(4,), (4,)], output=(1,), config={"axes": 1}))
class Dot(MergeLayer):
    """Dot product of two inputs along an axis of each; with `normalize` their cosine similarity.

    Inputs: (N, *, K, *) twice. Output: (N, *), the other axes of the first and then of the second input; (N, 1) if
    there are none.
    """

    axes: Annotated[tuple[int, int], BeforeValidator(_both)]
    """Axis of each input to sum over: one integer for both, or [first, second]; 0 is the batch."""
    normalize: bool = False
    """Normalize both inputs to L2 norm 1 along the axis first: the result is the cosine similarity."""

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        check_count(xs, 2)
        (a,), (b,) = (positive_axes(axis, x, "axes") for axis, x in zip(self.axes, xs, strict=True))
        sizes = xs[0].shape[a - 1], xs[1].shape[b - 1]
        if None not in sizes and sizes[0] != sizes[1]:
            text = f"axis {a} of {xs[0]} and axis {b} of {xs[1]} differ: {sizes[0]} and {sizes[1]}"
            raise ShapeMismatch(text, argument="axes")
        return Function(self._products, a, b)

    def _products(self, x: Tensor, y: Tensor, a: int, b: int) -> Tensor:  # (N, *, K, *), (N, *, K, *) -> (N, *, *)
        """Return the sums of products along axis `a` of x and axis `b` of y."""
        if self.normalize:
            x, y = unit(x, a, _EPSILON), unit(y, b, _EPSILON)
        # Axes by number: the batch is 0, x's are 1, 2 ...; y's come after them, but for the summed one.
        of_x = list(range(x.ndim))
        of_y = [0, *range(x.ndim, x.ndim + y.ndim - 1)]
        of_y[b] = a
        z = torch.einsum(x, of_x, y, of_y, [axis for axis in (*of_x, *of_y[1:]) if axis != a])
        return z if z.ndim > 1 else z.unsqueeze(1)
